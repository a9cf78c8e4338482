package guard

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// entry is one line of a git configuration that means something, or a comment that has a line of its own.
type entry struct {
	section  string // lower case
	sub      string // the subsection, with its case
	hasSub   bool
	name     string // lower case
	value    string
	hasValue bool   // a name alone means true
	comment  string // of a comment: all of it; everything else is empty
}

// key is what git calls the entry, in the form in which it compares keys.
func (e entry) key() string {
	if e.hasSub {
		return e.section + "." + e.sub + "." + e.name
	}
	return e.section + "." + e.name
}

// pattern is the key with a star in the place of the subsection.
func (e entry) pattern() string {
	if e.hasSub {
		return e.section + ".*." + e.name
	}
	return e.section + "." + e.name
}

// errConfig is a configuration that we do not read as git does, and so do not judge.
var errConfig = errors.New("not a git configuration")

// maxEntries bounds what a file made to waste memory can take.
const maxEntries = 50000

// parser reads what git reads (config.c, git_parse_source). Where git is lenient in a way that nobody needs it fails: what
// it does not understand is never left in place.
type parser struct {
	text []byte
	at   int
}

// next returns the next character; the end of the text is the end of a line.
func (p *parser) next() byte {
	if p.at >= len(p.text) {
		p.at++
		return '\n'
	}
	c := p.text[p.at]
	p.at++
	if c == '\r' && p.at < len(p.text) && p.text[p.at] == '\n' {
		p.at++
		return '\n'
	}
	return c
}

func (p *parser) fail(what string) error {
	return fmt.Errorf("%w: line %d: %s", errConfig, 1+bytes.Count(p.text[:min(p.at, len(p.text))], []byte("\n")), what)
}

func blank(c byte) bool  { return c == ' ' || c == '\t' || c == '\r' }
func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func named(c byte) bool  { return letter(c) || '0' <= c && c <= '9' || c == '-' }

// parseConfig reads a git configuration.
func parseConfig(text []byte) ([]entry, error) {
	p := &parser{text: bytes.TrimPrefix(text, []byte("\ufeff"))}
	if i := bytes.IndexByte(p.text, 0); i >= 0 {
		p.at = i
		return nil, p.fail("a NUL character")
	}
	var entries []entry
	var head entry
	for p.at < len(p.text) {
		if len(entries) > maxEntries {
			return nil, p.fail("too many entries")
		}
		switch c := p.next(); {
		case c == '\n' || blank(c):
		case c == '#' || c == ';':
			begin := p.at - 1
			for p.next() != '\n' {
			}
			entries = append(entries, entry{comment: strings.TrimRight(string(p.text[begin:min(p.at, len(p.text))]), "\r\n")})
		case c == '[':
			var err error
			if head, err = p.header(); err != nil {
				return nil, err
			}
		case letter(c) && head.section != "":
			e := head
			if err := p.assignment(c, &e); err != nil {
				return nil, err
			}
			entries = append(entries, e)
		default:
			return nil, p.fail("neither a section nor a name")
		}
	}
	return entries, nil
}

// header reads what follows an opening bracket.
func (p *parser) header() (e entry, err error) {
	var name []byte
	for {
		c := p.next()
		switch {
		case c == ']' && len(name) > 0:
			section := strings.ToLower(string(name))
			e.section, e.sub, e.hasSub = strings.Cut(section, ".") // as it was written long ago
			if e.section == "" {
				return e, p.fail("a section without a name")
			}
			return e, nil
		case blank(c) && len(name) > 0 && bytes.IndexByte(name, '.') < 0:
			e.section, e.hasSub = strings.ToLower(string(name)), true
			e.sub, err = p.subsection()
			return e, err
		case named(c) || c == '.':
			name = append(name, c)
		default:
			return e, p.fail("a broken section")
		}
	}
}

