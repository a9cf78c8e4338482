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
	"strings"
	"syscall"
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

var (
	// ErrForeign means that somebody else can have written what lies in the folder, which we believe and partly run.
	ErrForeign = errors.New("the state folder is not yours alone")
	// ErrFolder means that the folder cannot be made, or not be written to.
	ErrFolder = errors.New("the state folder cannot be used")
)

// Check makes sure that the folder is ours alone, and what lies in it. One that is not there yet is.
func (d Dir) Check() error {
	for _, below := range []string{"", "vm", "disks", "cache", "scratch", "state", "state/locks"} {
		path := filepath.Join(string(d), below)
		info, err := os.Stat(path)
		if Gone(err) {
			continue
		}
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a folder", path)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFolder, err)
		}
		owner, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case ok && int(owner.Uid) != os.Geteuid():
			return fmt.Errorf("%w: %s belongs to another user", ErrForeign, path)
		case info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("%w: others may write to %s", ErrForeign, path)
		}
	}
	return nil
}

// Make makes the folder, and makes sure that it can be written to.
func (d Dir) Make() error {
	err := os.MkdirAll(string(d), 0o700)
	if err == nil {
		err = unix.Access(string(d), unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrFolder, d, err)
	}
	return nil
}

const lockSuffix = ".lock"

func (d Dir) lockFile(name string) string {
	return filepath.Join(string(d), "state", "locks", name+lockSuffix)
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
	how := unix.LOCK_EX | unix.LOCK_NB
	if mode == Shared {
		how = unix.LOCK_SH | unix.LOCK_NB
	}
	for {
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), how)
		if err == nil && stands(file) {
			return &Lock{file}, nil
		}
		file.Close()
		switch {
		case err == nil: // it was removed meanwhile: others would lock another file
		case errors.Is(err, unix.EWOULDBLOCK):
			return nil, ErrLocked
		default:
			return nil, fmt.Errorf("locking %s: %w", name, err)
		}
	}
}

// stands says whether a file still has its name.
func stands(file *os.File) bool {
	ours, err := file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(file.Name())
	return err == nil && os.SameFile(ours, there)
}

// Locks returns the names of all locks that there is a file of, held or not.
func (d Dir) Locks() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(d.lockFile("")))
	if err != nil && !Gone(err) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), lockSuffix); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Forget removes the locks whose names begin with a prefix and that nobody holds, where the file is
// gone that belongs to the rest of the name.
func (d Dir) Forget(prefix string, file func(rest string) string) error {
	locks, err := d.Locks()
	for _, name := range locks {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if _, err := os.Lstat(file(rest)); !Gone(err) {
			continue
		}
		if lock, err := d.TryLock(name, Exclusive); err == nil {
			lock.Remove()
		}
	}
	return err
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

// draft is how the files begin that are to take the place of others.
const draft = ".new-"

// WriteJSON replaces a file as a whole: whoever reads it sees the old content or the new, even after a power cut.
func WriteJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	for {
		err := replace(path, append(text, '\n'))
		if err == nil {
			err = Sync(filepath.Dir(path)) // or a power cut may undo it after what it speaks of has happened
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, errTidied) {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
}

// Sync returns when files, and the names in folders, are on the disk: a power cut then does them no harm. What names
// them must not be there before.
func Sync(paths ...string) error {
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		err = file.Sync()
		file.Close()
		// Some file systems have nothing to do for folders.
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

var errTidied = errors.New("the draft was taken for one that is left over")

func replace(path string, text []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), draft+"*") // with mode 0600
	if err != nil {
		return err
	}
	defer temp.Close()
	err = unix.Flock(int(temp.Fd()), unix.LOCK_EX|unix.LOCK_NB) // as long as we live it is no left-over
	if errors.Is(err, unix.EWOULDBLOCK) || err == nil && !stands(temp) {
		return errTidied
	}
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync()); err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// scratch is where the folders lie that somebody needs for a while.
func (d Dir) scratch() string { return filepath.Join(string(d), "scratch") }

// Scratch makes an empty folder that is the caller's until it is removed, or until this process ends.
func (d Dir) Scratch() (dir string, remove func(), err error) {
	if err := os.MkdirAll(d.scratch(), 0o700); err != nil {
		return "", nil, err
	}
	for {
		dir, err := os.MkdirTemp(d.scratch(), "*") // with mode 0700
		if err != nil {
			return "", nil, err
		}
		lock, err := keep(dir)
		if err == nil {
			return dir, func() { os.RemoveAll(dir); lock.Close() }, nil
		}
		if !Gone(err) && !errors.Is(err, unix.EWOULDBLOCK) { // or it was taken for one that is left over
			return "", nil, err
		}
	}
}

// keep locks a file or a folder that is there, unless somebody else does. The error is fs.ErrNotExist if it is there no more.
func keep(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil && !stands(file) {
		err = fs.ErrNotExist
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// Tidy removes the drafts and the folders of processes that were killed. What it cannot remove does no harm.
func (d Dir) Tidy() {
	folders, _ := os.ReadDir(d.scratch())
	for _, folder := range folders {
		path := filepath.Join(d.scratch(), folder.Name())
		if lock, err := keep(path); err == nil {
			os.RemoveAll(path)
			lock.Close()
		}
	}
	_ = filepath.WalkDir(filepath.Join(string(d), "state"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), draft) {
			return nil
		}
		if file, err := keep(path); err == nil {
			_ = os.Remove(path)
			file.Close()
		}
		return nil
	})
}

// Gone says whether an error means that a file is not there.
func Gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }
