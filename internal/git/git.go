// Package git asks the host's git about repositories that may be hostile: their configuration and their hooks were
// perhaps written inside a virtual machine. It owns the environment and the switches that keep git from running anything
// such a repository names. It must not know what the answers are for, and it never touches a working tree.
package git

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/proc"
)

// The failures that a caller can tell apart with errors.Is.
var (
	ErrNotInstalled  = errors.New("git is not installed")
	ErrNotRepository = errors.New("not a git repository")
	ErrHangs         = errors.New("git has not answered")
	ErrDubiousOwner  = errors.New("git does not trust a repository that belongs to another user")
)

// fatal is the exit status of a git that gave up.
const fatal = 128

// patience is how long git may take for an answer, which takes it milliseconds: it waits for ever for a pipe in the place of one
// of its files.
var patience = 10 * time.Second

// Client runs git with an environment of the host user, given as NAME=value. Of the GIT_* variables only those that say
// where git's own programs and the user's configuration lie are passed on; the others would speak of another repository.
type Client struct{ Env []string }

// Repository is what git finds around a directory. All paths are absolute and free of symbolic links.
type Repository struct {
	// Toplevel is the root of the working tree. It is empty in a bare repository and inside a .git directory, unless the
	// configuration there names a working tree (core.worktree): then it is that one, wherever it lies.
	Toplevel  string
	GitDir    string // this working tree's own git directory
	CommonDir string // the git directory that all working trees share; the same as GitDir outside of linked worktrees
	Bare      bool   // the configuration says that there is no working tree
}

// Discover finds the repository that holds dir. It fails with ErrNotRepository, ErrDubiousOwner or ErrNotInstalled, or
// with git's own message.
func (c Client) Discover(ctx context.Context, dir string) (Repository, error) {
	// rev-parse repeats a flag that it does not know, so a random one separates the answers, whatever characters the
	// paths are made of. The top level comes last because git ends there when it has none.
	mark := "--" + rand.Text()
	out, err := c.run(ctx, dir, "rev-parse", "--path-format=absolute",
		mark, "--absolute-git-dir", mark, "--git-common-dir", mark, "--is-bare-repository", mark, "--show-toplevel")
	answers := strings.Split(string(out), mark+"\n")
	if len(answers) != 5 || err != nil && proc.ExitCode(err) != fatal {
		return Repository{}, fmt.Errorf("finding the repository of %s: %w", dir, explain(err))
	}
	line := func(i int) string { return strings.TrimSuffix(answers[i], "\n") }
	r := Repository{GitDir: line(1), CommonDir: line(2), Bare: line(3) == "true", Toplevel: line(4)}
	if !filepath.IsAbs(r.CommonDir) {
		return Repository{}, fmt.Errorf("finding the repository of %s: git 2.31 or newer is needed", dir)
	}
	return r, nil
}

// run starts git where nothing that a repository configures can start anything else: no hooks, no file system monitor,
// no pager, no credential helper, no transport. Aliases cannot shadow the built-in commands that are run here.
func (c Client) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	if _, err := proc.Find(c.Env, "git"); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("git %s, for %v: %w", args[0], patience, ErrHangs))
	defer cancel()
	out, err := proc.Output(ctx, c.command(dir, args...))
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrHangs) {
		return nil, cause
	}
	return out, err
}

func (c Client) command(dir string, args ...string) proc.Cmd {
	argv := []string{
		"git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external=",
		"-c", "credential.helper=", "-c", "protocol.allow=never",
		"-c", "safe.bareRepository=all", // a user who has it otherwise could not be told what a worktree belongs to
	}
	return proc.Cmd{Argv: append(argv, args...), Env: c.environment(), Dir: dir}
}

func (c Client) environment() []string {
	env := slices.DeleteFunc(slices.Clone(c.Env), func(entry string) bool {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH":
			return false
		default:
			return strings.HasPrefix(name, "GIT_")
		}
	})
	// LC_ALL: explain reads the messages.
	return append(env, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1")
}

// explain puts the kinds of failure that callers care about in front of git's message.
func explain(err error) error {
	failure, ok := errors.AsType[*proc.Error](err)
	switch {
	case !ok:
		return err
	case strings.Contains(failure.Stderr, "not a git repository (or any "):
		// Without the parenthesis it would be a .git file that leads nowhere, and that is git's to tell.
		return ErrNotRepository
	case strings.Contains(failure.Stderr, "detected dubious ownership"):
		return fmt.Errorf("%w: %w", ErrDubiousOwner, err)
	}
	return err
}
