package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/selfupdate"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
)

// updateLock is held by whoever replaces the program.
const updateLock = "update"

type updateOptions struct {
	check, pre, rollback, claude bool
	version                      string
}

// uncheckedError is a look for updates that led to nothing. Nothing is broken by that.
type uncheckedError struct{ err error }

func (e uncheckedError) Error() string { return "Unable to check for updates: " + e.err.Error() }
func (e uncheckedError) Unwrap() error { return e.err }

func (a *app) updateCommand() *cobra.Command {
	var o updateOptions
	cmd := &cobra.Command{
		Use:   "update [flags]",
		Short: "Update claude-vm itself, or Claude Code in this project's template",
		Long: `Replace this program by the latest release, or by the version given.

The release's signature and checksum are verified first. The program that was
replaced is kept beside it for --rollback. CLAUDE_VM_RELEASES is the address of
another server that has the same releases.

With --claude it is this project's template that is updated: it gets the Claude
Code that the configuration asks for, and is otherwise left as it is.`,
		Example: `  claude-vm update --check
  claude-vm update
  claude-vm update --version 1.2.3
  claude-vm update --rollback
  claude-vm update --claude`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.version == "" && cmd.Flags().Changed("version"):
				return usageError{cmd.CommandPath(), errors.New("--version: which version is missing")}
			case o.claude && (o.check || o.pre || o.rollback || o.version != ""):
				return usageError{cmd.CommandPath(), errors.New("--claude goes with no other flag of update; the version is claude.version in the configuration")}
			case o.claude:
				return a.updateClaude(cmd.Context())
			case o.version != "" && o.pre, o.rollback && (o.check || o.pre || o.version != ""):
				return usageError{cmd.CommandPath(), errors.New("--version, --pre and --rollback exclude each other, and --rollback and --check")}
			case o.rollback:
				return a.rollback(cmd.Context())
			case o.check:
				return a.checkForUpdate(cmd.Context(), o)
			}
			return a.update(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "only say whether there is a newer version")
	cmd.Flags().StringVar(&o.version, "version", "", "install version `X`, which may be older than this one")
	cmd.Flags().BoolVar(&o.pre, "pre", false, "take pre-releases too")
	cmd.Flags().BoolVar(&o.claude, "claude", false, "update Claude Code in this project's template instead")
	cmd.Flags().BoolVar(&o.rollback, "rollback", false, "go back to what the last update has replaced")
	return cmd
}

// releases is where releases of this program come from.
func (a *app) releases() selfupdate.Source {
	base := cmp.Or(proc.Getenv(a.Env, "CLAUDE_VM_RELEASES"), selfupdate.DefaultBase)
	return selfupdate.Source{HTTP: a.http, Base: base, Key: a.ReleaseKey}
}

// findRelease returns the release that is asked for, and whether that is a reason to install it.
func (a *app) findRelease(ctx context.Context, o updateOptions) (release selfupdate.Release, wanted bool, err error) {
	source := a.releases()
	switch {
	case o.version != "":
		version, err := selfupdate.ParseVersion(o.version)
		if err != nil {
			return release, false, usageError{"claude-vm update", fmt.Errorf("--version: %w", err)}
		}
		release, err = source.Find(ctx, version)
		return release, release.Version != Version(), err
	case o.pre:
		release, err = source.Newest(ctx)
	default:
		release, err = source.Latest(ctx)
	}
	return release, selfupdate.Compare(release.Version, Version()) > 0 && (o.pre || !release.Pre()), err
}

func (a *app) checkForUpdate(ctx context.Context, o updateOptions) error {
	release, wanted, err := a.findRelease(ctx, o)
	switch {
	case err != nil:
		return uncheckedError{err}
	case !wanted:
		return a.upToDate(release)
	}
	command := "claude-vm update"
	switch {
	case o.version != "":
		command += " --version " + release.Version
	case o.pre:
		command += " --pre"
	}
	if managed, ok := errors.AsType[*selfupdate.ManagedError](a.binary().Managed(ctx, a.Env, a.Home)); ok {
		command = managed.Command
	}
	return a.print("claude-vm %s can be had, this is %s. Update with: %s\n", release.Version, Version(), command)
}

