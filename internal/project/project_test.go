package project_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
)

// world is a directory of repositories beside a home, and an environment without the machine's own git configuration.
type world struct {
	testing.TB
	dir string
	env []string
}

func newWorld(t *testing.T) world {
	t.Helper()
	t.Parallel()
	return makeWorld(t)
}

func makeWorld(t testing.TB) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := world{TB: t, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "users/me"), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b", // only for sh
	}}
	w.sh(`mkdir -p users/me; git config --global protocol.file.allow always; git config --global init.defaultBranch main`)
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

// sh runs a script in the world's directory. "repo NAME" in it makes a repository with one commit.
func (w world) sh(script string) {
	w.Helper()
	script = `set -eu; repo() { git init -q "$1"; git -C "$1" commit -q --allow-empty -m x; }; exec >/dev/null; ` + script
	if err := proc.Run(w.Context(), proc.Cmd{Argv: []string{"sh", "-c", script}, Env: w.env, Dir: w.dir}); err != nil {
		w.Fatal(err)
	}
}

func (w world) find(dir string, allowHome bool) (*project.Project, error) {
	if !filepath.IsAbs(dir) {
		dir = w.path(dir)
	}
	return project.Find(w.Context(), git.Client{Env: w.env}, dir, project.Options{Home: w.path("users/me"), AllowHome: allowHome})
}

// want compares a project with the names of its directories; without a main name it stands for itself.
func (w world) want(dir, root, main string, gitDirs ...string) *project.Project {
	w.Helper()
	p, err := w.find(dir, false)
	if err != nil {
		w.Errorf("%s: %v", dir, err)
		return nil
	}
	want := &project.Project{Dir: w.path(dir), Root: w.path(root), Main: w.path(main)}
	for _, name := range gitDirs {
		want.GitDirs = append(want.GitDirs, w.path(name))
	}
	if diff := cmp.Diff(want, p); diff != "" {
		w.Errorf("%s: %s", dir, diff)
	}
	return p
}

func TestPlainDirectoryAndRepository(t *testing.T) {
	w := newWorld(t)
	w.sh(`mkdir -p plain; repo my-proj; mkdir -p my-proj/sub/dir; repo my-proj/nested; repo 'a
b,"c"'; ln -s my-proj/sub link; mkdir users/me/p; ln -s ../../.. users/me/p/up`)
	w.want("plain", "plain", "plain")
	whole := w.want("my-proj", "my-proj", "my-proj")
	w.want("my-proj/sub/dir", "my-proj", "my-proj")
	w.want("my-proj/nested", "my-proj/nested", "my-proj/nested")
	w.want("a\nb,\"c\"", "a\nb,\"c\"", "a\nb,\"c\"")
	w.want("users/me/p", "users/me/p", "users/me/p")

	linked, err := w.find("link/dir", false)
	if err != nil {
		t.Fatal(err)
	}
	if linked.Dir != w.path("my-proj/sub/dir") || linked.TemplateName() != whole.TemplateName() {
		t.Errorf("through a symbolic link: %+v", linked)
	}
	if ok, _ := regexp.MatchString(`^tpl_my-proj_[0-9a-f]{8}$`, whole.TemplateName()); !ok {
		t.Errorf("template name %s", whole.TemplateName())
	}
}

