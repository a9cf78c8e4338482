package launch

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/tool"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// BuildGB is what building a base layer may take on the host's disk while it goes on: image,
// download, layer.
const BuildGB = 5

// toolsGB is what building a layer with all tools may take on the host's disk, besides the base
// layer.
const toolsGB = 4

// ensureTemplate builds a missing template if the user wants that.
func (w *Work) ensureTemplate(ctx context.Context, store instance.Store, asked *trust.Review) error {
	h, p, cfg := w.Host, w.Project, w.Config
	record, lock, err := store.Find(ctx, p.TemplateName())
	if err == nil {
		lock.Unlock()
		h.sayOldClaude(cfg, record)
		return builtFrom(ctx, store, cfg, record)
	}
	if !errors.Is(err, instance.ErrNone) {
		return err
	}
	if !w.Request.AutoSetup {
		yes, askErr := h.UI.Confirm(ctx, "There is no template for "+ui.Sanitize(p.Main)+" yet. Build it now?", true)
		if errors.Is(askErr, ui.ErrNotInteractive) || askErr == nil && !yes {
			return err
		}
		if askErr != nil {
			return askErr
		}
	}
	mounts, err := h.addedMounts(cfg.Setup.Mounts, nil) // those of the command line are the session's
	if err != nil {
		return err
	}
	spec, err := w.templateSpec(asked, mounts)
	if err != nil {
		return err
	}
	_, err = w.setup(ctx, store, spec)
	return err
}

// builtFrom makes sure that a template stands on the image that the command line asks for: a
// session cannot change that.
func builtFrom(ctx context.Context, store instance.Store, cfg *config.Config, record instance.Record) error {
	if cfg.Origin("vm.image").Layer != config.Flag {
		return nil
	}
	images, err := store.Lima.Images(ctx, cfg.VM.Image)
	if err != nil || reflect.DeepEqual(images, record.Images) {
		return err
	}
	return AdvisedError{
		usage(errors.New("--image: the template of this project was built from another image")),
		"build it anew: claude-vm setup --image " + shellescape.Quote(cfg.VM.Image),
	}
}

