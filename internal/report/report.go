// Package report puts into words what a session changed that this computer may run. It shows
// nothing itself.
package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/paths"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// MaxFiles and maxFindings are how many lines one message has. What has no line is kept with
	// all the rest.
	MaxFiles    = 10
	maxFindings = 50
)

// Lines is text of several lines that nothing from outside has broken.
type Lines []string

func (l Lines) String() string { return strings.Join(l, "\n") }

// Warnings are the messages about what a session did to repositories: one that has just ended, or
// one that was killed before anybody could be told.
func Warnings(r guard.Report, killed bool) (warnings []Lines) {
	if r.Alive != "" {
		return []Lines{{fmt.Sprintf(
			"a VM that sees %s may still run, so that nothing was put back yet; the next claude-vm command tries "+
				"again: %s",
			ui.Sanitize(r.Root), ui.Sanitize(r.Alive),
		)}}
	}
	who := "this session"
	if killed {
		who = "a session in " + ui.Sanitize(r.Root) + " whose claude-vm was killed"
	}
	all := "(claude-vm changes shows all of it)"
	if r.Session != "" {
		all = fmt.Sprintf("(claude-vm changes %s shows all of it)", ui.Sanitize(r.Session))
	}
	files := who + " changed files that tools on this computer run by themselves; look at them first:"
	if !slices.ContainsFunc(r.Files, func(c guard.Change) bool { return c.When != guard.Perhaps }) {
		files = who + " changed files that tools on this computer may obey; look at them first:"
	}
	for _, list := range []struct {
		heading string
		text    Lines
	}{
		{
			heading(r, "put back what "+who+" changed in git's data, where git could run it on this computer or "+
				"not show you all:",
				who+" changed git's data, and git could run this on this computer or not show you all"),
			some(Findings(r.Root, r.Findings), maxFindings, all),
		},
		{files, toldChanges(r.Files, MaxFiles, all)},
		{
			heading(r, who+" made what is dangerous to others on this computer; it is so no longer:",
				who+" made what is dangerous to others on this computer"),
			some(Findings(r.Root, r.Odd), maxFindings, all),
		},
		{who + " made what anybody on this computer may write to:", some(shortPaths(r.Root, r.Open), MaxFiles, all)},
	} {
		if len(list.text) > 0 {
			warnings = append(warnings, append(Lines{list.heading}, list.text...))
		}
	}
	for _, dir := range r.Partial {
		warnings = append(warnings, Lines{ui.Sanitize(dir) +
			" is too large to look at all of it: there may be more in it " +
			"that a session has changed and that git or other tools run"})
	}
	return warnings
}

// heading is what is true where things were put back, or where they were not.
func heading(r guard.Report, fixed, left string) string {
	if r.Fixed {
		return fixed
	}
	return left + ` (guard.git = "warn"):`
}

// some are the first lines of a list, and how many more there are.
func some(text Lines, most int, all string) Lines {
	if more := len(text) - most; more > 0 {
		return append(text[:most:most], fmt.Sprintf("and %d more", more), all)
	}
	return text
}

func shortPaths(root string, paths []string) (text Lines) {
	for _, path := range paths {
		text = append(text, ui.Sanitize(ShortPath(root, path)))
	}
	return text
}

// Sanitized are names from outside, each on its line.
func Sanitized(names []string) (clean Lines) {
	for _, name := range names {
		clean = append(clean, ui.Sanitize(name))
	}
	return clean
}

// Findings names what was found, each on a line.
func Findings(root string, found []guard.Finding) (text Lines) {
	for _, f := range found {
		line := fmt.Sprintf("%s: %s", ui.Sanitize(ShortPath(root, f.Path)), ui.Sanitize(f.What))
		if f.Err != nil {
			line += fmt.Sprintf(" (NOT PUT BACK: %s)", ui.Sanitize(f.Err.Error()))
		}
		text = append(text, line)
	}
	return text
}

// ShortPath names a path as seen from a project, where it lies in it.
func ShortPath(root, path string) string {
	if rel, inside := paths.Rel(root, path); inside {
		return rel
	}
	return path
}
