package guard

import (
	"errors"
	"fmt"
	"io/fs"
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
	"github.com/themouette/claude-vm/internal/state"
)

// world is a folder with a repository in it, and the notes about it elsewhere.
type world struct {
	testing.TB
	root  string
	store Store
	env   []string
}

func newWorld(t testing.TB) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := world{t, filepath.Join(dir, "proj"), Store{Dir: filepath.Join(dir, "state/guard"), Locks: state.Dir(dir)}, []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
	}}
	if err := os.MkdirAll(w.root, 0o700); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "-b", "main")
	w.git("commit", "-q", "--allow-empty", "-m", "one")
	return w
}

func (w world) path(name string) string { return filepath.Join(w.root, name) }

func (w world) git(args ...string) {
	w.Helper()
	if err := proc.Run(w.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: w.env, Dir: w.root}); err != nil {
		w.Fatal(err)
	}
}

func (w world) write(name, content string) {
	w.Helper()
	err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755)
	if err == nil {
		mode := fs.FileMode(0o644)
		if strings.Contains(name, "hooks") {
			mode = 0o755
		}
		err = os.WriteFile(w.path(name), []byte(content), mode)
	}
	if err != nil {
		w.Fatal(err)
	}
}

func (w world) begin(fix bool) *Watch {
	w.Helper()
	watch, _, err := w.store.Begin(w.Context(), Site{Root: w.root, Main: w.root}, fix)
	if err != nil {
		w.Fatal(err)
	}
	<-watch.walked
	return watch
}

// end ends a watch and returns what it found, a line for each.
func (w world) end(watch *Watch) (found []string) {
	w.Helper()
	report, err := watch.End(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	return w.lines(report)
}

func (w world) lines(report Report) (found []string) {
	for _, f := range report.Findings {
		if f.Err != nil {
			w.Errorf("%s: %v", f.Path, f.Err)
		}
		rel, _ := filepath.Rel(w.root, f.Path)
		found = append(found, rel+": "+f.What)
	}
	return found
}

// paths returns the names of what has changed.
func paths(changes []Change) (names []string) {
	for _, c := range changes {
		names = append(names, c.Path)
	}
	return names
}

// snapshot returns everything in the repository's git data that is guarded.
func (w world) snapshot() map[string]Node {
	w.Helper()
	s, err := newScanner(&Area{Path: w.root}, nil)
	if err != nil {
		w.Fatal(err)
	}
	defer s.root.Close()
	s.repository()
	s.tree()
	return s.Nodes
}

// essence leaves of nodes what can make git run something.
func essence(nodes map[string]Node) map[string]Node {
	harmless := judge("/p/.git", nil, nil, nil)
	for rel, n := range nodes {
		n.Mode &= 0o111
		entries, err := parseConfig(n.Text)
		if strings.HasPrefix(filepath.Base(rel), "config") && n.Kind == File && err == nil {
			entries = slices.DeleteFunc(entries, func(e entry) bool { return e.comment != "" || harmless(e) })
			n.Text = writeConfig(entries)
			n.Mode = 0
		}
		nodes[rel] = n
		if n.Kind == File && len(n.Text) == 0 || strings.HasSuffix(rel, exclude) && sameExcludes(Node{}, n) {
			delete(nodes, rel)
		}
	}
	return nodes
}

func TestNothingToSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/hooks/pre-commit", "exit 0\n")
	watch := w.begin(true)
	w.git("remote", "add", "origin", "git@example.org:x.git")
	w.git("switch", "-q", "-c", "work")
	w.git("commit", "-q", "--allow-empty", "-m", "two")
	w.git("branch", "--set-upstream-to", "main")
	w.git("worktree", "add", "-q", "../elsewhere")
	w.git("sparse-checkout", "set", "x")
	w.git("sparse-checkout", "disable")
	w.git("gc", "-q")
	w.git("init", "-q", "inner")
	const address = "https://example.org/x.git"
	online := []string{"-c", "protocol.file.allow=always", "-c", "url." + w.root + ".insteadOf=" + address}
	w.git(append(online, "clone", "-q", address, "copy")...)
	w.git(append(online, "submodule", "--quiet", "add", address, "sub/one")...)
	w.git(append(online, "submodule", "--quiet", "update", "--init", "--recursive")...)
	if found := w.end(watch); len(found) > 0 {
		t.Errorf("ordinary work is found fault with: %q", found)
	}
	w.git("-C", "sub/one", "status")
}

