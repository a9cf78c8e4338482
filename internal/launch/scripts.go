package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// readScripts reads what is to run in the VM, in its order: the scripts that are found by their
// names, those that are there; the ones that the configuration files name; the phases; those of the
// command line. A script that is named twice runs once.
func readScripts(
	reviewed *trust.Review, found []string, asked []config.Item, phases []config.Phase,
) (scripts []guest.Script, err error) {
	var seen []string
	add := func(path string, origin config.Origin) error {
		if slices.Contains(seen, path) {
			return nil
		}
		seen = append(seen, path)
		content, err := reviewed.Script(path)
		if err != nil {
			return scriptError(path, origin, err)
		}
		scripts = append(scripts, guest.Script{Name: filepath.Base(path), Content: string(content)})
		return nil
	}
	for _, path := range found {
		if trust.Missing(path) {
			continue
		}
		if err := add(path, config.Origin{}); err != nil {
			return nil, err
		}
	}
	for _, item := range asked {
		if item.Origin.Layer == config.Flag {
			continue
		}
		if err := add(item.Value, item.Origin); err != nil {
			return nil, err
		}
	}
	for _, p := range phases {
		script, err := readPhase(reviewed, p)
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, script)
	}
	for _, item := range asked { // those that are left
		if err := add(item.Value, item.Origin); err != nil {
			return nil, err
		}
	}
	return scripts, nil
}

// readPhase reads the files of a phase.
func readPhase(reviewed *trust.Review, p config.Phase) (guest.Script, error) {
	phase := &guest.Phase{When: p.When, Source: p.Source, ContinueOnError: p.ContinueOnError}
	for _, name := range slices.Sorted(maps.Keys(p.Env)) {
		phase.Env = append(phase.Env, name+"="+p.Env[name])
	}
	if p.Script != "" {
		phase.Parts = append(phase.Parts, p.Script)
	}
	for _, file := range p.ScriptFiles {
		content, err := reviewed.Script(file.Value)
		if err != nil {
			return guest.Script{}, scriptError(file.Value, file.Origin, err)
		}
		phase.Parts = append(phase.Parts, string(content))
	}
	return guest.Script{Name: p.Name, Phase: phase}, nil
}

// scriptError says who has named a script that cannot be read, if anybody has. Only for a flag is
// there help.
func scriptError(path string, origin config.Origin, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no script %s", ui.Sanitize(path))
	}
	if origin.Layer != config.Default { // that of scripts which are found by themselves
		err = fmt.Errorf("%s: %w", origin, err)
	}
	command := ""
	switch {
	case origin.Name == "--setup-script":
		command = "claude-vm setup"
	case origin.Layer == config.Flag:
		command = "claude-vm"
	}
	return UsageError{command, err}
}

// Scripts are what is to run in a VM.
type Scripts []guest.Script

// Names returns those of the scripts.
func (s Scripts) Names() []string {
	names := []string{}
	for _, script := range s {
		names = append(names, script.Name)
	}
	return names
}
