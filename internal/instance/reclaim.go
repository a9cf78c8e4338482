package instance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/themouette/claude-vm/internal/state"
)

// DisksLock is held by whoever makes disks that no instance stands on yet, and by whoever removes
// such disks.
const DisksLock = "disks"

// buildLock is what the name of a BuildLock ends with.
const buildLock = ".build"

// BuildLock returns the name of the lock that is held by whoever builds an instance.
func BuildLock(name string) string { return name + buildLock }

// ErrUnknownDisks means that the record of an instance cannot be read, so that no disk can be said
// to be of no use.
var ErrUnknownDisks = errors.New("nobody can tell which disks")

// Waste is what nothing stands on.
type Waste struct {
	Layers []Entry
	Disks  []string // folders below disks/, those of the layers included
}

// Waste returns what nothing would stand on if some templates were gone. With keepLayers a layer
// that no template uses counts as needed.
func (s *Store) Waste(keepLayers bool, gone ...string) (Waste, error) {
	var w Waste
	names, err := s.Lima.Instances()
	if err != nil {
		return w, err
	}
	used := map[string]bool{}
	use := func(r Record) {
		for _, disk := range r.Disks {
			used[disk] = true
		}
	}
	var layers []Entry
	for _, name := range names {
		kind := KindOf(name)
		if kind == "" || slices.Contains(gone, name) {
			continue
		}
		record, err := ReadRecord(s.Lima, name)
		switch {
		case err != nil && !state.Gone(err):
			return w, fmt.Errorf("%w %s needs: %w", ErrUnknownDisks, name, err)
		case kind == Layer && !keepLayers:
			layers = append(layers, Entry{name, record})
		default:
			use(record)
		}
	}
	// The longest first: a layer is needed by the layers that are needed on top of it.
	slices.SortFunc(layers, func(a, b Entry) int { return len(b.Disks) - len(a.Disks) })
	for _, layer := range layers {
		if used[layer.Own()] {
			use(layer.Record)
		} else {
			w.Layers = append(w.Layers, layer)
		}
	}
	folders, err := os.ReadDir(s.State.Disks())
	if err != nil && !state.Gone(err) {
		return w, err
	}
	for _, folder := range folders {
		if !used[folder.Name()] {
			w.Disks = append(w.Disks, folder.Name())
		}
	}
	return w, nil
}

// Reclaim removes the disks that no instance stands on any more and, unless they are to be kept,
// the layers that no template stands on. It leaves what another process is building.
func (s *Store) Reclaim(ctx context.Context, keepLayers bool) error {
	lock, err := s.State.TryLock(DisksLock, state.Exclusive)
	if errors.Is(err, state.ErrLocked) {
		return nil // somebody is making disks: another time
	}
	if err != nil {
		return err
	}
	defer lock.Unlock()
	waste, err := s.Waste(keepLayers)
	if err != nil {
		return err
	}
	var failures []error
	for _, layer := range waste.Layers {
		failures = append(failures, s.Lima.Delete(ctx, layer.Name))
	}
	for _, disk := range waste.Disks {
		failures = append(failures, os.RemoveAll(filepath.Join(s.State.Disks(), disk)))
	}
	return errors.Join(failures...)
}
