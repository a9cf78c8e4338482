package config

import (
	"slices"
	"strings"
)

// Later holds the settings whose consumers are still to come. Each leaves together with its lines in keys.
type Later struct {
	Guard Guard
}

// WithoutEffect returns the keys that are set and that nothing acts on yet.
func (c *Config) WithoutEffect() []string {
	var set []string
	for _, k := range c.keys() {
		later := slices.ContainsFunc(c.Later.keys(), func(l key) bool { return l.path == k.path })
		if (later || strings.HasPrefix(k.path, "tools.") && k.path != "tools.gpg") && c.IsSet(k.path) {
			set = append(set, k.path)
		}
	}
	return set
}

// Guard says what is done about a repository in which a session left something that the host would run.
type Guard struct{ Git string }

func (l *Later) keys() []key {
	return []key{
		{path: "guard.git", def: "restore", value: text(&l.Guard.Git, oneOf("restore", "warn", "off")), doc: "What is done about hooks, filters and the like that a session leaves in the repository."},
	}
}
