package guard

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
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
		text = binary.BigEndian.AppendUint32(text, uint32(when.Unix()))
		text = binary.BigEndian.AppendUint32(text, uint32(when.Nanosecond()))
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
	objects := os.WriteFile(dir+"/objects/info/alternates", []byte(w.path(".git/objects")+"\n"), 0o644)
	head := os.WriteFile(dir+"/HEAD", []byte(w.out("rev-parse", "HEAD")+"\n"), 0o644)
	if err := errors.Join(objects, head); err != nil {
		w.Fatal(err)
	}
	w.outIn(env, "config", "core.bare", "false")
	w.outIn(env, "config", "core.fileMode", "true")
	stdin := func(text string, args ...string) {
		cmd := proc.Cmd{Argv: append([]string{"git"}, args...), Env: env, Dir: w.root, Stdin: strings.NewReader(text)}
		if err := proc.Run(w.Context(), cmd); err != nil {
			w.Fatal(err)
		}
	}
	stdin(w.out("ls-files", "-s", "-z"), "update-index", "-z", "--index-info")
	for _, name := range strings.Split(w.out("diff", "--name-only", "--diff-filter=A", "-z"), "\x00") { // git add -N
		if name != "" {
			w.outIn(env, "rm", "-qf", "--cached", "--ignore-unmatch", name)
			w.outIn(env, "add", "-f", "-N", name)
		}
	}
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
	deep := os.Getenv("CLAUDE_VM_TEST_DEEP") != ""
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
	ordinary := strings.Split(`add -A; commit -qam x; rm -qf --ignore-unmatch f; mv -f a z; stash -q; stash pop -q
		switch -q -c other; reset -q --hard start; reset -q; gc -q; status; update-index --really-refresh -q
		update-index --index-version 4; update-index --split-index; update-index --no-split-index; pack-refs --all; commit-graph write --reachable; add -N .
		config core.untrackedCache true; replace -f HEAD start; config feature.manyFiles true; checkout -- .`, "\n")
	ordinary = strings.Split(strings.Join(ordinary, ";"), ";")
	tries := 0
	rapid.Check(t, func(rt *rapid.T) {
		if tries++; tries > 30 && !deep { // each runs dozens of gits
			return
		}
		_ = os.Remove(w.path(".git/index"))
		_ = os.Remove(w.path(".git/config.worktree"))
		w.write(".git/config", string(config))
		w.git("update-ref", "--no-deref", "HEAD", "start")
		w.git("reset", "-q", "--hard", "start")
		w.git("clean", "-qfd")
		mine := rapid.SampledFrom(append(lookable, "")).Draw(rt, "hidden by the user")
		if mine != "" {
			how := rapid.SampledFrom([]string{"--assume-unchanged", "--skip-worktree"}).Draw(rt, "how")
			w.git("update-index", how, mine)
		}
		watch := w.begin(true)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "trick") {
				trick := rapid.SampledFrom(slices.Sorted(maps.Keys(tricks))).Draw(rt, "which")
				name := rapid.SampledFrom(lookable).Draw(rt, "file")
				if _, err := os.Lstat(w.path(name)); err == nil && w.out("ls-files", name) == name {
					tricks[trick](w, name)
				}
				continue
			}
			try(strings.Fields(rapid.SampledFrom(ordinary).Draw(rt, "step"))...)
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
		want := w.outIn(truth, append([]string{"-c", "core.commitGraph=false"}, log...)...)
		if diff := cmp.Diff(want, w.out(log...)); diff != "" {
			rt.Errorf("found %q, and git log says\n%s", found, diff)
		}
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

// What git shows of the history is the history, and what was to show another one is named. What the
// user has replaced stays.
func TestHistoryIsShown(t *testing.T) {
	t.Parallel()
	for _, pack := range []bool{false, true} {
		w := repositoryToLookAt(t, "sha1")
		w.git("tag", "-a", "-m", "x", "v1")
		w.git("replace", "HEAD^", "v1^{commit}") // the user's own
		w.git("pack-refs", "--all")
		mine := w.out("replace", "--format=medium")
		w.git("commit", "-q", "--allow-empty", "-m", "evil")
		w.git("config", "gc.writeCommitGraph", "true")
		before := w.out("log", "--format=%H %s")
		watch := w.begin(true)
		w.git("pack-refs", "--all") // ordinary
		w.git("replace", "HEAD", "HEAD~1")
		w.write(".git/refs/replace/deep/"+w.out("rev-parse", "HEAD:a"), w.out("rev-parse", "HEAD")+"\n")
		if pack {
			w.git("pack-refs", "--all")
			w.git("replace", "-f", "HEAD~2", "HEAD~1")
		}
		w.write(".git/info/grafts", w.out("rev-parse", "HEAD"))
		w.git("commit-graph", "write", "--reachable", "--split")
		found := w.end(watch)
		named := strings.Join(found, "\n")
		const want = ".git/info/grafts: added\n.git/refs/replace: git showed other objects in the place of "
		if len(found) != 2 || !strings.HasPrefix(named, want) {
			t.Errorf("found %q", found)
		}
		if after := w.out("log", "--format=%H %s"); after != before {
			t.Errorf("git log: %s, want %s", after, before)
		}
		if after := w.out("replace", "--format=medium"); after != mine {
			t.Errorf("the user's replacement: %q, want %q", after, mine)
		}
		if said := w.out("tag", "--list", "--format=%(*objectname)"); said == "" {
			t.Error("what the tag is of is lost")
		}
		if w.graphOf(".git") != "" {
			t.Error("the commit graph of the session is there")
		}
		w.git("fsck")
	}
}

func (w world) graphOf(dir string) string {
	w.Helper()
	root, err := os.OpenRoot(w.root)
	if err != nil {
		w.Fatal(err)
	}
	defer root.Close()
	return (&scanner{root: root}).graph(dir)
}

// A commit graph that a session has not touched stays.
func TestGraphOfTheUser(t *testing.T) {
	t.Parallel()
	for _, split := range []string{"--append", "--split"} {
		w := repositoryToLookAt(t, "sha1")
		w.git("commit-graph", "write", "--reachable", split)
		before := w.graphOf(".git")
		watch := w.begin(true)
		w.git("commit", "-q", "--allow-empty", "-m", "three")
		if found := w.end(watch); len(found) > 0 || before == "" || w.graphOf(".git") != before {
			t.Errorf("%s: found %q", split, found)
		}
	}
}

// With more replaced objects than anybody looks at, none is left.
func TestManyReplacements(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	watch := w.begin(true)
	head := w.out("rev-parse", "HEAD")
	for i := range maxList + 10 {
		w.write(fmt.Sprintf(".git/refs/replace/%040x", i+1), head+"\n")
	}
	report, err := watch.End(t.Context())
	if err != nil || len(report.Findings) != 1 {
		t.Errorf("%v: %+v", err, report.Findings)
	}
	if out := w.out("replace", "--list"); out != "" {
		t.Error("some are left")
	}
}

// onlyNamed sees that one thing was found, and not undone.
func (w world) onlyNamed(report Report, err error, name, what string) {
	w.Helper()
	f := report.Findings
	if err != nil || len(f) != 1 || f[0].Path != w.path(name) || f[0].What != what || f[0].Err == nil {
		w.Errorf("%+v, %v", f, err)
	}
}

// A repository that was whole does not become a shallow one unnoticed.
func TestShallow(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	w.git("clone", "-q", "--depth", "1", "file://"+w.root, "cut")
	watch := w.begin(true)
	w.write(".git/shallow", w.out("rev-parse", "HEAD")+"\n")
	w.git("-C", "cut", "fetch", "-q", "--deepen", "1")
	w.git("clone", "-q", "--depth", "1", "file://"+w.root, "new")
	w.git("-C", "new", "remote", "remove", "origin")
	report, err := watch.End(t.Context())
	w.onlyNamed(report, err, ".git/shallow", "added: git shows no history before some commits")
}

// What a file excludes stays as it was. A comment, or another order of the same file's blank lines,
// is nobody's danger.
func TestExcludes(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	const mine = "# mine\n*.o\n!keep.o\n"
	for after, put := range map[string]bool{
		mine: false, "*.o\n!keep.o\n": false, "# x\n\n*.o\n# y\n!keep.o\n": false,
		mine + "evil\n": true, "*.o\n": true, "": true, "!keep.o\n*.o\n": true, mine + "  evil": true,
	} {
		w.write(".git/info/exclude", mine)
		watch := w.begin(true)
		w.write(".git/info/exclude", after)
		found := w.end(watch)
		if put != slices.Equal(found, []string{".git/info/exclude: changed"}) || !put && len(found) > 0 {
			t.Errorf("%q: found %q", after, found)
		}
		if text, _ := os.ReadFile(w.path(".git/info/exclude")); put && string(text) != mine {
			t.Errorf("%q: left %q", after, text)
		}
	}
	w.write(".git/info/exclude", "# only\n")
	watch := w.begin(true)
	if err := os.RemoveAll(w.path(".git/info")); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "inner")
	w.git("init", "-q", "evil")
	w.write("evil/.git/info/exclude", "*\n")
	if found := w.end(watch); !slices.Equal(found, []string{"evil/.git/info/exclude: added"}) {
		t.Errorf("found %q", found)
	}
}

