package gitindex_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/gitindex"
	"github.com/themouette/claude-vm/internal/proc"
)

// repository is a folder with a repository in it.
type repository struct {
	testing.TB
	dir string
}

func (r repository) git(args ...string) string {
	r.Helper()
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
	}
	out, err := proc.Output(r.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: env, Dir: r.dir})
	if err != nil {
		r.Fatal(err)
	}
	return string(out)
}

func (r repository) path(name string) string { return filepath.Join(r.dir, name) }

func (r repository) read(name string) []byte {
	r.Helper()
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		r.Fatal(err)
	}
	return text
}

func (r repository) write(name, text string) {
	r.Helper()
	err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755)
	if err = cmp.Or(err, os.WriteFile(r.path(name), []byte(text), 0o644)); err != nil {
		r.Fatal(err)
	}
}

func (r repository) parse(hash int) *gitindex.Index {
	r.Helper()
	x, err := gitindex.Parse(r.read(".git/index"), hash, func(sum string) ([]byte, error) {
		return os.ReadFile(r.path(".git/sharedindex." + sum))
	})
	if err != nil {
		r.Fatal(err)
	}
	return x
}

// caches are the settings by which git writes extensions that it can do without.
var caches = []string{"core.untrackedCache", "index.recordEndOfIndexEntries", "index.recordOffsetTable"}

// names are of files that can lie in one folder.
func names(t *rapid.T, longest int) []string {
	part := rapid.StringMatching(`[a-cäö ]{1,3}[0-9]`)
	names := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string {
		name := strings.Join(rapid.SliceOfN(part, 1, 3).Draw(t, "parts"), "/")
		if rapid.IntRange(0, 20).Draw(t, "long") == 0 {
			name = strings.Repeat(strings.Repeat("x", 200)+"/", 25)[:longest-len(name)] + name
		}
		return "f" + name
	}), 1, 8, rapid.ID[string]).Draw(t, "names")
	return slices.DeleteFunc(names, func(name string) bool { // a file cannot be a folder too
		return slices.ContainsFunc(names, func(other string) bool { return strings.HasPrefix(other, name+"/") })
	})
}

// bit says which bit git shows of an entry.
func bit(e gitindex.Entry) string {
	switch b := e.Bits(); {
	case b == gitindex.SkipWorktree|gitindex.AssumeUnchanged:
		return "s"
	case b == gitindex.SkipWorktree:
		return "S"
	case b != 0:
		return "h"
	}
	return "H"
}

// An index of any version, split or not, with any names and bits in it, is read as git reads it,
// and git reads what is made of it: without bits and stat data git sees all that has changed.
func TestGitAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := repository{t, t.TempDir()}
		format, hash := "sha1", 20
		if rapid.Bool().Draw(rt, "sha256") {
			format, hash = "sha256", 32
		}
		r.git("init", "-q", "--object-format="+format)
		r.git("config", "index.version", rapid.SampledFrom([]string{"2", "3", "4"}).Draw(rt, "version"))
		r.git("config", "splitIndex.maxPercentChange", "100") // so that git does not join them by itself
		for _, key := range append(caches, "core.splitIndex") {
			r.git("config", key, rapid.SampledFrom([]string{"true", "false"}).Draw(rt, key))
		}
		names := names(rt, 4050-len(r.dir))
		for _, name := range names {
			r.write(name, "1\n")
		}
		r.git("add", "-A")
		r.git("commit", "-qm", "one")
		r.git("status")
		for _, name := range names {
			how := rapid.SampledFrom([]string{"--assume-unchanged", "--skip-worktree", "--force-remove"})
			for _, how := range rapid.SliceOfN(how, 0, 2).Draw(rt, "how") {
				if slices.Contains(strings.Split(r.git("ls-files", "-z"), "\x00"), name) {
					r.git("update-index", how, name)
				}
			}
		}
		if rapid.Bool().Draw(rt, "more") {
			r.write("more", "1\n")
			r.git("add", "more")
		}
		before := r.git("ls-files", "-z", "-s")
		x := r.parse(hash)
		var got []string
		for _, e := range x.Entries {
			got = append(got, bit(e)+" "+string(e.Name)+"\x00")
			e.Clear(e.Bits())
			e.Look()
		}
		if want := r.git("ls-files", "-z", "-v"); strings.Join(got, "") != want {
			rt.Fatalf("got %q, want %q", got, want)
		}
		r.write(".git/index", string(x.Text()))
		if out := r.git("fsck", "--strict"); out != "" {
			rt.Errorf("git fsck: %s", out)
		}
		if after := r.git("ls-files", "-z", "-s"); after != before {
			rt.Errorf("git ls-files: %q, want %q", after, before)
		}
		for _, line := range strings.Split(strings.TrimSuffix(r.git("ls-files", "-z", "-v"), "\x00"), "\x00") {
			if line != "" && !strings.HasPrefix(line, "H ") {
				rt.Errorf("git ls-files -v: %q", line)
			}
		}
		if out := r.git("diff", "--name-only"); out != "" {
			rt.Errorf("git diff: %s", out)
		}
	})
}