// templateSpec says what a template is to be made of, Claude Code and what depends on the host
// aside.
func (w *Work) templateSpec(asked *trust.Review, mounts [][]mount.Mount) (spec template.Spec, err error) {
	cfg := w.Config
	foreign := func(origin config.Origin) bool { return origin.Layer == config.Project }
	spec = template.Spec{
		Foreign: foreign(cfg.Origin("vm.image")) ||
			slices.ContainsFunc(cfg.Packages.System, func(i config.Item) bool { return foreign(i.Origin) }),
		Project: w.Project, Image: cfg.VM.Image, MountType: cfg.VM.MountType,
		DiskGB: cfg.VM.Disk, MemoryGB: cfg.VM.Memory, CPUs: cfg.VM.CPUs,
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
	spec.Scripts, err = w.SetupScripts(asked)
	return spec, err
}

// SetupScripts returns what runs while a template is built.
func (w *Work) SetupScripts(asked *trust.Review) (Scripts, error) {
	return readScripts(asked, []string{
		filepath.Join(w.Host.Home, setupScript), filepath.Join(w.Project.Root, setupScript),
	}, w.Config.Setup.Scripts, w.Config.Phase.Setup)
}

// CacheLock is held by whoever uses downloads, and by whoever removes them.
const CacheLock = "cache"

// Setup builds the template of the project, and has a VM made for its first session.
func (w *Work) Setup(ctx context.Context, rebuild bool) (instance.Entry, error) {
	asked, err := w.Agreed(ctx)
	if err != nil {
		return instance.Entry{}, err
	}
	if _, err := w.findGPG(ctx); err != nil && w.Config.Origin("tools.gpg").Explicit() {
		return instance.Entry{}, err // what no session could use need not be built
	} else if err != nil {
		w.Host.UI.Warn("GnuPG is there in the VM, and has nothing of yours to sign with: %v", err)
	}
	mounts, err := w.Host.addedMounts(w.Config.Setup.Mounts, w.Request.Mounts)
	if err != nil {
		return instance.Entry{}, err
	}
	spec, err := w.templateSpec(asked, mounts)
	if err != nil {
		return instance.Entry{}, err
	}
	if len(spec.Mounts) > 0 && len(spec.Scripts) == 0 {
		w.Host.UI.Warn("there is no setup script that could use %s", spec.Mounts[0].Host)
	}
	spec.Rebuild = rebuild
	store, err := w.ready(ctx)
	if err != nil {
		return instance.Entry{}, err
	}
	entry, err := w.setup(ctx, store, spec)
	if err != nil {
		return entry, err
	}
	w.prepareFirst(store, asked, entry)
	return entry, nil
}

// ready returns the instances, ready to start one that no session runs in.
func (w *Work) ready(ctx context.Context) (instance.Store, error) {
	reach, err := w.Host.reach(w.Config, nil)
	if err != nil {
		return instance.Store{}, err
	}
	return w.Host.machines(ctx, w.Config, reach)
}

// setup builds the template of the project.
func (w *Work) setup(ctx context.Context, store instance.Store, spec template.Spec) (instance.Entry, error) {
	space := int64(BuildGB)
	if len(spec.Tools) > 0 {
		space += toolsGB
	}
	spec.CPUs = cmp.Or(spec.CPUs, store.Lima.Accel.DefaultCPUs())
	guarded := &repoGuard{work: w}
	if len(spec.Mounts) > 0 { // they may lie in the project
		if err := guarded.begin(ctx, spec.Mounts); err != nil {
			return instance.Entry{}, err
		}
		defer guarded.end(ctx)
	}
	return w.Host.build(ctx, store, w.Config, space,
		func(b *template.Builder, release claude.Release) (instance.Entry, error) {
			spec.Claude, b.Watch = release, guarded.Named
			return b.Build(ctx, spec)
		})
}

// build has a template made with the release of Claude Code that the configuration asks for. Some
// GB have to be free.
func (h Host) build(
	ctx context.Context, store instance.Store, cfg *config.Config, space int64,
	build func(*template.Builder, claude.Release) (instance.Entry, error),
) (entry instance.Entry, err error) {
	if err := h.NeedSpace(space); err != nil {
		return entry, err
	}
	downloads, err := h.State().Lock(ctx, CacheLock, state.Shared)
	if err != nil {
		return entry, err
	}
	defer downloads.Unlock()
	release, err := h.fetchClaude(ctx, cfg)
	if err != nil {
		return entry, err
	}
	steps, err := h.tellNPM()
	if err != nil {
		return entry, err
	}
	log := h.UI.Verbose()
	defer log.Close()
	builder := &template.Builder{
		Store: store, UI: h.UI, Log: log, Env: h.proxies(cfg), Steps: steps, Shop: h.shop(),
		Refused: func(places []string) { tellRefused(h.UI, places) },
	}
	entry, err = build(builder, release)
	if err != nil {
		return entry, err
	}
	h.DiscardSpares(ctx, store, func(name string) bool { return name == entry.Name })
	if err := store.Reclaim(ctx, true); err != nil {
		h.UI.Warn("removing unused disks: %v", err)
	}
	return entry, nil
}

// UpdateClaude puts the release of Claude Code that the configuration asks for into the project's
// template.
func (w *Work) UpdateClaude(ctx context.Context) (instance.Entry, error) {
	if _, err := w.Agreed(ctx); err != nil {
		return instance.Entry{}, err
	}
	store, err := w.ready(ctx)
	if err != nil {
		return instance.Entry{}, err
	}
	name := w.Project.TemplateName()
	record, lock, err := store.Find(ctx, name)
	if err != nil {
		return instance.Entry{}, err
	}
	lock.Unlock()
	return w.Host.build(ctx, store, w.Config, sessionGB,
		func(b *template.Builder, release claude.Release) (instance.Entry, error) {
			if release.Version == record.Claude {
				return instance.Entry{Name: name, Record: record}, nil
			}
			return b.Refresh(ctx, name, release)
		})
}

// sayOldClaude says that a template has another release of Claude Code than the one that is wanted,
// as far as that can be told without asking the network: a version that the configuration names, or
// a newer one that another setup has fetched.
func (h Host) sayOldClaude(cfg *config.Config, record instance.Record) {
	wanted := cfg.Claude.Version
	if !semver.IsValid("v" + wanted) {
		releases, err := claude.Cached(h.State().Cache(), lima.Arch())
		if err != nil || len(releases) == 0 || semver.Compare("v"+releases[0].Version, "v"+record.Claude) < 0 {
			return
		}
		wanted = releases[0].Version
	}
	if wanted != record.Claude {
		h.UI.Warn("this template has Claude Code %s, and not %s", record.Claude, wanted)
		h.UI.Hint("claude-vm update --claude changes that, and nothing else")
	}
}

// tools returns the tools that the configuration asks for, with what they need.
func tools(cfg *config.Config) ([]tool.Choice, error) {
	wanted := map[string]string{}
	for name, t := range cfg.Tools.ByName() {
		if t.Enabled {
			wanted[name] = t.Version
		}
	}
	return tool.Choose(wanted)
}

// shop is where tools download from, and where that is kept.
func (h Host) shop() tool.Shop {
	arch := map[string]string{"x86_64": "x64", "aarch64": "arm64"}[lima.Arch()]
	return tool.Shop{HTTP: h.HTTP, Env: h.Env, Home: h.Home, Cache: h.State().Cache(), Arch: arch}
}
