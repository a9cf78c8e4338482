package fakeapi_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/test/fakeapi"
)

const apiKey = "sk-ant-api03-not-a-key-0123456789abcdefghij"

// realClaude prepares a run of the binary that CLAUDE_VM_TEST_CLAUDE names, in a home that has our answers for one project.
func realClaude(t *testing.T, project string, args ...string) (home string, cmd proc.Cmd) {
	t.Helper()
	program := os.Getenv("CLAUDE_VM_TEST_CLAUDE")
	if program == "" {
		t.Skip("CLAUDE_VM_TEST_CLAUDE does not name a claude binary")
	}
	server := httptest.NewServer(fakeapi.Handler(fakeapi.Script{}))
	t.Cleanup(server.Close)
	home = t.TempDir()
	answers := claude.Answers{Dirs: []string{project}, APIKey: apiKey, SkipPermissions: true}
	for file, produce := range map[string]func([]byte, claude.Answers) ([]byte, error){
		".claude.json": claude.FirstRun, ".claude/settings.json": claude.Settings,
	} {
		data, err := produce(nil, answers)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(home, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return home, proc.Cmd{
		Argv: append([]string{program}, args...),
		Dir:  project,
		Env: []string{
			"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color", "LANG=C.UTF-8",
			"IS_SANDBOX=1", // it refuses to skip permissions for root otherwise
			"ANTHROPIC_API_KEY=" + apiKey, "ANTHROPIC_BASE_URL=" + server.URL,
		},
	}
}

// projectDir is a directory as the kernel names it.
func projectDir(t *testing.T, name string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRealClaudeRunsTheCommand(t *testing.T) {
	for name, dir := range map[string]string{
		"plain":   "project",
		"strange": "my.proj@1/a b_é😀",
		"long":    strings.Repeat("abcdefghij.klmnopqrst/", 10),
	} {
		t.Run(name, func(t *testing.T) {
			project := projectDir(t, dir)
			home, cmd := realClaude(t, project, "-p", "run: uname -a > out.txt; cat out.txt", "--dangerously-skip-permissions")
			out, err := proc.Output(t.Context(), cmd)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			file, err := os.ReadFile(filepath.Join(project, "out.txt"))
			if err != nil || len(file) == 0 || !bytes.Contains(out, bytes.TrimSpace(file)) {
				t.Errorf("out.txt is %q, %v; claude said %q", file, err, out)
			}
			folder := filepath.Join(home, ".claude/projects", claude.ConversationDir(project))
			if found, err := filepath.Glob(filepath.Join(folder, "*.jsonl")); err != nil || len(found) != 1 {
				others, _ := filepath.Glob(filepath.Join(home, ".claude/projects/*"))
				t.Errorf("the conversation is not in %s, but among %v", folder, others)
			}
		})
	}
}

func TestRealClaudeStartsAtItsPrompt(t *testing.T) {
	project := projectDir(t, "project")
	for file, content := range map[string]string{ // each of them is asked about if nothing has been answered
		".mcp.json":       `{"mcpServers":{"idle":{"command":"sleep","args":["30"]}}}`,
		"CLAUDE.md":       "@../elsewhere.md\n",
		"../elsewhere.md": "Nothing.\n",
	} {
		if err := os.WriteFile(filepath.Join(project, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, cmd := realClaude(t, project, "--dangerously-skip-permissions")
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	screen := vt10x.New(vt10x.WithSize(80, 24), vt10x.WithWriter(terminal))
	go io.Copy(withoutKittyQuery{screen}, terminal)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Foreground = tty, tty, tty, true
	p, err := proc.Start(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	tty.Close()

	waitFor(t, screen, "bypass permissions on")
	if _, err := io.WriteString(terminal, "say: no question was asked"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, screen, "say: no question was asked")
	if _, err := io.WriteString(terminal, "\r"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, screen, "● no question was asked")
	if _, err := io.WriteString(terminal, "/exit\r"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Errorf("it did not end:\n%s", screen)
	}
}

// withoutKittyQuery drops the question for a keyboard protocol that vt10x takes for "restore the cursor".
type withoutKittyQuery struct{ io.Writer }

func (w withoutKittyQuery) Write(p []byte) (int, error) {
	_, err := w.Writer.Write(bytes.ReplaceAll(p, []byte("\x1b[?u"), nil))
	return len(p), err
}

// waitFor waits until one of the texts is on the screen.
func waitFor(t *testing.T, screen vt10x.Terminal, texts ...string) {
	t.Helper()
	for range 300 {
		if slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(screen.String(), text) }) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("%q did not appear:\n%s", texts, screen)
}