func (p *parser) subsection() (string, error) {
	c := p.next()
	for blank(c) {
		c = p.next()
	}
	if c != '"' {
		return "", p.fail("a subsection without quotes")
	}
	var sub []byte
	for {
		c := p.next()
		switch c {
		case '\n':
			return "", p.fail("a subsection without an end")
		case '"':
			if p.next() != ']' {
				return "", p.fail("a section without an end")
			}
			return string(sub), nil
		case '\\':
			if c = p.next(); c == '\n' {
				return "", p.fail("a subsection without an end")
			}
		}
		sub = append(sub, c)
	}
}

// assignment reads a name, whose first character was c, and its value.
func (p *parser) assignment(c byte, e *entry) error {
	var name []byte
	for named(c) {
		name = append(name, c)
		c = p.next()
	}
	e.name = strings.ToLower(string(name))
	for c == ' ' || c == '\t' {
		c = p.next()
	}
	if c == '\n' {
		return nil
	}
	if c != '=' {
		return p.fail("a name without a value")
	}
	e.hasValue = true
	value, kept, quoted := []byte{}, 0, false // kept: what trailing blanks do not belong to
	for {
		c := p.next()
		switch {
		case c == '\n':
			if quoted {
				return p.fail("a quotation without an end")
			}
			e.value = string(value[:kept])
			return nil
		case !quoted && blank(c):
			if len(value) > 0 {
				value = append(value, c)
			}
			continue
		case !quoted && (c == ';' || c == '#'):
			for p.next() != '\n' {
			}
			e.value = string(value[:kept])
			return nil
		case c == '"':
			quoted = !quoted
			kept = len(value)
			continue
		case c == '\\':
			switch c = p.next(); c {
			case '\n':
				continue
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case 'n':
				c = '\n'
			case '\\', '"':
			default:
				return p.fail("an unknown escape")
			}
		}
		value = append(value, c)
		kept = len(value)
	}
}

// writeConfig writes entries so that every git reads them as they are.
func writeConfig(entries []entry) []byte {
	var b bytes.Buffer
	head := ""
	for _, e := range entries {
		if e.comment != "" {
			b.WriteString(e.comment + "\n")
			continue
		}
		section := "[" + e.section + "]"
		if e.hasSub {
			section = "[" + e.section + ` "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e.sub) + `"]`
		}
		if section != head {
			head = section
			b.WriteString(section + "\n")
		}
		b.WriteString("\t" + e.name)
		if e.hasValue {
			b.WriteString(` = "` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(e.value) + `"`)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// mergeConfig returns a configuration as the session left it, without what could make git run or reach something that the
// earlier one did not, and the keys that this concerns. It is nil if nothing has to be done.
func mergeConfig(before, after []byte, harmless func(entry) bool) (merged []byte, keys []string, err error) {
	if bytes.Equal(before, after) {
		return nil, nil, nil
	}
	old, err := parseConfig(before)
	if err != nil {
		return nil, nil, err
	}
	now, err := parseConfig(after)
	if err != nil {
		return nil, nil, err
	}
	was, is := serious(old, harmless), serious(now, harmless)
	changed := map[string]bool{}
	for _, e := range append(old[:len(old):len(old)], now...) {
		key := e.key()
		if e.comment == "" && !changed[key] && !sameValues(was[key], is[key]) {
			changed[key] = true
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil, nil
	}
	var kept []entry
	left := map[string]bool{} // keys that the session has given a harmless value
	for _, e := range now {
		if e.comment != "" || !changed[e.key()] || harmless(e) {
			kept = append(kept, e)
			left[e.key()] = true
		}
	}
	for _, e := range old {
		if e.comment == "" && changed[e.key()] && (!left[e.key()] || !harmless(e)) {
			kept = append(kept, e)
		}
	}
	return writeConfig(kept), keys, nil
}

// serious returns the entries that are not harmless, by their keys.
func serious(entries []entry, harmless func(entry) bool) map[string][]entry {
	found := map[string][]entry{}
	for _, e := range entries {
		if e.comment == "" && !harmless(e) {
			found[e.key()] = append(found[e.key()], e)
		}
	}
	return found
}

func sameValues(a, b []entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].value != b[i].value || a[i].hasValue != b[i].hasValue {
			return false
		}
	}
	return true
}
