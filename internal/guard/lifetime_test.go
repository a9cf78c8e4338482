package guard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/state"
)

// hosts is a stand-in for the VMs of a host: which of them run, and which of these resist to be ended.
type hosts struct {
	running map[string]bool
	owned   map[string]bool // their owners live
	stuck   map[string]bool
}

var errStuck = errors.New("it does not end")

// gone is what a Store asks.
func (h *hosts) gone(_ context.Context, vm string) error {
	switch {
	case h.owned[vm]:
		return state.ErrLocked
	case h.running[vm] && h.stuck[vm]:
		return errStuck
	}
	delete(h.running, vm)
	return nil
}

// watching is a session, as far as its notes are concerned.
type watching struct {
	watch *Watch
	vm    string
}

// Whatever sessions, setups and recoveries do in whatever order, with VMs that are killed or resist: what a guest has planted
// is never there without notes by which it will be put back, and nothing of it is there when all VMs are gone.
func TestNotesLastAsLongAsVMs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(".git/hooks/mine", "mine")
	w.write("sub/.git/HEAD", "ref: refs/heads/main\n")
	w.write("sub/.git/objects/x", "")
	w.write("sub/.git/refs/x", "")
	places := []string{".git/hooks/post-merge", ".git/hooks/mine", "sub/.git/hooks/pre-commit", ".git/worktrees/x/config.worktree", "new/.git/hooks/x"}
	planted := func() (found []string) {
		for _, place := range places {
			if text, _ := os.ReadFile(w.path(place)); string(text) == "evil" {
				found = append(found, place)
			}
		}
		return found
	}
	rapid.Check(t, func(t *rapid.T) {
		h := &hosts{map[string]bool{}, map[string]bool{}, map[string]bool{}}
		store := w.store
		store.Gone = h.gone
		ctx := context.Background()
		var sessions []watching
		count := 0
		plant := func() { // all guests that run do it all the time
			for vm := range h.running {
				for i, place := range places {
					if (len(vm)+i+count)%2 == 0 {
						w.write(place, "evil")
					}
				}
			}
		}
		pick := func() int { return rapid.IntRange(0, len(sessions)-1).Draw(t, "session") }
		leave := func(i int) { sessions = slices.Delete(sessions, i, i+1) }
		actions := map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				watch, _, err := store.Begin(ctx, Site{Root: w.root, Main: w.root}, true)
				if err != nil {
					t.Fatal(err)
				}
				count++
				vm := fmt.Sprint("vm", count)
				sessions = append(sessions, watching{watch, vm})
				if rapid.Bool().Draw(t, "it gets a VM") {
					if err := watch.Add(vm); err != nil {
						t.Fatal(err)
					}
					h.running[vm], h.owned[vm], h.stuck[vm] = true, true, rapid.Bool().Draw(t, "stuck")
				}
			},
			"end": func(t *rapid.T) {
				if len(sessions) == 0 {
					t.Skip()
				}
				i := pick()
				delete(h.owned, sessions[i].vm)
				if !h.stuck[sessions[i].vm] {
					delete(h.running, sessions[i].vm) // its owner has destroyed it
				}
				if _, err := sessions[i].watch.End(ctx); err != nil {
					t.Fatal(err)
				}
				leave(i)
			},
			"kill": func(t *rapid.T) {
				if len(sessions) == 0 {
					t.Skip()
				}
				i := pick()
				<-sessions[i].watch.walked
				delete(h.owned, sessions[i].vm)
				sessions[i].watch.lock.Unlock() // as the kernel does
				leave(i)
			},
			"give in": func(t *rapid.T) { clear(h.stuck) },
			"recover": func(t *rapid.T) {
				if _, err := store.Recover(ctx); err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if notes, err := store.names(notesEnd); err != nil || len(notes) == 0 && len(planted()) > 0 {
					t.Fatalf("nobody will put back %v (%v)", planted(), err)
				}
				plant()
			},
		}
		t.Repeat(actions)
		clear(h.stuck)
		for len(sessions) > 0 {
			actions["end"](t)
		}
		actions["recover"](t)
		left, err := os.ReadDir(store.Dir)
		if found := planted(); err != nil && !state.Gone(err) || len(found)+len(left)+len(h.running) > 0 {
			t.Fatalf("left: planted %v, notes %v, VMs %v, %v", found, left, h.running, err)
		}
	})
}

// A session that begins while another one of the project is still being noted does not take for the
// user's what the other's guest has planted meanwhile.
func TestNotesWaitForOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("init", "-q", "sub")
	first := w.begin(true)
	complete := first.notes
	early := complete
	area := *complete.Areas[0]
	area.Partial, area.Dirs, area.Nodes = true, nil, nil
	early.Walking, early.Areas = true, []*Area{&area}
	if err := state.WriteJSON(w.store.file(first.name), early); err != nil {
		t.Fatal(err)
	}
	w.write("sub/.git/hooks/post-commit", "evil")
	begun := make(chan *Watch)
	go func() {
		second, _, err := w.store.Begin(context.Background(), Site{Root: w.root, Main: w.root}, true)
		if err != nil {
			t.Error(err)
		}
		begun <- second
	}()
	for { // until the second one is at it
		gate, err := w.store.Locks.TryLock("guard", state.Exclusive)
		if errors.Is(err, state.ErrLocked) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		gate.Unlock()
		runtime.Gosched()
	}
	if err := state.WriteJSON(w.store.file(first.name), complete); err != nil {
		t.Fatal(err)
	}
	second := <-begun
	if second == nil {
		t.FailNow()
	}
	w.end(first)
	w.write("sub/.git/hooks/post-commit", "evil")
	w.end(second)
	if _, err := os.Stat(w.path("sub/.git/hooks/post-commit")); err == nil {
		t.Error("what a guest has planted stays")
	}
}

// Notes whose VMs nobody can name are no notes without VMs.
func TestNotesWithoutReadableVMs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.Gone = func(context.Context, string) error { return nil }
	watch := w.begin(true)
	if err := watch.Add("ses_x"); err != nil {
		t.Fatal(err)
	}
	w.write(".git/hooks/post-merge", "evil")
	if err := os.WriteFile(w.store.vms(watch.name), []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := watch.End(t.Context())
	if err != nil || report.Alive == "" {
		t.Errorf("%v: %+v", err, report)
	}
	if err := os.WriteFile(w.store.vms(watch.name), []byte(`["ses_x"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	reports, err := w.store.Recover(t.Context())
	if err != nil || len(reports) != 1 || len(reports[0].Findings) != 1 {
		t.Errorf("%v: %+v", err, reports)
	}
}

// Inodes are stamped by a clock of its own. What is changed after a session has begun bears a stamp that says so, and what was
// changed just before it does not.
func TestStampsTellBeforeAndAfter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	touch := func(name string) fs.FileInfo {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	for i := range 300 {
		before := touch(fmt.Sprint("before", i))
		begun := now()
		if changedSince(before, begun) {
			t.Fatal("what was changed before a moment counts as younger")
		}
		if after := touch(fmt.Sprint("after", i)); !changedSince(after, begun) {
			t.Fatal("what was changed after a moment counts as older")
		}
	}
}
