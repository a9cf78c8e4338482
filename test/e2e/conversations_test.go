package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/themouette/claude-vm/internal/claude"
)

// hostClaude runs the Claude Code of the VMs on this host, as a user would.
func (w *world) hostClaude(t *testing.T, dir string, args ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(w.state, "cache/claude-*/claude"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no Claude Code in the cache: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, found[0], args...)
	cmd.Dir = dir
	cmd.Env = append(append([]string{}, w.env...), "IS_SANDBOX=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"ANTHROPIC_BASE_URL="+strings.Replace(w.api, "host.lima.internal", "127.0.0.1", 1))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("claude %q: %v: %s", args, err, out)
	}
	return string(out)
}

// TestConversations has a conversation begin on the host, go on in a VM and come back, in a folder of a linked worktree. Memory is the
// main checkout's.
func TestConversations(t *testing.T) {
	w := real(t)
	worktree := filepath.Join(filepath.Dir(w.project), "linked")
	w.git(t, w.project, "worktree", "add", "-q", worktree)
	t.Cleanup(func() { w.git(t, w.project, "worktree", "remove", "--force", worktree) })
	sub := filepath.Join(worktree, "sub")
	folder := func(dir string) string { return filepath.Join(w.home, ".claude/projects", claude.ConversationDir(dir)) }
	memory := filepath.Join(folder(w.project), "memory/MEMORY.md")
	for _, dir := range []string{sub, filepath.Dir(memory)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.hostClaude(t, sub, "-p", "say: begun on the host")
	if err := os.WriteFile(memory, []byte("the host remembers\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	r := w.runIn(t, sub, "", "-c", "-p", "run: cd ~/.claude/projects/*project/memory && cat MEMORY.md && echo the VM remembers >>MEMORY.md")
	if r.code != 0 || !strings.Contains(r.out, "the host remembers") {
		t.Errorf("code %d, %q", r.code, r.out)
	}
	if !strings.Contains(r.err, memory) {
		t.Errorf("nothing is said of the memory that has changed: %q", r.err)
	}
	if text, err := os.ReadFile(memory); string(text) != "the host remembers\nthe VM remembers\n" {
		t.Errorf("the host remembers %q, %v", text, err)
	}
	w.oneConversation(t, folder(sub), "begun on the host", "the VM remembers")
	if out := w.hostClaude(t, sub, "-c", "-p", "say: back home"); !strings.Contains(out, "back home") {
		t.Errorf("the host's Claude says %q", out)
	}
	w.oneConversation(t, folder(sub), "begun on the host", "the VM remembers", "back home")
	w.gone(t)
}

// oneConversation makes sure that a folder has one conversation, in which something was said.
func (w *world) oneConversation(t *testing.T, folder string, said ...string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if len(files) != 1 {
		t.Fatalf("there are %d conversations: %v", len(files), files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range said {
		if !strings.Contains(string(text), what) {
			t.Errorf("%q is not in the conversation", what)
		}
	}
}
