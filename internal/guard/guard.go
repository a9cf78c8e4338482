// Package guard keeps what a session writes into a repository's metadata from running on the host.
// Before the session it notes what git would run and where git would look for more: hooks,
// configuration, attributes, the files that lead from one git directory to another. Afterwards it
// puts back what has changed, and leaves what is harmless: commits, branches, ordinary remotes. It
// also notes which files the session changed that other tools of the host run by themselves.
//
// It runs nothing, git included, and believes nothing that it reads: the guest may have written any
// of it. The notes lie on the host, so that a session whose claude-vm was killed is put right by
// the next one. They name the VMs whose guests can write, and nothing is compared before all of
// these are gone: until then a guest can undo what was put back. It knows virtual machines by their
// names only, and must not know how the user is told.
package guard

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/state"
)

// Site is what a session lets a guest write to.
type Site struct {
	Root    string   // the working tree
	GitDirs []string // git directories outside of it
	Main    string   // the main checkout, where submodules may have their working trees
	Shared  []string // other folders, with any repositories in them

	Settings []Setting // git's configuration of the user, whatever the repository says
}

// areas returns the folders that are looked at, none of them twice, as they are before anything was
// looked at.
func (s Site) areas() []*Area {
	areas := []*Area{{Path: s.Root}}
	for _, dir := range s.GitDirs {
		areas = append(areas, &Area{Path: dir, Git: true})
	}
	for _, dir := range slices.Sorted(slices.Values(s.Shared)) { // the outer before the inner
		if !slices.ContainsFunc(areas, func(a *Area) bool { return inside(a.Path, dir) }) {
			areas = append(areas, &Area{Path: dir})
		}
	}
	return areas
}

// inside says whether an absolute path is a folder or lies in it.
func inside(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// Report is what a session did to a repository.
type Report struct {
	Root     string
	Session  string // the VM that it ran in; empty if it never had one
	Begun    time.Time
	Ended    time.Time // when it was compared
	Alive    string    // why a VM may still run: nothing was compared, and the notes are kept
	Fixed    bool      // the findings were put back, where they have no error
	Findings []Finding // in git's data
	Files    []Change  // of what tools of the host run by themselves, in the order in which somebody should look
	Odd      []Finding // devices, and programs that run as their owner
	Open     []string  // what anybody on this computer may write to now
	Partial  []string  // the folders in which there was too much to look at all of it
}

// owing says whether something could not be put back for want of room.
func (r Report) owing() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return full(f.Err) })
}

// Store keeps the notes of the sessions that are running, and of those that were killed.
type Store struct {
	Dir      string
	Locks    state.Dir
	Reported string // the folder in which reports are kept; empty: they are not
	// Gone makes sure that a VM is gone. It returns an error if the VM may still run.
	Gone func(ctx context.Context, vm string) error
}

const (
	version = 2
	// lockPrefix is that of the locks that say whose notes are still in use.
	lockPrefix = "guard-"
	// walkTime is how long a session may wait for a walk through its working tree. A larger one is
	// walked through while the VM boots.
	walkTime = 100 * time.Millisecond
)

// notes are what is kept of a session.
type notes struct {
	Version int       `json:"version"`
	Root    string    `json:"root"`
	Roots   []string  `json:"roots"` // where working trees and git directories may lie
	Fix     bool      `json:"fix"`
	Begun   time.Time `json:"begun"`
	Areas   []*Area   `json:"areas"`
	Walking bool      `json:"walking,omitempty"` // the working tree is not walked through yet

	name   string
	copies string // the folder beside them with copies of indexes
}

// Watch is a session that is being watched.
type Watch struct {
	store  Store
	name   string
	lock   *state.Lock
	vms    []string
	walked chan struct{} // closed when the working tree was walked through and the notes are complete
	err    error         // of that
	notes  notes
}

