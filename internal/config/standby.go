package config

import (
	"fmt"
	"strings"
	"time"
)

// Standby is how many sessions are kept ready in advance, and how long.
type Standby struct {
	Count    int
	TTL      time.Duration
	MemoryGB int // of all together; 0: half of the host's, or one
}

func (s *Standby) keys() []key {
	return []key{
		{path: "standby.count", def: "1", value: number(&s.Count, 0, 4, ""), doc: "How many VMs wait, booted, for the next sessions of the same kind. Unless it is set, none on a host with fewer than four processors and no accelerator."},
		{path: "standby.ttl", def: "30m", value: duration(&s.TTL, time.Second, 7*24*time.Hour), doc: "How long such a VM waits."},
		{path: "standby.memory_limit", unset: "half of the host's memory, or one VM", value: number(&s.MemoryGB, 1, 1024, "GB"), doc: "The memory that all VMs that wait may have together, by what they were promised."},
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
