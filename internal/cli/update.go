package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/selfupdate"
	"github.com/themouette/claude-vm/internal/state"
)

// updateLock is held by whoever replaces the program.
const updateLock = "update"

type updateOptions struct {
	launch.Request
	check, pre, rollback, claude bool
	version                      string
}

// uncheckedError is a look for updates that led to nothing. Nothing is broken by that.
type uncheckedError struct{ err error }

func (e uncheckedError) Error() string { return "Unable to check for updates: " + e.err.Error() }
func (e uncheckedError) Unwrap() error { return e.err }

func newUpdateCommand(s *shared) *cobra.Command {
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
				return usageError(cmd.CommandPath(), errors.New("--version: which version is missing"))
			case o.claude && (o.check || o.pre || o.rollback || o.version != ""):
				return usageError(cmd.CommandPath(),
					errors.New("--claude goes with no other flag of update; the version is claude.version in the "+
						"configuration"))
			case o.version != "" && o.pre, o.rollback && (o.check || o.pre || o.version != ""):
				return usageError(cmd.CommandPath(),
					errors.New("--version, --pre and --rollback exclude each other, and --rollback and --check"))
			}
			return runUpdate(cmd.Context(), s.host(), s.Process, o)
		},
	}
	addWorkFlags(cmd.Flags(), &o.Request)
	cmd.Flags().BoolVar(&o.check, "check", false, "only say whether there is a newer version")
	cmd.Flags().StringVar(&o.version, "version", "", "install version `X`, which may be older than this one")
	cmd.Flags().BoolVar(&o.pre, "pre", false, "take pre-releases too")
	cmd.Flags().BoolVar(&o.claude, "claude", false, "update Claude Code in this project's template instead")
	cmd.Flags().BoolVar(&o.rollback, "rollback", false, "go back to what the last update has replaced")
	return cmd
}

func runUpdate(ctx context.Context, h launch.Host, p Process, o updateOptions) error {
	u := updater{h, releases(h, p), selfupdate.Binary(p.Executable)}
	switch {
	case o.claude:
		return updateClaude(ctx, h, o.Request)
	case o.rollback:
		return u.rollback(ctx)
	case o.check:
		return u.check(ctx, o)
	}
	return u.update(ctx, o)
}

// updateClaude puts the release of Claude Code that the configuration asks for into this project's
// template.
func updateClaude(ctx context.Context, h launch.Host, request launch.Request) error {
	work, err := h.Open(ctx, request)
	if err != nil {
		return err
	}
	entry, err := work.UpdateClaude(ctx)
	if err != nil {
		return err
	}
	return printf(h, "template %s has Claude Code %s\n", entry.Name, entry.Claude)
}

// updater replaces this program.
type updater struct {
	host   launch.Host
	source selfupdate.Source
	binary selfupdate.Binary
}

// releases is where releases of this program come from.
func releases(h launch.Host, p Process) selfupdate.Source {
	base := cmp.Or(h.Getenv("CLAUDE_VM_RELEASES"), selfupdate.DefaultBase)
	return selfupdate.Source{HTTP: h.HTTP, Base: base, Key: p.ReleaseKey}
}

// newestRelease returns what looks for a release that is newer than this program.
func newestRelease(h launch.Host, p Process) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		release, wanted, err := findRelease(ctx, releases(h, p), updateOptions{})
		if !wanted {
			return "", err
		}
		return release.Version, err
	}
}

// findRelease returns the release that is asked for, and whether that is a reason to install it.
func findRelease(
	ctx context.Context, source selfupdate.Source, o updateOptions,
) (release selfupdate.Release, wanted bool, err error) {
	switch {
	case o.version != "":
		version, err := selfupdate.ParseVersion(o.version)
		if err != nil {
			return release, false, usageError("claude-vm update", fmt.Errorf("--version: %w", err))
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

func (u updater) check(ctx context.Context, o updateOptions) error {
	release, wanted, err := findRelease(ctx, u.source, o)
	switch {
	case err != nil:
		return uncheckedError{err}
	case !wanted:
		return u.upToDate(release)
	}
	command := "claude-vm update"
	switch {
	case o.version != "":
		command += " --version " + release.Version
	case o.pre:
		command += " --pre"
	}
	if managed, ok := errors.AsType[*selfupdate.ManagedError](u.binary.Managed(ctx, u.host.Env, u.host.Home)); ok {
		command = managed.Command
	}
	return printf(u.host, "claude-vm %s can be had, this is %s. Update with: %s\n", release.Version, Version(), command)
}

func (u updater) upToDate(release selfupdate.Release) error {
	if release.Version == Version() {
		return printf(u.host, "This is claude-vm %s already\n", Version())
	}
	return printf(u.host, "This is claude-vm %s; the latest release is %s\n", Version(), release.Version)
}

// replaceable makes sure that it is for us to replace the program, and keeps others from doing the
// same.
func (u updater) replaceable(ctx context.Context) (*state.Lock, error) {
	if u.binary == "" {
		return nil, errors.New("cannot find out where this program lies")
	}
	if err := u.binary.Managed(ctx, u.host.Env, u.host.Home); err != nil {
		return nil, err
	}
	if err := u.binary.Writable(); err != nil {
		return nil, err
	}
	return u.host.State().TryLock(updateLock, state.Exclusive)
}

func (u updater) update(ctx context.Context, o updateOptions) error {
	lock, err := u.replaceable(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	release, wanted, err := findRelease(ctx, u.source, o)
	switch {
	case err != nil:
		return fmt.Errorf("updating claude-vm: %w", err)
	case !wanted:
		return u.upToDate(release)
	}
	step := u.host.UI.Step("getting claude-vm " + release.Version)
	defer step.Fail()
	err = u.binary.Replace(func(w io.Writer) error {
		return u.source.Fetch(ctx, release, runtime.GOOS, runtime.GOARCH, step.Progress, w)
	}, func(path string) error {
		return selfupdate.TryOut(ctx, u.host.Env, path, release.Version)
	})
	if err != nil {
		return fmt.Errorf("updating claude-vm: %w", err)
	}
	step.Done()
	return printf(u.host, "claude-vm %s has taken the place of %s. Go back with: claude-vm update --rollback\n",
		release.Version, Version())
}

func (u updater) rollback(ctx context.Context) error {
	lock, err := u.replaceable(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if err := u.binary.Rollback(); err != nil {
		return fmt.Errorf("going back: %w", err)
	}
	return printf(u.host, "The version before %s is back\n", Version())
}
