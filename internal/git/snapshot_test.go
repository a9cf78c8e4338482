package git_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/proc"
)

// snapshot notes how the repository in a folder is.
func (w world) snapshot(name string) *git.Snapshot {
	w.Helper()
	c := git.Client{Env: w.env}
	r, err := c.Discover(w.Context(), w.path(name))
	if err != nil {
		w.Fatal(err)
	}
	s, err := c.Snapshot(w.Context(), r, w.TempDir())
	if err != nil {
		w.Fatal(err)
	}
	return s
}

func (w world) changes(s *git.Snapshot, want git.Changes) {
	w.Helper()
	if got, err := s.Changes(w.Context()); err != nil || got != want {
		w.Errorf("got %+v and %v, want %+v", got, err, want)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mkdir("r/sub")
			w.git("r", "init", "-q", "--object-format="+format)
			w.changes(w.snapshot("r"), git.Changes{}) // without a commit and an index
			for name, content := range map[string]string{"a": "1\n2\n3\n", "b": "b\n", "sub/c": "c\n", "d\nd": "d\n", ".gitignore": "*.o\n"} {
				w.write("r/"+name, content, 0o600)
			}
			w.git("r", "add", "-A")
			w.git("r", "commit", "-qm", "one")
			w.write("r/a", "1\n2\n3\n4\n", 0o600) // is not the session's
			w.write("r/mine", "untracked\n", 0o600)
			s := w.snapshot("r")
			w.changes(s, git.Changes{})

			w.write("r/a", "1\n3\n4\n5\n6\n", 0o600) // one line less, two more
			w.write("r/new", "1\n2\n", 0o600)
			w.write("r/x.o", "ignored\n", 0o600)
			w.write("r/mine", "untracked, too\n", 0o600)
			if err := os.Remove(w.path("r/d\nd")); err != nil {
				t.Fatal(err)
			}
			want := git.Changes{Files: 4, Insertions: 2 + 2 + 1, Deletions: 1 + 1 + 1}
			w.changes(s, want)
			w.git("r", "add", "-A")
			w.git("r", "commit", "-qm", "two")
			w.changes(s, want) // what is committed counts as what is not

			w.git("r", "mv", "sub/c", "sub/e")
			want.Files++
			w.changes(s, want)
			if err := os.RemoveAll(w.path("r/sub")); err != nil {
				t.Fatal(err)
			}
			w.write("r/sub", "a file now\n", 0o600)
			w.changes(s, git.Changes{Files: 6, Insertions: 6, Deletions: 4})
		})
	}
}

// Nothing that a repository names is run, in itself or in one that lies in it.
func TestSnapshotRunsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	program := w.write("program", "#!/bin/sh\ntouch "+w.path("ran")+"\ncat\n", 0o700)
	w.mkdir("hooks")
	w.write("hooks/post-index-change", "#!/bin/sh\ntouch "+w.path("ran")+"\n", 0o700)
	hostile := func(name string) {
		w.mkdir(name)
		w.git(name, "init", "-q")
		w.write(name+"/file", "content\n", 0o600)
		w.git(name, "add", "-A")
		w.git(name, "commit", "-q", "--allow-empty", "-m", "one")
		w.write(name+"/.gitattributes", "* filter=x diff=x\n", 0o600)
		for _, key := range []string{"filter.x.clean", "filter.x.process", "filter.x.smudge", "diff.x.command", "diff.x.textconv", "diff.external", "core.fsmonitor"} {
			w.git(name, "config", key, program)
		}
		w.git(name, "config", "filter.x.required", "true")
		w.git(name, "config", "core.hooksPath", w.path("hooks"))
	}
	w.mkdir("r")
	w.git("r", "init", "-q")
	hostile("sub")
	w.git("r", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", w.path("sub"), "module")
	w.git("r", "commit", "-qm", "one")
	hostile("r")
	hostile("r/nested")
	hostile("r/module") // its configuration is below r/.git
	_ = os.Remove(w.path("ran"))

	s := w.snapshot("r")
	w.write("r/file", "changed\n", 0o600)
	w.write("r/module/file", "changed\n", 0o600)
	w.write("r/nested/file", "changed\n", 0o600)
	w.changes(s, git.Changes{Files: 1, Insertions: 1, Deletions: 1})
	if _, err := os.Stat(w.path("ran")); err == nil {
		t.Error("a program of the repository was run")
	}
	_ = proc.Run(t.Context(), proc.Cmd{Argv: []string{"git", "status"}, Env: w.env, Dir: w.path("r")})
	if _, err := os.Stat(w.path("ran")); err != nil {
		t.Error("the trap does not catch an ordinary git either")
	}
}

