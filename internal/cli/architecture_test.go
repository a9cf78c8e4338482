package cli

import (
	_ "embed"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/themouette/claude-vm/"

// mayImport is who may know whom. docs/design.md says why.
func mayImport() map[string][]string {
	floor := []string{"proc", "state", "ui"}
	return map[string][]string{
		"cmd/claude-vm": {"cli"},
		"internal/cli": {
			"state", "ui", "bench", "claude", "config", "fetch", "forward", "git", "guard", "host", "instance", "launch", "lima", "mount",
			"network", "project", "report", "selfupdate", "session", "template", "tool", "trust",
		},
		"internal/bench": append(floor, "config", "guest", "instance", "launch", "lima", "mount", "session"),
		"internal/launch": append(floor,
			"claude", "config", "conversation", "envfile", "forward", "git", "guard", "guest", "host", "instance", "lima", "login", "mount",
			"network", "npm", "paths", "project", "report", "selfupdate", "session", "template", "tool", "trust", "wall",
		),
		"internal/report":       {"guard", "paths", "ui"},
		"internal/paths":        {},
		"internal/session":      append(floor, "guest", "host", "instance", "lima", "mount", "paths", "project"),
		"internal/template":     append(floor, "claude", "guest", "instance", "lima", "mount", "project", "tool"),
		"internal/instance":     append(floor, "guest", "lima"),
		"internal/login":        {"claude", "guest", "proc", "state"},
		"internal/lima":         {"host", "mount", "proc", "state", "wall"},
		"internal/project":      {"git", "paths"},
		"internal/git":          {"gitindex", "proc"},
		"internal/gitindex":     {},
		"internal/forward":      {"proc"},
		"internal/network":      {"proc", "wall"},
		"internal/claude":       {"fetch", "npm", "proc"},
		"internal/conversation": {"claude", "paths", "state"},
		"internal/tool":         {"fetch", "npm"},
		"internal/npm":          {"fetch", "proc"},
		"internal/npm/npmtest":  {},
		"internal/fetch":        {},
		"internal/guest":        {},
		"internal/mount":        {},
		"internal/config":       {"envfile", "wall"},
		"internal/wall":         {},
		"internal/envfile":      {},
		"internal/state":        {},
		"internal/proc":         {},
		"internal/ui":           {},
		"internal/selfupdate":   {"fetch", "proc"},
		"internal/host":         {"proc"},
		"internal/guard":        {"gitindex", "state"},
		"internal/trust":        {"claude", "config", "mount", "paths", "state"},
	}
}

// The table of rooms in docs/design.md has each room, and no other.
func TestRoomsAreDescribed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	var described []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:cmd|internal)/[^`]+)` \\| [^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(text), -1) {
		described = append(described, row[1])
	}
	rooms := slices.Sorted(maps.Keys(mayImport()))
	rooms = slices.DeleteFunc(rooms, func(room string) bool { return strings.HasSuffix(room, "test") }) // stand-ins
	slices.Sort(described)
	if diff := cmp.Diff(rooms, described); diff != "" {
		t.Errorf("docs/design.md and the rooms differ (-rooms +page):\n%s", diff)
	}
}

// onlyIn names, for each word or import, the packages in which alone it may stand.
func onlyIn() map[string][]string {
	return map[string][]string{
		`"os/exec"`:  {"internal/proc"},
		"os.Exit(":   {"cmd/claude-vm"},
		"os.Getenv(": {},
		"os.Getwd(":  {"internal/cli"},
		"spf13/":     {"internal/cli"},
		`\x1b[`:      {"internal/ui"},
		`"limactl"`:  {"internal/lima"},
	}
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	rules := mayImport()
	root := os.DirFS("../..")
	wide := map[string]bool{}
	for _, top := range []string{"cmd", "internal"} {
		err := fs.WalkDir(root, top, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/limatest/") {
				return err
			}
			pkg := filepath.Dir(path)
			allowed, known := rules[pkg]
			if !known {
				t.Errorf("%s: the package has no line in mayImport", path)
			}
			text, err := fs.ReadFile(root, path)
			if err != nil {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ImportsOnly)
			if err != nil {
				return err
			}
			for _, spec := range file.Imports {
				imported, _ := strconv.Unquote(spec.Path.Value)
				if room, ours := strings.CutPrefix(imported, module+"internal/"); ours && !slices.Contains(allowed, room) {
					t.Errorf("%s must not import %s", path, room)
				}
			}
			wide[path] = widest(string(text)) > maxColumns
			for word, places := range onlyIn() {
				if strings.Contains(string(text), word) && !slices.Contains(places, pkg) {
					t.Errorf("%s must not contain %s", path, word)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range strings.Fields(wideFiles) {
		if !wide[path] {
			t.Errorf("%s has no line of more than %d columns any more: strike it off testdata/wide.txt", path, maxColumns)
		}
		delete(wide, path)
	}
	for path, is := range wide {
		if is {
			t.Errorf("%s has a line of more than %d columns", path, maxColumns)
		}
	}
}

// maxColumns is the width of a line of code, with a tab as wide as four blanks.
const maxColumns = 120

// wideFiles are those that had wider lines when the rule came. The list can only become shorter.
//
//go:embed testdata/wide.txt
var wideFiles string

// widest returns the width of the widest line of a text.
func widest(text string) (columns int) {
	for line := range strings.Lines(text) {
		columns = max(columns, utf8.RuneCountInString(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "    ")))
	}
	return columns
}
