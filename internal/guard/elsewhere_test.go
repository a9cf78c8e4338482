package guard

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/proc"
)

// What a session has removed of a working tree that it did not see is there again, with what is staged; what git has of trees that
// are gone, or that the session saw and removed, goes.
func TestWorktreesElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	out := func(dir string, args ...string) string {
		text, err := proc.Output(t.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: w.env, Dir: w.path(dir)})
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(string(text))
	}
	for _, tree := range []string{"../far", "../gone", "../taken", "inside", "../again"} {
		w.git("worktree", "add", "-q", tree)
	}
	w.write("../far/file", "staged\n")
	w.write("../again/file", "staged\n")
	w.git("-C", "../far", "add", "file")
	w.git("-C", "../again", "add", "file")
	w.git("-C", "../far", "worktree", "lock", "--reason", "a drive", "../far")
	before := out("../far", "status", "--short", "--branch")

	watch := w.begin(true)
	w.git("worktree", "remove", "inside")
	if err := os.RemoveAll(w.path("../gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path("../taken/.git"), []byte("gitdir: /elsewhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.path(".git/worktrees")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		".git/worktrees/again: removed, the git data of a working tree that is elsewhere",
		".git/worktrees/far: removed, the git data of a working tree that is elsewhere",
	}
	if diff := cmp.Diff(want, w.end(watch)); diff != "" {
		t.Error(diff)
	}
	if after := out("../far", "status", "--short", "--branch"); after != before || !strings.Contains(after, "A  file") {
		t.Errorf("was %q, is %q", before, after)
	}
	names, _ := filepath.Glob(w.path(".git/worktrees/*"))
	if want := []string{w.path(".git/worktrees/again"), w.path(".git/worktrees/far")}; !slices.Equal(names, want) {
		t.Errorf("there are %q", names)
	}
	if list := out(".", "worktree", "list"); !strings.Contains(list, "locked") || strings.Contains(list, "prunable") {
		t.Error(list)
	}
	w.git("fsck", "--no-dangling")
}

// An index that is too large to be kept is said to be lost, and everything else is there.
func TestWorktreeElsewhereWithALargeIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("worktree", "add", "-q", "../far")
	index := w.path(".git/worktrees/far/index")
	if err := os.Truncate(index, maxTreeFile+1); err != nil {
		t.Fatal(err)
	}
	watch := w.begin(true)
	if err := os.RemoveAll(w.path(".git/worktrees/far")); err != nil {
		t.Fatal(err)
	}
	report, err := watch.End(t.Context())
	if err != nil || len(report.Findings) != 1 || report.Findings[0].Err == nil || !strings.Contains(report.Findings[0].Err.Error(), "git reset") {
		t.Errorf("found %+v, %v", report.Findings, err)
	}
	w.git("-C", "../far", "reset", "-q")
	w.git("-C", "../far", "status")
}

// The project is a linked worktree, and what is removed is that of the main checkout's other trees.
func TestSiblingsOfALinkedWorktree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("worktree", "add", "-q", "../far")
	w.git("worktree", "add", "-q", "../here")
	here := w.path("../here")
	watch, _, err := w.store.Begin(t.Context(), Site{Root: here, Main: w.root, GitDirs: []string{w.path(".git")}}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.path(".git/worktrees/far")); err != nil {
		t.Fatal(err)
	}
	if found := w.end(watch); len(found) != 1 || !strings.HasPrefix(found[0], ".git/worktrees/far: removed") {
		t.Errorf("found %q", found)
	}
	w.git("-C", "../far", "status")
}
