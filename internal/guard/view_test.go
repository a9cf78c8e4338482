package guard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/proc"
)

// out runs git and returns what it says.
func (w world) out(args ...string) string { return w.outIn(w.env, args...) }

func (w world) outIn(env []string, args ...string) string {
	w.Helper()
	text, err := proc.Output(w.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: env, Dir: w.root})
	if err != nil {
		w.Fatal(err)
	}
	return strings.TrimRight(string(text), "\n")
}

// lookable are the files of the repositories of these tests.
var lookable = []string{"a", "d/b", "d/e/c", "f", "z"}

// repositoryToLookAt commits some files.
func repositoryToLookAt(t testing.TB, format string) world {
	t.Helper()
	w := newWorld(t)
	if err := os.RemoveAll(w.path(".git")); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main", "--object-format="+format)
	w.git("config", "core.fileMode", "true")
	for _, name := range lookable {
		w.write(name, "good "+name+"\n")
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "one")
	w.git("commit", "-q", "--allow-empty", "-m", "two")
	w.git("status")
	return w
}

// notNow waits until what was written is older than the second that it is: git counts in seconds.
func notNow() {
	for begun := time.Now().Unix(); time.Now().Unix() == begun; {
		time.Sleep(10 * time.Millisecond)
	}
}

// evil changes a file so that its size stays, and its time of modification seems older.
func (w world) evil(name string) {
	w.Helper()
	w.write(name, "evil "+name+"\n")
	earlier := time.Now().Add(-10 * time.Second)
	if err := os.Chtimes(w.path(name), earlier, earlier); err != nil {
		w.Fatal(err)
	}
}

// stamps returns the times of a file as git's index has them.
func (w world) stamps(name string) []byte {
	w.Helper()
	info, err := os.Lstat(w.path(name))
	if err != nil {
		w.Fatal(err)
	}
	changed, text := changeTime(info.Sys().(*syscall.Stat_t)), []byte(nil)
	for _, when := range []time.Time{changed, info.ModTime()} {
		text = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(text, uint32(when.Unix())), uint32(when.Nanosecond()))
	}
	return text
}

// forge replaces bytes in all files of the index. Git does not look at their checksums. The index
// becomes younger than all files, so that git takes none for one that it has read too soon.
func (w world) forge(old, now []byte) {
	w.Helper()
	names, err := filepath.Glob(w.path(".git/*index*"))
	if err != nil {
		w.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(name, bytes.ReplaceAll(text, old, now), 0o644)
		}
		later := time.Now().Add(10 * time.Second)
		if err = errors.Join(err, os.Chtimes(name, later, later)); err != nil {
			w.Fatal(err)
		}
	}
}

func unhex(text string) []byte {
	raw, _ := hex.DecodeString(text)
	return raw
}

// tricks are what a session can do to a file so that git does not show that it has changed.
var tricks = map[string]func(w world, name string){
	"assumed": func(w world, name string) {
		w.git("update-index", "--assume-unchanged", name)
		w.evil(name)
	},
	"skipped": func(w world, name string) {
		w.git("update-index", "--skip-worktree", name)
		w.evil(name)
	},
	"forged": func(w world, name string) {
		was := w.stamps(name)
		w.evil(name)
		w.forge(was, w.stamps(name))
	},
	"staged": func(w world, name string) { // and what git notes of trees says that it is not
		was, stamps := w.out("rev-parse", ":"+name), w.stamps(name)
		w.evil(name)
		w.forge(stamps, w.stamps(name))
		w.forge(unhex(was), unhex(w.out("hash-object", "-w", name)))
	},
	"untracked": func(w world, name string) {
		w.git("update-index", "--untracked-cache")
		w.git("status")
		dir := filepath.Dir(name)
		was := w.stamps(dir)
		w.write(dir+"/new", "evil\n")
		info, err := os.Lstat(w.path(dir))
		if err != nil {
			w.Fatal(err)
		}
		if err := os.Chtimes(w.path(dir), info.ModTime(), info.ModTime().Add(-10*time.Second)); err != nil {
			w.Fatal(err)
		}
		w.forge(was, w.stamps(dir))
	},
	"excluded": func(w world, _ string) {
		w.write(".git/info/exclude", "new*\n")
		w.write("new1", "evil\n")
	},
	"configured": func(w world, _ string) {
		w.git("config", "status.showUntrackedFiles", "no")
		w.write("new", "evil\n")
	},
	"runnable": func(w world, name string) {
		w.git("config", "core.fileMode", "false")
		if err := os.Chmod(w.path(name), 0o755); err != nil {
			w.Fatal(err)
		}
	},
	"untrusted": func(w world, name string) {
		w.git("config", "core.trustctime", "false")
		info, err := os.Lstat(w.path(name))
		if err != nil {
			w.Fatal(err)
		}
		w.write(name, "evil "+name+"\n")
		if err := os.Chtimes(w.path(name), info.ModTime(), info.ModTime()); err != nil {
			w.Fatal(err)
		}
		w.forge(nil, nil)
	},
	"sparse": func(w world, name string) { // in a file that git does not read
		w.write(".git/config.worktree", "[core]\n\tsparseCheckout = true\n")
		w.git("update-index", "--skip-worktree", name)
		if err := os.Remove(w.path(name)); err != nil {
			w.Fatal(err)
		}
	},
}