// What decides how a repository looks is put back, also what git sets itself in a new one; there it
// stays. Whether there are colours is everybody's own affair.
func TestKeysOfTheLook(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	w.git("init", "-q", "known")
	keys := strings.Fields(`color.diff.new color.status.untracked color.diff core.autocrlf core.bigfilethreshold
		core.checkstat core.eol core.filemode core.ignorecase core.precomposeunicode core.symlinks core.trustctime
		diff.colormoved diff.context diff.ignoresubmodules diff.relative log.date log.decorate log.excludedecoration
		log.follow status.renames status.showuntrackedfiles status.submodulesummary submodule.x.ignore`)
	for _, dir := range []string{".", "known"} {
		watch := w.begin(true)
		var want []string
		for _, key := range keys {
			w.git("-C", dir, "config", key, "black")
			want = append(want, filepath.Join(dir, ".git/config")+": "+key)
		}
		settings := "color.ui never; color.status false; core.quotepath off; status.aheadbehind false"
		for setting := range strings.SplitSeq(settings, ";") {
			w.git(append([]string{"-C", dir, "config"}, strings.Fields(setting)...)...)
		}
		found := w.end(watch)
		slices.Sort(found)
		slices.Sort(want)
		if diff := cmp.Diff(want, found); diff != "" {
			t.Error(diff)
		}
	}
	watch := w.begin(true)
	w.git("init", "-q", "new")
	for _, key := range ofFileSystem {
		w.git("-C", "new", "config", key, "true")
	}
	w.write("new/.git/config.worktree", "[core]\n\tfileMode = false\n")
	if found := w.end(watch); !slices.Equal(found, []string{"new/.git/config.worktree: core.filemode"}) {
		t.Errorf("found %q", found)
	}
}

