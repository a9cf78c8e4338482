package config

import (
	"maps"
	"slices"
)

// Env is what sessions get into their environment.
type Env struct {
	Inherit []Item // names of variables of the host, or beginnings of names with * behind them
	Set     Variables
}

// Variables are variables by their names. Of those of one name that of the nearest layer counts.
type Variables map[string]Item

// Items returns the variables in the order of their names, each as NAME=VALUE.
func (v Variables) Items() (items []Item) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		items = append(items, Item{name + "=" + v[name].Value, v[name].Origin})
	}
	return items
}

// variables is a table of variables, each of which counts for itself.
type variables struct{ p *Variables }

func (v variables) allowed() string             { return environment{}.allowed() }
func (v variables) parse(string, *source) error { return errFileOnly }

func (v variables) show() any {
	shown := map[string]string{}
	for name, item := range *v.p {
		shown[name] = item.Value
	}
	return environment{&shown}.show()
}

func (v variables) decode(at string, x any, s *source) {
	m, ok := x.(map[string]any)
	if !ok {
		s.report(at, mustBe(errUnwanted, v.allowed(), x))
		return
	}
	if *v.p == nil {
		*v.p = Variables{}
	}
	eachVariable(at, m, s, func(name, text, at string) { (*v.p)[name] = Item{text, s.at(at)} })
}
