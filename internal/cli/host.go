package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/wall"
)

// state returns the folder of ours.
func (a *app) state() state.Dir {
	if dir := proc.Getenv(a.Env, "CLAUDE_VM_HOME"); dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(a.Dir, dir)
		}
		return state.Dir(filepath.Clean(dir))
	}
	return state.Dir(filepath.Join(a.Home, ".claude-vm"))
}

func (a *app) git() git.Client { return git.Client{Env: a.Env} }

// project returns where we are.
func (a *app) project(ctx context.Context) (*project.Project, error) {
	if a.Dir == "" {
		return nil, project.ErrGone
	}
	return project.Find(ctx, a.git(), a.Dir, project.Options{Home: a.Home, AllowHome: a.flags.allowHome})
}

// here returns where we are and what the user asked for there.
func (a *app) here(ctx context.Context) (*project.Project, *config.Config, error) {
	p, err := a.project(ctx)
	if err != nil {
		return nil, nil, err
	}
	file, err := p.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	cfg, err := config.Load(a.input(file))
	if err != nil {
		return nil, nil, err
	}
	return p, cfg, nil
}

// input is what the configuration is made of, with a project's file.
func (a *app) input(file string) config.Input {
	return config.Input{
		Home: a.Home, Cwd: a.Dir, Environ: a.Env, NoFiles: a.flags.noConfig,
		GlobalFile:  filepath.Join(a.Home, project.ConfigName),
		ProjectFile: file,
		Flags:       a.flags.values,
	}
}

// store returns the instances, without looking for what it takes to start one.
func (a *app) store(ctx context.Context) (instance.Store, error) {
	client, err := lima.Locate(a.state().VMs(), a.Env)
	if err == nil {
		err = a.state().Make()
	}
	if err != nil {
		return instance.Store{}, err
	}
	if err := a.checkLima(ctx, client); err != nil {
		return instance.Store{}, err
	}
	client.Log = a.ui.Verbose()
	client.Wall.Raise = a.raiseWall
	return instance.Store{Lima: client, State: a.state()}, nil
}

// checkLima makes sure that limactl is new enough. To ask it takes as long as all else that we do before a session, so that
// one that was good is not asked again until its file has changed.
func (a *app) checkLima(ctx context.Context, client *lima.Client) error {
	type seen struct {
		Limactl string    `json:"path"`
		Size    int64     `json:"size"`
		Changed time.Time `json:"changed"`
	}
	path := filepath.Join(string(a.state()), "state", "limactl.json")
	info, err := os.Stat(client.Limactl)
	if err != nil {
		return err
	}
	var known seen
	now := seen{client.Limactl, info.Size(), info.ModTime().UTC()}
	if err := state.ReadJSON(path, &known); err == nil && known == now {
		return nil
	}
	if err := client.CheckVersion(ctx); err != nil {
		return err
	}
	_ = state.WriteJSON(path, now)
	return nil
}

// checkSSH makes sure that what reaches a guest is there. Without it a VM would boot for nothing.
func (a *app) checkSSH() error {
	if _, err := proc.Find(a.Env, "ssh"); err != nil {
		return errNoSSH
	}
	return nil
}

// machines returns the instances, ready to start one: QEMU and ssh are there, the accelerator is chosen, and what earlier runs left
// behind is removed. What the user's variables, which a guest will have, name as URLs is within its reach.
func (a *app) machines(ctx context.Context, cfg *config.Config, named ...string) (instance.Store, error) {
	store, err := a.store(ctx)
	if err != nil {
		return store, err
	}
	if err := cmp.Or(store.Lima.CheckQEMU(), a.checkSSH()); err != nil {
		return store, err
	}
	store.Lima.Accel = lima.Accel(cfg.VM.Accel)
	if cfg.VM.Accel == "auto" {
		accel, reason := a.accel(ctx, store.Lima)
		if reason != "" {
			a.ui.Warn("%s: using software emulation, which is slow", reason)
		}
		store.Lima.Accel = accel
	}
	if store.Lima.Wall.Rules, err = a.reach(cfg, named); err != nil {
		return store, err
	}
	if !slices.Contains(store.Lima.Wall.Rules, wall.Everything) {
		a.sayProxies(cfg)
	}
	a.sweep(ctx, store)
	return store, nil
}

// sweep removes what dead owners left behind. That it fails is no reason to stop.
func (a *app) sweep(ctx context.Context, store instance.Store) {
	removed, err := store.Sweep(ctx)
	if len(removed) > 0 {
		a.ui.Info("removed %d VM(s) that a killed claude-vm had left behind", len(removed))
	}
	if err != nil {
		a.ui.Warn("removing left-over VMs: %v", err)
	} else {
		a.recoverTalks(ctx)
	}
	a.state().Tidy()
	a.recoverGuard(ctx)
}

// tidy sweeps for a command that otherwise only looks at instances, and so can do without limactl.
func (a *app) tidy(ctx context.Context) { a.sweep(ctx, *a.look()) }

// probed is what was found out about the accelerator, and on what it depends.
type probed struct {
	Boot   string     `json:"boot"`
	Accel  lima.Accel `json:"accel"`
	Reason string     `json:"reason,omitempty"`
}

// accel returns the accelerator that works on this host. Finding out takes a tenth of a second, so that the answer is kept
// until the host is booted again.
func (a *app) accel(ctx context.Context, client *lima.Client) (lima.Accel, string) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	path := filepath.Join(string(a.state()), "state", "accel.json")
	id := strings.TrimSpace(string(boot))
	var known probed
	if err := state.ReadJSON(path, &known); err == nil && id != "" && known.Boot == id {
		return known.Accel, known.Reason
	}
	accel, reason := client.ProbeAccel(ctx)
	if ctx.Err() == nil {
		_ = state.WriteJSON(path, probed{id, accel, reason})
	}
	return accel, reason
}

// needSpace makes sure that there is room for some GB.
func (a *app) needSpace(gb int64) error {
	free, err := host.FreeSpace(string(a.state()))
	if err == nil && free < gb*1_000_000_000 {
		return fmt.Errorf("%w in %s: %d GB are needed, and %.1f GB are free", errNoSpace, a.state(), gb, float64(free)/1e9)
	}
	return nil
}

// fetchClaude gets the release of Claude Code that the configuration asks for.
func (a *app) fetchClaude(ctx context.Context, cfg *config.Config) (claude.Release, error) {
	step := a.ui.Step("getting Claude Code (" + cfg.Claude.Version + ")")
	defer step.Fail()
	fetcher := claude.Fetcher{HTTP: a.http, Env: a.Env, Home: a.Home, Cache: a.state().Cache(), Progress: step.Progress}
	release, err := fetcher.Fetch(ctx, cfg.Claude.Version, cfg.Claude.Source, lima.Arch())
	if err != nil {
		return release, err
	}
	step.Done()
	if release.Note != "" {
		a.ui.Warn("%s", release.Note)
	}
	return release, nil
}
