package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a repository with a linked worktree that a guest does not see: it is under another name.
type tree struct {
	testing.TB
	home, main, linked string
}

func newTree(t *testing.T) tree {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := tree{t, dir, filepath.Join(dir, "main"), filepath.Join(dir, "far/away/linked")}
	for name, text := range map[string]string{
		"bin/sudo":           "#!/bin/sh\nexec \"$@\"\n",
		".config/git/config": "[gc]\nworktreePruneExpire = never\n[user]\nname = a\nemail = a@example.invalid\n", // as the guest has it
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.must(dir, "git", "init", "-q", "-b", "main", r.main)
	r.must(r.main, "git", "commit", "-q", "--allow-empty", "-m", "one")
	r.must(r.main, "git", "worktree", "add", "-q", r.linked)
	r.must(r.linked, "sh", "-c", "echo staged >file && git add file")
	r.must(r.linked, "git", "checkout", "-q", "--detach", r.must(r.linked, "git", "commit-tree", "-m", "only here", "HEAD^{tree}"))
	return r
}

func (r tree) run(dir string, argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Join(r.home, "bin") + ":" + os.Getenv("PATH"), "HOME=" + r.home, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (r tree) must(dir string, argv ...string) string {
	r.Helper()
	out, err := r.run(dir, argv...)
	if err != nil {
		r.Fatalf("%q: %v: %s", argv, err, out)
	}
	return out
}

// inGuest runs commands where the linked worktree is not seen, with what an outfit puts in its place.
func (r tree) inGuest(o Outfit, commands ...string) (out string) {
	r.Helper()
	away := filepath.Dir(filepath.Dir(r.linked))
	if err := os.Rename(away, away+"-on-the-host"); err != nil {
		r.Fatal(err)
	}
	r.must(r.home, "bash", "-c", o.Script())
	for _, command := range commands {
		text, _ := r.run(r.main, "sh", "-c", command)
		out += text + "\n"
	}
	if err := os.RemoveAll(away); err != nil {
		r.Fatal(err)
	}
	if err := os.Rename(away+"-on-the-host", away); err != nil {
		r.Fatal(err)
	}
	return out
}

// What git has of a working tree that a guest does not see, git in the guest does not take for left over, and so no object
// that is only there.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	commands := map[string]string{
		"prune":      "git worktree prune",
		"gc":         "git -c gc.pruneExpire=now gc -q",
		"gc now":     "git gc -q --prune=now",
		"remove":     "git worktree remove ../far/away/linked",
		"force":      "git worktree remove --force --force ../far/away/linked",
		"move":       "git worktree move ../far/away/linked ../here",
		"everything": "git worktree repair; git worktree prune; git reflog expire --expire=now --all; git gc -q --prune=now",
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newTree(t)
			before := r.must(r.linked, "git", "status", "--short", "--branch")
			said := r.inGuest(Outfit{Elsewhere: []string{filepath.Join(r.linked, ".git")}}, command, "git worktree list --porcelain")
			if strings.Contains(said, "prunable") || !strings.Contains(said, "worktree "+r.linked+"\n") {
				t.Errorf("git says %s", said)
			}
			if after := r.must(r.linked, "git", "status", "--short", "--branch"); after != before || !strings.Contains(after, "A  file") {
				t.Errorf("was %q, is %q; %s", before, after, said)
			}
			r.must(r.linked, "git", "cat-file", "-p", ":file")
			r.must(r.linked, "git", "log", "-1")
			r.must(r.linked, "git", "fsck", "--no-dangling")
		})
	}
}

// Without anything in its place it is gone: the test above tries what it says.
func TestElsewhereIsNeeded(t *testing.T) {
	t.Parallel()
	r := newTree(t)
	said := r.inGuest(Outfit{}, "git worktree list --porcelain", "git worktree prune")
	if out, err := r.run(r.linked, "git", "status"); err == nil || !strings.Contains(said, "prunable") {
		t.Errorf("git has kept it: %s; %s", out, said)
	}
}

// Where the guest has something else, or nothing can be made, the rest is made all the same, and the session goes on.
func TestElsewhereThatCannotBe(t *testing.T) {
	t.Parallel()
	r := newTree(t)
	odd := filepath.Join(r.home, "a 'name\n$(touch x)/.git")
	r.must(r.home, "bash", "-c", Outfit{Elsewhere: []string{filepath.Join(r.home, "bin/sudo/x/.git"), filepath.Join(r.main, ".git"), odd}}.Script())
	if _, err := os.Stat(odd); err != nil {
		t.Error(err)
	}
	r.must(r.main, "git", "status")
}
