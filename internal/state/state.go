// Package state owns the one folder in which everything of ours lies: its layout, the locks in it, and how a file in it is
// replaced. It knows nothing of what the files say.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// ErrLocked means that another process holds a lock.
var ErrLocked = errors.New("another claude-vm is at work on it")

// Dir is the folder, ~/.claude-vm unless CLAUDE_VM_HOME says otherwise.
type Dir string

// VMs is the LIMA_HOME of our own: no other Lima machine is ever seen or touched.
func (d Dir) VMs() string { return filepath.Join(string(d), "vm") }

// Disks holds the disks that instances share.
func (d Dir) Disks() string { return filepath.Join(string(d), "disks") }

// Cache holds what can be fetched again.
func (d Dir) Cache() string { return filepath.Join(string(d), "cache") }

func (d Dir) lockFile(name string) string {
	return filepath.Join(string(d), "state", "locks", name+".lock")
}

// Lock is a lock that we hold. The kernel releases it when the process ends, however it ends: no lock outlives its owner,
// and none is taken for another's because a process id came round again.
type Lock struct{ file *flock.Flock }

// Unlock releases the lock.
func (l *Lock) Unlock() { _ = l.file.Unlock() }

// Remove releases a lock whose name will not be used again, and its file.
func (l *Lock) Remove() {
	_ = os.Remove(l.file.Path())
	l.Unlock()
}

// Mode says whether a lock can be held by several processes at once.
type Mode bool

// The modes of a lock.
const (
	Exclusive Mode = false
	Shared    Mode = true
)

// TryLock takes the lock of a name, or returns ErrLocked.
func (d Dir) TryLock(name string, mode Mode) (*Lock, error) {
	file, err := d.openLock(name)
	if err != nil {
		return nil, err
	}
	try := file.TryLock
	if mode == Shared {
		try = file.TryRLock
	}
	locked, err := try()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	if !locked {
		return nil, ErrLocked
	}
	return &Lock{file}, nil
}

// Lock waits for the lock of a name.
func (d Dir) Lock(ctx context.Context, name string, mode Mode) (*Lock, error) {
	file, err := d.openLock(name)
	if err != nil {
		return nil, err
	}
	const retry = 50 * time.Millisecond
	if mode == Shared {
		_, err = file.TryRLockContext(ctx, retry)
	} else {
		_, err = file.TryLockContext(ctx, retry)
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for the lock of %s: %w", name, err)
	}
	return &Lock{file}, nil
}

func (d Dir) openLock(name string) (*flock.Flock, error) {
	path := d.lockFile(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return flock.New(path, flock.SetPermissions(0o600)), nil
}

// ReadJSON reads a file into v. A file that is not there gives fs.ErrNotExist.
func ReadJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// WriteJSON replaces a file as a whole: whoever reads it sees the old content or the new, even after a power cut.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(append(text, '\n'))
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// Gone says whether an error means that a file is not there.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
