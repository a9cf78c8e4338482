package report

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/guard"
)

const hint = "(all)"

func change(when, kind, what, name string) guard.Change {
	return guard.Change{Path: name, What: what, When: when, Kind: kind}
}

// drawChanges draws what a session may have changed, in the order in which guard reports it.
func drawChanges(t *rapid.T) []guard.Change {
	kinds := map[string][]string{
		guard.AtOnce: {
			".envrc", ".vscode/", ".idea/", "*.code-workspace", "run by git", "claude*.md", ".zed/", "mise.toml", ".mcp.json",
		},
		guard.OnCommand: {"makefile", "package.json", "gradle/", "*.gradle*", ".husky/"},
		guard.Perhaps:   {"dot-files", "programs", "*rc"},
	}
	var all []guard.Change
	for i := range rapid.OneOf(rapid.IntRange(0, 12), rapid.IntRange(0, 400)).Draw(t, "changes") {
		when := rapid.SampledFrom([]string{guard.AtOnce, guard.AtOnce, guard.OnCommand, guard.Perhaps}).Draw(t, "when")
		kind := rapid.SampledFrom(kinds[when]).Draw(t, "kind")
		what := rapid.SampledFrom([]string{
			guard.Added, guard.Added, guard.Added, guard.Changed, guard.Removed, guard.Runnable, guard.Program,
		}).Draw(t, "what")
		folders := []string{"", "", "a/", "a/b/", ".x/", ".y/z/", strings.Repeat("long/", 100)}
		folder := rapid.SampledFrom(folders).Draw(t, "folder")
		name := fmt.Sprint(folder, strings.ReplaceAll(kind, "*", "x"), i)
		if strings.HasSuffix(kind, "/") {
			name = fmt.Sprint(folder, kind, i)
		}
		all = append(all, change(when, kind, what, name))
	}
	danger := []string{guard.AtOnce, guard.OnCommand, guard.Perhaps}
	slices.SortStableFunc(all, func(a, b guard.Change) int {
		return slices.Index(danger, a.When) - slices.Index(danger, b.When)
	})
	return all
}

var counted = regexp.MustCompile(`^(?:and )?(\d+) |/ \((\d+) files\)`)

// However much a session changed: the message has its bounds, names each kind of the greatest
// danger, keeps room for each danger, and counts all of it.
func TestTheMessageAboutChangesHidesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawChanges(t)
		text := toldChanges(all, MaxFiles, hint)
		if len(text) > MaxFiles+2 {
			t.Fatalf("%d lines", len(text))
		}
		whole := text.String()
		if n := utf8.RuneCountInString(whole); n > (MaxFiles+2)*(maxNames+1)*(maxName+40) {
			t.Errorf("%d characters", n)
		}
		sum := 0
		for _, line := range text {
			if line == hint {
				continue
			}
			n := 1
			if m := counted.FindStringSubmatch(line); m != nil {
				n, _ = strconv.Atoi(m[1] + m[2])
			}
			sum += n
		}
		if sum != len(all) {
			t.Errorf("%d of %d changes are counted:\n%s", sum, len(all), whole)
		}
		for _, c := range all {
			mark := strings.Trim(strings.ToLower(c.Kind), "*/")
			if strings.HasPrefix(c.Path, ".x/") || strings.HasPrefix(c.Path, ".y/") {
				continue // they are told with their folder
			}
			named := strings.Contains(strings.ToLower(whole), strings.Split(mark, "*")[0])
			if c.When == guard.AtOnce && !named && !strings.Contains(whole, "long/") {
				t.Errorf("nothing of the kind %s is named:\n%s", c.Kind, whole)
			}
		}
		for _, when := range []string{guard.AtOnce, guard.OnCommand, guard.Perhaps} {
			some := slices.ContainsFunc(all, func(c guard.Change) bool { return c.When == when })
			shown, _ := chooseLines(foldChanges(all, 1), MaxFiles)
			if some && !slices.ContainsFunc(shown, func(l told) bool { return l.when == when }) {
				t.Errorf("nothing that runs %s has a line:\n%s", when, whole)
			}
		}
		named := slices.ContainsFunc(text, func(line string) bool { return line == hint })
		for _, c := range all {
			short := path.Base(c.Path)
			if !strings.Contains(whole, short) && !named {
				t.Errorf("%s is not named, nor is said where it is:\n%s", c.Path, whole)
			}
		}
	})
}