// The repository is as it was: nothing is written to it.
func TestSnapshotWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mkdir("r")
	w.git("r", "init", "-q")
	w.write("r/file", "content\n", 0o600)
	w.git("r", "add", "-A")
	w.write("r/file", "changed\n", 0o600)
	list := func() (names string) {
		_ = filepath.WalkDir(w.path("r"), func(path string, e os.DirEntry, err error) error {
			info, statErr := os.Lstat(path)
			if err != nil || statErr != nil {
				t.Fatal(err, statErr)
			}
			names += path + info.ModTime().String() + "\n"
			return nil
		})
		return names
	}
	before := list()
	s := w.snapshot("r")
	w.changes(s, git.Changes{})
	if after := list(); after != before {
		t.Errorf("was\n%s\nis\n%s", before, after)
	}
	if !strings.Contains(before, "/index") {
		t.Error("there is no index")
	}
}

// An index of any size, and whatever stands in its place, costs a count and nothing else.
func TestSnapshotIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mkdir("r")
	w.git("r", "init", "-q")
	w.write("r/file", "content\n", 0o600)
	c := git.Client{Env: w.env}
	r, err := c.Discover(t.Context(), w.path("r"))
	if err != nil {
		t.Fatal(err)
	}
	index := w.path("r/.git/index")
	for name, put := range map[string]func() error{
		"large": func() error { return errors.Join(os.WriteFile(index, nil, 0o600), os.Truncate(index, 1<<40)) },
		"zero":  func() error { return os.Symlink("/dev/zero", index) },
		"pipe":  func() error { return syscall.Mkfifo(index, 0o600) },
		"dir":   func() error { return os.Mkdir(index, 0o700) },
	} {
		if err := put(); err != nil {
			t.Fatal(err)
		}
		_, err := c.Snapshot(t.Context(), r, t.TempDir())
		if errors.Is(err, git.ErrTooLarge) != (name == "large") || name != "large" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(index); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever files are called, and whatever becomes of them, all are counted.
func TestAnyNamesAreCounted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.mkdir("r")
		w.git("r", "init", "-q")
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[^/\x00]{1,40}`), 1, 6, rapid.ID[string]).Draw(rt, "names")
		names = slices.DeleteFunc(names, func(name string) bool {
			return len(name) > 200 || strings.HasPrefix(strings.ToLower(name), ".git") || name == "." || name == ".." || strings.ContainsAny(name, "~\u200c")
		})
		for _, name := range names {
			w.write("r/"+name, "1\n", 0o600)
		}
		s := w.snapshot("r")
		var want git.Changes
		for _, name := range names {
			path := w.path("r/" + name)
			switch rapid.IntRange(0, 2).Draw(rt, "what becomes of it") {
			case 1:
				w.write("r/"+name, "1\n2\n3\n", 0o600)
				want.Files, want.Insertions = want.Files+1, want.Insertions+2
			case 2:
				if err := os.Remove(path); err != nil {
					rt.Fatal(err)
				}
				want.Files, want.Deletions = want.Files+1, want.Deletions+1
			}
		}
		if got, err := s.Changes(t.Context()); err != nil || got != want {
			rt.Errorf("got %+v and %v, want %+v", got, err, want)
		}
	})
}

// Whatever an index says of the files, and whatever excludes a session writes, all that has changed
// is counted.
func TestNothingIsHiddenFromTheCount(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string][][]string{
		"assume-unchanged": {{"update-index", "--assume-unchanged", "a"}},
		"skip-worktree":    {{"update-index", "--skip-worktree", "a"}},
		"split":            {{"update-index", "--split-index"}, {"update-index", "--skip-worktree", "a"}},
		"sparse":           {{"sparse-checkout", "set", "--cone", "--sparse-index", "sub"}},
		"untracked":        {{"update-index", "--untracked-cache"}, {"status"}},
		"version":          {{"update-index", "--index-version", "4"}, {"update-index", "--assume-unchanged", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mkdir("r/sub")
			w.mkdir("r/other")
			w.git("r", "init", "-q")
			w.git("r", "config", "core.excludesFile", "excluded")
			w.write("r/excluded", "*.mine\n", 0o600)
			for _, file := range []string{"a", "sub/b", "other/c"} {
				w.write("r/"+file, "1\n", 0o600)
			}
			w.git("r", "add", "-A")
			w.git("r", "commit", "-qm", "one")
			for _, args := range hide {
				w.git("r", args...)
			}
			s := w.snapshot("r")
			w.changes(s, git.Changes{})
			w.write("r/a", "1\n2\n", 0o600)
			w.mkdir("r/other")
			w.write("r/other/d", "1\n", 0o600)
			w.write("r/.git/info/exclude", "evil\n", 0o600)
			w.write("r/excluded", "*.mine\nworse\n", 0o600)
			w.write("r/evil", "1\n", 0o600)
			w.write("r/worse", "1\n", 0o600)
			w.write("r/x.mine", "1\n", 0o600)
			w.changes(s, git.Changes{Files: 5, Insertions: 5})
		})
	}
}
