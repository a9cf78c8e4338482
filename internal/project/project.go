// Package project tells where we are: which directory the user means, which repository it belongs to, what that project is
// called, and which of git's directories outside of it a guest needs. It owns the rules about what must never be handed to
// a guest. What a repository says of itself (a .git file, a commondir, core.worktree) is taken for a claim and checked. The
// package must not know about virtual machines or mounts.
package project

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/paths"
)

// ConfigName is the name of a project's configuration file.
const ConfigName = ".claude-vm.toml"

// Project is a directory that a guest may work on. Its paths are absolute and free of symbolic links.
type Project struct {
	Dir  string // where the user is: Root or below it
	Root string // the root of the working tree; outside of a repository the same as Dir
	// Main gives the project its identity: for a linked worktree the main checkout, so that all of them share one, and
	// otherwise Root. A worktree whose repository is bare, or does not tell where its main checkout is, stands for itself.
	Main string
	// GitDirs are the directories outside of Root without which git cannot work in it. Each one has been found to name
	// this working tree as its own.
	GitDirs []string
}

// Options are the limits of what may be a project.
type Options struct {
	Home      string // the user's home directory
	AllowHome bool   // accept the home directory and system directories
}

// Find returns the project around dir. It fails with ErrGone, ErrNoWorktree, an *UnsafeError or a *GitDirError, or with an
// error of package git.
func Find(ctx context.Context, g git.Client, dir string, o Options) (*Project, error) {
	dir, err := canonical(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at the current directory: %w", err)
	}
	if !filepath.IsAbs(o.Home) {
		return nil, fmt.Errorf("the home directory %q is not an absolute path", o.Home)
	}
	home, err := filepath.EvalSymlinks(o.Home)
	if err != nil {
		home = filepath.Clean(o.Home) // missing: its parents are refused all the same
	}
	p := &Project{Dir: dir, Root: dir, Main: dir}
	repo, err := g.Discover(ctx, dir)
	switch {
	case errors.Is(err, git.ErrNotRepository):
	case err != nil:
		return nil, err
	case repo.Bare && repo.Toplevel == "":
		return nil, fmt.Errorf("%w: %s is a bare repository", ErrNoWorktree, repo.GitDir)
	case repo.Toplevel == "" || paths.Holds(repo.GitDir, dir):
		return nil, fmt.Errorf("%w: %s belongs to the git directory %s", ErrNoWorktree, dir, repo.GitDir)
	case !paths.Holds(repo.Toplevel, dir):
		return nil, &GitDirError{Root: dir, GitDir: repo.GitDir, Reason: "its working tree is " + repo.Toplevel}
	default:
		p.Root, p.Main = repo.Toplevel, repo.Toplevel
	}
	if what := hazard(p.Root, home); what != "" && !o.AllowHome {
		return nil, &UnsafeError{Dir: p.Root, From: dir, What: what}
	}
	if repo.Toplevel == "" {
		return p, nil
	}
	if p.GitDirs, err = gitDirs(ctx, g, repo, home); err != nil {
		return nil, err
	}
	if repo.GitDir != repo.CommonDir {
		p.Main, err = mainCheckout(ctx, g, repo)
	}
	return p, err
}

// ID returns 8 hexadecimal digits that stand for the project.
func (p *Project) ID() string { return ID(p.Main) }

// Name returns the project's short name, made of lower case ASCII letters, digits and hyphens.
func (p *Project) Name() string { return Slug(filepath.Base(p.Main)) }

// TemplateName returns the name of the project's template, at most 29 characters long.
func (p *Project) TemplateName() string { return "tpl_" + p.Name() + "_" + p.ID() }

// ConfigFile returns the path of the project's configuration file: the working tree's own if there is one, else the main
// checkout's, else "". A file that is not a regular one, or that a symbolic link fetches from outside of the checkout, is
// an error: a guest can put either there, and the host would read it. So is a link that leads nowhere, which somebody relies on.
func (p *Project) ConfigFile() (string, error) {
	const doing = "looking for the project's configuration"
	for _, root := range []string{p.Root, p.Main} {
		file := filepath.Join(root, ConfigName)
		target, err := filepath.EvalSymlinks(file)
		if errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Lstat(file); err == nil {
				return "", fmt.Errorf("%s: %s is a link that leads nowhere", doing, file)
			}
			continue
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", doing, err)
		}
		if !paths.Holds(root, filepath.Dir(target)) {
			return "", fmt.Errorf("%s: %s leads to %s, outside of the project", doing, file, target)
		}
		if info, err := os.Stat(target); err != nil || !info.Mode().IsRegular() {
			return "", fmt.Errorf("%s: %s is not a regular file", doing, file)
		}
		return file, nil
	}
	return "", nil
}

