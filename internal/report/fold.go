package report

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// fewAlike is how many changes of one kind have a line each. More of them share one.
	fewAlike = 2
	// maxNames is how many of those that share a line are named there.
	maxNames = 3
	// maxName is how long the name of a file may be in a message, in characters.
	maxName = 160
	// maxKinds is how many kinds of less danger are named of what has no line.
	maxKinds = 12
)

// told is a line about changes.
type told struct {
	text   string
	count  int    // of the changes
	when   string // the danger: guard's word
	kind   string // as people say it
	folded bool   // not each of the changes is named
}

// cluster is a file that was changed, or those that lie in one folder of tools.
type cluster struct {
	folder string // empty: it is one file
	files  []guard.Change
}

// foldChanges makes lines of changes, the most dangerous in front and what was there before in
// front of what is new. However many files somebody makes, those of one kind share a line, so that
// they push nothing else out of sight.
func foldChanges(changes []guard.Change, alike int) (lines []told) {
	type key struct {
		when, kind string
		added      bool
	}
	groups := map[key][]cluster{}
	var order []key
	for _, c := range clusters(changes) {
		k := key{c.files[0].When, c.files[0].Kind, c.isNew()}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], c)
	}
	for _, k := range order {
		if group := groups[k]; len(group) > alike {
			lines = append(lines, together(group, k.added))
		} else {
			for _, c := range group {
				lines = append(lines, c.lines(alike)...)
			}
		}
	}
	return lines
}

// clusters puts changes together that lie in one folder of tools and run on the same occasion.
func clusters(changes []guard.Change) (all []cluster) {
	type place struct{ folder, when string }
	known := map[place]int{}
	for _, c := range changes {
		at := place{toolFolder(c), c.When}
		if i, ok := known[at]; ok && at.folder != "" {
			all[i].files = append(all[i].files, c)
			continue
		}
		known[at] = len(all)
		all = append(all, cluster{at.folder, []guard.Change{c}})
	}
	return all
}

// toolFolder returns the folder of a change that belongs to a tool: one with a dot in front, or
// one that is why the file counts.
func toolFolder(c guard.Change) string {
	pattern, isFolder := strings.CutSuffix(c.Kind, "/")
	for i, r := range c.Path {
		if r != '/' {
			continue
		}
		name := path.Base(c.Path[:i])
		fits, _ := path.Match(pattern, strings.ToLower(name))
		if strings.HasPrefix(name, ".") || isFolder && fits {
			return c.Path[:i]
		}
	}
	return ""
}

// isNew says whether nothing of it was there before.
func (c cluster) isNew() bool {
	return !slices.ContainsFunc(c.files, func(f guard.Change) bool {
		return f.What != guard.Added && f.What != guard.Program
	})
}

// lines are those of one cluster.
func (c cluster) lines(alike int) (lines []told) {
	first := c.files[0]
	if len(c.files) <= alike {
		for _, f := range c.files {
			lines = append(lines, told{sayChange(f, f.Path), 1, f.When, sayKind(c.files), false})
		}
		return lines
	}
	names := someNames(c.files, func(f guard.Change) string { return sayChange(f, f.Path[len(c.folder)+1:]) })
	text := fmt.Sprintf("%s/ (%d files): %s", sayPath(c.folder), len(c.files), names)
	return []told{{text, len(c.files), first.When, sayKind(c.files), len(c.files) > maxNames}}
}

// together is one line of many clusters of a kind.
func together(group []cluster, added bool) told {
	var files []guard.Change
	folders := true
	for _, c := range group {
		files = append(files, c.files...)
		folders = folders && c.folder != ""
	}
	kind, state := sayKind(files), ""
	if added {
		state = "new "
	}
	line := told{count: len(files), when: files[0].When, kind: kind, folded: true}
	if folders {
		names := someNames(group, func(c cluster) string { return sayPath(c.folder) + "/" })
		line.text = fmt.Sprintf("%d %sfiles in %d folders: %s", len(files), state, len(group), names)
		return line
	}
	names := someNames(files, func(f guard.Change) string { return sayChange(f, f.Path) })
	line.text = fmt.Sprintf("%d %s%s: %s", len(files), state, kind, names)
	return line
}

// someNames are the first of some things, and a sign that there are more.
func someNames[T any](all []T, name func(T) string) string {
	var names []string
	for _, one := range all[:min(len(all), maxNames)] {
		names = append(names, name(one))
	}
	if len(all) > maxNames {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// sayChange says what became of a file, where that is not what one expects: that it was changed or
// is new.
func sayChange(c guard.Change, name string) string {
	switch {
	case c.Many > 0:
		return fmt.Sprintf("%s/ (%d new or changed programs)", sayPath(name), c.Many)
	case c.What == guard.Changed, c.What == guard.Added:
		return sayPath(name)
	}
	return fmt.Sprintf("%s (%s)", sayPath(name), c.What)
}

// sayPath is the name of a file, of which a very long one loses its middle.
func sayPath(name string) string {
	if runes := []rune(ui.Sanitize(name)); len(runes) > maxName {
		return string(runes[:maxName/2]) + "…" + string(runes[len(runes)-maxName/2:])
	}
	return ui.Sanitize(name)
}

// sayKind is what files have in common: their name if it is the same, with its capitals, and the
// kind otherwise.
func sayKind(files []guard.Change) string {
	kind := files[0].Kind
	base := path.Base(files[0].Path)
	another := func(f guard.Change) bool { return path.Base(f.Path) != base }
	if strings.EqualFold(base, kind) && !slices.ContainsFunc(files, another) {
		return base
	}
	return kind
}

// chooseLines returns the lines of changes that have room, and the others. Each danger keeps some
// lines, however much there is of a greater one.
func chooseLines(lines []told, most int) (shown, rest []told) {
	reserved := map[string]int{}
	for _, line := range lines {
		reserved[line.when]++
	}
	reserved = map[string]int{
		guard.OnCommand: min(3, reserved[guard.OnCommand]),
		guard.Perhaps:   min(1, reserved[guard.Perhaps]),
	}
	free := most - reserved[guard.OnCommand] - reserved[guard.Perhaps]
	for _, line := range lines {
		switch {
		case reserved[line.when] > 0:
			reserved[line.when]--
		case free > 0:
			free--
		default:
			rest = append(rest, line)
			continue
		}
		shown = append(shown, line)
	}
	return shown, rest
}

// sayRest names what has no line of its own: every kind of the greatest danger, and some of the
// others.
func sayRest(rest []told) string {
	count, others := 0, 0
	var kinds []string
	for _, line := range rest {
		count += line.count
		if slices.Contains(kinds, line.kind) {
			continue
		}
		if line.when != guard.AtOnce {
			if others++; others > maxKinds {
				continue
			}
		}
		kinds = append(kinds, line.kind)
	}
	if others > maxKinds {
		kinds = append(kinds, "…")
	}
	return fmt.Sprintf("and %d more: %s", count, strings.Join(kinds, ", "))
}

// toldChanges makes a message's lines of what a session changed. Each is in it, by its name or by
// its kind, however many there are.
func toldChanges(changes []guard.Change, most int, all string) (text Lines) {
	found := foldChanges(changes, fewAlike)
	if len(found) > most {
		found = foldChanges(changes, 1)
	}
	shown, rest := chooseLines(found, most)
	folded := len(rest) > 0
	for _, line := range shown {
		text = append(text, line.text)
		folded = folded || line.folded
	}
	if len(rest) > 0 {
		text = append(text, sayRest(rest))
	}
	if folded {
		text = append(text, all)
	}
	return text
}