// Begin notes how a repository is before a session. The git data is noted when it returns; walking
// through the rest of a large working tree goes on meanwhile. With fix false End only tells.
// Reports are of sessions that were killed.
func (s Store) Begin(ctx context.Context, site Site, fix bool) (*Watch, []Report, error) {
	gate, err := s.Locks.Lock(ctx, "guard", state.Exclusive)
	if err != nil {
		return nil, nil, err
	}
	defer gate.Unlock()
	reports, active, err := s.recover(ctx)
	if err != nil {
		return nil, reports, err
	}
	w := &Watch{store: s, name: strings.ToLower(rand.Text()[:12]), walked: make(chan struct{})}
	w.notes = notes{Version: version, Root: site.Root, Fix: fix, Begun: now(), Roots: slices.Concat([]string{site.Root, site.Main}, site.GitDirs, site.Shared)}
	if w.lock, err = s.Locks.TryLock(lockPrefix+w.name, state.Exclusive); err != nil {
		return nil, reports, err
	}
	w.notes.Areas, w.notes.copies = site.areas(), s.copies(w.name)
	if active, err = s.settled(ctx, active, w.notes); err != nil {
		w.lock.Remove()
		return nil, reports, err
	}
	user := relevant(site.Settings)
	var scans []*scanner
	giveUp := func(err error) (*Watch, []Report, error) {
		for _, scan := range scans {
			scan.root.Close()
		}
		_ = os.RemoveAll(w.notes.copies)
		w.lock.Remove()
		return nil, reports, err
	}
	for _, area := range w.notes.Areas {
		scan, err := newScanner(area, w.notes.Areas)
		if err != nil {
			return giveUp(fmt.Errorf("noting how %s is: %w", area.Path, err))
		}
		scans = append(scans, scan)
		scan.user, scan.unsure = user, unsure(site.Settings)
		scan.start, scan.copies = w.notes.Begun, w.notes.copies
		scan.repository()
	}
	across(scans)
	partial := make([]bool, len(scans))
	for i, scan := range scans {
		scan.inherit(active)
		partial[i] = scan.Partial
		scan.Partial = scan.Partial || !scan.Git // until it is walked through
	}
	w.notes.Walking = true
	if err := w.save(); err != nil {
		return giveUp(err)
	}
	go func() {
		for i, scan := range scans {
			scan.Partial, scan.begun = partial[i], w.notes.Begun
			scan.tree()
		}
		across(scans)
		for _, scan := range scans {
			scan.noted()
			scan.inherit(active)
			scan.root.Close()
		}
		w.notes.Walking = false
		w.err = w.save()
		close(w.walked)
	}()
	select {
	case <-w.walked:
	case <-time.After(walkTime):
	}
	return w, reports, nil
}

// What the names end with of the files that hold notes, of those that name the VMs which they
// watch, and of the folders with copies that belong to them.
const (
	notesEnd  = ".json"
	vmsEnd    = ".vms"
	copiesEnd = ".copies"
)

func (s Store) file(name string) string { return filepath.Join(s.Dir, name+notesEnd) }
func (s Store) vms(name string) string  { return filepath.Join(s.Dir, name+vmsEnd) }

func (s Store) copies(name string) string { return filepath.Join(s.Dir, name+copiesEnd) }

// names returns the names of all that there is a file of with an ending.
func (s Store) names(end string) (names []string, err error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !state.Gone(err) {
		return nil, err
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), end); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// Add names a VM that the notes watch from now on. It returns before that VM may run anything of
// its guest's.
func (w *Watch) Add(vm string) error {
	w.vms = append(w.vms, vm)
	if err := state.WriteJSON(w.store.vms(w.name), w.vms); err != nil {
		return fmt.Errorf("noting that %s is watched: %w", vm, err)
	}
	return nil
}

func (w *Watch) save() error { return state.WriteJSON(w.store.file(w.name), w.notes) }

// settled returns the notes of other sessions when those are complete that speak of the same
// folders: what their guests have planted in the meantime would otherwise count as what was there
// before.
func (s Store) settled(ctx context.Context, active []notes, ours notes) (complete []notes, err error) {
	for _, n := range active {
		for n.Walking && n.overlaps(ours) && err == nil {
			lock, free := s.Locks.TryLock(lockPrefix+n.name, state.Exclusive)
			if free == nil { // its owner has died
				lock.Unlock()
				break
			}
			select {
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			case <-time.After(walkTime / 50):
			}
			n, err = s.read(n.name)
		}
		complete = append(complete, n)
	}
	return complete, err
}

// overlaps says whether notes speak of folders that others speak of too.
func (n notes) overlaps(others notes) bool {
	return slices.ContainsFunc(n.Areas, func(a *Area) bool {
		return slices.ContainsFunc(others.Areas, func(b *Area) bool { return inside(a.Path, b.Path) || inside(b.Path, a.Path) })
	})
}

// across has each area note what configurations and links in the others name of it.
func across(scans []*scanner) {
	for i, from := range scans {
		for name, included := range from.outside {
			for j, to := range scans {
				switch {
				case i == j || j > 0 && !filepath.IsAbs(name): // git means the working tree by a path that is not absolute
				case included:
					to.include(".", name, ".", 0)
				default:
					if rel, ok := to.refer(".", name); ok {
						to.script(rel, ".", 1)
					}
				}
			}
		}
	}
}