// Decoys of any known kind push out nothing of another one, and those that are new nothing that
// was there before.
func TestDecoys(t *testing.T) {
	t.Parallel()
	precious := []guard.Change{
		change(guard.AtOnce, ".envrc", guard.Changed, ".envrc"),
		change(guard.AtOnce, ".vscode/", guard.Added, ".vscode/tasks.json"),
		change(guard.OnCommand, "makefile", guard.Added, "Makefile"),
	}
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"*.code-workspace", ".idea/", ".envrc", ".vscode/"}).Draw(t, "kind")
		all := []guard.Change{precious[0]}
		for i := range rapid.IntRange(0, 2000).Draw(t, "decoys") {
			name := fmt.Sprintf("%d/%s", i, strings.Replace(kind, "*", "x", 1))
			if strings.HasSuffix(kind, "/") {
				name += "x"
			}
			all = append(all, change(guard.AtOnce, kind, guard.Added, name))
		}
		all = append(all, precious[1:]...)
		whole := toldChanges(all, MaxFiles, hint).String()
		for _, c := range precious {
			if c.Kind != kind && !strings.Contains(whole, c.Path) {
				t.Errorf("%s is not named:\n%s", c.Path, whole)
			}
		}
		if !strings.HasPrefix(whole, ".envrc\n") {
			t.Errorf("what was there before is not in front:\n%s", whole)
		}
	})
}

// What ordinary sessions come to is short.
func TestOrdinaryMessages(t *testing.T) {
	t.Parallel()
	many := func(n int, when, kind, what, pattern string) (all []guard.Change) {
		for i := range n {
			all = append(all, change(when, kind, what, fmt.Sprintf(pattern, i)))
		}
		return all
	}
	for name, test := range map[string]struct {
		changes []guard.Change
		want    Lines
	}{
		"nothing":  {nil, nil},
		"one file": {many(1, guard.OnCommand, "package.json", guard.Changed, "%d/package.json"), Lines{"0/package.json"}},
		"two of a kind": {
			many(2, guard.OnCommand, "package.json", guard.Changed, "p%d/package.json"),
			Lines{"p0/package.json", "p1/package.json"},
		},
		"a monorepo": {
			append(many(40, guard.OnCommand, "package.json", guard.Changed, "packages/p%d/package.json"), guard.Change{
				Path: "node_modules", What: guard.Added, When: guard.Perhaps, Kind: "programs", Many: 300,
			}),
			Lines{
				"40 package.json: packages/p0/package.json, packages/p1/package.json, packages/p2/package.json, …",
				"node_modules/ (300 new or changed programs)", hint,
			},
		},
		"a folder": {
			many(3, guard.AtOnce, ".vscode/", guard.Added, ".vscode/%d.json"),
			Lines{".vscode/ (3 files): 0.json, 1.json, 2.json"},
		},
		"folders": {
			many(3, guard.AtOnce, ".vscode/", guard.Changed, "%d/.vscode/x.json"),
			Lines{"3 files in 3 folders: 0/.vscode/, 1/.vscode/, 2/.vscode/", hint},
		},
		"what became of them": {
			[]guard.Change{
				change(guard.OnCommand, ".npmrc", guard.Removed, ".npmrc"),
				change(guard.AtOnce, "x", guard.Runnable, ".githooks/pre-commit"),
			},
			Lines{".npmrc (removed)", ".githooks/pre-commit (made a program)"},
		},
	} {
		if diff := cmp.Diff(test.want, toldChanges(test.changes, MaxFiles, hint)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