// Where a user's git does not mind when an inode was changed, no entry is believed, whatever the
// session left of the index.
func TestUsersWhoDoNotTrustTheTime(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"core.trustctime=false", "core.checkStat=minimal"} {
		for _, global := range []bool{false, true} {
			w := repositoryToLookAt(t, "sha1")
			name, value, _ := strings.Cut(key, "=")
			site := Site{Root: w.root, Main: w.root}
			if w.git("config", "--local", name, value); global {
				w.git("config", "--local", "--unset", name)
				w.git("config", "--global", name, value)
				site.Settings = []Setting{{Key: name, Value: value}}
			}
			notNow()
			w.git("status")
			w.forge(nil, nil)
			watch, _, err := w.store.Begin(t.Context(), site, true)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Lstat(w.path("a"))
			w.write("a", "evil a\n")
			if err := errors.Join(err, os.Chtimes(w.path("a"), info.ModTime(), info.ModTime())); err != nil {
				t.Fatal(err)
			}
			if said := w.out("status", "--porcelain"); said != "" {
				t.Errorf("%s: nothing is hidden: %s", key, said)
			}
			found := w.end(watch)
			if said := w.out("status", "--porcelain"); said != " M a" || len(found) > 0 {
				t.Errorf("%s: found %q, and git says %q", key, found, said)
			}
		}
	}
}

// A session that changes a file in the second in which git read it has the file compared.
func TestSessionWithinTheSecond(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	earlier := time.Now().Add(-time.Hour)
	for range 20 { // until all of it happens within a second
		w.write("a", "good a\n")
		notNow()
		second := time.Now().Unix()
		_ = os.Chtimes(w.path("a"), earlier, earlier)
		w.git("update-index", "--refresh")
		watch := w.begin(true)
		w.write("a", "evil a\n")
		_ = os.Chtimes(w.path("a"), earlier, earlier)
		hidden := w.out("status", "--porcelain") == "" && time.Now().Unix() == second
		w.end(watch)
		if said := w.out("status", "--porcelain"); said != " M a" {
			t.Fatalf("git says %q", said)
		}
		if hidden {
			return
		}
	}
	t.Skip("this machine is too slow to do all of it within a second")
}