func TestLinkedWorktrees(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo p; git -C p worktree add -q ../p-feat; git -C p worktree add -q .claude/worktrees/in; mkdir p-feat/sub
		cp -R p-feat p-copy; git -C p worktree add -q ../p-moved; mv p-moved p-elsewhere
		printf '../../../../p-feat/.git\n' >p/.git/worktrees/p-feat/gitdir`) // relative, as newer versions of git can write it
	w.want("p", "p", "p")
	w.want("p-feat", "p-feat", "p", "p/.git")
	w.want("p-feat/sub", "p-feat", "p", "p/.git")
	w.want("p/.claude/worktrees/in", "p/.claude/worktrees/in", "p", "p/.git")
	w.refused("p-copy", "belongs to another worktree, "+w.path("p-feat"))
	w.refused("p-elsewhere", "p-moved")
}

func TestWorktreesOfBareRepositories(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo seed; git clone -q --bare seed x/proj.git; git -C x/proj.git worktree add -q ../wt; git -C x/proj.git worktree add -q in
		git clone -q --bare seed y/.bare; echo 'gitdir: ./.bare' >y/.git; git -C y worktree add -q main; git -C y/.bare worktree add -q feat
		git clone -q --bare seed z/.git; git -C z worktree add -q wt`)
	w.want("x/wt", "x/wt", "x/wt", "x/proj.git")
	w.sh(`git config --global safe.bareRepository explicit`)
	w.want("x/wt", "x/wt", "x/wt", "x/proj.git")
	w.want("y/main", "y/main", "y/main", "y/.bare")
	w.want("z/wt", "z/wt", "z/wt", "z/.git")
	w.refused("x/proj.git/in", w.path("x/proj.git")+" contains the project itself")
}

func TestSubmodules(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo lib; repo super; git -C super submodule --quiet add ../lib deps/lib; git -C super commit -qm lib
		git -C super/deps/lib worktree add -q ../../../lib-feat
		git -C super worktree add -q ../super-feat; git -C super-feat submodule --quiet update --init
		git -C super/deps/lib sparse-checkout set --cone`)
	w.want("super", "super", "super")
	w.want("super/deps/lib", "super/deps/lib", "super/deps/lib", "super/.git/modules/deps/lib")
	w.want("lib-feat", "lib-feat", "super/deps/lib", "super/.git/modules/deps/lib")
	w.want("super-feat/deps/lib", "super-feat/deps/lib", "super-feat/deps/lib", "super/.git/worktrees/super-feat/modules/deps/lib")
}

func TestSeparateGitDirectory(t *testing.T) {
	w := newWorld(t)
	w.sh(`mkdir store q; git init -q --separate-git-dir=store/p.git p; git -C p commit -q --allow-empty -m x; git -C p worktree add -q ../feat
		git init -q --separate-git-dir=q/.store q`)
	w.want("q", "q", "q")
	w.want("feat", "feat", "feat", "store/p.git")
	w.refused("p", "does not name the project as its working tree (core.worktree)")
	w.sh(`git -C p config core.worktree "$PWD/p"`)
	w.want("p", "p", "p", "store/p.git")
	w.want("feat", "feat", "p", "store/p.git")
}

func (w world) refused(dir, reason string) {
	w.Helper()
	p, err := w.find(dir, true) // whatever is allowed
	if _, ok := errors.AsType[*project.GitDirError](err); !ok || !strings.Contains(err.Error(), reason) {
		w.Errorf("%s: got %+v, %v", dir, p, err)
	}
}

func TestHostileRepositories(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo victim; git -C victim worktree add -q ../victim-wt; repo seed; repo users/me; repo super; git -C super submodule --quiet add ../seed sub
		mkdir -p h1 h2 h3 h4
		echo "gitdir: $PWD/victim/.git" >h1/.git
		echo "gitdir: $PWD/victim/.git/worktrees/victim-wt" >h2/.git
		echo "gitdir: $PWD/super/.git/modules/sub" >h3/.git
		echo "gitdir: $PWD/users/me/.git" >h4/.git

		# A directory of the project's own that claims to be a worktree of someone else's repository.
		forge() { mkdir -p "$1"; cp seed/.git/HEAD "$1/HEAD"; echo "$2" >"$1/commondir"; echo "$PWD/$3/.git" >"$1/gitdir"; }
		forge h5/fake "$PWD/victim/.git" h5; echo 'gitdir: fake' >h5/.git
		forge h6/.git "$PWD/victim/.git" h6
		forge h7/x/worktrees/fake "$PWD/victim/.git" h7; echo 'gitdir: x/worktrees/fake' >h7/.git

		repo w/h8; git -C w/h8 config core.worktree "$PWD/w"
		repo w/h9; mkdir w/h9/sub; git -C w/h9 config core.worktree "$PWD/w/h9/sub"
		mkdir h10; ln -s "$PWD/victim/.git" h10/.git
		repo h11; git -C h11 worktree add -q ../h11-wt; git -C h11 config core.worktree "$PWD/victim"

		# A git directory that names its project but is all of the home directory.
		mkdir h12; cp -R seed/.git/. users/me/; echo "gitdir: $PWD/users/me" >h12/.git; git -C h12 config core.worktree "$PWD/h12"`)
	w.refused("h1", "does not name the project")
	w.refused("h2", "belongs to another worktree, "+w.path("victim-wt"))
	w.refused("h3", "its working tree is "+w.path("super/sub"))
	w.refused("h4", "does not name the project")
	w.refused("h5", "claims to be a worktree of "+w.path("victim/.git"))
	w.refused("h6", "claims to be a worktree of "+w.path("victim/.git"))
	w.refused("h7", "claims to be a worktree of "+w.path("victim/.git"))
	w.refused("w/h8", "claims the working tree "+w.path("w")+", which has no .git")
	w.refused("w/h9/sub", "which has no .git")
	w.refused("h10", "does not name the project")
	w.want("h11-wt", "h11-wt", "h11-wt", "h11/.git")
	w.refused("h12", "is your home directory")
}

