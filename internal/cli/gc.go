package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// garbage is what nobody uses.
type garbage struct {
	templates []instance.Entry
	downloads []string // folders of the cache
	rows      [][]string
	bytes     int64
}

func (g *garbage) add(what, why string, bytes int64, project string) {
	g.rows = append(g.rows, []string{what, why, ui.Size(bytes), project})
	g.bytes += bytes
}

// centuries are as many days as are ever meant; many more would not fit a duration, and turn into
// few.
const (
	day       = 24 * time.Hour
	centuries = 100_000
)

type gcOptions struct {
	dryRun, yes bool
	days        uint
}

func newGCCommand(s *shared) *cobra.Command {
	var opts gcOptions
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove templates, layers and downloads that nobody uses",
		Long: `Remove what nobody uses: templates whose project is gone, that are damaged, or
that no session was started from for a while; layers that no template stands on;
downloads, all but the newest Claude Code.

On a terminal it asks first, elsewhere it does not. What was removed can be
built or fetched again.`,
		Example: "  claude-vm gc --dry-run\n  claude-vm gc --unused-for 7 --yes",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runGC(cmd.Context(), s.host(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().UintVar(&opts.days, "unused-for", 30, "`DAYS` without a session that make a template unused")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	return cmd
}

func runGC(ctx context.Context, h launch.Host, opts gcOptions) error {
	store, err := h.Store(ctx)
	if err != nil {
		return err
	}
	if !opts.dryRun {
		h.Sweep(ctx, store)
	}
	unused := time.Duration(min(opts.days, centuries)) * day
	found, err := findGarbage(h, store, unused)
	if err != nil {
		return err
	}
	if len(found.rows) == 0 {
		return printf(h, "There is nothing to remove\n")
	}
	if err := printTable(h, []string{"WHAT", "WHY", "SIZE", "PROJECT"}, "PROJECT", found.rows); err != nil {
		return err
	}
	if opts.dryRun {
		return nil
	}
	if agreed, err := confirm(ctx, h, opts.yes, "Remove all this, "+ui.Size(found.bytes)+"?"); !agreed {
		return err
	}
	if err := collect(ctx, h, store, found); err != nil {
		return err
	}
	left, err := findGarbage(h, store, unused)
	if err != nil {
		return err
	}
	return printf(h, "freed %s\n", ui.Size(max(0, found.bytes-left.bytes)))
}

// findGarbage looks for what nobody uses.
func findGarbage(h launch.Host, store instance.Store, unused time.Duration) (g garbage, err error) {
	entries, err := store.List(instance.Template)
	if err != nil {
		return g, err
	}
	var gone []string
	for _, e := range entries {
		reason := store.Condition(e)
		switch used := store.Used(e.Name); {
		case reason == "running", reason == "ready" && time.Since(used) < unused:
			continue
		case reason == "ready":
			reason = "last used " + ago(used)
		}
		g.templates, gone = append(g.templates, e), append(gone, e.Name)
		g.add("template "+e.Name, reason, lima.Size(store.Lima.Dir(e.Name)), tilde(e.Project, h.Home))
	}
	waste, err := store.Waste(false, gone...)
	if err != nil {
		return g, err
	}
	for _, layer := range waste.Layers {
		g.add("layer "+layer.Name, "no template needs it", lima.Size(store.Lima.Dir(layer.Name)), "")
	}
	for _, disk := range waste.Disks {
		g.add("disk "+disk, "no template needs it", lima.Size(filepath.Join(h.State().Disks(), disk)), "")
	}
	g.downloads, err = oldDownloads(h)
	for _, path := range g.downloads {
		g.add("download "+filepath.Base(path), "can be fetched again", lima.Size(path), "")
	}
	return g, err
}

// oldDownloads returns the folders of the cache that hold anything but the newest Claude Code.
func oldDownloads(h launch.Host) ([]string, error) {
	releases, err := claude.Cached(h.State().Cache(), lima.Arch())
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(h.State().Cache())
	if err != nil && !state.Gone(err) {
		return nil, err
	}
	var old []string
	for _, entry := range entries {
		path := filepath.Join(h.State().Cache(), entry.Name())
		if len(releases) == 0 || path != filepath.Dir(releases[0].Path) {
			old = append(old, path)
		}
	}
	return old, nil
}

// collect removes what was found.
func collect(ctx context.Context, h launch.Host, store instance.Store, g garbage) error {
	failures := []error{removeTemplates(ctx, h, store, g.templates), store.Reclaim(ctx, false)}
	if len(g.downloads) > 0 {
		failures = append(failures, removeDownloads(h, g.downloads))
	}
	return errors.Join(failures...)
}

func removeDownloads(h launch.Host, paths []string) error {
	lock, err := h.State().TryLock(launch.CacheLock, state.Exclusive)
	if err != nil {
		return fmt.Errorf("removing downloads: %w", err)
	}
	defer lock.Unlock()
	var failures []error
	for _, path := range paths {
		failures = append(failures, os.RemoveAll(path))
	}
	return errors.Join(failures...)
}
