package project_test

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/project"
)

// All linked worktrees are found: those of a repository, of a bare one, of submodules, and of what submodules have.
func TestWorktrees(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo lib; repo p; git clone -q --bare lib bare.git; git -C bare.git worktree add -q ../of-bare
		git -C p worktree add -q ../far; git -C p worktree add -q inside; git -C p worktree add -q .git/below
		git -C p -c protocol.file.allow=always submodule --quiet add --name a/deep/name "$PWD/lib" sub
		git -C p/sub worktree add -q ../../of-sub
		mkdir p/.git/worktrees/relative p/.git/worktrees/odd p/.git/worktrees/empty p/.git/worktrees/link
		printf '../../../../rel/.git\n' >p/.git/worktrees/relative/gitdir; echo /etc/passwd >p/.git/worktrees/odd/gitdir
		ln -s /etc/hostname p/.git/worktrees/link/gitdir; mkdir p/.git/modules/x; ln -s .. p/.git/modules/x/modules`)
	if err := errors.Join(os.Mkdir(w.path("p/.git/worktrees/pipe"), 0o700), syscall.Mkfifo(w.path("p/.git/worktrees/pipe/gitdir"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string][]string{
		"p/.git":   {"far", "of-sub", "p/.git/below", "p/inside", "rel"},
		"bare.git": {"of-bare"},
		"p":        nil,
		"nothing":  nil,
	} {
		for i, name := range want {
			want[i] = w.path(name + "/.git")
		}
		got := project.Worktrees(w.path(dir))
		slices.Sort(got)
		if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
	}
}

func TestBorrowed(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo lib; git clone -q --shared lib p; echo '# a comment' >>p/.git/objects/info/alternates
		echo ../../../more/objects >>p/.git/objects/info/alternates`)
	want := []string{w.path("lib/.git/objects"), w.path("more/objects")}
	if diff := cmp.Diff(want, project.Borrowed(w.path("p/.git"))); diff != "" {
		t.Error(diff)
	}
	if got := project.Borrowed(w.path("lib/.git")); len(got) > 0 {
		t.Error(got)
	}
}
