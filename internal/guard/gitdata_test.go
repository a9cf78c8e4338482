package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/proc"
)

// fatal are names in a git directory from which git or a tool takes something that it runs or
// obeys. It does not depend on how layout.go decides.
var fatal = strings.Fields(`config config.worktree commondir gitdir hooks/pre-commit hooks/_/husky.sh hooks/pre-commit.d/x info/attributes
	objects/info/alternates objects/info/http-alternates remotes/origin branches/origin rebase-merge/git-rebase-todo rebase-merge/strategy
	rebase-apply/strategy sequencer/opts lazygit.yml sl/config GitExtensions.settings branchless/config gitweb/gitweb_config.perl
	gitweb/httpd.conf svn/.caches/lookup_svn_merge.yaml sourcetreeconfig gitk.cache foo/bar Config HOOKS/pre-commit lfs/config lfs/hooks/x
	info/x config~ .config.swp worktrees/config modules/config gk/run opencode/config annex/creds/x magit/posts/x from-session-x/y
	gitflow_config .graphite_repo_config tig/rc lazygit.yml.lock HEAD.bak`)

// written are names that git, or an editor that it opens, writes: from its documentation
// (gitrepository-layout, and the pages of the commands) and its sources.
var written = strings.Fields(`objects/00/x objects/pack/pack-1.pack objects/info/commit-graphs/commit-graph-chain objects/maintenance.lock
	refs/heads/a/b refs/notes/commits refs/stash logs/HEAD logs/refs/heads/x index index.lock index.stash.12 next-index-7.lock sharedindex.0a
	packed-refs packed-refs.new packed-refs.lock HEAD.lock config.lock ORIG_HEAD FETCH_HEAD MERGE_HEAD CHERRY_PICK_HEAD REVERT_HEAD REBASE_HEAD
	BISECT_HEAD BISECT_LOG BISECT_START BISECT_NAMES BISECT_TERMS BISECT_EXPECTED_REV BISECT_ANCESTORS_OK BISECT_RUN MERGE_MSG MERGE_MODE MERGE_RR
	MERGE_AUTOSTASH AUTO_MERGE SQUASH_MSG COMMIT_EDITMSG TAG_EDITMSG NOTES_EDITMSG NOTES_MERGE_REF NOTES_MERGE_PARTIAL NOTES_MERGE_WORKTREE/x
	EDIT_DESCRIPTION ADD_EDIT.patch addp-hunk-edit.diff GITGUI_MSG GITGUI_BCK GITGUI_EDITMSG rebase-merge/author-script rebase-merge/done
	rebase-apply/0001 sequencer/todo sequencer/abort-safety shallow shallow.lock shallow_aB3dE6 rr-cache/ab/preimage reftable/tables.list
	info/refs info/sparse-checkout info/sparse-checkout.lock gc.pid gc.log gc.log.lock description locked hooks/pre-commit.sample
	fsmonitor--daemon/cookies/1 lost-found/other/x lfs/objects/ab/cd/abcd lfs/tmp/x lfs/incomplete/x annex/objects/x/y/z fast_import_crash_12
	.gitsendemail.msg.aBcDeF svn/refs/remotes/x/index svn/.metadata .COMMIT_EDITMSG.swp .COMMIT_EDITMSG.swo COMMIT_EDITMSG~ #COMMIT_EDITMSG#
	.COMMIT_EDITMSG.un~ .MERGE_MSG.swp COMMIT_EDITMSG.bak subtree-cache/1/x`)

func TestLayout(t *testing.T) {
	t.Parallel()
	for _, name := range fatal {
		if free(name) {
			t.Errorf("a session may do with %s what it likes", name)
		}
	}
	for _, name := range written {
		if !free(name) {
			t.Errorf("what git writes to %s is put back", name)
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if strangeFolder(dir) {
				t.Errorf("what git writes to %s is not looked at", name)
			}
		}
	}
}

// files returns all files below a folder, with their permissions and what is in them.
func (w world) files(dir string) map[string]string {
	files := map[string]string{}
	_ = filepath.WalkDir(w.path(dir), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		rel, _ := filepath.Rel(w.path(dir), name)
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, _ := os.Readlink(name)
		if info.Mode().IsRegular() {
			content, _ := os.ReadFile(name)
			text = string(content)
		}
		files[rel] = info.Mode().String() + " " + text
		return nil
	})
	return files
}

