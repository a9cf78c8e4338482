package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Later holds the settings whose consumers are still to come. Each leaves together with its lines in keys.
type Later struct {
	Standby Standby
	Guard   Guard
}

// WithoutEffect returns the keys that are set and that nothing acts on yet.
func (c *Config) WithoutEffect() []string {
	var set []string
	for _, k := range c.keys() {
		later := slices.ContainsFunc(c.Later.keys(), func(l key) bool { return l.path == k.path })
		if later && c.IsSet(k.path) {
			set = append(set, k.path)
		}
	}
	return set
}

// Standby is how many sessions are kept ready in advance, and how long.
type Standby struct {
	Count int
	TTL   time.Duration
}

// Guard says what is done about a repository in which a session left something that the host would run.
type Guard struct{ Git string }

func (l *Later) keys() []key {
	return []key{
		{path: "standby.count", def: "1", value: number(&l.Standby.Count, 0, 4, ""), doc: "How many sessions are kept ready in advance."},
		{path: "standby.ttl", def: "30m", value: duration(&l.Standby.TTL, time.Second, 7*24*time.Hour), doc: "How long a session that is kept ready is kept."},
		{path: "guard.git", def: "restore", value: text(&l.Guard.Git, oneOf("restore", "warn", "off")), doc: "What is done about hooks, filters and the like that a session leaves in the repository."},
	}
}

func duration(p *time.Duration, least, most time.Duration) scalar {
	want := fmt.Sprintf("a duration from %q to %q", brief(least), brief(most))
	return scalar{"", want, func() any { return brief(*p) }, func(text string, _ *source) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most {
			return errUnwanted
		}
		*p = d
		return nil
	}}
}

// brief writes a duration as people do: 30m rather than 30m0s.
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