// inherit takes over what other sessions that are running have noted of the area: their guests may
// have changed it since.
func (s *scanner) inherit(active []notes) {
	area := s.Area
	for _, other := range active {
		for _, theirs := range other.Areas {
			known := func(rel string) (string, bool) { // the path in their area, if they have looked at what is there
				their, err := filepath.Rel(theirs.Path, filepath.Join(area.Path, rel))
				return their, err == nil && filepath.IsLocal(their) && !other.closer(theirs, filepath.Join(area.Path, rel)) && (!theirs.Partial || slices.ContainsFunc(theirs.Dirs, func(dir string) bool {
					return below(dir, their)
				}))
			}
			for rel := range area.Nodes {
				if their, ok := known(rel); ok {
					if _, ok := theirs.Nodes[their]; !ok && !(theirs.Folders == nil && area.strange(rel)) {
						delete(area.Nodes, rel)
					}
				}
			}
			for their, n := range theirs.Nodes {
				rel, err := filepath.Rel(area.Path, filepath.Join(theirs.Path, their))
				if err == nil && filepath.IsLocal(rel) {
					area.Nodes[rel] = n
				}
			}
			area.inherit(theirs, known)
			s.inheritViews(theirs, other.copies, known)
		}
	}
}

// closer says whether another area is the one in which a path was looked at.
func (n notes) closer(area *Area, path string) bool {
	return slices.ContainsFunc(n.Areas, func(a *Area) bool { return a.Path != area.Path && inside(area.Path, a.Path) && inside(a.Path, path) })
}

// End compares the repository with what it was before the session and puts it right.
func (w *Watch) End(ctx context.Context) (Report, error) {
	gate, err := w.gate(ctx)
	if err != nil {
		return Report{}, err
	}
	defer gate.Unlock()
	report, err := w.store.end(ctx, w.name, w.lock, w.notes)
	return report, errors.Join(w.err, err)
}

// gate lets one at a time compare and put back. Whoever does not get it leaves the notes for the
// next command to see to.
func (w *Watch) gate(ctx context.Context) (*state.Lock, error) {
	<-w.walked
	gate, err := w.store.Locks.Lock(ctx, "guard", state.Exclusive)
	if err != nil {
		w.lock.Unlock()
	}
	return gate, err
}

// end is the one place where notes end, and whoever calls it has the gate. It first makes sure that
// the VMs which they name are gone. Where that fails, or where what was there cannot be put back,
// it keeps the notes for the next command.
func (s Store) end(ctx context.Context, name string, lock *state.Lock, n notes) (Report, error) {
	if err := s.gone(ctx, name); err != nil {
		lock.Unlock()
		return Report{Root: n.Root, Alive: err.Error()}, nil
	}
	report := s.about(name, n, n.end())
	kept := s.keep(name, report)
	if report.owing() {
		lock.Unlock()
		return report, kept
	}
	defer lock.Remove()
	return report, errors.Join(kept, os.Remove(s.file(name)), s.forget(name))
}

// gone makes sure that the VMs are gone which notes watch.
func (s Store) gone(ctx context.Context, name string) error {
	var vms []string
	if err := state.ReadJSON(s.vms(name), &vms); err != nil && !state.Gone(err) {
		return err
	}
	var failures []error
	for _, vm := range vms {
		failures = append(failures, s.Gone(ctx, vm))
	}
	return errors.Join(failures...)
}

// forget removes the names of the VMs of notes that are no more, and their copies.
func (s Store) forget(name string) error {
	err := os.Remove(s.vms(name))
	if state.Gone(err) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(s.copies(name)))
}

// Recover puts right what killed sessions have left.
func (s Store) Recover(ctx context.Context) ([]Report, error) {
	locks, err := s.locks()
	notes, failed := s.names(notesEnd)
	vms, unread := s.names(vmsEnd)
	copies, unseen := s.names(copiesEnd)
	if err := errors.Join(err, failed, unread, unseen); err != nil || len(notes)+len(vms)+len(copies)+len(locks) == 0 {
		return nil, err
	}
	gate, err := s.Locks.Lock(ctx, "guard", state.Exclusive)
	if err != nil {
		return nil, err
	}
	defer gate.Unlock()
	reports, _, err := s.recover(ctx)
	return reports, err
}

// locks returns the names of the locks of sessions.
func (s Store) locks() ([]string, error) {
	locks, err := s.Locks.Locks()
	return slices.DeleteFunc(locks, func(name string) bool { return !strings.HasPrefix(name, lockPrefix) }), err
}