func (a *app) upToDate(release selfupdate.Release) error {
	if release.Version == Version() {
		return a.print("This is claude-vm %s already\n", Version())
	}
	return a.print("This is claude-vm %s; the latest release is %s\n", Version(), release.Version)
}

func (a *app) binary() selfupdate.Binary { return selfupdate.Binary(a.Executable) }

// replaceable makes sure that it is for us to replace the program, and keeps others from doing the same.
func (a *app) replaceable(ctx context.Context) (*state.Lock, error) {
	if a.Executable == "" {
		return nil, errors.New("cannot find out where this program lies")
	}
	if err := a.binary().Managed(ctx, a.Env, a.Home); err != nil {
		return nil, err
	}
	if err := a.binary().Writable(); err != nil {
		return nil, err
	}
	return a.state().TryLock(updateLock, state.Exclusive)
}

func (a *app) update(ctx context.Context, o updateOptions) error {
	lock, err := a.replaceable(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	release, wanted, err := a.findRelease(ctx, o)
	switch {
	case err != nil:
		return fmt.Errorf("updating claude-vm: %w", err)
	case !wanted:
		return a.upToDate(release)
	}
	step := a.ui.Step("getting claude-vm " + release.Version)
	defer step.Fail()
	err = a.binary().Replace(func(w io.Writer) error {
		return a.releases().Fetch(ctx, release, runtime.GOOS, runtime.GOARCH, step.Progress, w)
	}, func(path string) error {
		return a.tryOut(ctx, path, release.Version)
	})
	if err != nil {
		return fmt.Errorf("updating claude-vm: %w", err)
	}
	step.Done()
	return a.print("claude-vm %s has taken the place of %s. Go back with: claude-vm update --rollback\n", release.Version, Version())
}

// tryOut makes sure that a new binary runs on this host and is what it should be.
func (a *app) tryOut(ctx context.Context, path, version string) error {
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{path, "--version"}, Env: a.Env})
	if said := strings.TrimSpace(string(out)); err == nil && said != "claude-vm "+version {
		err = fmt.Errorf("it says that it is %q", said)
	}
	if err != nil {
		return fmt.Errorf("trying version %s out: %w", version, err)
	}
	return nil
}

func (a *app) rollback(ctx context.Context) error {
	lock, err := a.replaceable(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if err := a.binary().Rollback(); err != nil {
		return fmt.Errorf("going back: %w", err)
	}
	return a.print("The version before %s is back\n", Version())
}

// releaseNews is what is known about newer versions of this program.
type releaseNews struct {
	Checked time.Time `json:"checked"`
	Told    time.Time `json:"told"`
	Latest  string    `json:"latest"`
}

const day = 24 * time.Hour

// mindUpdates says, once a day, that there is a newer version, and looks for one while a session's command runs. It never
// keeps anybody waiting: what it returns ends the look.
func (a *app) mindUpdates(ctx context.Context, cfg *config.Config, spec *session.Spec) (stop func()) {
	if !cfg.Update.Check || a.ReleaseKey == "" || a.flags.quiet || !isTerminal(a.Stdout) || !isTerminal(a.Stderr) {
		return func() {}
	}
	path := filepath.Join(string(a.state()), "state", "update.json")
	var known releaseNews
	_ = state.ReadJSON(path, &known) // without it nothing is known
	now := time.Now()
	if _, err := selfupdate.ParseVersion(known.Latest); err == nil && selfupdate.Compare(known.Latest, Version()) > 0 && now.Sub(known.Told).Abs() > day {
		a.ui.Info("claude-vm %s can be had, this is %s; see: claude-vm update --check", known.Latest, Version())
		known.Told = now
		_ = state.WriteJSON(path, known)
	}
	if now.Sub(known.Checked).Abs() < day {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var look sync.WaitGroup
	find := func() {
		if release, wanted, err := a.findRelease(ctx, updateOptions{}); err == nil {
			known.Checked, known.Latest = now, ""
			if wanted {
				known.Latest = release.Version
			}
			_ = state.WriteJSON(path, known)
		}
	}
	spec.WhenArrived(func() { look.Go(find) })
	return func() {
		cancel()
		look.Wait()
	}
}