// What git believes for the sake of speed is not written, and what it could not do without is.
func TestExtensions(t *testing.T) {
	t.Parallel()
	r := repository{t, t.TempDir()}
	r.git("init", "-q")
	for _, key := range append(caches, "index.sparse") {
		r.git("config", key, "true")
	}
	r.write("monitor", "#!/bin/sh\nprintf 't\\0'\n")
	if err := os.Chmod(r.path("monitor"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git("config", "index.threads", "2")
	r.git("config", "core.fsmonitor", r.path("monitor"))
	for _, name := range []string{"a/x", "b/x", "c"} {
		r.write(name, "1\n")
	}
	r.git("add", "-A")
	r.git("commit", "-qm", "one")
	r.git("sparse-checkout", "set", "--cone", "--sparse-index", "a")
	r.git("status")
	text := string(r.read(".git/index"))
	for _, name := range []string{"TREE", "UNTR", "FSMN", "sdir"} {
		if !strings.Contains(text, name) {
			t.Errorf("git has not written %s", name)
		}
	}
	x := r.parse(20)
	if !slices.ContainsFunc(x.Entries, gitindex.Entry.Folder) {
		t.Error("no entry stands for a folder")
	}
	text = string(x.Text())
	for _, name := range []string{"TREE", "UNTR", "FSMN", "EOIE", "IEOT"} {
		if strings.Contains(text, name) {
			t.Errorf("%s is written", name)
		}
	}
	r.write(".git/index", text)
	if out := r.git("ls-files"); out != "a/x\nb/x\nc\nmonitor\n" {
		t.Errorf("git ls-files: %s", out)
	}
	if out := r.git("status", "--porcelain"); out != "" {
		t.Errorf("git status: %s", out)
	}
}

// Nothing that is no index makes the reader do more than say so, and what it reads it writes again.
func FuzzParse(f *testing.F) {
	r := repository{f, f.TempDir()}
	r.git("init", "-q")
	shared := map[string][]byte{}
	base := func(sum string) ([]byte, error) {
		if text, ok := shared[sum]; ok {
			return slices.Clone(text), nil
		}
		return nil, os.ErrNotExist
	}
	for _, version := range []string{"2", "4"} {
		for _, name := range []string{"a", "ab", "b"} {
			r.write(name, version)
		}
		r.git("add", "-A")
		r.git("update-index", "--index-version", version)
		r.git("update-index", "--skip-worktree", "b")
		f.Add(r.read(".git/index"))
		r.git("update-index", "--split-index")
		r.write("a", "changed")
		r.git("add", "a")
		f.Add(r.read(".git/index"))
		entries, err := os.ReadDir(r.path(".git"))
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			if sum, ok := strings.CutPrefix(e.Name(), "sharedindex."); ok {
				shared[sum] = r.read(".git/" + e.Name())
			}
		}
		r.git("update-index", "--no-split-index")
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, hash := range []int{20, 32} {
			x, err := gitindex.Parse(slices.Clone(text), hash, base)
			if err != nil {
				continue
			}
			for _, e := range x.Entries {
				e.Clear(e.Bits())
				e.Look()
			}
			y, err := gitindex.Parse(x.Text(), hash, base)
			if err != nil || len(y.Entries) != len(x.Entries) {
				t.Fatalf("what was written is not read: %v", err)
			}
			for i, e := range y.Entries {
				if e.Bits() != 0 || e.Youngest() != 0 || !e.Same(x.Entries[i]) {
					t.Errorf("%q still hides its file", e.Name)
				}
			}
		}
	})
}
