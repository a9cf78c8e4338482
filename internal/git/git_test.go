package git_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/proc"
)

// world is a directory with a home in it, and an environment that knows nothing of the machine's own git configuration.
type world struct {
	*testing.T
	dir string
	env []string
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := world{T: t, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=fr_FR.UTF-8",
	}}
	w.mkdir("home")
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) mkdir(name string) string {
	w.Helper()
	if err := os.MkdirAll(w.path(name), 0o700); err != nil {
		w.Fatal(err)
	}
	return w.path(name)
}

func (w world) write(name, content string, mode fs.FileMode) string {
	w.Helper()
	if err := os.WriteFile(w.path(name), []byte(content), mode); err != nil {
		w.Fatal(err)
	}
	return w.path(name)
}

// git runs an ordinary git, hooks and all.
func (w world) git(dir string, args ...string) {
	w.Helper()
	env := append(w.env[:len(w.env):len(w.env)], "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	if err := proc.Run(w.Context(), proc.Cmd{Argv: append([]string{"git"}, args...), Env: env, Dir: w.path(dir)}); err != nil {
		w.Fatal(err)
	}
}

func TestDiscoverPathsOfAnyCharacters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"plain", "two words", "new\nline", "trailing\n", "ünïcödé", `quo"te'\`, "-dash", "true\n--false"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			root := w.mkdir("x/" + name)
			w.git("x/"+name, "init", "-q")
			got, err := git.Client{Env: w.env}.Discover(t.Context(), w.mkdir("x/"+name+"/sub/dir"))
			if err != nil {
				t.Fatal(err)
			}
			want := git.Repository{Toplevel: root, GitDir: root + "/.git", CommonDir: root + "/.git"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiscoverWorktrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("", "init", "-q", "main")
	w.git("main", "commit", "-q", "--allow-empty", "-m", "x")
	w.git("main", "worktree", "add", "-q", "../linked")
	w.git("", "clone", "-q", "--bare", "main", "bare.git")
	common := w.path("main/.git")
	for dir, want := range map[string]git.Repository{
		"main":      {Toplevel: w.path("main"), GitDir: common, CommonDir: common},
		"linked":    {Toplevel: w.path("linked"), GitDir: common + "/worktrees/linked", CommonDir: common},
		"main/.git": {GitDir: common, CommonDir: common},
		"bare.git":  {GitDir: w.path("bare.git"), CommonDir: w.path("bare.git"), Bare: true},
	} {
		got, err := git.Client{Env: w.env}.Discover(t.Context(), w.path(dir))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", dir, diff)
		}
	}
}

func TestDiscoverFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	client := git.Client{Env: w.env}

	if _, err := client.Discover(t.Context(), w.mkdir("empty")); !errors.Is(err, git.ErrNotRepository) {
		t.Errorf("an empty directory: %v", err)
	}
	w.mkdir("broken")
	w.write("broken/.git", "gitdir: "+w.path("nowhere")+"\n", 0o600)
	if _, err := client.Discover(t.Context(), w.path("broken")); err == nil || errors.Is(err, git.ErrNotRepository) ||
		!strings.Contains(err.Error(), w.path("nowhere")) {
		t.Errorf("a .git file that leads nowhere: %v", err)
	}
	if _, err := (git.Client{Env: []string{"PATH=" + w.dir}}).Discover(t.Context(), w.dir); !errors.Is(err, git.ErrNotInstalled) {
		t.Errorf("no git on PATH: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.Discover(ended, w.dir); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestDiscoverRepositoryOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	w := newWorld(t)
	w.git("", "init", "-q", "theirs")
	if err := os.Chown(w.path("theirs"), 12345, 12345); err != nil {
		t.Skip(err)
	}
	_, err := git.Client{Env: w.env}.Discover(t.Context(), w.path("theirs"))
	if !errors.Is(err, git.ErrDubiousOwner) || !strings.Contains(err.Error(), "safe.directory") {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentCannotMislead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("", "init", "-q", "here")
	w.git("", "init", "-q", "there")
	env := append(w.env, "GIT_DIR="+w.path("there/.git"), "GIT_WORK_TREE="+w.path("there"), "GIT_COMMON_DIR="+w.path("there/.git"),
		"GIT_CEILING_DIRECTORIES="+w.dir, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.worktree", "GIT_CONFIG_VALUE_0=/", "GIT_TRACE="+w.path("trace"))
	got, err := git.Client{Env: env}.Discover(t.Context(), w.path("here"))
	if err != nil || got.Toplevel != w.path("here") {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := os.Stat(w.path("trace")); err == nil {
		t.Error("git wrote a trace")
	}
}

func TestRepositoryRunsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("", "init", "-q", "sub")
	w.git("sub", "commit", "-q", "--allow-empty", "-m", "x")
	w.git("", "init", "-q", "evil")
	w.git("evil", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", w.path("sub"), "sub")
	w.git("evil", "commit", "-q", "-m", "x")
	canary := w.write("canary.sh", "#!/bin/sh\necho \"$0 $*\" >>'"+w.path("touched")+"'\n", 0o700)
	for _, dir := range []string{"evil", "evil/sub"} {
		for _, key := range []string{
			"core.fsmonitor", "core.sshCommand", "core.pager", "pager.rev-parse", "pager.config", "diff.external", "credential.helper", "core.askPass",
			"core.editor", "filter.x.clean", "filter.x.smudge", "filter.x.process", "gpg.program", "remote.origin.uploadpack", "uploadpack.packObjectsHook",
		} {
			w.git(dir, "config", key, canary)
		}
		w.git(dir, "config", "alias.rev-parse", "!"+canary)
		w.git(dir, "config", "alias.config", "!"+canary)
		w.git(dir, "config", "core.hooksPath", w.mkdir("hooks"))
	}
	w.write("evil/.gitattributes", "* filter=x diff=x\n", 0o600)
	w.write("included", "[core]\n\tfsmonitor = "+canary+"\n\tpager = "+canary+"\n[hook \"x\"]\n\tcommand = "+canary+"\n\tevent = pre-command\n", 0o600)
	w.git("evil", "config", "include.path", w.path("included"))
	w.git("evil", "config", "includeIf.gitdir:**.path", w.path("included"))
	w.git("", "init", "-q", "--bare", "evil/embedded")
	w.git("evil/embedded", "config", "core.fsmonitor", canary)
	for _, hook := range []string{"post-index-change", "post-checkout", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"} {
		w.write("hooks/"+hook, "#!/bin/sh\n"+canary+" hook\n", 0o700)
	}

	env := w.env
	for _, name := range []string{
		"GIT_PAGER", "GIT_EDITOR", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EXTERNAL_DIFF", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR", "GIT_TRACE2",
	} {
		env = append(env, name+"="+canary)
	}
	env = append(env, "GIT_CONFIG_PARAMETERS='core.fsmonitor="+canary+"'")
	client := git.Client{Env: env}
	for _, dir := range []string{"evil", "evil/sub", "evil/.git", "evil/.git/modules/sub", "evil/embedded"} {
		if _, err := client.Discover(t.Context(), w.path(dir)); err != nil {
			t.Error(err)
		}
	}
	if _, err := client.Settings(t.Context(), w.path("evil")); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(w.path("touched")); err == nil {
		t.Errorf("the repository ran:\n%s", data)
	}
	trapped := proc.Cmd{Argv: []string{"git", "status"}, Env: w.env, Dir: w.path("evil")}
	_ = proc.Run(t.Context(), trapped) // fails or not: the canary is no good file system monitor
	if _, err := os.Stat(w.path("touched")); err != nil {
		t.Errorf("an ordinary git did not run the canary: %v", err)
	}
}

// TestUserRefusesBareRepositories has a user whom git protects from repositories in repositories: we still find ours, and
// of the others no more than where they are.
func TestUserRefusesBareRepositories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("home/.gitconfig", "[safe]\n\tbareRepository = explicit\n", 0o600)
	w.git("", "init", "-q", "main")
	w.git("main", "commit", "-q", "--allow-empty", "-m", "x")
	w.git("main", "worktree", "add", "-q", "../linked")
	got, err := git.Client{Env: w.env}.Discover(t.Context(), w.path("linked"))
	if err != nil || got.CommonDir != w.path("main/.git") {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := (git.Client{Env: w.env}).Discover(t.Context(), w.path("main/.git")); err != nil || got.GitDir != w.path("main/.git") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Not parallel: others have git's whole time.
func TestGitThatWaitsForAPipe(t *testing.T) {
	defer git.Impatient(time.Second)()
	for _, file := range []string{"config", "HEAD"} {
		w := newWorld(t)
		w.mkdir("r")
		w.git("r", "init", "-q")
		if err := os.Remove(w.path("r/.git/" + file)); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(w.path("r/.git/"+file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := (git.Client{Env: w.env}).Discover(t.Context(), w.path("r")); !errors.Is(err, git.ErrHangs) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