// Whatever a session plants in whichever git directory: git writes that name itself, or it is as
// before, and what was planted is kept where no tool looks.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("init", "-q", "inner")
	w.git("init", "-q", "--bare", "bare.git")
	w.git("worktree", "add", "-q", "wt")
	w.git("init", "-q", "--bare", ".git/modules/lib")
	w.git("init", "-q", "--bare", ".git/mine/backup")
	w.write(".git/branchless/config", "[a]\nb = c\n")
	w.write("inner/.git/lazygit.yml", "mine")
	dirs := []string{".git", "inner/.git", "bare.git", ".git/worktrees/wt", ".git/modules/lib", ".git/mine/backup"}
	part := rapid.SampledFrom([]string{"lazygit.yml", "sl", "config", "branchless", "GitExtensions.settings", "info", "lfs", "x y", "\xff", "%41", "é", ".", "-",
		"hooks.d", "COMMIT_EDITMSG", "ORIG_HEAD", "config.lock", "Config", "svn", ".caches", "gk", "opencode", "modules", "worktrees", "objects", "refs", "a\nb"})
	rapid.Check(t, func(t *rapid.T) {
		before := map[string]map[string]string{}
		for _, dir := range dirs {
			before[dir] = w.files(dir)
		}
		watch := w.begin(true)
		planted := 0
		for range rapid.IntRange(1, 4).Draw(t, "count") {
			name := path.Join(rapid.SampledFrom(dirs).Draw(t, "dir"), path.Join(rapid.SliceOfN(part, 1, 3).Draw(t, "name")...))
			if os.MkdirAll(filepath.Dir(w.path(name)), 0o755) != nil || slices.Contains(dirs, name) {
				continue
			}
			if info, err := os.Lstat(w.path(name)); err == nil && info.IsDir() {
				continue
			}
			_ = os.Remove(w.path(name))
			switch planted++; rapid.SampledFrom([]string{"file", "program", "link", "pipe", "config"}).Draw(t, "kind") {
			case "file":
				_ = os.WriteFile(w.path(name), []byte("evil"), 0o600)
			case "program":
				_ = os.WriteFile(w.path(name), []byte("#!/bin/sh\nevil"), 0o700)
			case "link":
				_ = os.Symlink("/etc/passwd", w.path(name))
			case "pipe":
				_ = unix.Mkfifo(w.path(name), 0o600)
			case "config":
				_ = os.WriteFile(w.path(name), []byte("[core]\nfsmonitor = evil\n"), 0o600)
			}
		}
		report, err := watch.End(w.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Err != nil {
				t.Fatal(f)
			}
		}
		for _, dir := range dirs {
			after := w.files(dir)
			for _, name := range slices.Concat(slices.Collect(maps.Keys(after)), slices.Collect(maps.Keys(before[dir]))) {
				inner := name
				for _, other := range dirs { // the innermost is the last
					if rel, err := filepath.Rel(other, path.Join(dir, name)); err == nil && filepath.IsLocal(rel) {
						inner = rel
					}
				}
				for parts := strings.SplitN(inner, "/", 3); len(parts) == 3 && parts[0] == "worktrees"; parts = strings.SplitN(inner, "/", 3) {
					inner = parts[2] // a folder in there is a git directory
				}
				is, there := after[name]
				config := inner == "config" || inner == gitKraken || strings.HasPrefix(inner, "modules/") && path.Base(inner) == "config"
				if config && strings.Contains(is, "fsmonitor") {
					t.Fatalf("%s/%s is %q", dir, name, is)
				}
				aWord := inner == openCode && strings.HasSuffix(is, " evil") // as that program writes it
				if strings.Contains("/"+name, "/"+asideName) || config || aWord || free(inner) && (!there || is[0] == '-') {
					delete(after, name)
					delete(before[dir], name)
				}
			}
			if diff := cmp.Diff(before[dir], after); diff != "" {
				t.Fatalf("found %+v, and left in %s\n%s", report.Findings, dir, diff)
			}
			kept, _ := filepath.Glob(filepath.Join(w.path(dir), asideName+"*"))
			for _, folder := range kept { // or each session would take longer than the one before it
				_ = os.RemoveAll(folder)
			}
		}
	})
}