// Folders that a session hides as a whole in a sparse index are named.
func TestHiddenFolders(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	watch := w.begin(true)
	w.git("sparse-checkout", "set", "--cone", "--sparse-index", "none")
	w.git("config", "--worktree", "--unset", "core.sparseCheckout")
	report, err := watch.End(t.Context())
	w.onlyNamed(report, err, ".git/index", `git does not show changes in "d/"`)
	w.git("sparse-checkout", "disable") // as the message says
	if bits := w.bits(); len(bits) > 0 {
		t.Error(bits)
	}
}

// What a user's file system monitor was told to have seen is not believed.
func TestMonitorOfTheUser(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	monitor := w.path("../monitor") // it sees everything, but for who was told that it is all known
	w.write("../monitor", "#!/bin/sh\nif test \"$2\" = evil; then printf 'evil\\0'; else printf 'good\\0/\\0'; fi\n")
	if err := os.Chmod(monitor, 0o755); err != nil {
		t.Fatal(err)
	}
	w.git("config", "core.fsmonitor", monitor)
	w.git("config", "core.fsmonitorHookVersion", "2")
	w.git("status")
	notNow()
	watch := w.begin(true)
	w.write("../guest", "#!/bin/sh\nprintf 'evil\\0'\n")
	if err := os.Chmod(w.path("../guest"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.git("-c", "core.fsmonitor="+w.path("../guest"), "update-index", "--fsmonitor")
	w.git("-c", "core.fsmonitor="+w.path("../guest"), "update-index", "--fsmonitor-valid", "a")
	w.write("a", "evil, and longer\n")
	if said := w.out("status", "--porcelain"); said != "" {
		t.Errorf("nothing is hidden: %s", said)
	}
	found := w.end(watch)
	if said := w.out("status", "--porcelain"); said != " M a" || len(found) > 0 {
		t.Errorf("found %q, and git says %q", found, said)
	}
}

// What nobody can read is named, and nothing is changed.
func TestIndexOutOfReach(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "cut off": "DIRC\x00\x00\x00\x02\xff\xff\xff\xff",
		"other": "DIRC" + strings.Repeat("x", 100), "huge": "huge",
	} {
		w := repositoryToLookAt(t, "sha1")
		watch := w.begin(true)
		w.write(".git/index", text)
		if name == "huge" {
			if err := os.Truncate(w.path(".git/index"), 1<<40); err != nil {
				t.Fatal(err)
			}
		}
		report, err := watch.End(t.Context())
		w.onlyNamed(report, err, ".git/index", "git may not show changes")
	}
}

// Where an index was not kept, what it hides is named and not undone: it may be the user's.
func TestIndexThatWasNotKept(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	w.git("update-index", "--skip-worktree", "a")
	watch := w.begin(true)
	if err := os.RemoveAll(watch.notes.copies); err != nil {
		t.Fatal(err)
	}
	w.git("add", "-A")
	w.git("update-index", "--assume-unchanged", "f")
	report, err := watch.End(t.Context())
	w.onlyNamed(report, err, ".git/index", `git does not show changes of "a", "f"`)
	if bits := w.bits(); !bits["a skip-worktree"] {
		t.Error(bits)
	}
}

// The lock of a git that ended with its VM does not protect what the session has hidden.
func TestIndexWithALock(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	watch := w.begin(true)
	w.git("update-index", "--skip-worktree", "a")
	w.git("replace", "HEAD", "HEAD~1")
	w.git("pack-refs", "--all")
	w.write(".git/index.lock", "")
	w.write(".git/packed-refs.lock", "")
	if found := w.end(watch); len(found) != 2 || len(w.bits()) > 0 || w.out("replace") != "" {
		t.Errorf("found %q", found)
	}
	if _, err := os.Lstat(w.path(".git/index.lock")); err != nil {
		t.Error(err)
	}
}

// What is only told of stays.
func TestTellingOnlyOfTheLook(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	watch := w.begin(false)
	w.git("update-index", "--skip-worktree", "a")
	w.git("replace", "HEAD", "HEAD~1")
	before, err := os.ReadFile(w.path(".git/index"))
	if err != nil {
		t.Fatal(err)
	}
	found := w.end(watch)
	after, err := os.ReadFile(w.path(".git/index"))
	if err != nil || !bytes.Equal(before, after) || len(found) != 2 || w.out("replace") == "" {
		t.Errorf("found %q, %v", found, err)
	}
}

// The copies beside the notes go with them, whoever ends these; and of sessions at once each knows
// how the index was before all of them.
func TestCopiesOfIndexes(t *testing.T) {
	t.Parallel()
	w := repositoryToLookAt(t, "sha1")
	w.git("update-index", "--assume-unchanged", "a")
	notNow()
	first := w.begin(true)
	w.git("update-index", "--skip-worktree", "f")
	second := w.begin(true)
	third := w.begin(true)
	mine := w.bits()
	delete(mine, "f skip-worktree")
	if found := w.end(first); len(found) != 1 || !cmp.Equal(w.bits(), mine) {
		t.Errorf("found %q, and left %v", found, w.bits())
	}
	w.git("update-index", "--skip-worktree", "z")
	second.lock.Unlock() // it is killed
	reports, err := w.store.Recover(t.Context())
	if err != nil || len(reports) != 1 || len(reports[0].Findings) != 1 || !cmp.Equal(w.bits(), mine) {
		t.Errorf("%+v, %v, and left %v", reports, err, w.bits())
	}
	if found := w.end(third); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	if err := os.MkdirAll(w.store.copies("dead"), 0o700); err != nil { // of who was killed before there were notes
		t.Fatal(err)
	}
	if _, err := w.store.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(w.store.Dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// Whatever a user has set up, ordinary work in a session finds nothing to say, and git status is
// right afterwards. The user's bits stay, but for what git itself does to them.
func TestOrdinaryWorkWithTheIndex(t *testing.T) {
	t.Parallel()
	sessions := strings.Split(`git status
		echo x >a; echo y >new; git add -A
		git commit -q -m x; git commit -q --amend -m y
		echo z >f; git stash -q; git stash pop -q; git reset -q --hard
		git switch -q -c topic; echo t >d/b; git commit -qam t; git switch -q main; git merge -q --no-ff -m m topic
		git update-index --refresh; touch a; git update-index --really-refresh
		git gc -q; git maintenance run --task=gc --task=commit-graph --task=incremental-repack
		git rm -q --sparse d/e/c; git checkout -q HEAD -- d/e/c
		rm z; git checkout -- .; git checkout -q HEAD~1; git checkout -q main
		git update-index --index-version 2; git update-index --no-untracked-cache; git update-index --no-split-index
		git worktree add -q ../wt; cd ../wt; echo x >a; git commit -qam wt
		git rebase -q --force-rebase HEAD~1; git cherry-pick --allow-empty topic >/dev/null
		git add -N .; git read-tree HEAD; git reset -q
		rm .git/index; git reset -q`, "\n")
	for name, setup := range map[string]string{
		"plain":        `true`,
		"split":        `git config core.splitIndex true; git update-index --split-index`,
		"version 4":    `git config feature.manyFiles true; git update-index --index-version 4`,
		"untracked":    `git config core.untrackedCache true; git status`,
		"bits":         `git update-index --skip-worktree d/b; git update-index --assume-unchanged z; echo mine >z`,
		"cone":         `git sparse-checkout set --cone d/e`,
		"sparse index": `git sparse-checkout set --cone --sparse-index d/e`,
		"monitor":      `printf '%s\n' '#!/bin/sh' 'printf "t\0/\0"' >../m; chmod +x ../m; git config core.fsmonitor ../m`,
		"ctime":        `git config core.trustctime false; git config core.checkStat minimal`,
		"excludes":     `printf '*.log\nnew2\n' >.git/info/exclude; echo x >new2`,
		"replaced":     `git replace HEAD~1 HEAD; git pack-refs --all; git commit-graph write --reachable --split`,
		"worktrees":    `git config extensions.worktreeConfig true; git worktree add -q ../mine`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := repositoryToLookAt(t, "sha1")
			w.TB = t
			run := func(script string) {
				cmd := proc.Cmd{Argv: []string{"sh", "-c", script}, Env: append(w.env, "GIT_EDITOR=true"), Dir: w.root}
				if err := proc.Run(t.Context(), cmd); err != nil {
					t.Log(err) // as where a sparse checkout has no such file
				}
			}
			run(setup)
			for _, session := range sessions {
				watch := w.begin(true)
				run(session)
				bits := w.bits()
				if found := w.end(watch); len(found) > 0 {
					t.Errorf("%s: found %q", session, found)
				}
				if diff := cmp.Diff(bits, w.bits()); diff != "" {
					t.Errorf("%s: %s", session, diff)
				}
				want := w.outIn(w.fresh(), "-c", "core.excludesFile=.git/info/exclude", "status", "--porcelain")
				if diff := cmp.Diff(want, w.out("status", "--porcelain")); diff != "" {
					t.Errorf("%s: git status: %s", session, diff)
				}
				w.git("fsck")
			}
		})
	}
}
