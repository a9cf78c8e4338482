package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is a kind of value, bound to the field that holds it.
type value interface {
	// decode takes the value that a file has at a path, and reports what is wrong with it.
	decode(at string, v any, s *source)
	// parse takes the value, or one more element of a list, from a variable or a flag.
	parse(text string, s *source) error
	// show returns a string, int, bool, []Item, map[string]string or []row, and nil for what is not set.
	show() any
	// allowed says in words what the value may be.
	allowed() string
}

var (
	// The value is not one of those allowed; mustBe, which is told them, makes the sentence.
	errUnwanted = errors.New("not allowed")
	errFileOnly = errors.New("can only be set in a file")
)

// mustBe completes errUnwanted and lets other errors be.
func mustBe(err error, want string, got any) error {
	if errors.Is(err, errUnwanted) {
		return fmt.Errorf("must be %s, not %s", want, shown(got))
	}
	return err
}

// shown describes a value from a file, which may be anything, on one short printable line.
func shown(v any) string {
	const most = 60
	switch v := v.(type) {
	case string:
		if utf8.RuneCountInString(v) > most {
			return strconv.Quote(string([]rune(v)[:most])) + "…"
		}
		return strconv.Quote(v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case float64:
		return fmt.Sprintf("the fraction %v", v)
	default:
		return fmt.Sprint(v)
	}
}

// scalar is a single value.
type scalar struct {
	like any // a value of the type that TOML must have
	want string
	get  func() any
	set  func(text string, s *source) error
}

func (v scalar) allowed() string { return v.want }
func (v scalar) show() any       { return v.get() }

func (v scalar) decode(at string, x any, s *source) {
	err := errUnwanted
	if reflect.TypeOf(x) == reflect.TypeOf(v.like) {
		err = v.set(fmt.Sprint(x), s)
	}
	s.report(at, mustBe(err, v.want, x))
}

func (v scalar) parse(text string, s *source) error { return mustBe(v.set(text, s), v.want, text) }

func number(p *int, least, most int, unit string) scalar {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	if unit != "" {
		want += " (" + unit + ")"
	}
	return scalar{int64(0), want, func() any { return *p }, func(text string, _ *source) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < least || n > most {
			return errUnwanted
		}
		*p = n
		return nil
	}}
}

func boolean(p *bool) scalar {
	return scalar{false, "true or false", func() any { return *p }, func(text string, _ *source) error {
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errUnwanted
		}
		*p = b
		return nil
	}}
}

func text(p *string, f format) scalar {
	return scalar{"", f.want, func() any { return *p }, func(text string, s *source) error {
		read, err := f.accept(text, s)
		if err == nil {
			*p = read
		}
		return err
	}}
}

// format is what a string may look like, and how it is read.
type format struct {
	want string
	read func(text string, s *source) (string, error)
}

// accept reads a string that is fit to be an argument of a program.
func (f format) accept(text string, s *source) (string, error) {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", errors.New("must be valid UTF-8 without NUL characters")
	}
	return f.read(text, s)
}

func anyText() format { return such("a string", func(string) bool { return true }) }

func someText() format {
	return such("a string that is not blank", func(text string) bool { return strings.TrimSpace(text) != "" })
}

// such is the format of strings of which ok holds.
func such(want string, ok func(text string) bool) format {
	return format{want, func(text string, _ *source) (string, error) {
		if !ok(text) {
			return "", errUnwanted
		}
		return text, nil
	}}
}

func oneOf(options ...string) format {
	return such("one of "+strings.Join(options, ", "), func(text string) bool { return slices.Contains(options, text) })
}

func guestPath() format {
	return format{"an absolute path in the guest", func(text string, _ *source) (string, error) {
		if !path.IsAbs(text) {
			return "", errUnwanted
		}
		return path.Clean(text), nil
	}}
}

func hostPath() format {
	return format{"a path, absolute, relative, or from ~/ for the home directory", func(text string, s *source) (string, error) {
		base := s.dir
		if rest, ok := strings.CutPrefix(text, "~"); ok {
			if rest != "" && rest[0] != '/' {
				return "", errUnwanted
			}
			base, text = s.home, "."+rest
		}
		switch {
		case text == "":
			return "", errUnwanted
		case filepath.IsAbs(text):
			return filepath.Clean(text), nil
		case !filepath.IsAbs(base):
			return "", errors.New("is a path relative to an unknown directory")
		}
		return filepath.Join(base, text), nil
	}}
}

