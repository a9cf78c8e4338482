package cli_test

import (
	"bytes"
	"os"
	"os/exec" // the lines are for a shell
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/themouette/claude-vm/internal/config"
)

// root is the top of the repository, as seen from this package.
const root = "../.."

// pages returns the documents that people read.
func pages() ([]string, error) {
	docs, err := filepath.Glob(root + "/docs/*.md")
	return append(docs, root+"/README.md"), err
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```")

// blocks returns the examples of a page in a language.
func blocks(page, language string) (found []string, err error) {
	text, err := os.ReadFile(page)
	for _, match := range fence.FindAllSubmatch(text, -1) {
		if string(match[1]) == language {
			found = append(found, string(match[2]))
		}
	}
	return found, err
}

var ours = regexp.MustCompile(`(^|[|&;] *)claude-vm( |$)`)

// elsewhere are the lines that cannot be run here, without their comments, and the files of this repository that try them.
var elsewhere = map[string]string{
	"lima@vm-my-proj:/home/ann/my-proj$ tail -f server.log": "internal/cli/testdata/script/exec.txtar",

	"curl -fsSL https://raw.githubusercontent.com/themouette/claude-vm/main/install.sh | bash":                                               "internal/cli/testdata/script/install.txtar",
	`curl -fsSL "https://github.com/lima-vm/lima/releases/download/v2.2.0/lima-2.2.0-Linux-$(uname -m).tar.gz" | sudo tar -xz -C /usr/local`: "internal/cli/install_hint_test.go",
	"sudo apt-get install qemu-system qemu-utils git openssh-client":                                                                         "internal/cli/install_hint_test.go",
	`sudo usermod -aG kvm "$USER"`:                                    "docs/getting-started.md", // no test may do that
	"go install github.com/themouette/claude-vm/cmd/claude-vm@latest": "cmd/claude-vm/main.go",
	"make demo":  "scripts/demo.sh",
	"make check": ".ci/run",
	"make test":  ".ci/run",
}

// documented runs every command line that the documents show, example by example, in a project that has a template, and those of
// dialogues while a session runs there. Each must end well.
func documented(ts *testscript.TestScript, _ bool, _ []string) {
	pages, err := pages()
	ts.Check(err)
	env := environ(ts)
	run := func(page, line string) {
		var out bytes.Buffer
		cmd := exec.Command("bash", "-o", "pipefail", "-c", line)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), env, &out, &out
		if err := cmd.Run(); err != nil {
			ts.Fatalf("%s shows\n  %s\nwhich comes to: %v\n%s", filepath.Base(page), line, err, out.String())
		}
	}
	ran := 0
	for _, page := range pages {
		examples, err := blocks(page, "bash")
		ts.Check(err)
		for _, example := range examples {
			run(page, "claude-vm setup")
			for line := range strings.Lines(example) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), "  #")
				if line = strings.TrimSpace(line); line == "" || elsewhere[line] != "" {
					continue
				}
				run(page, line)
				ran++
			}
		}
	}
	for _, page := range pages {
		dialogues, err := blocks(page, "console")
		ts.Check(err)
		for line := range strings.Lines(strings.Join(dialogues, "")) {
			line = strings.TrimSpace(line)
			typed, ok := strings.CutPrefix(line, "$ ")
			if elsewhere[line] != "" {
				continue
			}
			if !ok || !ours.MatchString(typed) {
				ts.Fatalf("%s shows\n  %s\nwhich no test runs", filepath.Base(page), line)
			}
			const lives = "touch $FAKE_DIR/up && while [ ! -e $FAKE_DIR/down ]; do sleep 0.05; done"
			spawn(ts, false, []string{"documented", "claude-vm", "--env", "PATH=" + ts.Getenv("PATH"), "shell", lives}) // with our stand-ins
			await(ts, false, []string{filepath.Join(ts.Getenv("FAKE_DIR"), "up")})
			run(page, typed)
			run(page, "touch $FAKE_DIR/down")
			<-spawned(ts, "documented").ended
			run(page, "rm $FAKE_DIR/up $FAKE_DIR/down")
			ran++
		}
	}
	if ran < 30 {
		ts.Fatalf("only %d command lines were found", ran)
	}
}

// What is tried elsewhere is there, and so are the names that DEVELOPMENT.md types.
func TestDocumentedElsewhere(t *testing.T) {
	t.Parallel()
	for line, file := range elsewhere {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	examples, err := blocks(filepath.Join(root, "DEVELOPMENT.md"), "bash")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range regexp.MustCompile(`make (?:-s )?(\w+)`).FindAllStringSubmatch(strings.Join(examples, ""), -1) {
		if !regexp.MustCompile(`(?m)^` + target[1] + `:`).Match(makefile) {
			t.Errorf("there is no %s to make", target[1])
		}
	}
	for _, test := range regexp.MustCompile(`((?:Test|Fuzz)\w+)\S* .*?(\./\S+)`).FindAllStringSubmatch(strings.Join(examples, ""), -1) {
		files, _ := filepath.Glob(filepath.Join(root, test[2], "*_test.go"))
		if !slices.ContainsFunc(files, func(file string) bool {
			text, _ := os.ReadFile(file)
			return bytes.Contains(text, []byte("func "+test[1]+"("))
		}) {
			t.Errorf("there is no %s in %s", test[1], test[2])
		}
	}
}

// Every example of a configuration can be loaded.
func TestDocumentedConfiguration(t *testing.T) {
	t.Parallel()
	pages, err := pages()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		examples, err := blocks(page, "toml")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range examples {
			file := filepath.Join(t.TempDir(), "config.toml")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := config.Validate(file, t.TempDir()); err != nil {
				t.Errorf("%s shows\n%s\nwhich comes to: %v", filepath.Base(page), text, err)
			}
		}
	}
}

var change = regexp.MustCompile(`^(Added|Changed|Fixed|Removed|Security): \S.*\.\n(\n|$)`)

// What becomes the changelog of the next release has the form that changelog/README.md gives it.
func TestChangelog(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(root + "/changelog/unreleased/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err != nil || !change.Match(text) {
			t.Errorf("%s begins otherwise: %v", file, err)
		}
	}
}

var (
	action = regexp.MustCompile(`(?m)^[ -]*uses: *(.*)$`)
	pinned = regexp.MustCompile(`^[^@ ]+@[0-9a-f]{40} # v[0-9.]+$`)
)

// What CI runs of others is what somebody has looked at, not what a tag points to today.
func TestActionsArePinned(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(root + "/.github/workflows/*.y*ml")
	if err != nil || len(files) == 0 {
		t.Fatal("no workflows", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, use := range action.FindAllSubmatch(text, -1) {
			if !pinned.Match(use[1]) {
				t.Errorf("%s uses %s, which no SHA pins", filepath.Base(file), use[1])
			}
		}
	}
}
