package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
)

var (
	// ErrNone means that a project has no template yet.
	ErrNone = errors.New("there is no template for this project")
	// ErrBusy means that another process is building or removing the template.
	ErrBusy = errors.New("another claude-vm is working on this template")
	// ErrRunning means that somebody has started the template itself.
	ErrRunning = errors.New("the template is running")
)

// copyTime is how long somebody who copies a template, or just looks at it, may keep it from being
// removed.
const copyTime = 10 * time.Second

// Store has all instances.
type Store struct {
	Lima  *lima.Client
	State state.Dir
}

// Entry is an instance and what is known of it.
type Entry struct {
	Name string
	Record
}

// List returns the instances of a kind, in the order of their names. One without a readable record
// has only a name.
func (s *Store) List(kind Kind) ([]Entry, error) {
	names, err := s.Lima.Instances()
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, name := range names {
		record, _ := ReadRecord(s.Lima, name)
		is := KindOf(name)
		if is == Spare && record.Kind == Session {
			is = Session
		}
		if is == kind {
			entries = append(entries, Entry{name, record})
		}
	}
	return entries, nil
}

// Used returns when a template was last used: the age of its record's file, which MarkUsed renews.
func (s *Store) Used(name string) time.Time {
	info, err := os.Stat(recordPath(s.Lima, name))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// MarkUsed takes note that a template is in use. That it cannot is no reason not to use it.
func (s *Store) MarkUsed(name string) {
	now := time.Now()
	_ = os.Chtimes(recordPath(s.Lima, name), now, now)
}

// Condition says in a word or two how a template is: ready, running (somebody started it with
// limactl), damaged, or left behind by a project that is gone.
func (s *Store) Condition(e Entry) string {
	_, err := s.Usable(e.Name)
	switch {
	case errors.Is(err, ErrRunning):
		return "running"
	case err != nil:
		return "damaged"
	}
	if _, err := os.Stat(e.Project); errors.Is(err, fs.ErrNotExist) {
		return "project gone"
	}
	return "ready"
}

// Find returns the template of a name, ready to be copied, and keeps it from being replaced or
// removed until the lock is released.
func (s *Store) Find(ctx context.Context, name string) (Record, *state.Lock, error) {
	lock, err := s.State.Lock(ctx, name, state.Shared)
	if err != nil {
		return Record{}, nil, err
	}
	record, err := s.Usable(name)
	if err != nil {
		lock.Unlock()
		return Record{}, nil, err
	}
	return record, lock, nil
}

// Usable returns the record of a sealed instance that can be copied. There is none, or it is
// damaged: ErrNone.
func (s *Store) Usable(name string) (Record, error) {
	record, err := ReadRecord(s.Lima, name)
	switch {
	case state.Gone(err):
		return Record{}, ErrNone
	case err != nil:
		return Record{}, fmt.Errorf("%w that can be used: %w", ErrNone, err)
	case record.Version > recordVersion:
		return Record{}, fmt.Errorf("the template %s was made by a newer claude-vm", name)
	case s.Lima.Status(name) == lima.Running:
		return Record{}, fmt.Errorf("%w: %s", ErrRunning, name)
	}
	if err := s.Lima.CheckSealed(name, filepath.Join(s.State.Disks(), record.Own())); err != nil {
		return Record{}, fmt.Errorf("%w that can be used: %w", ErrNone, err)
	}
	return record, nil
}

// Remove removes a template. Sessions that run go on: their disks are open.
func (s *Store) Remove(ctx context.Context, name string) error {
	within, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	lock, err := s.State.Lock(within, name, state.Exclusive)
	if errors.Is(err, context.DeadlineExceeded) {
		return ErrBusy
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return s.Lima.Delete(ctx, name)
}

// Copy makes a stopped copy of a sealed instance, with a machine and a record of its own.
func (s *Store) Copy(ctx context.Context, from, to string, m lima.Machine, r Record) error {
	if err := s.Lima.Clone(ctx, from, to); err != nil {
		return err
	}
	if err := s.Lima.Link(to, filepath.Join(s.State.Disks(), r.Own())); err != nil {
		return err
	}
	if err := s.Lima.Configure(to, m); err != nil {
		return err
	}
	return WriteRecord(s.Lima, to, r)
}

// Orphans returns the sessions, spares and half-built instances whose owners are gone, and the
// names that locks are left of: their owners died before there was an instance, or after it was
// removed.
func (s *Store) Orphans() ([]string, error) {
	names, err := s.Lima.Instances()
	if err != nil {
		return nil, err
	}
	locks, err := s.State.Locks()
	if err != nil {
		return nil, err
	}
	orphans := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !Temporary(name) || s.Owned(name)
	})
	for _, name := range locks {
		instance, build := strings.CutSuffix(name, buildLock)
		if build && KindOf(instance) == Template {
			continue // nobody waits for that one: it must not seem to be held, and the next build removes it
		}
		if KindOf(instance) != "" && !slices.Contains(names, instance) && !s.Owned(name) {
			orphans = append(orphans, name)
		}
	}
	return orphans, nil
}

// Owned says whether the process that made an instance is still there.
func (s *Store) Owned(name string) bool {
	lock, err := s.State.TryLock(name, state.Exclusive)
	if err == nil {
		lock.Unlock()
	}
	return errors.Is(err, state.ErrLocked)
}

// Sweep removes the orphans, and returns the names of the instances among them.
func (s *Store) Sweep(ctx context.Context) (removed []string, err error) {
	orphans, err := s.Orphans()
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, name := range orphans {
		_, missing := os.Lstat(s.Lima.Dir(name))
		switch err := s.RemoveOrphan(ctx, name); {
		case errors.Is(err, state.ErrLocked): // somebody else is sweeping, or uses the name again
		case err != nil:
			failures = append(failures, err)
		case missing == nil && Temporary(name):
			removed = append(removed, name)
		}
	}
	return removed, errors.Join(failures...)
}

// RemoveOrphan makes sure that nothing runs of an instance whose owner is gone, and removes it if
// it is one that goes with its owner. It returns state.ErrLocked if the owner is there. That
// nothing is left of the instance is no error.
func (s *Store) RemoveOrphan(ctx context.Context, name string) error {
	lock, err := s.State.TryLock(name, state.Exclusive)
	if err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	if Temporary(name) {
		if err := s.Lima.Delete(ctx, name); err != nil {
			lock.Unlock()
			return err
		}
	}
	lock.Remove()
	return nil
}
