package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/ui"
)

// finding is what one check came to.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // ok, warning or failed
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

type doctorOptions struct {
	launch.Request
	asJSON bool
}

func newDoctorCommand(s *shared) *cobra.Command {
	var opts doctorOptions
	cmd := &cobra.Command{
		Use:     "doctor",
		Short:   "Check what this host needs to run VMs",
		Example: "  claude-vm doctor",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd.Context(), s.host(), opts) },
	}
	addConfigFlags(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print JSON")
	return cmd
}

// runDoctor looks at everything that a session needs. The error is the first thing that would keep
// one from running.
func runDoctor(ctx context.Context, h launch.Host, opts doctorOptions) error {
	var first error
	findings := []finding{}
	for _, check := range newExamination(ctx, h, opts.Request).checks() {
		f, err := check.run()
		if f.Detail == "" && err == nil {
			continue // it does not concern this host
		}
		f.Check = check.name
		if err != nil {
			f.Status, f.Detail = "failed", strings.Split(err.Error(), "\n")[0]
			_, f.Hint = diagnose(err)
			first = cmp.Or(first, err)
		}
		findings = append(findings, f)
	}
	if opts.asJSON {
		return errors.Join(printJSON(h, findings), first)
	}
	marks := map[string]string{"ok": "✓", "warning": "!", "failed": "✗"}
	for _, f := range findings {
		if err := printf(h, "%s %-12s %s\n", marks[f.Status], f.Check, ui.Sanitize(f.Detail)); err != nil {
			return err
		}
		if f.Hint != "" {
			if err := printf(h, "  %-12s hint: %s\n", "", f.Hint); err != nil {
				return err
			}
		}
	}
	return first
}

// check looks at one thing. It finds nothing where that thing does not concern this host.
type check struct {
	name string
	run  func() (finding, error)
}

// examination is what several checks have in common.
type examination struct {
	ctx       context.Context
	host      launch.Host
	cfg       *config.Config
	cfgErr    error
	client    *lima.Client
	clientErr error
	hasQEMU   bool // the check for QEMU has found it
}

func newExamination(ctx context.Context, h launch.Host, request launch.Request) *examination {
	e := &examination{ctx: ctx, host: h}
	e.cfg, e.cfgErr = h.OwnConfig(request)
	if e.client, e.clientErr = lima.Find(ctx, h.State().VMs(), h.Env); e.clientErr != nil {
		e.client = h.Look().Lima
	}
	return e
}

// checks are made in this order.
func (e *examination) checks() []check {
	return []check{
		{"config", e.config},
		{"lima", e.lima},
		{"qemu", e.qemu},
		{"accelerator", e.accelerator},
		{"ssh", func() (finding, error) { return ok("found"), e.host.CheckSSH() }},
		{"git", e.git},
		{"disk space", e.space},
		{"clones", e.clones},
		{"image", e.image},
		{"claude", e.claude},
	}
}

func ok(detail string) finding { return finding{Status: "ok", Detail: detail} }

func warning(detail, hint string) (finding, error) {
	return finding{Status: "warning", Detail: detail, Hint: hint}, nil
}

func (e *examination) config() (finding, error) {
	return ok("no problem in the global file and the environment"), e.cfgErr
}

func (e *examination) lima() (finding, error) {
	if e.clientErr != nil {
		return finding{}, e.clientErr
	}
	version, err := e.client.Version(e.ctx)
	return ok(version + " at " + e.client.Limactl), err
}

func (e *examination) qemu() (finding, error) {
	if err := e.client.CheckQEMU(); err != nil {
		return finding{}, err
	}
	version, err := e.client.QEMUVersion(e.ctx)
	if err != nil {
		return finding{}, nil
	}
	e.hasQEMU = true
	return ok(version), nil
}

func (e *examination) accelerator() (finding, error) {
	if !e.hasQEMU {
		return finding{}, nil // it is QEMU's
	}
	accel, reason := e.client.ProbeAccel(e.ctx)
	if reason == "" {
		return ok(string(accel)), nil
	}
	return warning("software emulation: "+reason, "VMs work and are slow; enable virtualisation in the firmware or "+
		"in the VM that this host is, and join the group of /dev/kvm")
}

func (e *examination) git() (finding, error) {
	if _, err := e.host.Git().Settings(e.ctx, "/"); errors.Is(err, git.ErrNotInstalled) {
		return finding{}, err
	}
	return ok("found"), nil
}

func (e *examination) space() (finding, error) {
	free, err := host.FreeSpace(string(e.host.State()))
	if err == nil {
		err = e.host.NeedSpace(launch.BuildGB)
	}
	return ok(fmt.Sprintf("%s free in %s", ui.Size(free), e.host.State())), err
}

func (e *examination) clones() (finding, error) {
	if e.client.Clones() {
		return finding{}, nil
	}
	return warning(fmt.Sprintf("the file system of %s cannot clone files", e.host.State()),
		"each start copies a whole disk; with CLAUDE_VM_HOME on APFS it copies nothing")
}

func (e *examination) image() (finding, error) {
	if e.cfg == nil || e.client.Limactl == "" {
		return finding{}, nil
	}
	_, err := e.client.Images(e.ctx, e.cfg.VM.Image)
	return ok(e.cfg.VM.Image), err
}

func (e *examination) claude() (finding, error) {
	releases, err := claude.Cached(e.host.State().Cache(), lima.Arch())
	switch {
	case err != nil:
		return finding{}, err
	case len(releases) == 0:
		return warning("no release is cached yet", "claude-vm setup gets one")
	}
	return ok(releases[0].Version + " is cached"), nil
}
