package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
)

// keepSpare is the command that session starts as a process of its own.
const keepSpare = "keep-spare"

func (a *app) keepSpareCommand() *cobra.Command {
	return &cobra.Command{
		Use:    keepSpare,
		Short:  "Boot a VM and keep it for the next session (claude-vm starts this itself)",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ordered, err := io.ReadAll(a.Stdin)
			if err != nil {
				return err
			}
			store, err := a.store(cmd.Context())
			if err != nil {
				return err
			}
			runner := session.Runner{Store: store, UI: a.ui, Standby: session.Standby{Spawn: a.spawnKeeper}}
			return runner.Keep(cmd.Context(), ordered)
		},
	}
}

// runner runs the sessions that a configuration describes.
func (a *app) runner(store instance.Store, cfg *config.Config) session.Runner {
	return session.Runner{Store: store, UI: a.ui, Standby: session.Standby{
		Count: standbyCount(cfg, store.Lima.Accel), TTL: cfg.Standby.TTL, MemoryGB: cfg.Standby.MemoryGB,
		Spawn: func(order []byte) error {
			if a.noNext {
				return nil
			}
			return a.spawnKeeper(order)
		},
	}}
}

// standbyCount is how many spares to keep. Where software does the processor's work a boot is half a minute of a whole
// processor: a small host has none to spare, unless its user says so.
func standbyCount(cfg *config.Config, accel lima.Accel) int {
	if accel == lima.TCG && runtime.NumCPU() < 4 && !cfg.IsSet("standby.count") {
		return 0
	}
	return cfg.Standby.Count
}

// prepareFirst has a spare made for the first session of a new template, if that has no flags of its own. That none could be
// made is no failure of the setup.
func (a *app) prepareFirst(store instance.Store, p *project.Project, cfg *config.Config, asked *trust.Review, made instance.Entry) {
	runner := a.runner(store, cfg)
	switch {
	case runner.Standby.Count == 0:
		return
	case !made.Unattended:
		a.ui.Info("each session will boot a VM: none waits for it where setup scripts or the project's own files chose what is in the template")
		return
	}
	plain := *a
	plain.flags = globalFlags{}
	mounts, err := plain.mounts(p, cfg, asked)
	if err == nil {
		store.Lima.Wall.Rules, err = plain.sessionReach(p, cfg)
	}
	if err == nil {
		err = runner.PrepareNext(session.Shape{Project: p, Template: p.TemplateName(), Mounts: mounts, MountType: cfg.VM.MountType})
	}
	if err != nil {
		a.ui.Warn("preparing the first session: %v", err)
	}
}

// discardSpares ends the spares of templates that change or go.
func (a *app) discardSpares(ctx context.Context, store instance.Store, of func(templateName string) bool) {
	runner := session.Runner{Store: store}
	if err := runner.Discard(ctx, of); err != nil {
		a.ui.Warn("ending the VMs that wait: %v", err)
	}
}

// maxKeeperLog is the size in bytes beyond which the keepers' log begins anew.
const maxKeeperLog = 1 << 20

// spawnKeeper starts a keeper. It holds nothing of ours: neither the terminal, nor the pipes that we write to, nor the
// folder that we are in; and what is secret among our variables is not for it.
func (a *app) spawnKeeper(order []byte) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	folder := string(a.state())
	path := filepath.Join(folder, "state", "spares.log")
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
	env := append(slices.DeleteFunc(slices.Clone(a.Env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(claude.LoginSecrets(), name)
	}), "CLAUDE_VM_HOME="+folder)
	err = proc.Detach(proc.Cmd{Argv: []string{self, keepSpare}, Env: env, Dir: "/"}, read, log, log)
	if err != nil {
		return err
	}
	if _, err = write.Write(order); err != nil {
		return fmt.Errorf("telling a keeper what to keep: %w", err)
	}
	return nil
}
