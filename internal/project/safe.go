package project

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/themouette/claude-vm/internal/paths"
)

var (
	// ErrGone is a current directory that has been removed.
	ErrGone = errors.New("the current directory does not exist any more")
	// ErrNoWorktree is a current directory that belongs to git's own data: there are no files to work on.
	ErrNoWorktree = errors.New("not in a working tree")
)

// UnsafeError is a directory of which too much depends to hand it to a guest.
type UnsafeError struct {
	Dir  string // the directory that would have been the project
	From string // where the user is: Dir, or below it when Dir is the root of the repository around
	What string // what Dir is, as in "your home directory"
}

func (e *UnsafeError) Error() string {
	if e.From != e.Dir {
		return fmt.Sprintf("refusing %s as a project: the repository around %s starts there, and it is %s", e.Dir, e.From, e.What)
	}
	return fmt.Sprintf("refusing %s as a project: it is %s", e.Dir, e.What)
}

// GitDirError is a working tree whose git directory cannot be shown to be its own.
type GitDirError struct {
	Root   string // the working tree
	GitDir string // what its .git leads to
	Reason string
}

func (e *GitDirError) Error() string {
	return fmt.Sprintf("refusing the git directory %s of %s: %s", e.GitDir, e.Root, e.Reason)
}

// hazard says what makes a directory unfit for a guest, or "".
func hazard(dir, home string) string {
	if paths.Same(dir, home) {
		return "your home directory"
	}
	if paths.Holds(dir, home) {
		return "a directory that contains your home directory"
	}
	// These hold things that do not belong together; what lies below them is another matter.
	for _, top := range []string{
		"/", "/home", "/media", "/mnt", "/opt", "/root", "/run/media", "/srv", "/tmp", "/usr/local", "/usr/src", "/var", "/var/lib",
		"/var/tmp", "/Users", "/Volumes", "/private", "/var/folders",
	} {
		if paths.Same(dir, top) {
			return "a system directory"
		}
	}
	for _, top := range []string{"/run/media", "/usr/local", "/usr/src"} {
		if paths.Holds(top, dir) {
			return ""
		}
	}
	for _, top := range []string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr",
		"/var/cache", "/var/lib/dpkg", "/var/log", "/var/spool", "/Applications", "/Library", "/System", "/var/db",
	} {
		if paths.Holds(top, dir) {
			return "a system directory"
		}
	}
	return ""
}

// canonical returns the path of a directory without symbolic links. It has to be absolute.
func canonical(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%q is not an absolute path", dir)
	}
	return filepath.EvalSymlinks(dir + "/.") // fails on a file
}
