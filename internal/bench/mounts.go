package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
)

// What a shared folder is measured with: a small project's worth of files, and one that no cache
// makes quick.
const (
	benchFiles = 1000
	benchMB    = 64
)

// mounts measures each way to share a folder that this host and the guest may have.
func (b Bench) mounts(ctx context.Context, s *launch.Session) error {
	record, lock, err := s.Store.Find(ctx, s.Work.Project.TemplateName())
	if err != nil {
		return err
	}
	lock.Unlock()
	kinds := []string{"virtiofs"}
	if !lima.AppleVirtiofs() {
		kinds = append(slices.Clone(record.Shares), "reverse-sshfs")
	}
	header := []string{"SECONDS"}
	var rows [][]string
	for _, kind := range kinds {
		figures, err := b.mount(ctx, s, kind)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			b.Host.UI.Warn("%s does not work here: %v", kind, err)
			continue
		}
		header = append(header, kind)
		for i, f := range figures {
			if i == len(rows) {
				rows = append(rows, []string{f.what})
			}
			rows[i] = append(rows[i], fmt.Sprintf("%.2f", f.took.Seconds()))
		}
	}
	if err := b.table(header, rows); err != nil {
		return err
	}
	kind, err := record.ShareType("auto")
	if err != nil {
		return err
	}
	return b.printf("vm.mount_type = \"auto\" is %s here\n", kind)
}

type figure struct {
	what string
	took time.Duration
}

func (b Bench) mount(ctx context.Context, first *launch.Session, kind string) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "claude-vm-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	const point = lima.GuestHome + "/claude-vm-bench"
	h := b.Host
	// which is chosen, and said, already
	h.Env = append(slices.Clone(h.Env), "CLAUDE_VM_VM_ACCEL="+string(first.Store.Lima.Accel))
	s, err := h.Prepare(ctx, b.Request, func(*config.Config) guest.Session {
		return guest.Session{Mode: guest.Line, Command: []string{guest.BenchMount(point, benchFiles, benchMB)}}
	})
	if err != nil {
		return nil, err
	}
	out := proc.Limited{Most: 1 << 16}
	spec := &s.Plan.Spec
	spec.MountType, spec.Mounts = kind, append(spec.Mounts, mount.Mount{Host: dir, Guest: point, Writable: true})
	spec.TTY, spec.Stdin, spec.Stdout = false, nil, &out
	code, err := s.RunGuarded(ctx)
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("the measurement ended with code %d", code)
	}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		what, microseconds, _ := strings.Cut(line, "\t")
		n, err := strconv.ParseInt(microseconds, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("the measurement printed %q", line)
		}
		figures = append(figures, figure{what, time.Duration(n) * time.Microsecond})
	}
	return figures, nil
}