// What a session has put into a git directory is kept where nobody looks for it, and is no
// repository.
func TestWhatWasPlantedIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := w.begin(true)
	w.write(".git/hooks/pre-commit", "work")
	w.write(".git/sl/config", "work")
	w.git("init", "-q", ".git/zz")
	want := []string{".git/hooks/pre-commit: added", ".git/sl/config: added", ".git/zz: added"}
	if diff := cmp.Diff(want, w.end(watch)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"hooks/pre-commit", "sl/config", "zz/.git.kept/HEAD.kept"} {
		if kept, _ := filepath.Glob(w.path(".git/" + asideName + "*/" + name)); len(kept) != 1 {
			t.Errorf("%s is kept as %q", name, kept)
		}
	}
	watch = w.begin(true)
	if found := w.end(watch); len(found) > 0 {
		t.Errorf("the next session finds %q", found)
	}
}

// A file of git's data that a configuration includes is a configuration.
func TestIncludedInGitData(t *testing.T) {
	w := newWorld(t)
	w.git("config", "include.path", "branchless/config")
	w.git("config", "includeIf.gitdir:/nowhere.path", "not-there")
	w.write(".git/branchless/config", "[include]\npath = ../chain\n[branchless \"core\"]\nmainBranch = main\n")
	w.write(".git/chain", "[alias]\nst = status\n")
	w.write(".git/users", "[alias]\nst = status\n")
	users := Setting{File: w.path("../.gitconfig"), Key: "include.path", Value: w.path(".git/users")}
	watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Settings: []Setting{users}}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.walked
	for _, name := range []string{".git/branchless/config", ".git/chain", ".git/users", ".git/not-there"} {
		text, _ := os.ReadFile(w.path(name))
		w.write(name, string(text)+"[core]\nfsmonitor = evil\nabbrev = 12\n")
	}
	want := []string{".git/branchless/config: core.fsmonitor", ".git/chain: core.fsmonitor", ".git/not-there: core.fsmonitor", ".git/users: core.fsmonitor"}
	if diff := cmp.Diff(want, w.end(watch)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{".git/branchless/config", ".git/chain", ".git/users", ".git/not-there"} {
		if text, _ := os.ReadFile(w.path(name)); strings.Contains(string(text), "evil") || !strings.Contains(string(text), "12") {
			t.Errorf("%s is %q", name, text)
		}
	}
}

// A relative path of the user's configuration means the folder that it meant, however a session
// leads git elsewhere.
func TestPathsMeanWhatTheyMeant(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(w world){
		"core.worktree":             func(w world) { w.git("config", "core.worktree", "../docs") },
		"a .git file":               func(w world) { w.write("docs/.git", "gitdir: ../.git\n") },
		"a .git file to a worktree": func(w world) { w.write("docs/.git", "gitdir: ../.git/worktrees/wt\n") },
		"of a worktree":             func(w world) { w.git("-C", "wt", "config", "--worktree", "core.worktree", w.path("docs")) },
		"half of a submodule":       func(w world) { w.git("--git-dir=.git/modules/lib", "config", "core.worktree", "../../../docs") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.TB = t
			w.write("docs/x", "")
			w.git("config", "extensions.worktreeConfig", "true")
			w.git("worktree", "add", "-q", "wt")
			w.git("init", "-q", "--bare", ".git/modules/lib")
			before := w.snapshot()
			watch := w.begin(true)
			plant(w)
			if found := w.end(watch); len(found) != 1 {
				t.Errorf("found %q", found)
			}
			if diff := cmp.Diff(essence(before), essence(w.snapshot())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// remotes are the values of keys that name remotes, and name none that has an address.
func lost(text []byte) (keys []string) {
	entries, _ := parseConfig(text)
	for _, e := range entries {
		if slices.Contains([]string{"branch.*.remote", "branch.*.pushremote", "remote.pushdefault"}, e.pattern()) && !address.MatchString(e.value) && e.value != "." && e.value != "" {
			if !slices.ContainsFunc(entries, func(u entry) bool { return u.key() == "remote."+e.value+".url" && u.value != "" }) {
				keys = append(keys, e.key()+"="+e.value)
			}
		}
	}
	return keys
}

// However many sessions there are, whatever each does: they add up to nothing that a single one
// could not do.
func TestSessionsAddUpToNothing(t *testing.T) {
	t.Parallel()
	name := rapid.SampledFrom([]string{"origin", "hg::sub/evil", "./sub", "/srv/x", "x"})
	url := rapid.SampledFrom([]string{"https://example.org/x", "../x", "ext::sh", "", "git@host:y"})
	line := rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 4).Draw(t, "what") {
		case 0:
			return fmt.Sprintf("[remote \"%s\"]\nurl = %s\n", name.Draw(t, "name"), url.Draw(t, "url"))
		case 1:
			return fmt.Sprintf("[branch \"main\"]\nremote = %s\n", name.Draw(t, "name"))
		case 2:
			return fmt.Sprintf("[branch \"main\"]\npushRemote = %s\n", name.Draw(t, "name"))
		case 3:
			return fmt.Sprintf("[remote]\npushDefault = %s\n", name.Draw(t, "name"))
		}
		return "[core]\npager = evil\n"
	})
	text := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(line, 0, 5).Draw(t, "lines"), "") })
	rapid.Check(t, func(t *rapid.T) {
		first := []byte(text.Draw(t, "first"))
		now := first
		for range rapid.IntRange(1, 4).Draw(t, "sessions") {
			after := []byte(text.Draw(t, "after"))
			merged, keys, err := mergeConfig(now, after, judge("/p/.git", []string{"/p"}, now, after))
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) == 0 {
				merged = after
			}
			now, _ = settle(now, merged)
		}
		for _, key := range lost(now) {
			if !slices.Contains(lost(first), key) {
				t.Fatalf("%s is left in\n%s", key, now)
			}
		}
	})
}

