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

	"golang.org/x/sys/unix"
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

// Mode says whether a lock can be held by several processes at once.
type Mode bool

// The modes of a lock.
const (
	Exclusive Mode = false
	Shared    Mode = true
)

// Lock is a lock that we hold. The kernel releases it when the process ends, however it ends: no lock outlives its owner,
// and none is taken for another's because a process id came round again.
type Lock struct{ file *os.File }

// Unlock releases the lock.
func (l *Lock) Unlock() {
	_ = unix.Flock(int(l.file.Fd()), unix.LOCK_UN) // a program that is just being started may still have the file
	l.file.Close()
}

// Remove releases a lock whose name will not be used again, and its file.
func (l *Lock) Remove() {
	_ = os.Remove(l.file.Name())
	l.Unlock()
}

// File is what stands for the lock when it is given to another process, which makes it its own with Adopt. The
// lock is held as long as one of the two has it open.
func (l *Lock) File() *os.File { return l.file }

// Leave lets go of a lock that another process has adopted: it stays locked.
func (l *Lock) Leave() { l.file.Close() }

// Adopt makes the lock of a name ours that another process has handed over as an open file.
func (d Dir) Adopt(name string, fd int) *Lock {
	return &Lock{os.NewFile(uintptr(fd), d.lockFile(name))}
}

// TryLock takes the lock of a name, or returns ErrLocked.
func (d Dir) TryLock(name string, mode Mode) (*Lock, error) {
	path := d.lockFile(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := unix.LOCK_EX | unix.LOCK_NB
	if mode == Shared {
		how = unix.LOCK_SH | unix.LOCK_NB
	}
	if err = unix.Flock(int(file.Fd()), how); err == nil {
		return &Lock{file}, nil
	}
	file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ErrLocked
	}
	return nil, fmt.Errorf("locking %s: %w", name, err)
}

// Lock waits for the lock of a name.
func (d Dir) Lock(ctx context.Context, name string, mode Mode) (*Lock, error) {
	const retry = 50 * time.Millisecond
	for {
		lock, err := d.TryLock(name, mode)
		if !errors.Is(err, ErrLocked) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the lock of %s: %w", name, ctx.Err())
		case <-time.After(retry):
		}
	}
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
