package selfupdate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

var (
	// ErrNotWritable: the folder of the binary cannot be written to.
	ErrNotWritable = errors.New("the program's folder cannot be written to")
	// ErrNoPrevious: there is no update to take back.
	ErrNoPrevious = errors.New("there is no earlier version to go back to")
)

// ManagedError means that something else has installed the binary, and has to replace it.
type ManagedError struct {
	Path, Manager string
	Command       string // how to update it there
}

func (e *ManagedError) Error() string { return fmt.Sprintf("%s belongs to %s", e.Path, e.Manager) }

// Binary is a program that is installed, by its path, with no link in it.
type Binary string

const newPattern = ".claude-vm-new-*"

func (b Binary) dir() string { return filepath.Dir(string(b)) }

// previous is the binary that the last update has replaced.
func (b Binary) previous() string {
	return filepath.Join(b.dir(), "."+filepath.Base(string(b))+".previous")
}

// Managed returns a ManagedError if a package manager owns the binary, as far as paths and dpkg tell.
func (b Binary) Managed(ctx context.Context, env []string, home string) error {
	if strings.Contains(string(b), "/Cellar/") {
		return &ManagedError{string(b), "Homebrew", "brew upgrade claude-vm"}
	}
	bins := []string{proc.Getenv(env, "GOBIN"), filepath.Join(home, "go", "bin")}
	for _, dir := range filepath.SplitList(proc.Getenv(env, "GOPATH")) {
		bins = append(bins, filepath.Join(dir, "bin"))
	}
	if slices.ContainsFunc(bins, func(dir string) bool { return sameDir(dir, b.dir()) }) {
		return &ManagedError{string(b), "go install", "go install github.com/themouette/claude-vm/cmd/claude-vm@latest"}
	}
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"dpkg-query", "-S", string(b)}, Env: env})
	if pkg, _, found := strings.Cut(string(out), ": "); err == nil && found {
		return &ManagedError{string(b), "the Debian package " + pkg, "sudo apt-get install --only-upgrade " + pkg}
	}
	return nil
}

func sameDir(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// Writable returns ErrNotWritable if the binary could not be replaced.
func (b Binary) Writable() error {
	temp, err := os.CreateTemp(b.dir(), newPattern)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	return errors.Join(temp.Close(), os.Remove(temp.Name()))
}

// Replace puts another binary in the place of this one, which is kept for Rollback. At every moment, a power cut included,
// there is a whole one of the two. What write has written must pass the trial first, which gets its path. Only one caller
// at a time.
func (b Binary) Replace(write func(io.Writer) error, trial func(path string) error) error {
	info, err := os.Stat(string(b))
	if err != nil {
		return err
	}
	left, _ := filepath.Glob(filepath.Join(b.dir(), newPattern)) // of updates that were killed
	for _, path := range left {
		_ = os.Remove(path)
	}
	temp, err := os.CreateTemp(b.dir(), newPattern)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritable, err)
	}
	defer os.Remove(temp.Name())
	err = write(temp)
	if err = errors.Join(err, temp.Chmod(info.Mode().Perm()), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := trial(temp.Name()); err != nil {
		return err
	}
	if err := b.keep(); err != nil {
		return fmt.Errorf("keeping the old version: %w", err)
	}
	return b.moveHere(temp.Name())
}

// keep makes previous a second name of the binary.
func (b Binary) keep() error {
	if err := os.Remove(b.previous()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Link(string(b), b.previous())
}

// Rollback puts the binary back that the last update has replaced.
func (b Binary) Rollback() error {
	if _, err := os.Stat(b.previous()); errors.Is(err, os.ErrNotExist) {
		return ErrNoPrevious
	}
	return b.moveHere(b.previous())
}

func (b Binary) moveHere(path string) error {
	if err := os.Rename(path, string(b)); err != nil {
		return err
	}
	dir, err := os.Open(b.dir())
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// TryOut makes sure that a new binary runs on this host and is what it should be.
func TryOut(ctx context.Context, env []string, path, version string) error {
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{path, "--version"}, Env: env})
	if said := strings.TrimSpace(string(out)); err == nil && said != "claude-vm "+version {
		err = fmt.Errorf("it says that it is %q", said)
	}
	if err != nil {
		return fmt.Errorf("trying version %s out: %w", version, err)
	}
	return nil
}