// Who may write to git's data and to the project is who could before.
func TestWhoMayWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("sub/.git/HEAD", "ref: refs/heads/main\n")
	w.write("sub/.git/objects/x", "")
	w.write("sub/.git/refs/x", "")
	w.write("anybody", "")
	places := map[string]fs.FileMode{".": 0o755, ".git": 0o755, ".git/hooks": 0o755, ".git/refs/heads": 0o755, ".git/HEAD": 0o644, "sub/.git": 0o750, "anybody": 0o666}
	for name, mode := range places {
		if err := os.Chmod(w.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	watch := w.begin(true)
	for name := range places {
		if err := os.Chmod(w.path(name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	w.write("new", "")
	if err := os.Chmod(w.path("new"), 0o666); err != nil {
		t.Fatal(err)
	}
	report, err := watch.End(t.Context())
	found := w.lines(report)
	slices.Sort(found)
	want := []string{
		".: others may write to it", ".git/hooks: others may write to it", ".git: others may write to 2 of the files and folders in it",
		".git: others may write to it", "sub/.git: others may write to it",
	}
	if diff := cmp.Diff(want, found); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if diff := cmp.Diff([]string{w.path("new")}, report.Open); diff != "" {
		t.Error(diff)
	}
	for name, was := range places {
		info, err := os.Stat(w.path(name))
		if err != nil || name != "anybody" && info.Mode()&others&^was != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// Nobody gets rights by an access control list either.
func TestAccessControlLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Version 2; the owner rwx, the user 12345 rwx, the group r-x, the mask rwx, all others r-x.
	const list = "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x02\x00\x07\x00\x39\x30\x00\x00\x04\x00\x05\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x05\x00\xff\xff\xff\xff"
	mine := w.path(".git/hooks")
	if err := unix.Setxattr(mine, "system.posix_acl_default", []byte(list), 0); err != nil {
		t.Skip(err)
	}
	watch := w.begin(true)
	for _, name := range []string{".", ".git", ".git/hooks"} {
		if err := unix.Setxattr(w.path(name), "system.posix_acl_access", []byte(list), 0); err != nil {
			t.Fatal(err)
		}
	}
	found := strings.Join(w.end(watch), "\n")
	for _, name := range []string{".", ".git", ".git/hooks"} {
		if size, err := unix.Getxattr(w.path(name), "system.posix_acl_access", nil); err == nil || !strings.Contains("\n"+found, "\n"+name+": others may do more") {
			t.Errorf("%s: a list of %d bytes; found %q", name, size, found)
		}
		if info, err := os.Stat(w.path(name)); err != nil || info.Mode()&others != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if size, err := unix.Getxattr(mine, "system.posix_acl_default", nil); err != nil || size == 0 {
		t.Errorf("the user's own list: %v", err)
	}
}

// However many repositories, or what looks like some, a session makes: none of them runs anything.
func TestDecoys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("known/.git/HEAD", "ref: refs/heads/main\n")
	watch := w.begin(true)
	for i := range maxDirs + 10 {
		if err := errors.Join(os.MkdirAll(w.path(fmt.Sprintf("a/%d/.git", i)), 0o755), os.MkdirAll(w.path(fmt.Sprintf("a/%d/b/.git/hooks", i)), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	w.git("init", "-q", "src")
	w.git("-C", "src", "config", "core.fsmonitor", "evil")
	w.write("known/.git/hooks/post-commit", "evil")
	w.write("z/deep/.git/hooks/post-commit", "evil")
	found := w.end(watch)
	for _, want := range []string{"src/.git/config: core.fsmonitor", "known/.git/hooks/post-commit: added"} {
		if !slices.Contains(found, want) {
			t.Errorf("not found: %s", want)
		}
	}
	for _, name := range []string{"known/.git/hooks/post-commit", "z/deep/.git/hooks/post-commit"} {
		if _, err := os.Lstat(w.path(name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	w.git("-C", "src", "status")
}

// A .git file is put back whatever came in its place.
func TestGitFileThatBecameSomethingElse(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(w world) error{
		"folder":     func(w world) error { w.git("init", "-q", "wt"); return nil },
		"link":       func(w world) error { return os.Symlink("../.git", w.path("wt/.git")) },
		"empty":      func(w world) error { return os.Mkdir(w.path("wt/.git"), 0o755) },
		"other file": func(w world) error { return os.WriteFile(w.path("wt/.git"), []byte("gitdir: ../.git\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.TB = t
			w.git("worktree", "add", "-q", "wt")
			was, _ := os.ReadFile(w.path("wt/.git"))
			watch := w.begin(true)
			if err := errors.Join(os.Remove(w.path("wt/.git")), plant(w)); err != nil {
				t.Fatal(err)
			}
			if found := w.end(watch); len(found) != 1 || found[0] != "wt/.git: changed" {
				t.Errorf("found %q", found)
			}
			if is, err := os.ReadFile(w.path("wt/.git")); string(is) != string(was) {
				t.Errorf("it is %q, %v", is, err)
			}
		})
	}
}

// What has come in the place of a folder that was shared is not touched.
func TestExchangedFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("init", "-q", "../precious")
	w.write("../precious/.git/hooks/post-commit", "mine")
	watch := w.begin(true)
	if err := errors.Join(os.Rename(w.root, w.root+"-moved"), os.Rename(w.path("../precious"), w.root), os.Chmod(w.root, 0o100)); err != nil {
		t.Fatal(err)
	}
	report, err := watch.End(t.Context())
	if err != nil || len(report.Findings) != 1 || !errors.Is(report.Findings[0].Err, errExchanged) {
		t.Errorf("%v: %+v", err, report.Findings)
	}
	if info, err := os.Stat(w.root); err != nil || info.Mode().Perm() != 0o100 {
		t.Errorf("it is now %v, %v", info.Mode(), err)
	}
	_ = os.Chmod(w.root, 0o700)
	if text, _ := os.ReadFile(w.path(".git/hooks/post-commit")); string(text) != "mine" {
		t.Errorf("the hook is %q", text)
	}
}

// The names of files are any bytes. After a kill all is known that was noted.
func TestNamesThatAreNoText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := "r\xff%41\xfe"
	w.git("init", "-q", repo)
	w.write(repo+"/.git/hooks/post-\xe9", "mine")
	w.git("-C", repo, "config", "core.pager", "mine")
	before := w.snapshot()
	killed := w.begin(true)
	killed.lock.Unlock()
	w.write(repo+"/.git/hooks/post-commit", "evil")
	reports, err := w.store.Recover(t.Context())
	if err != nil || len(reports) != 1 || len(reports[0].Findings) != 1 {
		t.Errorf("%v: %+v", err, reports)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Error(diff)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		if got := unescape(escape(name)); got != name {
			t.Fatalf("%q becomes %q", name, got)
		}
	})
}

// Notes of the release before this one say less: what they do not speak of is left alone.
func TestOldNotes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/lazygit.yml", "mine")
	killed := w.begin(true)
	killed.lock.Unlock()
	n := killed.notes
	n.Version = 1
	area := *n.Areas[0]
	area.Folders, area.Loose, area.Open, area.Odd = nil, nil, nil, nil
	delete(area.Nodes, ".git/lazygit.yml")
	n.Areas = []*Area{&area}
	killed.notes = n
	if err := killed.save(); err != nil {
		t.Fatal(err)
	}
	w.write(".git/hooks/post-commit", "evil")
	reports, err := w.store.Recover(t.Context())
	if err != nil || len(reports) != 1 || len(reports[0].Findings) != 1 {
		t.Errorf("%v: %+v", err, reports)
	}
	if text, _ := os.ReadFile(w.path(".git/lazygit.yml")); string(text) != "mine" {
		t.Errorf("it is %q", text)
	}
}

// Programs that run as their owner and were there before stay what they are, whatever the clock
// said then.
func TestOddThingsOfTheUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("root/bin/su", "mine")
	if err := os.Chmod(w.path("root/bin/su"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	watch := w.begin(true)
	watch.notes.Begun = watch.notes.Begun.AddDate(1, 0, 0) // the clock was set back afterwards
	w.write("new", "evil")
	if err := os.Chmod(w.path("new"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	report, err := watch.End(t.Context())
	if err != nil || len(report.Odd) != 1 || report.Odd[0].Path != w.path("new") {
		t.Errorf("%v: %+v", err, report.Odd)
	}
}

// ordinary is what people have git do in a project.
var ordinary = map[string]string{
	"commit":       `echo x >x; git add x; git commit -q -m x; git commit -q --amend -m y; git tag v1; git tag -a -m t v2`,
	"branches":     `git switch -q -c work; git branch -q other; git branch -m other third; git branch --set-upstream-to=main; git config branch.main.description x`,
	"remotes":      `git remote add o git@example.org:x.git; git remote rename o p; git remote set-url p https://example.org/y; git config branch.main.remote p; git remote remove p`,
	"worktrees":    `git worktree add -q new; git worktree move wt moved; git worktree lock moved; git -C moved status -s; mv new newer; git worktree repair newer; git -C newer status -s`,
	"worktree":     `git worktree remove --force wt; git worktree prune; git worktree add -q .claude/worktrees/a`,
	"clone":        `git clone -q . copy; git clone -q --shared . borrowed; git -C borrowed remote remove origin; git -C copy remote remove origin; git -C borrowed fsck`,
	"init":         `git init -q new; git init -q --bare new.git; git init -q --separate-git-dir sep.git sep; git -C sep status`,
	"submodule":    `git submodule --quiet add https://example.org/x.git sub/one; git commit -q -m sub; git submodule --quiet deinit -f sub/one; git submodule --quiet update --init; git mv sub/one two`,
	"absorb":       `git submodule --quiet add ./inner inner; git submodule --quiet absorbgitdirs 2>/dev/null; git -C inner status; git config --remove-section submodule.inner; git rm -q --cached inner`,
	"sparse":       `git sparse-checkout set src; git sparse-checkout disable`,
	"maintenance":  `git maintenance run --task=gc --task=commit-graph --task=loose-objects --task=incremental-repack; git commit-graph write; git multi-pack-index write; git repack -adq; git pack-refs --all; git update-server-info; git gc -q --prune=now`,
	"bundle":       `git bundle create -q all.bundle --all; git format-patch -q -1; git archive -o x.tar HEAD`,
	"notes":        `git notes add -m n; git notes append -m m`,
	"stash":        `echo x >a; git stash -q; git stash pop -q; git stash -q; git stash branch s >/dev/null`,
	"rebase":       `git switch -q -c topic; echo t >a; git commit -qam t; git switch -q main; echo m >a; git commit -qam m; git rebase -q topic 2>/dev/null; test -d .git/rebase-merge`,
	"picks":        `git switch -q -c topic; echo t >a; git commit -qam t; echo u >a; git commit -qam u; git switch -q main; echo m >a; git commit -qam m; git cherry-pick main..topic >/dev/null 2>&1; test -f .git/sequencer/todo`,
	"merge":        `git config rerere.enabled true; git switch -q -c topic; echo t >a; git commit -qam t; git switch -q main; echo m >a; git commit -qam m; git merge -q topic >/dev/null; test -f .git/MERGE_HEAD`,
	"am":           `git switch -q -c topic; echo t >a; git commit -qam t; git format-patch -q -1 --stdout >p; git switch -q main; echo m >a; git commit -qam m; git am -q p 2>/dev/null; test -d .git/rebase-apply`,
	"bisect":       `git commit -q --allow-empty -m b; git commit -q --allow-empty -m c; git bisect start -q HEAD HEAD~2 >/dev/null; test -f .git/BISECT_LOG`,
	"filterbranch": `git filter-branch -f --msg-filter 'cat' HEAD >/dev/null 2>&1; git fast-export HEAD >/tmp/fe.$$; git init -q fi; git -C fi fast-import --quiet </tmp/fe.$$; rm /tmp/fe.$$; echo bad | git fast-import --quiet 2>/dev/null; ls .git/fast_import_crash_*`,
	"lfs":          `mkdir -p .git/lfs/objects/ab .git/lfs/tmp .git/lfs/cache/locks; echo x >.git/lfs/objects/ab/abc; git config lfs.repositoryformatversion 0`,
	"tools": `git config branch.main.gk-last-accessed x; git config branch.main.vscode-merge-base origin/main; git config branch.main.gh-merge-base main
		git config branch.main.github-pr-owner-number 'o#r#1'; git config git-town-branch.main.parent x; git config branch.main.stgit.parentbranch x
		git config gitflow.prefix.feature feature/; git config gui.wmstate normal; git config maintenance.strategy incremental
		mkdir .git/gk; git config -f .git/gk/config branch.main.gk-merge-target main; echo 0a1b2c >.git/opencode; echo x >.git/.COMMIT_EDITMSG.swp; ln -s me@host.1:2 .git/.#COMMIT_EDITMSG`,
	"split":    `git update-index --split-index; git config index.version 4; git update-index --index-version 4; git update-index --untracked-cache`,
	"replace":  `git reflog expire --expire=now --all; git fsck --lost-found >/dev/null; git symbolic-ref refs/heads/alias refs/heads/main; git update-ref refs/x/y HEAD; git rev-parse --git-dir`,
	"layout":   `git clone -q --bare . outer; git -C outer worktree add -q tree; git -C outer remote remove origin; echo x >outer/tree/y; ln -s y outer/tree/z; mkdir -p docs/head docs/objects docs/refs; ln -s x docs/l`,
	"shallow":  `git clone -q --depth 1 file://$PWD shallow; git -C shallow fetch -q --deepen 1; git -C shallow fetch -q --unshallow; git -C shallow remote remove origin; git -C shallow status`,
	"colours":  `git config color.ui never; git config color.status auto; git config core.quotePath false; git config core.autocrlf false; git config log.excludeDecoration 'refs/prefetch/*'`,
	"index":    `git update-index --refresh; git update-index --chmod=+x a; git add -N .; git read-tree HEAD; git update-index --untracked-cache --fsmonitor; git status; rm .git/index; git reset -q`,
	"cone":     `git sparse-checkout set --cone --sparse-index src; git status; git sparse-checkout add wt; git sparse-checkout reapply; git switch -q -c other`,
	"partial":  `git clone -q --sparse . copy; git -C copy sparse-checkout set src; git -C copy remote remove origin; git clone -q --no-checkout . empty; git -C empty remote remove origin; git -C empty read-tree HEAD`,
	"unmerged": `git switch -q -c topic; echo t >a; git commit -qam t; git switch -q main; echo m >a; git commit -qam m; git merge -q topic >/dev/null; git checkout --ours a; git add a; git commit -q -m x; git revert --no-edit HEAD~1 >/dev/null`,
}

// Whatever git itself writes stays, and nothing is said.
func TestOrdinaryCommands(t *testing.T) {
	t.Parallel()
	for name, script := range ordinary {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.TB = t
			w.write("a", "a\n")
			w.write("src/b", "b\n")
			w.git("add", ".")
			w.git("commit", "-q", "-m", "two")
			w.git("worktree", "add", "-q", "wt")
			w.git("init", "-q", "inner")
			w.git("-C", "inner", "commit", "-q", "--allow-empty", "-m", "inner")
			w.write("inner/.git/hooks/pre-push", "mine")
			w.git("-C", "inner", "config", "core.pager", "mine")
			watch := w.begin(true)
			env := append(w.env, "GIT_EDITOR=true", "GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always",
				"GIT_CONFIG_KEY_1=url."+w.root+"/inner.insteadOf", "GIT_CONFIG_VALUE_1=https://example.org/x.git")
			if err := proc.Run(t.Context(), proc.Cmd{Argv: []string{"sh", "-c", script}, Env: env, Dir: w.root}); err != nil {
				t.Error(err)
			}
			if found := w.end(watch); len(found) > 0 {
				t.Errorf("found %q", found)
			}
			w.git("fsck")
			if diff := cmp.Diff(w.outIn(w.fresh(), "status", "--porcelain"), w.out("status", "--porcelain")); diff != "" {
				t.Errorf("git status: %s", diff)
			}
		})
	}
}
