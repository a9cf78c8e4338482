package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
)

// put makes what there is of a stopped instance that stands on a disk.
func put(t *testing.T, r *Runner, name string, record instance.Record) {
	t.Helper()
	disk := filepath.Join(r.State.Disks(), record.Disks[0])
	for _, dir := range []string{r.Lima.Dir(name), disk} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(r.Lima.Dir(name), "lima.yaml"), filepath.Join(r.Lima.Dir(name), "disk"), filepath.Join(disk, "disk")} {
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := instance.WriteRecord(r.Lima, name, record); err != nil {
		t.Fatal(err)
	}
}

// A host has room for one spare if that can boot, and for more of them within a limit.
func TestRoomForSpares(t *testing.T) {
	t.Parallel()
	const gb = 1 << 30
	for name, test := range map[string]struct {
		memory  host.Memory
		limitGB int
		others  []string // spares of other kinds
		reason  refusal
		end     ending // of one that is ready
	}{
		"plenty":                       {memory: host.Memory{Total: 64 * gb, Available: 60 * gb}},
		"short":                        {memory: host.Memory{Total: 64 * gb, Available: spareMemory - 1}, reason: noMemory},
		"just enough":                  {memory: host.Memory{Total: 64 * gb, Available: spareMemory}},
		"short afterwards":             {memory: host.Memory{Total: 64 * gb, Available: spareMemory/2 - 1}, reason: noMemory, end: crowded},
		"one is more than half":        {memory: host.Memory{Total: 15 * gb, Available: 3 * gb}},
		"two are more than half":       {memory: host.Memory{Total: 15 * gb, Available: 14 * gb}, others: []string{"a"}, reason: overLimit},
		"two are just half":            {memory: host.Memory{Total: 32 * gb, Available: 14 * gb}, others: []string{"a"}},
		"one is more than was allowed": {memory: host.Memory{Total: 64 * gb, Available: 60 * gb}, limitGB: 7, reason: overLimit},
		"more than half was allowed":   {memory: host.Memory{Total: 15 * gb, Available: 14 * gb}, limitGB: 24, others: []string{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := state.Dir(t.TempDir())
			r := &Runner{
				Store:  instance.Store{State: dir, Lima: &lima.Client{Home: dir.VMs()}},
				Memory: func() (host.Memory, error) { return test.memory, nil },
			}
			record := instance.Record{Kind: instance.Template, MemoryGB: 8, Disks: []string{"d"}, Unattended: true}
			put(t, r, "tpl_x_12", record)
			for _, other := range test.others {
				spare := "spa_" + other + "_12"
				put(t, r, spare, instance.Record{Kind: instance.Spare, MemoryGB: 8, Fits: other, Disks: []string{other}})
				owner, err := r.State.TryLock(spare, state.Exclusive)
				if err != nil {
					t.Fatal(err)
				}
				defer owner.Unlock()
			}
			o := order{Shape: Shape{Project: &project.Project{Dir: "/p"}, Template: "tpl_x_12"}, Count: 1, MemoryGB: test.limitGB}
			if reason, err := r.unwanted(t.Context(), o); err != nil || reason != test.reason {
				t.Errorf("unwanted: %v, %v", reason, err)
			}
			own, fits, err := r.fitting(t.Context(), o.Shape)
			if err != nil {
				t.Fatal(err)
			}
			own.Fits = fits
			if end := r.outlook(t.Context(), o, "spa_x_12", own); end != test.end {
				t.Errorf("outlook: %v", end)
			}
		})
	}
}