// TestGitWritesWhereItIs: what git would follow out of its data when it writes is gone, and what was there before stays.
func TestGitWritesWhereItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("outside", "precious")
	w.git("commit", "-q", "--allow-empty", "-m", "one")
	if err := os.Symlink("../outside", w.path(".git/annexed")); err != nil {
		t.Fatal(err)
	}
	head, err := os.ReadFile(w.path(".git/HEAD"))
	if err != nil {
		t.Fatal(err)
	}
	watch := w.begin(true)
	places := []string{
		".git/COMMIT_EDITMSG", ".git/FETCH_HEAD", ".git/HEAD", ".git/TAG_EDITMSG", ".git/logs/HEAD", ".git/logs/refs/heads/d", ".git/objects/pack/x",
		".git/refs/tags/d", ".git/rr-cache",
	}
	for _, place := range places {
		_ = os.RemoveAll(w.path(place))
		if err := os.MkdirAll(filepath.Dir(w.path(place)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(w.path("outside"), w.path(place)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(w.path(".git/MERGE_MSG"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.write(".git/remotes/evil", "URL: ./zz\n")
	w.write(".git/rebase-merge/strategy", "x/y\n")
	found := strings.Join(w.end(watch), "\n")
	for _, place := range append(places, ".git/MERGE_MSG", ".git/remotes/evil", ".git/rebase-merge/strategy") {
		if !strings.Contains(found, place+": ") {
			t.Errorf("%s is not named in\n%s", place, found)
		}
		if info, err := os.Lstat(w.path(place)); err == nil && (place != ".git/HEAD" || !info.Mode().IsRegular()) {
			t.Errorf("%s is there: %v", place, info.Mode())
		}
	}
	if now, err := os.ReadFile(w.path(".git/HEAD")); string(now) != string(head) {
		t.Errorf("HEAD is %q, %v", now, err)
	}
	if _, err := os.Lstat(w.path(".git/annexed")); err != nil {
		t.Error(err)
	}
	w.git("commit", "-q", "--allow-empty", "-m", "two")
}

// TestAnythingIsPutBack plants any mixture of things and looks whether what git would run is what it was.
func TestAnythingIsPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/hooks/pre-commit", "exit 0\n")
	w.write(".git/hooks/_/helper", "exit 0\n")
	w.git("config", "alias.x", "!y")
	before := essence(w.snapshot())
	places := []string{
		".git/hooks/pre-commit", ".git/hooks/post-merge", ".git/hooks/_/helper", ".git/hooks/_/more", ".git/hooks/_", ".git/hooks", ".git/config", ".git/config.worktree",
		".git/info/attributes", ".git/info", ".git/commondir", ".git/gitdir", ".git/objects/info/alternates", ".git/worktrees/x/commondir", ".git/worktrees",
		".git/modules/a/config", ".git/modules/a/b/hooks/x", ".git/modules", "inner/.git", "inner/.git/config", "deep/er/.git/hooks/x",
		".git/COMMIT_EDITMSG", ".git/logs/refs", ".git/logs/HEAD", ".git/refs/tags/d", ".git/objects/pack",
		".git/remotes/x", ".git/rebase-merge/strategy",
	}
	rapid.Check(t, func(rt *rapid.T) {
		watch := w.begin(true)
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			place := w.path(rapid.SampledFrom(places).Draw(rt, "place"))
			if os.MkdirAll(filepath.Dir(place), 0o755) != nil {
				continue // it lies below a pipe, which nobody should open
			}
			switch rapid.SampledFrom([]string{"remove", "file", "config", "link", "inside", "dir", "pipe", "mode"}).Draw(rt, "what") {
			case "remove":
				_ = os.RemoveAll(place)
			case "file":
				_ = os.RemoveAll(place)
				_ = os.WriteFile(place, []byte("#!/bin/sh\n"), 0o755)
			case "config":
				_ = os.RemoveAll(place)
				_ = os.WriteFile(place, []byte("[core]\nfsmonitor = x\n"), 0o644)
			case "link":
				_ = os.RemoveAll(place)
				_ = os.Symlink("/etc", place)
			case "inside":
				_ = os.RemoveAll(place)
				_ = os.Symlink(w.root, place)
			case "dir":
				_ = os.RemoveAll(place)
				_ = os.Mkdir(place, 0o755)
			case "pipe":
				_ = os.RemoveAll(place)
				_ = syscall.Mkfifo(place, 0o644)
			case "mode":
				_ = os.Chmod(place, 0o777)
			}
		}
		report, err := watch.End(w.Context())
		if err != nil {
			rt.Fatal(err)
		}
		for _, f := range report.Findings {
			if f.Err != nil {
				rt.Fatalf("%s: %s: %v", f.Path, f.What, f.Err)
			}
		}
		after := essence(w.snapshot())
		if diff := cmp.Diff(before, after); diff != "" {
			rt.Fatalf("found %+v, and left\n%s", report.Findings, diff)
		}
		for _, place := range []string{"inner", "deep", ".git/modules", ".git/worktrees"} {
			_ = os.RemoveAll(w.path(place))
		}
	})
	if entries, _ := os.ReadDir("/etc/hooks"); len(entries) > 0 {
		t.Error("something was written through a link")
	}
}

// Whoever pushes to a repository on the same computer runs its hooks.
func TestNothingToPushTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("config", "remote.backup.url", "../backup")
	watch := w.begin(true)
	w.git("init", "-q", "--bare", ".git/zz")
	w.write(".git/zz/hooks/post-receive", "touch owned")
	w.git("init", "-q", ".git/yy")
	w.write(".git/yy/.git/hooks/post-receive", "touch owned")
	for _, name := range []string{"head", "Objects/x", "REFS/x", "hooks/update"} { // a repository where file systems do not mind
		w.write("case/"+name, "")
	}
	w.write(".git/remotes/old.sample", "URL: .git/zz\n")
	w.write(".git/branches/older", ".git/zz\n")
	w.git("config", "branch.main.remote", "./.git/zz")
	w.git("config", "branch.main.pushRemote", "old.sample")
	w.git("config", "remote.backup.mirror", "true")
	w.git("config", "--add", "remote.backup.url", "./.git/zz")
	want := []string{
		".git/branches/older: added", ".git/config: branch.main.pushremote", ".git/config: branch.main.remote", ".git/config: remote.backup.mirror", ".git/config: remote.backup.url",
		".git/remotes/old.sample: added", ".git/yy: added", ".git/zz: added",
		"case/hooks/update: added",
	}
	found := w.end(watch)
	slices.Sort(found)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// What was left half-way runs nothing of the session's when git goes on, and nothing else is lost.
func TestHalfway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	todo := ".git/rebase-merge/git-rebase-todo"
	w.write(todo, "exec make test\npick 1 one\n")
	w.write(".git/sequencer/opts", "[options]\n\tstrategy = mine\n")
	w.write("inner/.git/rebase-merge/strategy", "mine\n")
	w.git("init", "-q", "inner")
	files := map[string]struct{ left, want string }{
		todo:                               {"pick 2 exec\nexec make test\n x evil\nexec\tevil\nexec evil", "pick 2 exec\nexec make test\n"},
		".git/rebase-apply/strategy":       {"../../evil\n", ""},
		".git/sequencer/opts":              {"[options]\n\tedit = true\n\tstrategy = ../evil\n", "[options]\n\tedit = \"true\"\n\tstrategy = \"mine\"\n"},
		"new/.git/rebase-merge/strategy":   {"ort\n", "ort\n"},
		"new/.git/sequencer/opts":          {"[options]\nno-commit\n", "[options]\nno-commit\n"},
		"broken/.git/sequencer/opts":       {"[options", ""},
		"inner/.git/rebase-merge/strategy": {"", ""}, // it is over
		"inner/.git/rebase-apply/strategy": {"recursive", "recursive"},
	}
	watch := w.begin(true)
	w.git("init", "-q", "new")
	w.git("init", "-q", "broken")
	for name, file := range files {
		if w.write(name, file.left); file.left == "" {
			_ = os.Remove(w.path(name))
		}
	}
	var want []string
	for _, name := range []string{".git/rebase-apply/strategy", todo, ".git/sequencer/opts", "broken/.git/sequencer/opts"} {
		want = append(want, name+": runs something when git goes on")
	}
	if diff := cmp.Diff(want, w.end(watch)); diff != "" {
		t.Error(diff)
	}
	for name, file := range files {
		if text, _ := os.ReadFile(w.path(name)); string(text) != file.want {
			t.Errorf("%s is %q", name, text)
		}
	}
}

// Git on the host writes through the links that it finds in its data, and waits for pipes.
func TestLinksInGitData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("init", "-q", "--bare", "bare")
	for name, target := range map[string]string{".git/annex": "../annex", ".git/rr-cache": "../cache"} {
		if err := os.Symlink(target, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(w.path(".git/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	watch := w.begin(true)
	mine := filepath.Join(w.store.Dir, "../mine")
	var want []string
	for _, name := range []string{
		".git/COMMIT_EDITMSG", ".git/FETCH_HEAD", ".git/logs/HEAD", ".git/logs/refs/heads/d", ".git/modules/a/b/ORIG_HEAD", ".git/objects/00", ".git/objects/pack",
		".git/rebase-merge", ".git/refs/tags/d", "bare/FETCH_HEAD", "inner/.git/MERGE_MSG",
	} {
		_ = os.RemoveAll(w.path(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(w.path(name)), 0o755), os.Symlink(mine, w.path(name))); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%s: added, a symbolic link to %q", name, mine))
	}
	if err := errors.Join(os.Remove(w.path(".git/fifo")), os.Remove(w.path(".git/annex")), os.Remove(w.path(".git/rr-cache")),
		os.Symlink(mine, w.path(".git/rr-cache")), syscall.Mkfifo(w.path("inner/.git/HEAD"), 0o600)); err != nil {
		t.Fatal(err)
	}
	want = append(want, ".git/annex: removed", ".git/rr-cache: changed", "inner/.git/HEAD: added")
	slices.Sort(want)
	if diff := cmp.Diff(want, w.end(watch)); diff != "" {
		t.Error(diff)
	}
	if target, err := os.Readlink(w.path(".git/rr-cache")); target != "../cache" {
		t.Errorf("what was there leads to %q, %v", target, err)
	}
	w.git("commit", "-q", "--allow-empty", "-m", "two")
	if _, err := os.Lstat(mine); err == nil {
		t.Error("git wrote through a link")
	}
}

func TestKilledSessionsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	killed := w.begin(true)
	killed.lock.Unlock() // as the kernel does it
	w.write(".git/hooks/post-commit", "x")
	w.write("inner/.git/hooks/post-commit", "x")
	reports, err := w.store.Recover(t.Context())
	if err != nil || len(reports) != 1 {
		t.Fatalf("%v, %v", reports, err)
	}
	if got, want := w.lines(reports[0]), []string{".git/hooks/post-commit: added", "inner/.git/hooks/post-commit: added"}; !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
	if reports, err := w.store.Recover(t.Context()); err != nil || len(reports) != 0 {
		t.Errorf("a second time: %v, %v", reports, err)
	}
	// Notes that cannot be read are told of once.
	if err := os.WriteFile(w.store.file("broken"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Recover(t.Context()); err == nil {
		t.Error("broken notes went unnoticed")
	}
	if _, err := w.store.Recover(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSessionsAtOnce: what one session has planted is not what the repository was like for the next, be that in the same
// folder or in a repository inside of it.
// Who is killed while it puts something back leaves a draft beside it, which goes when that is done again.
func TestDraftsOfTheKilledGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := w.begin(true)
	w.write(".git/"+draft+"12345678", "half")
	w.git("config", "core.pager", "evil")
	if found := w.end(watch); len(found) != 1 {
		t.Errorf("found %q", found)
	}
	if left, _ := filepath.Glob(filepath.Join(w.path(".git"), draft+"*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestSessionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("init", "-q", "inner")
	first := w.begin(true)
	w.write(".git/hooks/post-commit", "x")
	w.write("inner/.git/hooks/post-commit", "x")
	w.write("new/.git/hooks/post-commit", "x")
	var watches []*Watch
	for _, dir := range []string{".", "inner", "new"} {
		watch, _, err := w.store.Begin(t.Context(), Site{Root: w.path(dir), Main: w.path(dir)}, true)
		if err != nil {
			t.Fatal(err)
		}
		watches = append(watches, watch)
	}
	if found := w.end(first); len(found) != 3 {
		t.Errorf("found %q", found)
	}
	for _, watch := range watches {
		w.end(watch)
	}
	for name := range w.snapshot() {
		if strings.Contains(name, "hooks") {
			t.Errorf("%s was put back", name)
		}
	}
}

func TestTellingOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := w.begin(false)
	w.git("config", "core.pager", "x")
	w.write(".git/hooks/post-commit", "x")
	if found := w.end(watch); !slices.Equal(found, []string{".git/config: core.pager", ".git/hooks/post-commit: added"}) {
		t.Errorf("found %q", found)
	}
	if _, err := os.Stat(w.path(".git/hooks/post-commit")); err != nil {
		t.Error(err)
	}
}

// TestAnyAmountIsBounded has more of everything than anybody wants to look at.
func TestAnyAmountIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/hooks/pre-commit", "exit 0\n")
	watch := w.begin(true)
	for i := range maxList + 1 {
		w.write(fmt.Sprintf(".git/hooks/h%d", i), "")
		w.write(fmt.Sprintf(".git/modules/m%d/HEAD", i), "")
	}
	w.write(".git/objects/info/alternates", "x")
	for _, large := range []string{".git/config", ".git/hooks/pre-commit", ".git/objects/info/alternates"} {
		if err := os.Truncate(w.path(large), 1<<40); err != nil {
			t.Skip(err)
		}
	}
	w.write(strings.Repeat("d/", maxDepth+2)+".git/hooks/x", "")
	begin := time.Now()
	report, err := watch.End(t.Context())
	if err != nil || len(report.Partial) == 0 {
		t.Errorf("%v, partial %v", err, report.Partial)
	}
	want := []string{
		".git/config: not readable", fmt.Sprintf(".git/hooks: holds more than %d entries", maxList),
		fmt.Sprintf(".git/modules: holds more than %d entries", maxList), ".git/objects/info/alternates: added",
		strings.Repeat("d/", maxDepth+2) + ".git: " + fmt.Sprintf(unreadText, maxDirs),
	}
	if got := w.lines(report); !slices.Equal(got, want) {
		t.Errorf("found %q", got)
	}
	if text, err := os.ReadFile(w.path(".git/hooks/pre-commit")); string(text) != "exit 0\n" {
		t.Errorf("the user's hook: %q, %v", text, err)
	}
	w.git("status")
	t.Logf("took %v", time.Since(begin))
}

func TestNotesAreForTheUserOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := w.begin(true)
	err := filepath.WalkDir(w.store.Dir, func(path string, e fs.DirEntry, err error) error {
		if info, _ := e.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	w.end(watch)
	if files, _ := os.ReadDir(w.store.Dir); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

func TestRunsByItself(t *testing.T) {
	t.Parallel()
	for when, names := range map[occasion]string{
		atOnce: `.envrc a/.envrc .vscode/tasks.json .vscode/settings.json .idea/x.xml .devcontainer/devcontainer.json .devcontainer.json .claude/settings.local.json
			.mcp.json .tool-versions mise.toml .hg/hgrc .jj/repo .jj/repo/config.toml x.code-workspace .dir-locals.el .vimrc GEMINI.md CLAUDE.local.md .gemini/settings.json
			.codex/config.toml a/.VSCode/tasks.json .claude/package.json .helix/languages.toml .dir-locals-2.el mise.local.toml .mise.local.toml .config/mise/config.toml
			.autoenv .env devenv.nix shell.nix default.nix p.sublime-project .vim/coc-settings.json .cursorrules .windsurfrules .clinerules .roo/x opencode.json
			.opencode/x .aider.conf.yml .amazonq/x .kiro/x .continue/x crush.json .qwen/x QWEN.md AGENT.md .agents/x _darcs/prefs/defaults .pijul/config .sl/config`,
		onCommand: `web/package.json Makefile .github/workflows/ci.yml .husky/pre-commit .pre-commit-config.yaml tests/conftest.py .gitlab-ci.yml .circleci/config.yml
			lefthook.yaml rust-toolchain rust-toolchain.toml .yarnrc setup.py pyproject.toml Taskfile.yml .bazelrc tsconfig.base.json .pnp.cjs .yarn/releases/yarn.cjs
			.yarn/sdks/x Cargo.toml app/build.gradle.kts settings.gradle gradlew gradle/wrapper/gradle-wrapper.properties pom.xml mvnw CMakeLists.txt CMakePresets.json
			Package.swift mix.exs hie.yaml Gemfile Directory.Build.props Directory.Build.targets a.csproj lefthook-local.yml lefthook.toml .lefthook/x .overcommit.yml
			.git-hooks/x lint-staged.config.js commitlint.config.js .lintstagedrc .simple-git-hooks.json compose.yaml docker-compose.prod.yml Dockerfile.dev
			x.mk a.cmake BUILD WORKSPACE MODULE.bazel x.bzl Rakefile Justfile sitecustomize.py a.pth build.rs wscript SConstruct Jenkinsfile Vagrantfile Procfile
			.github/CODEOWNERS .Rprofile a.gemspec`,
		perhaps: `eslint.config.mjs .eslintrc.js .prettierrc vite.config.ts jest.config.js tailwind.config.js .rubocop.yml .pylintrc pylintrc .unknown a/.unknown/b/c
			vimrc eslintrc.json eslintrc.js netlify.toml hgrc docs/repo/config.toml yarn.lock package-lock.json .bzrignore`,
		never: `main.go README.md jjrc.go docs/repo .jj/repo/store/x .hg/store/data/x .hg/dirstate .svn/wc.db src/arc.js crc.ts sparc.js
			src .git .gitkeep .DS_Store .main.go.swp .coverage vite.svg analysis.ipynb com/acme/gradle/Plugin.java`,
	} {
		for _, name := range strings.Fields(names) {
			if got := byName(name); got.when != when {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}

// However many files a session changes, those that run the soonest are named first, be they reached by a link.
func TestFilesThatRunByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("docs/old/tasks.json", "")
	w.write("build/real", "")
	for name, target := range map[string]string{".idea": "docs", "Makefile": "build/real"} {
		if err := os.Symlink(target, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	watch := w.begin(true)
	for i := range 12 {
		w.write(fmt.Sprintf("!a/%d/Makefile", i), "")
		w.write(fmt.Sprintf("!a/%d/.envrc", i), "")
	}
	w.write(".envrc", "")
	w.write("docs/old/tasks.json", "evil")
	w.write("build/real", "evil")
	for name, target := range map[string]string{".claude": "docs", ".hg": "nowhere", ".github": "/etc", "docs/.vscode": ".."} {
		if err := os.Symlink(target, w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	report, err := watch.End(t.Context())
	if err != nil {
		t.Error(err)
	}
	if len(report.Partial) > 0 {
		t.Error("it went in circles")
	}
	var near []string
	for _, name := range paths(report.Files) {
		if strings.Count(name, "/") == 0 {
			near = append(near, name)
		}
	}
	if want := []string{".envrc", ".claude", ".hg", "Makefile", ".github"}; !slices.Equal(near, want) {
		t.Errorf("named: %q", near)
	}
	for _, name := range []string{".idea/old/tasks.json", ".claude/old/tasks.json"} {
		if !slices.Contains(paths(report.Files), name) {
			t.Errorf("%s is not named", name)
		}
	}
}

// What git takes from the project is named, by whichever way it is led there.
func TestWhatGitTakesFromTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("config", "core.hooksPath", "scripts")
	w.git("config", "core.attributesFile", w.path("absolute"))
	w.git("config", "include.path", "../included")
	w.git("config", "extensions.worktreeConfig", "true")
	w.git("config", "--worktree", "core.hooksPath", "more")
	w.git("worktree", "add", "-q", "../wt")
	w.write("included", "[include]\npath = again\npath = included\n")
	if err := os.Symlink("../../pc.sh", w.path(".git/hooks/pre-commit")); err != nil {
		t.Fatal(err)
	}
	watch := w.begin(true)
	linked, _, err := w.store.Begin(t.Context(), Site{Root: w.path("../wt"), GitDirs: []string{w.path(".git")}, Main: w.root}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-linked.walked
	for _, name := range []string{"absolute", "again", "included", "more/post-commit", "pc.sh", "unrelated", "../wt/scripts/pre-push"} {
		w.write(name, "evil")
	}
	if err := errors.Join(os.Mkdir(w.path("scripts"), 0o755), os.Symlink("../unrelated", w.path("scripts/pre-push"))); err != nil {
		t.Fatal(err)
	}
	report, err := linked.End(t.Context())
	if want := []string{"scripts/pre-push"}; err != nil || !slices.Equal(paths(report.Files), want) {
		t.Errorf("of a linked working tree: %q, %v", paths(report.Files), err)
	}
	report, err = watch.End(t.Context())
	if diff := cmp.Diff([]string{"included", "absolute", "again", "pc.sh", "more/post-commit", "scripts/pre-push"}, paths(report.Files)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// What the user's own configuration says holds in every repository.
func TestProgramsOfTheUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	home := filepath.Dir(w.root)
	w.write("../more", "[core]\neditor = tools/edit\n[include]\npath = proj/further\n")
	watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Settings: []Setting{
		{home + "/.gitconfig", "core.hookspath", ".hooks"}, {home + "/.gitconfig", "diff.x.y.textconv", "./conv"},
		{home + "/.gitconfig", "includeif.gitdir:~/elsewhere/.path", "more"}, {w.path("mine"), "user.name", "x"},
		{home + "/.gitconfig", "core.abbrev", "README"},
	}}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.walked
	for _, name := range []string{"tools/edit", "further", "README"} {
		w.write(name, "evil")
	}
	w.write(".hooks/pre-commit", "evil")
	w.write("conv", "evil")
	report, err := watch.End(t.Context())
	if diff := cmp.Diff([]string{"conv", "further", ".hooks/pre-commit", "tools/edit"}, paths(report.Files)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// A session need not change a configuration that names a program in the project: it can change the program.
func TestProgramsOfConfigurations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := filepath.Join(filepath.Dir(w.root), "other")
	w.write("../other/.git/HEAD", "")
	w.write("../other/.git/config", "[core]\neditor = "+w.path("for-other")+"\npager = tools/pager\n")
	for key, value := range map[string]string{
		"core.fsmonitor":    "tools/monitor",
		"alias.x":           "!cd src && ./tools/x.sh",
		"alias.y":           `!f() { sh "tools/not yet.sh" $1; tools/y; }; f`,
		"alias.short":       "log main",
		"filter.f.clean":    "tools/clean --of=tools/options %f",
		"diff.d.textconv":   "sh " + w.path("tools/absolute"),
		"core.editor":       "'" + w.path("two words") + "' -w",
		"gpg.program":       "gpg",
		"gpg.ssh.program":   w.path("two words/gpg"),
		"sequence.editor":   "../elsewhere/editor",
		"user.name":         "harmless",
		"commit.template":   w.path("link"),
		"core.sshCommand":   filepath.Join(other, "ssh"),
		"remote.origin.url": "https://example.org/tools/url",
	} {
		w.git("config", key, value)
	}
	was := strings.Fields("tools/monitor tools/x.sh tools/y tools/clean tools/options tools/absolute tools/url tools/pager gpg harmless src/main link-target for-other ../other/ssh ../other/tools/pager")
	for _, name := range was {
		w.write(name, "mine")
	}
	w.write("two words/gpg", "mine")
	if err := os.Symlink("link-target", w.path("link")); err != nil {
		t.Fatal(err)
	}
	watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Shared: []string{other}}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.walked
	for _, name := range was {
		w.write(name, "evil")
	}
	w.write("two words/gpg", "evil")
	report, err := watch.End(t.Context())
	if diff := cmp.Diff([]string{
		other + "/ssh", other + "/tools/pager", "for-other", "gpg", "link",
		"tools/absolute", "tools/clean", "tools/monitor", "tools/options", "tools/x.sh", "tools/y", "two words/gpg",
	}, slices.Sorted(slices.Values(paths(report.Files)))); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// What is beyond the bounds is said to be there, and does not hide what was known.
func TestTooManyFilesToList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".husky/x", "")
	watch := w.begin(true)
	for i := range maxFiles + 1 {
		if err := os.WriteFile(w.path(fmt.Sprint(".husky/", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.write(".envrc", "")
	report, err := watch.End(t.Context())
	if err != nil || len(report.Partial) == 0 || report.Files[0].Path != ".envrc" {
		t.Errorf("%v, partial %v, %q", err, report.Partial, report.Files[0].Path)
	}
	watch = w.begin(true)
	w.write("new/.git/hooks/post-commit", "x")
	if found := w.end(watch); len(found) != 1 {
		t.Errorf("found %q", found)
	}
}

// Other folders that a guest can write to are guarded as the project, wherever the one lies in the other.
func TestSharedFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Dir(w.root)
	w.write("../src/repo/.git/HEAD", "ref: refs/heads/main\n")
	w.write("../src/repo/.git/config", "[alias]\nst = status\n")
	w.write("../src/repo/.git/hooks/pre-push", "mine\n")
	w.write(".git/hooks/pre-commit", "mine\n")
	for name, shared := range map[string][]string{
		"beside":     {dir + "/src"},
		"twice":      {dir + "/src/repo", dir + "/src"},
		"in each":    {dir, dir + "/src", w.root},
		"repository": {dir + "/src/repo"},
	} {
		watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Shared: shared}, true)
		if err != nil {
			t.Fatal(err)
		}
		<-watch.walked
		w.write("../src/repo/.git/hooks/post-checkout", "evil")
		w.write("../src/repo/.git/hooks/pre-push", "evil")
		w.write("../src/repo/.git/config", "[core]\nfsmonitor = evil\n")
		w.write("../src/repo/.envrc", name)
		w.write("../src/repo/tool", "evil")
		w.write(".git/hooks/pre-commit", "evil")
		if err := os.Chmod(w.path("../src/repo/tool"), 0o644|fs.ModeSetuid); err != nil {
			t.Fatal(err)
		}
		report, err := watch.End(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := w.lines(report)
		slices.Sort(found)
		if diff := cmp.Diff([]string{
			"../src/repo/.git/config: alias.st", "../src/repo/.git/config: core.fsmonitor", "../src/repo/.git/hooks/post-checkout: added",
			"../src/repo/.git/hooks/pre-push: changed", ".git/hooks/pre-commit: changed",
		}, found); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		report.Files = slices.DeleteFunc(report.Files, func(c Change) bool { return strings.HasSuffix(c.Path, ".lock") }) // our own
		if want := []string{dir + "/src/repo/.envrc"}; !slices.Equal(paths(report.Files), want) || len(report.Odd) != 1 || len(report.Partial) != 0 {
			t.Errorf("%s: %q, %v, %v", name, paths(report.Files), report.Odd, report.Partial)
		}
	}
}

// A session that has the folder around the project too has looked at the project for itself, as another one learns from its notes.
func TestSharedFoldersOfSessionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/hooks/pre-push", "mine")
	dir := filepath.Dir(w.root)
	around, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Shared: []string{dir}}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-around.walked
	w.write(".git/hooks/pre-push", "evil")
	w.write(".git/hooks/post-commit", "evil")
	second := w.begin(true)
	want := []string{".git/hooks/post-commit: added", ".git/hooks/pre-push: changed"}
	if diff := cmp.Diff(want, w.end(second)); diff != "" {
		t.Error(diff)
	}
	if text, _ := os.ReadFile(w.path(".git/hooks/pre-push")); string(text) != "mine" {
		t.Errorf("the hook is %q", text)
	}
	if found := w.end(around); len(found) != 0 {
		t.Errorf("found once more: %q", found)
	}
}

// A guest that can write to the folder around the project can put a link in its place. What that leads to is none of the guest's.
func TestProjectThatBecameALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Dir(w.root)
	w.write("../precious/.git/HEAD", "x")
	w.write("../precious/.git/hooks/post-commit", "mine")
	watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root, Shared: []string{dir}}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.walked
	if err := errors.Join(os.Rename(w.root, w.root+"-moved"), os.Symlink("precious", w.root)); err != nil {
		t.Fatal(err)
	}
	w.write("../proj-moved/.git/hooks/post-commit", "evil")
	report, err := watch.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(w.path("../precious/.git/hooks/post-commit")); string(text) != "mine" {
		t.Errorf("what the link led to became %q: %v", text, report.Findings)
	}
	if _, err := os.Stat(w.path("../proj-moved/.git/hooks/post-commit")); err == nil || report.Findings[0].Err == nil {
		t.Errorf("found %v", report.Findings)
	}
}

// What a guest does while its folders are still being noted does not pass for what was there before.
func TestYoungerThanTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, err := newScanner(&Area{Path: w.root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.root.Close()
	w.write("sub/.git/hooks/old", "")
	w.write("sub/.git/hooks/new", "")
	old, err := os.Stat(w.path("sub/.git/hooks/new"))
	if err != nil {
		t.Fatal(err)
	}
	for s.begun = changeTime(old.Sys().(*syscall.Stat_t)).Add(1); !changedSince(old, s.begun); { // clocks of file systems are coarse
		w.write("sub/.git/hooks/new", "")
		if old, err = os.Stat(w.path("sub/.git/hooks/new")); err != nil {
			t.Fatal(err)
		}
	}
	s.tree()
	_, before := s.Nodes["sub/.git/hooks/old"]
	if _, after := s.Nodes["sub/.git/hooks/new"]; !before || after {
		t.Errorf("before the session there was: %v %v", before, after)
	}
}

// Git runs what lies in a folder that nobody can list.
func TestFoldersThatCannotBeListed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root can list everything")
	}
	w := newWorld(t)
	w.write("sub/.git/HEAD", "")
	hidden := []string{".git", ".git/hooks", "sub", "sub/.git/hooks", "."}
	watch, _, err := w.store.Begin(t.Context(), Site{Root: w.root, Main: w.root}, true)
	if err != nil {
		t.Fatal(err)
	}
	<-watch.walked
	w.write(".git/hooks/post-commit", "evil")
	w.write("sub/.git/hooks/post-commit", "evil")
	w.git("config", "core.fsmonitor", "evil")
	slices.SortFunc(hidden, func(a, b string) int { return strings.Compare(w.path(b), w.path(a)) }) // the inner before the outer
	for _, name := range hidden {
		if err := os.Chmod(w.path(name), 0o311); err != nil {
			t.Fatal(err)
		}
	}
	report, err := watch.End(t.Context())
	if err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{".git/config: core.fsmonitor", ".git/hooks/post-commit: added", "sub/.git/hooks/post-commit: added"}, w.lines(report)); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkGuard(b *testing.B) {
	w := newWorld(b)
	for i := range 5000 {
		w.write(fmt.Sprintf("src/d%d/e%d/file%d.go", i%50, i%250, i), "package x\n")
	}
	for b.Loop() {
		begin := time.Now()
		watch := w.begin(true)
		begun := time.Since(begin)
		w.end(watch)
		b.ReportMetric(float64(begun.Microseconds())/1000, "ms/begin")
	}
}
