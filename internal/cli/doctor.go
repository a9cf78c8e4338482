package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/ui"
)

// finding is what one check came to.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or failed
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check what this host needs to run VMs",
		Example: "  claude-vm doctor",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings, err := a.examine(cmd.Context())
			if asJSON {
				return errors.Join(a.printJSON(findings), err)
			}
			marks := map[string]string{"ok": "✓", "warning": "!", "failed": "✗"}
			for _, f := range findings {
				if err := a.print("%s %-12s %s\n", marks[f.Status], f.Check, ui.Sanitize(f.Detail)); err != nil {
					return err
				}
				if f.Hint != "" {
					if err := a.print("  %-12s hint: %s\n", "", f.Hint); err != nil {
						return err
					}
				}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// examine looks at everything that a session needs. The error is the first thing that would keep one from running.
func (a *app) examine(ctx context.Context) (findings []finding, firstErr error) {
	report := func(check, detail string, err error) {
		f := finding{Check: check, Status: "ok", Detail: detail}
		if err != nil {
			f.Status, f.Detail = "failed", strings.Split(err.Error(), "\n")[0]
			_, f.Hint = diagnose(err)
			if firstErr == nil {
				firstErr = err
			}
		}
		findings = append(findings, f)
	}
	warn := func(check, detail, hint string) {
		findings = append(findings, finding{check, "warning", detail, hint})
	}

	cfg, err := config.Load(config.Input{
		Home: a.Home, Cwd: a.Dir, Environ: a.Env, NoFiles: a.flags.noConfig,
		GlobalFile: filepath.Join(a.Home, project.ConfigName), Flags: a.flags.values,
	})
	report("config", "no problem in the global file and the environment", err)

	client, err := lima.Find(ctx, a.state().VMs(), a.Env)
	if err != nil {
		report("lima", "", err)
		client = &lima.Client{Home: a.state().VMs(), Env: a.Env}
	} else {
		version, err := client.Version(ctx)
		report("lima", version+" at "+client.Limactl, err)
	}
	if err := client.CheckQEMU(); err != nil {
		report("qemu", "", err)
	} else if version, err := client.QEMUVersion(ctx); err == nil {
		report("qemu", version, nil)
		if accel, reason := client.ProbeAccel(ctx); reason == "" {
			report("accelerator", string(accel), nil)
		} else {
			warn("accelerator", "software emulation: "+reason, "VMs work and are slow; enable virtualisation in the firmware or in the VM that this host is, and join the group of /dev/kvm")
		}
	}
	report("ssh", "found", a.checkSSH())
	if _, err := a.git().Identity(ctx, "/"); errors.Is(err, git.ErrNotInstalled) {
		report("git", "", err)
	} else {
		report("git", "found", nil)
	}
	free, err := host.FreeSpace(string(a.state()))
	if err == nil {
		err = a.needSpace(buildGB)
	}
	report("disk space", fmt.Sprintf("%s free in %s", ui.Size(free), a.state()), err)
	if !client.Clones() {
		warn("clones", fmt.Sprintf("the file system of %s cannot clone files", a.state()), "each start copies a whole disk; with CLAUDE_VM_HOME on APFS it copies nothing")
	}
	if cfg != nil && client.Limactl != "" {
		_, err = client.Images(ctx, cfg.VM.Image)
		report("image", cfg.VM.Image, err)
	}
	releases, err := claude.Cached(a.state().Cache(), lima.Arch())
	switch {
	case err != nil:
		report("claude", "", err)
	case len(releases) == 0:
		warn("claude", "no release is cached yet", "claude-vm setup gets one")
	default:
		report("claude", releases[0].Version+" is cached", nil)
	}
	return findings, firstErr
}
