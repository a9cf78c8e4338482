package cli

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
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
)

// What a shared folder is measured with: a small project's worth of files, and one that no cache makes quick.
const (
	benchFiles = 1000
	benchMB    = 64
)

// benchMounts measures each way to share a folder that this host and the guest may have.
func (a *app) benchMounts(ctx context.Context, store instance.Store, p *project.Project, cfg *config.Config, asked *trust.Review) error {
	record, lock, err := store.Find(ctx, p.TemplateName())
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
		figures, err := a.benchMount(ctx, store, cfg, asked, kind)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			a.ui.Warn("%s does not work here: %v", kind, err)
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
	if err := a.table(header, "", rows); err != nil {
		return err
	}
	kind, err := record.ShareType("auto")
	if err != nil {
		return err
	}
	return a.print("vm.mount_type = \"auto\" is %s here\n", kind)
}

type figure struct {
	what string
	took time.Duration
}

func (a *app) benchMount(ctx context.Context, store instance.Store, cfg *config.Config, asked *trust.Review, kind string) (figures []figure, err error) {
	dir, err := os.MkdirTemp("", "claude-vm-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	p, err := a.project(ctx)
	if err != nil {
		return nil, err
	}
	const point = lima.GuestHome + "/claude-vm-bench"
	spec, _, err := a.sessionSpec(p, cfg, asked, guest.Session{Mode: guest.Line, Command: []string{guest.BenchMount(point, benchFiles, benchMB)}})
	if err != nil {
		return nil, err
	}
	out := proc.Limited{Most: 1 << 16}
	spec.MountType, spec.Mounts = kind, append(spec.Mounts, mount.Mount{Host: dir, Guest: point, Writable: true})
	watched, err := a.watchGit(ctx, p, spec.Mounts, cfg.Guard.Git)
	if err != nil {
		return nil, err
	}
	defer watched.end(ctx)
	spec.Watch = watched.add
	spec.TTY, spec.Stdin, spec.Stdout = false, nil, &out
	runner := session.Runner{Store: store, UI: a.ui}
	code, err := runner.Run(ctx, spec)
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
