package cli

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/template"
)

// buildGB is what building a base layer may take on the host's disk while it goes on: image, download, layer.
const buildGB = 5

func (a *app) setupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "setup [flags]",
		Short: "Build the template VM of this project",
		Long: `Build the template VM that every session of this project starts from.

The base of it, with Claude Code in it, is built once and shared by all projects. An existing
template stays in use until its successor is complete.`,
		Example: `  claude-vm setup
  claude-vm setup --disk 40 --memory 16`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := a.project(ctx)
			if err != nil {
				return err
			}
			cfg, err := a.config(p)
			if err != nil {
				return err
			}
			return a.setup(ctx, p, cfg)
		},
	}
}

// setup builds the template of a project and says what it made.
func (a *app) setup(ctx context.Context, p *project.Project, cfg *config.Config) error {
	store, err := a.machines(ctx, cfg)
	if err != nil {
		return err
	}
	if err := a.needSpace(buildGB); err != nil {
		return err
	}
	release, err := a.fetchClaude(ctx, cfg)
	if err != nil {
		return err
	}
	log := a.ui.Verbose()
	defer log.Close()
	builder := template.Builder{Store: store, UI: a.ui, Log: log}
	entry, err := builder.Build(ctx, template.Spec{
		Project: p, Image: cfg.VM.Image, Claude: release,
		DiskGB: cfg.VM.Disk, MemoryGB: cfg.VM.Memory, CPUs: cmp.Or(cfg.VM.CPUs, store.Lima.Accel.DefaultCPUs()),
	})
	if err != nil {
		return err
	}
	if err := store.Reclaim(ctx, false); err != nil {
		a.ui.Warn("removing unused disks: %v", err)
	}
	return a.print("project  %s\ntemplate %s\n", p.Main, entry.Name)
}
