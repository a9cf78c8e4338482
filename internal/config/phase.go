package config

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/envfile"
)

// Phases are named pieces of setup and of session start.
type Phases struct{ Setup, Runtime []Phase }

// Phase is one of them: a script, files, or both.
type Phase struct {
	Name            string
	Script          string // shell, run before the files
	ScriptFiles     []Item // absolute paths
	Env             map[string]string
	When            string // "always" or a shell condition
	Source          bool   // run in the shell of the scripts that follow, so that what is exported stays
	ContinueOnError bool
	Origin          Origin
}

func (p *Phase) keys() []key {
	return []key{
		{path: "name", required: true, value: text(&p.Name, someText()), doc: "What messages call it."},
		{path: "script", unset: "see `script_files`", value: text(&p.Script, someText()), doc: "Shell to run."},
		{path: "script_files", value: list{p: &p.ScriptFiles, format: hostPath()}, doc: "Script files to run after it, in this order."},
		{path: "env", value: environment{&p.Env}, doc: "Variables for the scripts."},
		{path: "when", def: "always", value: text(&p.When, someText()), doc: "`always`, or a line of shell that must succeed in the VM."},
		{path: "source", def: "false", value: boolean(&p.Source), doc: "Whether what the scripts export is there for what comes after them."},
		{path: "continue_on_error", def: "false", value: boolean(&p.ContinueOnError), doc: "Whether a failure is let pass."},
	}
}

func (p *Phase) origin() *Origin { return &p.Origin }

// same is never so: phases add up, whatever they are called.
func (p *Phase) same(*Phase) bool { return false }

func (p *Phase) check() error {
	if p.Script == "" && len(p.ScriptFiles) == 0 {
		return errors.New("must have script or script_files")
	}
	return nil
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
	eachVariable(at, m, s, func(name, text, _ string) { (*v.p)[name] = text })
}

// eachVariable hands over the variables of a table, with the path at which each stands, and reports what is none.
func eachVariable(at string, m map[string]any, s *source, do func(name, text, at string)) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		text, ok := m[name].(string)
		switch at := join(at, name); {
		case !envfile.ValidName(name):
			s.report(at, errors.New("is not the name of a variable"))
		case !ok || strings.ContainsRune(text, 0):
			s.report(at, mustBe(errUnwanted, "a string without NUL characters", m[name]))
		default:
			do(name, text, at)
		}
	}
}