func TestNoWorkingTree(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo p; git -C p worktree add -q ../wt; git clone -q --bare p bare.git; repo lib; git -C p submodule --quiet add ../lib lib
		repo evil; cp -R bare.git evil/bare; git -C evil/bare config core.bare false; git -C evil/bare config core.worktree ..; mkdir evil/bare/x
		git clone -q --bare p y/.bare; echo 'gitdir: ./.bare' >y/.git`)
	for _, dir := range []string{
		"p/.git", "p/.git/refs/heads", "p/.git/worktrees/wt", "p/.git/modules/lib", "bare.git", "bare.git/refs", "evil/bare", "evil/bare/x", "y",
	} {
		if p, err := w.find(dir, false); !errors.Is(err, project.ErrNoWorktree) {
			t.Errorf("%s: got %+v, %v", dir, p, err)
		}
	}
}

func TestUnsafeDirectories(t *testing.T) {
	w := newWorld(t)
	w.sh(`mkdir users/me/sub; ln -s users/me home-link`)
	for _, dir := range []string{"users/me", "users", "home-link", ".", "/", "/etc", "/usr", "/usr/bin", "/var", "/bin", "/tmp", "/dev"} {
		_, err := w.find(dir, false)
		if failure, ok := errors.AsType[*project.UnsafeError](err); !ok || failure.From != failure.Dir {
			t.Errorf("%s: got %v", dir, err)
		}
	}
	w.want("users/me/sub", "users/me/sub", "users/me/sub")
	if p, err := w.find("users/me", true); err != nil || p.Root != w.path("users/me") {
		t.Errorf("with AllowHome: got %+v, %v", p, err)
	}

	w.sh(`repo users/me`)
	_, err := w.find("users/me/sub", false)
	want := &project.UnsafeError{Dir: w.path("users/me"), From: w.path("users/me/sub"), What: "your home directory"}
	if failure, _ := errors.AsType[*project.UnsafeError](err); !cmp.Equal(failure, want) {
		t.Errorf("below a home that is a repository: got %v", err)
	}
	if text := want.Error(); !strings.Contains(text, want.Dir) || !strings.Contains(text, want.From) || !strings.Contains(text, want.What) {
		t.Errorf("error text %q", text)
	}
	if p, err := w.find("users/me/sub", true); err != nil || p.Root != w.path("users/me") {
		t.Errorf("with AllowHome: got %+v, %v", p, err)
	}
}

func TestUnusableDirectories(t *testing.T) {
	w := newWorld(t)
	w.sh(`touch file`)
	if _, err := w.find("gone", false); !errors.Is(err, project.ErrGone) {
		t.Errorf("a directory that is gone: %v", err)
	}
	if _, err := w.find("file", false); err == nil {
		t.Error("a file was accepted")
	}
	if _, err := project.Find(t.Context(), git.Client{Env: w.env}, ".", project.Options{Home: w.path("users/me")}); err == nil {
		t.Error("a relative directory was accepted")
	}
	if _, err := project.Find(t.Context(), git.Client{Env: w.env}, w.dir, project.Options{}); err == nil {
		t.Error("an unknown home was accepted")
	}
	if _, err := project.Find(t.Context(), git.Client{}, w.path("users"), project.Options{Home: "/nowhere"}); !errors.Is(err, git.ErrNotInstalled) {
		t.Errorf("without git: %v", err)
	}
}

func TestConfigFile(t *testing.T) {
	w := newWorld(t)
	w.sh(`repo p; git -C p worktree add -q ../wt; echo secret >secret`)
	check := func(dir, want, failure string) {
		t.Helper()
		p, err := w.find(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if want != "" {
			want = w.path(want)
		}
		got, err := p.ConfigFile()
		if got != want || (err == nil) != (failure == "") || err != nil && !strings.Contains(err.Error(), failure) {
			t.Errorf("%s: got %q, %v", dir, got, err)
		}
	}
	check("wt", "", "")
	w.sh(`touch p/.claude-vm.toml`)
	check("p", "p/.claude-vm.toml", "")
	check("wt", "p/.claude-vm.toml", "")
	w.sh(`mkdir wt/conf; touch wt/conf/vm.toml; ln -s conf/vm.toml wt/.claude-vm.toml`)
	check("wt", "wt/.claude-vm.toml", "")
	w.sh(`ln -sf ../secret wt/.claude-vm.toml`)
	check("wt", "", "outside of the project")
	w.sh(`rm wt/.claude-vm.toml; mkfifo wt/.claude-vm.toml`)
	check("wt", "", "not a regular file")
}

func TestSlug(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"my-proj":              "my-proj",
		"My  Proj_2!":          "my-proj-2",
		"":                     "project",
		"日本語":                  "project",
		"café":                 "caf",
		"--x--":                "x",
		"a.b":                  "a-b",
		"0123456789abcdefghij": "0123456789abcdef",
		"0123456789abcde-fghi": "0123456789abcde",
		"0123456789abcd--fghi": "0123456789abcd-f",
		"\u212aelvin":          "elvin", // a letter whose lower case is ASCII
	} {
		if got := project.Slug(name); got != want {
			t.Errorf("Slug(%q) = %q, want %q", name, got, want)
		}
	}
	if got := project.ID("/w/p"); got != "6153bc20" { // the start of its SHA-256: another one would orphan every template
		t.Errorf("ID = %q", got)
	}
}

func TestTemplateNameIsAlwaysAnInstanceName(t *testing.T) {
	t.Parallel()
	instance := regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)
	rapid.Check(t, func(t *rapid.T) {
		paths := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z0-9 _./-]{0,40}`))
		path, another := "/"+paths.Draw(t, "path"), "/"+paths.Draw(t, "another")
		name := (&project.Project{Main: path}).TemplateName()
		if other := (&project.Project{Main: another}).TemplateName(); (other == name) != (another == path) {
			t.Fatalf("%q stands for %q and for %q", name, path, another)
		}
		if !instance.MatchString(name) || len(name) > 30 {
			t.Fatalf("%q", name)
		}
		slug := project.Slug(path)
		if len(slug) > 16 || strings.ToLower(slug) != slug || project.Slug(slug) != slug {
			t.Fatalf("slug %q", slug)
		}
	})
}
