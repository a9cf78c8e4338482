package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/envfile"
)

// Later holds the settings whose consumers are still to come. Each leaves together with its lines in keys.
type Later struct {
	Standby Standby
	Guard   Guard
	Phase   Phases
}

// WithoutEffect returns the keys that are set and that nothing acts on yet.
func (c *Config) WithoutEffect() []string {
	var set []string
	for _, k := range c.keys() {
		later := slices.ContainsFunc(c.Later.keys(), func(l key) bool { return l.path == k.path })
		if (later || strings.HasPrefix(k.path, "tools.")) && c.IsSet(k.path) {
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

// Phases are named pieces of setup and of session start.
type Phases struct{ Setup, Runtime []Phase }

// Phase is one of them: either a script or files, never both.
type Phase struct {
	Name            string
	Script          string // shell
	ScriptFiles     []Item // absolute paths
	Env             map[string]string
	When            string // "always" or a shell condition
	ContinueOnError bool
	Origin          Origin
}

func (l *Later) keys() []key {
	return []key{
		{path: "standby.count", def: "1", value: number(&l.Standby.Count, 0, 4, ""), doc: "How many sessions are kept ready in advance."},
		{path: "standby.ttl", def: "30m", value: duration(&l.Standby.TTL, time.Second, 7*24*time.Hour), doc: "How long a session that is kept ready is kept."},
		{path: "guard.git", def: "restore", value: text(&l.Guard.Git, oneOf("restore", "warn", "off")), doc: "What is done about hooks, filters and the like that a session leaves in the repository."},
		{path: "phase.setup", value: tables[Phase, *Phase]{&l.Phase.Setup}, doc: "A named piece of the template's setup."},
		{path: "phase.runtime", value: tables[Phase, *Phase]{&l.Phase.Runtime}, doc: "A named piece of the start of each session."},
	}
}

func (p *Phase) keys() []key {
	return []key{
		{path: "name", required: true, value: text(&p.Name, someText()), doc: "What messages call it."},
		{path: "script", unset: "see `script_files`", value: text(&p.Script, someText()), doc: "Shell to run; either this or `script_files`."},
		{path: "script_files", value: list{p: &p.ScriptFiles, format: hostPath()}, doc: "Script files to run, in this order."},
		{path: "env", value: environment{&p.Env}, doc: "Variables for the scripts."},
		{path: "when", def: "always", value: text(&p.When, someText()), doc: "`always`, or a shell condition that must hold."},
		{path: "continue_on_error", def: "false", value: boolean(&p.ContinueOnError), doc: "Whether a failure is let pass."},
	}
}

func (p *Phase) origin() *Origin { return &p.Origin }

// same is never so: phases add up, whatever they are called.
func (p *Phase) same(*Phase) bool { return false }

func (p *Phase) check() error {
	if (p.Script == "") == (len(p.ScriptFiles) == 0) {
		return errors.New("must have either script or script_files")
	}
	return nil
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

// environment is a table of variables.
type environment struct{ p *map[string]string }

func (v environment) allowed() string             { return "a table of strings" }
func (v environment) parse(string, *source) error { return errFileOnly }

func (v environment) show() any {
	if len(*v.p) == 0 {
		return nil
	}
	return *v.p
}

func (v environment) decode(at string, x any, s *source) {
	m, ok := x.(map[string]any)
	if !ok {
		s.report(at, mustBe(errUnwanted, v.allowed(), x))
		return
	}
	*v.p = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		text, ok := m[name].(string)
		switch at := join(at, name); {
		case !envfile.ValidName(name):
			s.report(at, errors.New("is not the name of a variable"))
		case !ok || strings.ContainsRune(text, 0):
			s.report(at, mustBe(errUnwanted, "a string without NUL characters", m[name]))
		default:
			(*v.p)[name] = text
		}
	}
}
