package launch

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
)

// KeepSpare is the name of the command that a keeper runs: it calls Keep.
const KeepSpare = "keep-spare"

// Keep is the life of a keeper, which reads what it is to keep from its standard input.
func (h Host) Keep(ctx context.Context) error {
	ordered, err := io.ReadAll(h.Stdin)
	if err != nil {
		return err
	}
	store, err := h.Store(ctx)
	if err != nil {
		return err
	}
	runner := session.Runner{Store: store, UI: h.UI, Standby: session.Standby{Spawn: h.spawnKeeper}}
	return runner.Keep(ctx, ordered)
}

// runner runs the sessions that a configuration describes.
func (h Host) runner(store instance.Store, cfg *config.Config) session.Runner {
	return session.Runner{Store: store, UI: h.UI, Standby: session.Standby{
		Count: standbyCount(cfg, store.Lima.Accel), TTL: cfg.Standby.TTL,
		MemoryGB: cfg.Standby.MemoryGB, Spawn: h.spawnKeeper,
	}}
}

// standbyCount is how many spares to keep. Where software does the processor's work a boot is half
// a minute of a whole processor: a small host has none to spare, unless its user says so.
func standbyCount(cfg *config.Config, accel lima.Accel) int {
	if accel == lima.TCG && runtime.NumCPU() < 4 && !cfg.IsSet("standby.count") {
		return 0
	}
	return cfg.Standby.Count
}

// prepareFirst has a spare made for the first session of a new template, if that has no flags of
// its own. That none could be made is no failure of the setup.
func (w *Work) prepareFirst(store instance.Store, asked *trust.Review, made instance.Entry) {
	switch {
	case standbyCount(w.Config, store.Lima.Accel) == 0:
		return
	case !made.Unattended:
		w.Host.UI.Info("each session will boot a VM: none waits for it where setup scripts or the project's own " +
			"files chose what is in the template")
		return
	}
	if err := (&Work{Host: w.Host, Project: w.Project, Config: w.Config}).prepareSession(store, asked); err != nil {
		w.Host.UI.Warn("preparing the first session: %v", err)
	}
}

// prepareSession has a spare made for a session.
func (w *Work) prepareSession(store instance.Store, asked *trust.Review) error {
	if err := w.conversations().prepare(); err != nil {
		return err
	}
	shape, err := w.shape(asked)
	if err != nil {
		return err
	}
	reach, err := w.sessionReach()
	if err != nil {
		return err
	}
	store.Lima = store.Lima.With(store.Lima.Accel, reach)
	runner := w.Host.runner(store, w.Config)
	return runner.PrepareNext(shape)
}

// DiscardSpares ends the spares of templates that change or go.
func (h Host) DiscardSpares(ctx context.Context, store instance.Store, of func(templateName string) bool) {
	runner := session.Runner{Store: store}
	if err := runner.Discard(ctx, of); err != nil {
		h.UI.Warn("ending the VMs that wait: %v", err)
	}
}

// maxKeeperLog is the size in bytes beyond which the keepers' log begins anew.
const maxKeeperLog = 1 << 20

// spawnKeeper starts a keeper. It holds nothing of ours: neither the terminal, nor the pipes that
// we write to, nor the folder that we are in; and what is secret among our variables is not for it.
func (h Host) spawnKeeper(order []byte) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	folder := string(h.State())
	path := h.note("spares.log")
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > maxKeeperLog {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(path, mode, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	defer write.Close()
	env := append(slices.DeleteFunc(slices.Clone(h.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return claude.Secret(name)
	}), "CLAUDE_VM_HOME="+folder)
	err = proc.Detach(proc.Cmd{Argv: []string{self, KeepSpare}, Env: env, Dir: "/"}, read, log, log)
	if err != nil {
		return err
	}
	if _, err = write.Write(order); err != nil {
		return fmt.Errorf("telling a keeper what to keep: %w", err)
	}
	return nil
}
