package instance

import (
	"path/filepath"
	"slices"
	"strings"
)

// shortestPart is how many letters of a name are enough to say which instance is meant.
const shortestPart = 3

// Named returns the instances that a word can mean. What it says exactly counts more than what it
// is a part of.
func Named(all []Entry, word string) []Entry {
	for _, fits := range []func(Entry) bool{
		func(e Entry) bool { return e.Name == word },
		func(e Entry) bool { return strings.HasSuffix(e.Name, "_"+word) },
		func(e Entry) bool { return filepath.Base(e.Project) == word || filepath.Base(e.Dir) == word },
		func(e Entry) bool {
			kind, name, _ := strings.Cut(e.Name, "_") // all have a kind: it names none of them
			return len(word) >= shortestPart && strings.Contains(name, word) ||
				len(word) > len(kind+"_") && strings.HasPrefix(e.Name, word)
		},
	} {
		if found := Pick(all, fits); len(found) > 0 {
			return found
		}
	}
	return nil
}

// Pick returns those of some instances that fit.
func Pick(all []Entry, fits func(Entry) bool) (found []Entry) {
	for _, e := range all {
		if fits(e) {
			found = append(found, e)
		}
	}
	return found
}

// Alive returns the instances of a kind whose owner is there, those included that still boot.
func (s *Store) Alive(kind Kind) ([]Entry, error) {
	entries, err := s.List(kind)
	return slices.DeleteFunc(entries, func(e Entry) bool { return e.Kind != kind || !s.Owned(e.Name) }), err
}
