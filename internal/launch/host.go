package launch

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
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
	"github.com/themouette/claude-vm/internal/login"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
	"github.com/themouette/claude-vm/internal/wall"
)

// Host is this computer as sessions are started on it: what comes from outside, and how the user is
// spoken to.
type Host struct {
	Env   []string
	Dir   string // the working directory; empty if it is gone
	Home  string
	Quiet bool // the user wants to hear of nothing but what is wrong

	Verbose bool // the user wants to see what other programs print

	Stdin, Stdout, Stderr *os.File

	UI   *ui.UI
	HTTP *http.Client

	Version string // of this program
	// Newest returns the newest release of this program if it is newer than this one, else nothing.
	// nil: nobody looks.
	Newest func(context.Context) (string, error)
}

// WithTerminal returns the host with a terminal made of its streams.
func (h Host) WithTerminal() Host {
	h.UI = ui.New(ui.Options{
		In: h.Stdin, Err: h.Stderr,
		Terminal:      IsTerminal(h.Stderr) && proc.Getenv(h.Env, "TERM") != "dumb",
		InteractiveIn: IsTerminal(h.Stderr) && IsTerminal(h.Stdin),
		NoColor:       proc.Getenv(h.Env, "NO_COLOR") != "",
		Quiet:         h.Quiet,
		Verbose:       h.Verbose,
		Now:           time.Now,
		Width:         func() int { return Width(h.Stderr) },
	})
	return h
}

// State returns the folder of ours.
func (h Host) State() state.Dir {
	if dir := proc.Getenv(h.Env, "CLAUDE_VM_HOME"); dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(h.Dir, dir)
		}
		return state.Dir(filepath.Clean(dir))
	}
	return state.Dir(filepath.Join(h.Home, ".claude-vm"))
}

// note returns the file below the state folder that has a name.
func (h Host) note(name string) string { return filepath.Join(string(h.State()), "state", name) }

// Git returns git as it is on this computer.
func (h Host) Git() git.Client { return git.Client{Env: h.Env} }

// Logins returns where Claude's login is kept.
func (h Host) Logins() login.Store { return login.Store{Dir: h.State()} }

// Consents returns what the user has agreed to.
func (h Host) Consents() trust.Store { return trust.Store{Dir: h.note("trust")} }

// Look returns the instances for who only looks at them: it needs no limactl.
func (h Host) Look() *instance.Store {
	return &instance.Store{Lima: &lima.Client{Home: h.State().VMs(), Env: h.Env}, State: h.State()}
}

// interactive says whether a person sits at the terminal that a command would get.
func (h Host) interactive() bool { return IsTerminal(h.Stdin) && IsTerminal(h.Stdout) }

// Store returns the instances, without looking for what it takes to start one.
func (h Host) Store(ctx context.Context) (instance.Store, error) {
	client, err := lima.Locate(h.State().VMs(), h.Env)
	if err == nil {
		err = h.State().Make()
	}
	if err != nil {
		return instance.Store{}, err
	}
	if err := h.checkLima(ctx, client); err != nil {
		return instance.Store{}, err
	}
	client.Log = h.UI.Verbose()
	client.Wall.Raise = h.raiseWall
	return instance.Store{Lima: client, State: h.State()}, nil
}

// checkLima makes sure that limactl is new enough. To ask it takes as long as all else that we do
// before a session, so that one that was good is not asked again until its file has changed.
func (h Host) checkLima(ctx context.Context, client *lima.Client) error {
	type seen struct {
		Limactl string    `json:"path"`
		Size    int64     `json:"size"`
		Changed time.Time `json:"changed"`
	}
	path := h.note("limactl.json")
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

// CheckSSH makes sure that what reaches a guest is there. Without it a VM would boot for nothing.
func (h Host) CheckSSH() error {
	if _, err := proc.Find(h.Env, "ssh"); err != nil {
		return ErrNoSSH
	}
	return nil
}

// machines returns the instances, ready to start one: QEMU and ssh are there, the accelerator is
// chosen, and what earlier runs left behind is removed. Their guests reach what the rules say.
func (h Host) machines(ctx context.Context, cfg *config.Config, reach []string) (instance.Store, error) {
	store, err := h.Store(ctx)
	if err != nil {
		return store, err
	}
	if err := cmp.Or(store.Lima.CheckQEMU(), h.CheckSSH()); err != nil {
		return store, err
	}
	accel := lima.Accel(cfg.VM.Accel)
	if cfg.VM.Accel == "auto" {
		var reason string
		if accel, reason = h.accel(ctx, store.Lima); reason != "" {
			h.UI.Warn("%s: using software emulation, which is slow", reason)
		}
	}
	store.Lima = store.Lima.With(accel, reach)
	if !slices.Contains(reach, wall.Everything) {
		h.sayProxies(cfg)
	}
	h.Sweep(ctx, store)
	return store, nil
}

// Sweep removes what dead owners left behind. That it fails is no reason to stop.
func (h Host) Sweep(ctx context.Context, store instance.Store) {
	removed, err := store.Sweep(ctx)
	if len(removed) > 0 {
		h.UI.Info("removed %d VM(s) that a killed claude-vm had left behind", len(removed))
	}
	if err != nil {
		h.UI.Warn("removing left-over VMs: %v", err)
	} else {
		h.talks().recover(ctx)
	}
	h.State().Tidy()
	h.recoverGuard(ctx)
}

// Tidy sweeps for a command that otherwise only looks at instances, and so can do without limactl.
func (h Host) Tidy(ctx context.Context) { h.Sweep(ctx, *h.Look()) }

// probed is what was found out about the accelerator, and on what it depends.
type probed struct {
	Boot   string     `json:"boot"`
	Accel  lima.Accel `json:"accel"`
	Reason string     `json:"reason,omitempty"`
}

// accel returns the accelerator that works on this host. Finding out takes a tenth of a second, so
// that the answer is kept until the host is booted again.
func (h Host) accel(ctx context.Context, client *lima.Client) (lima.Accel, string) {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	path := h.note("accel.json")
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

// NeedSpace makes sure that there is room for some GB.
func (h Host) NeedSpace(gb int64) error {
	free, err := host.FreeSpace(string(h.State()))
	if err == nil && free < gb*1_000_000_000 {
		return fmt.Errorf("%w in %s: %d GB are needed, and %.1f GB are free", ErrNoSpace, h.State(), gb,
			float64(free)/1e9)
	}
	return nil
}

// fetchClaude gets the release of Claude Code that the configuration asks for.
func (h Host) fetchClaude(ctx context.Context, cfg *config.Config) (claude.Release, error) {
	step := h.UI.Step("getting Claude Code (" + cfg.Claude.Version + ")")
	defer step.Fail()
	fetcher := claude.Fetcher{HTTP: h.HTTP, Env: h.Env, Home: h.Home, Cache: h.State().Cache(), Progress: step.Progress}
	release, err := fetcher.Fetch(ctx, cfg.Claude.Version, cfg.Claude.Source, lima.Arch())
	if err != nil {
		return release, err
	}
	step.Done()
	if release.Note != "" {
		h.UI.Warn("%s", release.Note)
	}
	return release, nil
}

// Getenv returns a variable of the environment that we were started with.
func (h Host) Getenv(name string) string { return proc.Getenv(h.Env, name) }