// shown is what git says on the host of what a session has changed.
func (w world) shown(env []string) string {
	w.Helper()
	said := ""
	for _, command := range []string{"status --porcelain", "status --porcelain -uall", "diff", "diff --cached"} {
		said += w.outIn(env, strings.Fields(command)...) + "\n"
	}
	return strings.TrimSpace(said)
}

// fresh is the environment of a git that has a git directory of its own, with the same commits, the
// same files, and an index in which nothing stands but what is staged. Files that the user has
// hidden stay so.
func (w world) fresh() []string {
	w.Helper()
	dir := filepath.Join(w.TempDir(), "git")
	format := w.out("rev-parse", "--show-object-format")
	w.git("init", "-q", "--bare", "--object-format="+format, dir)
	env := append(slices.Clone(w.env), "GIT_DIR="+dir, "GIT_WORK_TREE="+w.root)
	head, err := proc.Output(w.Context(), proc.Cmd{Argv: []string{"git", "rev-parse", "HEAD"}, Env: append(slices.Clone(w.env), "GIT_NO_REPLACE_OBJECTS=1"), Dir: w.root})
	if err = errors.Join(err, os.WriteFile(dir+"/objects/info/alternates", []byte(w.path(".git/objects")+"\n"), 0o644), os.WriteFile(dir+"/HEAD", head, 0o644)); err != nil {
		w.Fatal(err)
	}
	w.outIn(env, "config", "core.bare", "false")
	w.outIn(env, "config", "core.fileMode", "true")
	stdin := func(text string, args ...string) {
		if err := proc.Run(w.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: env, Dir: w.root, Stdin: strings.NewReader(text)}); err != nil {
			w.Fatal(err)
		}
	}
	stdin(w.out("ls-files", "-s", "-z"), "update-index", "-z", "--index-info")
	for _, line := range strings.Split(strings.TrimSuffix(w.out("ls-files", "-v", "-z"), "\x00"), "\x00") {
		if line != "" && line[0] >= 'a' {
			stdin(line[2:]+"\x00", "update-index", "-z", "--assume-unchanged", "--stdin")
		}
		if line != "" && line[0]|' ' == 's' {
			stdin(line[2:]+"\x00", "update-index", "-z", "--skip-worktree", "--stdin")
		}
	}
	return env
}

// Each trick hides a change from git, in every kind of index. After the session none does.
func TestNothingIsHiddenInAnIndex(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sha1 2", "sha1 4 split", "sha256 2 split"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			format, rest, _ := strings.Cut(kind, " ")
			version, split, _ := strings.Cut(rest, " ")
			for trick, play := range tricks {
				w := repositoryToLookAt(t, format)
				w.git("update-index", "--index-version", version)
				if split != "" {
					w.git("update-index", "--split-index")
				}
				notNow()
				watch := w.begin(true)
				play(w, "d/b")
				if said := w.out("status", "--porcelain") + w.out("diff"); said != "" {
					t.Errorf("%s: nothing is hidden: %s", trick, said)
				}
				found := w.end(watch)
				said, want := w.shown(w.env), w.shown(w.fresh())
				if diff := cmp.Diff(want, said); diff != "" || want == "" {
					t.Errorf("%s: found %q, and git says\n%s", trick, found, diff)
				}
				if silent := slices.Contains([]string{"forged", "staged", "untracked"}, trick); silent != (len(found) == 0) {
					t.Errorf("%s: found %q", trick, found)
				}
				w.git("fsck", "--strict")
			}
		})
	}
}