// mainCheckout returns the main checkout of a linked worktree, or the worktree itself when the repository has none to show.
func mainCheckout(ctx context.Context, g git.Client, repo git.Repository) (string, error) {
	// Seen from the common directory git tells the checkout if the configuration names it; else the one around is a guess.
	for _, dir := range []string{repo.CommonDir, filepath.Dir(repo.CommonDir)} {
		found, err := g.Discover(ctx, dir)
		if errors.Is(err, git.ErrNotRepository) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("looking for the main checkout of %s: %w", repo.Toplevel, err)
		}
		if found.Toplevel != "" && leads(found.Toplevel, repo.CommonDir) == nil {
			return found.Toplevel, nil
		}
	}
	return repo.Toplevel, nil
}

// gitDirs returns the directories outside of the working tree that git needs, after having made sure that they and the
// working tree name each other: otherwise a repository could have the guest given any other repository of the user.
func gitDirs(ctx context.Context, g git.Client, repo git.Repository, home string) ([]string, error) {
	root, outside := repo.Toplevel, repo.CommonDir
	refuse := func(format string, args ...any) ([]string, error) {
		return nil, &GitDirError{Root: root, GitDir: repo.GitDir, Reason: fmt.Sprintf(format, args...)}
	}
	if err := leads(root, repo.GitDir); err != nil {
		return refuse("%v", err)
	}
	if paths.Holds(root, repo.GitDir) && paths.Holds(root, outside) {
		return nil, nil
	}
	if paths.Holds(outside, root) {
		return refuse("%s contains the project itself", outside)
	}
	if what := hazard(outside, home); what != "" {
		return refuse("%s is %s", outside, what)
	}
	if repo.GitDir == outside {
		back, err := g.Discover(ctx, outside)
		if err != nil {
			return nil, err
		}
		if !paths.Same(back.Toplevel, root) {
			return refuse("its configuration does not name the project as its working tree (core.worktree)")
		}
		return []string{outside}, nil
	}
	if filepath.Dir(repo.GitDir) != filepath.Join(outside, "worktrees") {
		return refuse("it claims to be a worktree of %s, which does not hold it", outside)
	}
	back, err := pointer(filepath.Join(repo.GitDir, "gitdir"), "")
	if err != nil {
		return refuse("%v", err)
	}
	if !paths.Same(filepath.Dir(back), root) || filepath.Base(back) != ".git" {
		return refuse("it belongs to another worktree, %s", filepath.Dir(back))
	}
	return []string{outside}, nil
}

// leads makes sure that .git in root is the git directory given or names it.
func leads(root, gitDir string) error {
	link := filepath.Join(root, ".git")
	info, err := os.Stat(link)
	if err != nil {
		return fmt.Errorf("the repository claims the working tree %s, which has no .git: %w", root, err)
	}
	if !info.IsDir() {
		if link, err = pointer(link, "gitdir: "); err != nil {
			return err
		}
	}
	if !paths.Same(link, gitDir) {
		return fmt.Errorf("the repository claims the working tree %s, whose .git is %s", root, link)
	}
	return nil
}

// pointer returns the canonical form of the path that one of git's one-line files holds after a prefix.
func pointer(file, prefix string) (string, error) {
	const limit = 64 << 10 // far longer than any path
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return "", fmt.Errorf("%s is not a file that git writes", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	path, ok := strings.CutPrefix(strings.TrimRight(string(data), "\r\n"), prefix)
	if !ok || path == "" {
		return "", fmt.Errorf("%s is not a file that git writes", file)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Dir(file) + string(filepath.Separator) + path // not cleaned: a ".." counts after the links before it
	}
	return filepath.EvalSymlinks(path)
}
