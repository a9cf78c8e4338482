package guard

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
)

// halfway are the files of a git directory by which a rebase or a series of picks goes on, and which can name programs. They
// come and go with it.
var halfway = []string{"rebase-merge/git-rebase-todo", "rebase-merge/strategy", "rebase-apply/strategy", "sequencer/opts"}

// strategies are git's own. For any other git runs git-merge-NAME, which can be a path.
var strategies = []string{"ort", "recursive", "resolve", "octopus", "ours", "subtree"}

// command is a line of a rebase's list that runs something.
var command = regexp.MustCompile(`^\s*(exec|x)\b`)

// harmlessly returns such a file without what could make git run something that the earlier one did not.
func harmlessly(base string, before, after []byte) []byte {
	dangerous := func(line string) bool { return command.MatchString(line) }
	switch base {
	case "opts":
		merged, keys, err := mergeConfig(before, after, func(e entry) bool {
			return e.key() != "options.strategy" || slices.Contains(strategies, e.value)
		})
		if err == nil && len(keys) == 0 {
			return after
		}
		return merged
	case "strategy":
		dangerous = func(line string) bool { return !slices.Contains(strategies, strings.TrimSpace(line)) }
	}
	old := strings.SplitAfter(string(before), "\n")
	return []byte(strings.Join(slices.DeleteFunc(strings.SplitAfter(string(after), "\n"), func(line string) bool {
		return dangerous(line) && !slices.Contains(old, line)
	}), ""))
}

// goOn takes out of a rebase that was left half-way what the session had it run.
func (c *comparison) goOn(rel string, was, is Node) {
	var text []byte
	if is.Kind == File {
		if text = harmlessly(path.Base(rel), was.Text, is.Text); bytes.Equal(text, is.Text) {
			return
		}
	}
	c.found(rel, "runs something when git goes on", c.mend(func() error {
		if len(text) == 0 {
			c.gone[rel] = true
			return c.now.root.RemoveAll(rel)
		}
		return write(c.now.root, rel, text, 0o644)
	}))
}
