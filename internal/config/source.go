package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

const envPrefix = "CLAUDE_VM_"

// maxValues bounds the time that a file made to waste it can take: go-toml's grows with the square of the keys in a table.
const maxValues = 10000

// source is one layer on its way into the configuration.
type source struct {
	origin    Origin              // of the layer; values add their place in the file or their variable
	positions map[string]position // of what the file holds
	dir, home string
	origins   map[string]Origin
	problems  *Problems
}

func (s *source) at(path string) Origin {
	o, p := s.origin, s.positions[path]
	o.Line, o.Column = p.line, p.column
	return o
}

// report reports what is wrong with the value at a path, if anything is. What is missing is where its table is.
func (s *source) report(path string, err error) {
	if err == nil {
		return
	}
	o := s.at(path)
	if o.Line == 0 {
		o = s.at(path[:max(0, strings.LastIndexByte(path, '.'))])
	}
	s.problem(o, path, err.Error())
}

func (s *source) problem(o Origin, key, message string) {
	*s.problems = append(*s.problems, Problem{o, key, message})
}

func (s *source) defaults(keys []key) {
	for _, k := range keys {
		if k.def != "" {
			s.text(keys, k, k.def)
		}
	}
}

// file takes the values of the file that the origin names, if it exists.
func (s *source) file(keys []key) (exists bool) {
	data, err := readFile(s.origin.File)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		s.problem(s.origin, "", err.Error())
		return true
	}
	before := len(*s.problems)
	s.document(keys, bytes.TrimPrefix(data, []byte("\ufeff")))
	slices.SortStableFunc((*s.problems)[before:], func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.Line, b.Origin.Line), cmp.Compare(a.Origin.Column, b.Origin.Column))
	})
	return true
}

func (s *source) document(keys []key, data []byte) {
	s.positions = positions(data)
	if len(s.positions) > maxValues {
		s.problem(s.origin, "", fmt.Sprintf("holds more than %d keys and elements", maxValues))
		return
	}
	var root map[string]any
	err := toml.Unmarshal(data, &root)
	if err == nil {
		s.table(keys, "", "", root)
		return
	}
	o, path, want, message := s.origin, "", "", printable(strings.TrimPrefix(err.Error(), "toml: "))
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		o.Line, o.Column = bad.Position()
		last := 0
		for _, k := range keys { // a number or date may be too much for TOML itself: of the key before it more can be said
			p := s.positions[k.path]
			if len(bad.Key()) == 0 && p.line == o.Line && last < p.column && p.column < o.Column {
				last, path, want = p.column, k.path, "must be "+k.allowed()+": "
			}
		}
	}
	s.problem(o, path, want+message)
}

// table takes the values of the table rel, which stands at base+rel.
func (s *source) table(keys []key, base, rel string, m map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		rel, v := join(rel, name), m[name]
		at := base + rel
		k, isKey := find(keys, rel)
		sub, isSub := v.(map[string]any)
		isTable := k.table || slices.ContainsFunc(keys, func(k key) bool { return strings.HasPrefix(k.path, rel+".") })
		switch {
		case isTable && isSub:
			if isKey { // a tool that is described is a tool that is wanted
				s.text(keys, k, "true")
				s.origins[rel] = s.at(at)
			}
			s.table(keys, base, rel, sub)
		case isKey:
			s.origins[rel] = s.at(at)
			k.decode(at, v, s)
		case isTable:
			s.report(at, mustBe(errUnwanted, "a table", v))
		default:
			s.report(at, errors.New("is not a known key"+nearest(rel, keys)))
		}
	}
}

// text takes a value that is given as text. A tool that is given a version is a tool that is wanted, unless the same
// layer says otherwise.
func (s *source) text(keys []key, k key, value string) {
	if err := k.parse(value, s); err != nil {
		s.report(k.path, err)
		return
	}
	s.origins[k.path] = s.origin
	parent, ok := find(keys, k.path[:max(0, strings.LastIndexByte(k.path, '.'))])
	if ok && s.origins[parent.path].Layer != s.origin.Layer {
		s.text(keys, parent, "true")
	}
}

// environ takes the values of the variables that stand for keys. One that looks as if it should is a problem.
func (s *source) environ(keys []key, environ []string) {
	env := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	known, tables := []string{}, []string{}
	regular := map[string]string{} // the names that keys would have if they had no shorter one
	for _, k := range keys {
		table, _, _ := strings.Cut(k.path, ".")
		tables = append(tables, envPrefix+strings.ToUpper(table)+"_")
		name := k.variable()
		if value := env[name]; value != "" { // set to nothing is as good as not set
			s.origin.Name = name
			s.text(keys, k, value)
		}
		known = append(known, name)
		regular[regularVariable(k.path)] = name
		delete(env, name)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		message := "is not a known variable"
		near := slices.IndexFunc(known, func(k string) bool { return OneTypo(name, k) })
		if right := regular[name]; right != "" {
			message += "; that key's is " + right
		} else if near >= 0 {
			message += "; the nearest is " + known[near]
		} else if !slices.ContainsFunc(tables, func(t string) bool { return strings.HasPrefix(name+"_", t) }) {
			continue // another part's
		}
		s.problem(Origin{Layer: Environment, Name: name}, "", message)
	}
}

func (s *source) flag(keys []key, f FlagValue) {
	if k, ok := find(keys, f.Key); ok {
		s.text(keys, k, f.Value)
	} else {
		s.report(f.Key, errors.New("is not a known key"))
	}
}

func find(keys []key, path string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

// nearest names the key or table that path may be meant for: one typing error away, or of the same name elsewhere.
func nearest(path string, keys []key) string {
	if tool, asked := strings.CutSuffix(path, versionKey); asked && strings.HasPrefix(tool, "tools.") {
		if _, ok := find(keys, tool); ok {
			return ": " + strings.TrimPrefix(tool, "tools.") + " is installed in the version that Debian's packages have"
		}
	}
	depth := strings.Count(path, ".") + 1
	for _, k := range keys {
		names := strings.Split(k.path, ".")
		if near := strings.Join(names[:min(depth, len(names))], "."); OneTypo(path, near) {
			return "; the nearest is " + near
		}
	}
	for _, k := range keys {
		if strings.HasSuffix(k.path, "."+path[strings.LastIndexByte(path, '.')+1:]) {
			return "; the nearest is " + k.path
		}
	}
	return ""
}

// OneTypo tells whether one byte too many, missing, wrong or swapped is all that keeps a from being b.
func OneTypo(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return i < len(a) && (a[i+1:] == b[i+1:] ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:])
	case 1:
		return a[i:] == b[i+1:]
	}
	return false
}