// image is a format: what has neither the mark of a template nor that of an address is a path.
func image() format {
	return format{"template:NAME, an http or https address, or a path", func(text string, s *source) (string, error) {
		for _, prefix := range []string{"template:", "https://", "http://"} {
			if rest, ok := strings.CutPrefix(text, prefix); ok && rest != "" {
				return text, nil
			}
		}
		if strings.Contains(text, "://") || text == "template:" {
			return "", errUnwanted
		}
		return hostPath().read(text, s)
	}}
}

// list is a list of strings. Those of nearer layers are added to it, or replace it.
type list struct {
	p *[]Item
	format
	replaces bool
}

func (v list) allowed() string { return "a list, each element " + v.want }

func (v list) show() any {
	if *v.p == nil && v.replaces {
		return nil
	}
	return *v.p
}

func (v list) decode(at string, x any, s *source) {
	elements, ok := x.([]any)
	if !ok {
		s.report(at, mustBe(errUnwanted, v.allowed(), x))
		return
	}
	if v.replaces {
		*v.p = []Item{}
	}
	for i, e := range elements {
		at := fmt.Sprintf("%s[%d]", at, i)
		err := errUnwanted
		if text, ok := e.(string); ok {
			err = v.add(text, s.at(at), s)
		}
		s.report(at, mustBe(err, v.want, e))
	}
}

func (v list) parse(text string, s *source) error {
	if v.replaces && len(*v.p) > 0 && (*v.p)[0].Origin.Layer != s.origin.Layer {
		*v.p = nil
	}
	return mustBe(v.add(text, s.origin, s), v.want, text)
}

func (v list) add(text string, o Origin, s *source) error {
	read, err := v.accept(text, s)
	if err == nil {
		*v.p = append(*v.p, Item{read, o})
	}
	return err
}

// element is a table in a list of tables.
type element[T, P any] interface {
	*T
	keys() []key
	origin() *Origin
	same(other P) bool // about the same thing, of which there can be one
	check() error      // what the keys alone do not show
}

// tables is a list of tables. Those of nearer layers are added; of those about the same thing the nearest counts.
type tables[T any, P element[T, P]] struct{ p *[]T }

// row is an element of any list of tables.
type row struct {
	keys   []key
	origin Origin
}

func (v tables[T, P]) allowed() string { return "a list of tables" }

func (v tables[T, P]) parse(string, *source) error { return errFileOnly }

func (v tables[T, P]) show() any {
	rows := []row{}
	for i := range *v.p {
		e := P(&(*v.p)[i])
		rows = append(rows, row{e.keys(), *e.origin()})
	}
	return rows
}

// example returns the keys of an element.
func (v tables[T, P]) example() []key { return P(new(T)).keys() }

func (v tables[T, P]) decode(at string, x any, s *source) {
	elements, ok := x.([]any)
	if !ok {
		s.report(at, mustBe(errUnwanted, v.allowed(), x))
		return
	}
	for i, x := range elements {
		at := fmt.Sprintf("%s[%d]", at, i)
		m, ok := x.(map[string]any)
		if !ok {
			s.report(at, mustBe(errUnwanted, "a table", x))
			continue
		}
		before := len(*s.problems)
		e := P(new(T))
		*e.origin() = s.at(at)
		inside := *s
		inside.origins = map[string]Origin{} // an element has one origin for all of it
		inside.defaults(e.keys())
		inside.table(e.keys(), at+".", "", m)
		for _, k := range e.keys() {
			if k.required && m[k.path] == nil {
				s.report(at+"."+k.path, errors.New("is missing"))
			}
		}
		if len(*s.problems) > before {
			continue
		}
		err := e.check()
		if err == nil {
			err = v.add(e)
		}
		s.report(at, err)
	}
}

func (v tables[T, P]) add(e P) error {
	i := 0
	for i < len(*v.p) && !e.same(&(*v.p)[i]) {
		i++
	}
	if i == len(*v.p) {
		*v.p = append(*v.p, *e)
		return nil
	}
	old, first := (*v.p)[i], *P(&(*v.p)[i]).origin()
	*P(&old).origin() = *e.origin()
	if first.Layer != e.origin().Layer {
		(*v.p)[i] = *e
	} else if !reflect.DeepEqual(old, *e) {
		return fmt.Errorf("contradicts the one on line %d", first.Line)
	}
	return nil
}