// recover ends the notes whose owners are gone, and returns those of the others. Notes that cannot
// end yet count among these: the guests of their VMs may still write. It has the gate.
func (s Store) recover(ctx context.Context) (reports []Report, active []notes, err error) {
	names, err := s.names(notesEnd)
	if err != nil {
		return nil, nil, err
	}
	var failures []error
	for _, name := range names {
		n, err := s.read(name)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		lock, err := s.Locks.TryLock(lockPrefix+name, state.Exclusive)
		if errors.Is(err, state.ErrLocked) {
			active = append(active, n)
			continue
		}
		if err != nil {
			failures = append(failures, err)
			continue
		}
		report, err := s.end(ctx, name, lock, n)
		if report.Alive != "" {
			active = append(active, n)
		}
		reports, failures = append(reports, report), append(failures, err)
	}
	return reports, active, errors.Join(append(failures, s.tidy())...)
}

// read returns the notes of a name. Those that nobody can make sense of are removed: they would be
// in the way for ever.
func (s Store) read(name string) (n notes, err error) {
	defer func() { n.name = name }()
	text, err := os.ReadFile(s.file(name))
	if err != nil {
		return n, err
	}
	err = json.Unmarshal(text, &n)
	if n.copies = s.copies(name); err == nil && (n.Version == 1 || n.Version == version) { // less was noted in the first
		return n, nil
	}
	if err == nil {
		err = fmt.Errorf("they are of version %d", n.Version)
	}
	removed := os.Remove(s.file(name))
	return n, fmt.Errorf("the notes %s about a session are of no use, and what it changed was not put back: %w", s.file(name), errors.Join(err, removed))
}

// tidy removes what those have left who died before there were notes, or after them.
func (s Store) tidy() error {
	failures := []error{s.Locks.Forget(lockPrefix, s.file)}
	watched, err := s.names(vmsEnd)
	copied, unread := s.names(copiesEnd)
	failures = append(failures, err, unread)
	for _, name := range slices.Concat(watched, copied) {
		if _, err := os.Lstat(s.file(name)); state.Gone(err) {
			failures = append(failures, s.forget(name))
		}
	}
	return errors.Join(failures...)
}

// end compares what was noted with what is there.
func (n notes) end() Report {
	report := Report{Root: n.Root, Fixed: n.Fix}
	looked := map[string]bool{} // git directories
	scans := make([]*scanner, len(n.Areas))
	for i, area := range n.Areas {
		scan, err := scanAgain(area, n.Areas, n.copies)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				report.Findings = append(report.Findings, Finding{area.Path, "cannot be looked at", err})
			}
			continue
		}
		defer scan.root.Close()
		scan.since = n.Begun
		scan.again(area)
		for _, dir := range scan.Dirs {
			looked[filepath.Join(area.Path, dir)] = true
		}
		scans[i] = scan
	}
	for i, area := range n.Areas {
		scan := scans[i]
		if scan == nil {
			continue
		}
		report.Findings = append(report.Findings, compare(area, scan, looked, n.Roots, n.Fix)...)
		if scan.Partial || scan.unlisted {
			report.Partial = append(report.Partial, area.Path)
		}
		report.Files = append(report.Files, scan.changes(func(rel string) string {
			if i == 0 {
				return rel
			}
			return filepath.Join(area.Path, rel)
		})...)
		odd, open := scan.news()
		for _, rel := range odd {
			report.Odd = append(report.Odd, scan.tame(rel, n.Fix))
		}
		report.Open = append(report.Open, open...)
	}
	var all bool
	if report.Files, all = bounded(report.Files); !all && !slices.Contains(report.Partial, n.Root) {
		report.Partial = append(report.Partial, n.Root)
	}
	slices.SortFunc(report.Odd, func(a, b Finding) int { return strings.Compare(a.Path, b.Path) })
	return report
}

// again looks at an area that was looked at before.
func (s *scanner) again(before *Area) {
	s.was = before
	s.remember(before)
	s.repository()
	for _, name := range before.Configs {
		s.unlockAll(name)
		s.keep(name)
	}
	for _, dir := range before.Dirs {
		s.unlockAll(dir)
		if info, err := s.root.Stat(dir); err == nil && info.IsDir() {
			s.gitDir(dir)
		}
	}
	for _, name := range before.Named {
		s.unlockAll(name)
		s.digestAll(name, 0)
	}
	s.tree()
	if !before.Partial {
		return
	}
	s.Partial = true // what is new to us may have been there before
	maps.DeleteFunc(s.Nodes, func(rel string, _ Node) bool {
		_, known := before.Nodes[rel]
		return !known && rel != ".git" && !slices.ContainsFunc(before.Dirs, func(dir string) bool { return below(dir, rel) })
	})
}
