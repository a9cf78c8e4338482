package cli

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// buildGB is what building a base layer may take on the host's disk while it goes on: image, download, layer.
const buildGB = 5

func (a *app) setupCommand() *cobra.Command {
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "setup [flags]",
		Short: "Build the template VM of this project",
		Long: `Build the template VM that every session of this project starts from.

The base of it, with Claude Code in it, is built once and shared by all
projects, and so is a layer with the tools for all projects that want the same
ones. An existing template stays in use until its successor is complete.

Setup scripts run in the VM, in this order: ~/.claude-vm.setup.sh,
.claude-vm.setup.sh of the project, those of the configuration, its phases,
those of the command line. Folders given with --mount are shared only while they
run.`,
		Example: `  claude-vm setup
  claude-vm setup --docker --node
  claude-vm setup --disk 40 --memory 16
  claude-vm setup --setup-script ./extras.sh --mount ~/packages:/tmp/packages:ro`,
		Args: func(cmd *cobra.Command, args []string) error {
			err := noArguments(cmd, args)
			if len(args) > 0 && cmd.Flags().Lookup(args[0]) != nil {
				err = advisedError{err, "did you mean --" + args[0] + "?"}
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, cfg, err := a.here(ctx)
			if err != nil {
				return err
			}
			asked, err := a.agreed(ctx, p, cfg)
			if err != nil {
				return err
			}
			if _, err := a.findGPG(ctx, p, cfg); err != nil && cfg.Origin("tools.gpg").Name != "--all" {
				return err // what no session could use need not be built
			} else if err != nil {
				a.ui.Warn("GnuPG is there in the VM, and has nothing of yours to sign with: %v", err)
			}
			mounts, err := a.addedMounts(cfg.Setup.Mounts, a.flags.mounts)
			if err != nil {
				return err
			}
			spec, err := a.templateSpec(p, cfg, asked, mounts)
			if err != nil {
				return err
			}
			if len(spec.Mounts) > 0 && len(spec.Scripts) == 0 {
				a.ui.Warn("there is no setup script that could use %s", spec.Mounts[0].Host)
			}
			spec.Rebuild = rebuild
			store, err := a.machines(ctx, cfg)
			if err != nil {
				return err
			}
			entry, err := a.setup(ctx, store, cfg, spec)
			if err != nil {
				return err
			}
			a.prepareFirst(store, p, cfg, asked, entry)
			if err := a.print("project  %s\ntemplate %s\n", ui.Sanitize(p.Main), entry.Name); err != nil {
				return err
			}
			a.ui.Info(`next: claude-vm "what Claude is to do", or claude-vm shell to look around`)
			return nil
		},
	}
	a.flags.forTools(cmd.Flags())
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build the shared layers anew, with the newest packages")
	a.flags.forKey(cmd.Flags(), "setup-script", "setup.scripts", "`SCRIPT` to run in the VM at the end (repeatable)")
	return cmd
}

// templateSpec says what a template is to be made of, Claude Code and what depends on the host aside.
func (a *app) templateSpec(p *project.Project, cfg *config.Config, asked *trust.Review, mounts [][]mount.Mount) (spec template.Spec, err error) {
	foreign := func(origin config.Origin) bool { return origin.Layer == config.Project }
	spec = template.Spec{
		Foreign: foreign(cfg.Origin("vm.image")) || slices.ContainsFunc(cfg.Packages.System, func(i config.Item) bool { return foreign(i.Origin) }),
		Project: p, Image: cfg.VM.Image, DiskGB: cfg.VM.Disk, MemoryGB: cfg.VM.Memory, CPUs: cfg.VM.CPUs, MountType: cfg.VM.MountType,
	}
	for _, item := range cfg.Packages.System {
		spec.Packages = append(spec.Packages, item.Value)
	}
	if spec.Certificates, err = certificates(cfg, asked); err != nil {
		return spec, err
	}
	if spec.Tools, err = tools(cfg); err != nil {
		return spec, err
	}
	if spec.Mounts, err = mount.Resolve(nil, mounts...); err != nil {
		return spec, err
	}
	if err := asked.Saw(spec.Mounts); err != nil {
		return spec, err
	}
	spec.Scripts, err = a.setupScripts(p, cfg, asked)
	return spec, err
}

// setupScripts returns what runs while a template is built.
func (a *app) setupScripts(p *project.Project, cfg *config.Config, asked *trust.Review) ([]guest.Script, error) {
	return readScripts(asked, []string{
		filepath.Join(a.Home, setupScript), filepath.Join(p.Root, setupScript),
	}, cfg.Setup.Scripts, cfg.Phase.Setup)
}

// cacheLock is held by whoever uses downloads, and by whoever removes them.
const cacheLock = "cache"

// setup builds the template of a project.
func (a *app) setup(ctx context.Context, store instance.Store, cfg *config.Config, spec template.Spec) (instance.Entry, error) {
	space := int64(buildGB)
	if len(spec.Tools) > 0 {
		space += toolsGB
	}
	spec.CPUs = cmp.Or(spec.CPUs, store.Lima.Accel.DefaultCPUs())
	var watched watched
	if len(spec.Mounts) > 0 { // they may lie in the project
		var err error
		if watched, err = a.watchGit(ctx, spec.Project, spec.Mounts, cfg.Guard.Git); err != nil {
			return instance.Entry{}, err
		}
		defer watched.end(ctx)
	}
	return a.build(ctx, store, cfg, space, func(b *template.Builder, release claude.Release) (instance.Entry, error) {
		spec.Claude, b.Watch = release, watched.add
		return b.Build(ctx, spec)
	})
}

// build has a template made with the release of Claude Code that the configuration asks for. Some GB have to be free.
func (a *app) build(
	ctx context.Context, store instance.Store, cfg *config.Config, space int64,
	build func(*template.Builder, claude.Release) (instance.Entry, error),
) (entry instance.Entry, err error) {
	if err := a.needSpace(space); err != nil {
		return entry, err
	}
	downloads, err := a.state().Lock(ctx, cacheLock, state.Shared)
	if err != nil {
		return entry, err
	}
	defer downloads.Unlock()
	release, err := a.fetchClaude(ctx, cfg)
	if err != nil {
		return entry, err
	}
	steps, err := a.tellNPM()
	if err != nil {
		return entry, err
	}
	log := a.ui.Verbose()
	defer log.Close()
	entry, err = build(&template.Builder{Store: store, UI: a.ui, Log: log, Env: a.proxies(cfg), Steps: steps, Shop: a.shop()}, release)
	if err != nil {
		return entry, err
	}
	a.discardSpares(ctx, store, func(name string) bool { return name == entry.Name })
	if err := store.Reclaim(ctx, true); err != nil {
		a.ui.Warn("removing unused disks: %v", err)
	}
	return entry, nil
}