// Whatever a session does, tricks and ordinary work in any order, git shows afterwards what is there.
func TestLookTellsTheTruth(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	w.git("tag", "start")
	w.write(".git/info/exclude", "# mine\n*.mine\n")
	notNow()
	config, err := os.ReadFile(w.path(".git/config"))
	if err != nil {
		t.Fatal(err)
	}
	try := func(args ...string) { // what does not work in the state that there is does nothing
		_ = proc.Run(t.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: w.env, Dir: w.root})
	}
	ordinary := map[string][]string{
		"add": {"add", "-A"}, "commit": {"commit", "-qam", "x"}, "remove": {"rm", "-qf", "--ignore-unmatch", "f"}, "move": {"mv", "-f", "a", "z"},
		"stash": {"stash", "-q"}, "pop": {"stash", "pop", "-q"}, "branch": {"switch", "-q", "-c", "other"}, "back": {"reset", "-q", "--hard", "start"},
		"unstage": {"reset", "-q"}, "gc": {"gc", "-q"}, "status": {"status"}, "refresh": {"update-index", "--really-refresh", "-q"},
		"version": {"update-index", "--index-version", "4"}, "split": {"update-index", "--split-index"}, "whole": {"update-index", "--no-split-index"},
		"pack": {"pack-refs", "--all"}, "graph": {"commit-graph", "write", "--reachable"}, "intent": {"add", "-N", "."}, "cache": {"config", "core.untrackedCache", "true"},
		"replace": {"replace", "-f", "HEAD", "start"}, "manyfiles": {"config", "feature.manyFiles", "true"}, "untouched": {"checkout", "--", "."},
	}
	names := slices.Sorted(maps.Keys(ordinary))
	for _, name := range slices.Sorted(maps.Keys(tricks)) {
		names = append(names, "trick "+name)
	}
	rapid.Check(t, func(rt *rapid.T) {
		_ = os.Remove(w.path(".git/index"))
		_ = os.Remove(w.path(".git/config.worktree"))
		w.write(".git/config", string(config))
		w.git("update-ref", "--no-deref", "HEAD", "start")
		w.git("reset", "-q", "--hard", "start")
		w.git("clean", "-qfd")
		mine := rapid.SampledFrom(append(lookable, "")).Draw(rt, "hidden by the user")
		if mine != "" {
			w.git("update-index", rapid.SampledFrom([]string{"--assume-unchanged", "--skip-worktree"}).Draw(rt, "how"), mine)
		}
		watch := w.begin(true)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			step := rapid.SampledFrom(names).Draw(rt, "step")
			if trick, ok := strings.CutPrefix(step, "trick "); ok {
				name := rapid.SampledFrom(lookable).Draw(rt, "file")
				if _, err := os.Lstat(w.path(name)); err == nil && w.out("ls-files", name) == name {
					tricks[trick](w, name)
				}
				continue
			}
			try(ordinary[step]...)
		}
		found := w.end(watch)
		for key := range w.bits() {
			if name, _, _ := strings.Cut(key, " "); name != mine {
				rt.Errorf("%s: %v", key, found)
			}
		}
		if diff := cmp.Diff(w.shown(w.fresh()), w.shown(w.env)); diff != "" {
			rt.Errorf("found %q, and git says\n%s", found, diff)
		}
		log := []string{"log", "--format=%H %P %T"}
		truth := append(slices.Clone(w.env), "GIT_NO_REPLACE_OBJECTS=1", "GIT_GRAFT_FILE=/dev/null")
		if diff := cmp.Diff(w.outIn(truth, append([]string{"-c", "core.commitGraph=false"}, log...)...), w.out(log...)); diff != "" {
			rt.Errorf("found %q, and git log says\n%s", found, diff)
		}
		w.git("fsck")
	})
}

// bits returns those that are set in the index.
func (w world) bits() map[string]bool {
	w.Helper()
	set := map[string]bool{}
	for _, line := range strings.Split(w.out("ls-files", "-v"), "\n") {
		if line != "" && line[0] >= 'a' {
			set[line[2:]+" assume-unchanged"] = true
		}
		if line != "" && line[0]|' ' == 's' {
			set[line[2:]+" skip-worktree"] = true
		}
	}
	return set
}

// Of the bits of a user those stay that a session has left, and no others are set.
func TestBitsAreTheUsers(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	rapid.Check(t, func(rt *rapid.T) {
		_ = os.Remove(w.path(".git/index"))
		w.git("reset", "-q", "--hard")
		if rapid.Bool().Draw(rt, "split") {
			w.git("update-index", "--split-index")
		}
		flip := func(on string) {
			bit := rapid.SampledFrom([]string{"assume-unchanged", "skip-worktree"}).Draw(rt, "bit")
			w.git("update-index", on+bit, rapid.SampledFrom(lookable).Draw(rt, "name"))
		}
		for range rapid.IntRange(0, 4).Draw(rt, "the user's") {
			flip("--")
		}
		mine := w.bits()
		watch := w.begin(true)
		for range rapid.IntRange(0, 6).Draw(rt, "the session's") {
			flip(rapid.SampledFrom([]string{"--", "--no-"}).Draw(rt, "on"))
		}
		want := w.bits()
		hides := false
		for key := range want {
			if !mine[key] {
				hides = true
				delete(want, key)
			}
		}
		if found := w.end(watch); hides != (len(found) == 1) || len(found) > 1 {
			rt.Errorf("found %q", found)
		}
		if diff := cmp.Diff(want, w.bits()); diff != "" {
			rt.Error(diff)
		}
		w.git("fsck", "--strict")
	})
}
