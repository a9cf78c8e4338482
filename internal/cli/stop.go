package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

type stopOptions struct{ all bool }

func newStopCommand(s *shared) *cobra.Command {
	var opts stopOptions
	cmd := &cobra.Command{
		Use:   "stop [session…]",
		Short: "End running sessions",
		Long: `End running sessions. Each ends as one that is interrupted does: Claude's login
is kept, and the VM is gone when this returns.

` + sessionHelp,
		Example: "  claude-vm stop\n  claude-vm stop my-proj\n  claude-vm stop --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.all && len(args) > 0 {
				return usageError(cmd.CommandPath(),
					errors.New("--all leaves nothing to choose: name sessions, or say --all"))
			}
			return runStop(cmd, s.host(), opts, args)
		},
	}
	cmd.Flags().BoolVar(&opts.all, "all", false, "end all sessions")
	return cmd
}

func runStop(cmd *cobra.Command, h launch.Host, opts stopOptions, args []string) error {
	ctx := cmd.Context()
	h.Tidy(ctx)
	var doomed []instance.Entry
	var err error
	if opts.all {
		if doomed, err = h.Look().Alive(instance.Session); err != nil {
			return err
		}
		if len(doomed) == 0 {
			return printf(h, "No session is running\n")
		}
	} else if len(args) == 0 {
		args = []string{sessionHere}
	}
	for _, word := range args {
		e, err := findSession(cmd, h, word)
		if err != nil {
			return err
		}
		doomed = append(doomed, e)
	}
	runner := session.Runner{Store: *h.Look(), UI: h.UI}
	step := h.UI.Step("stopping")
	defer step.Fail()
	failures := make([]error, len(doomed))
	var stopping sync.WaitGroup
	for i, e := range doomed {
		stopping.Go(func() { failures[i] = runner.Stop(ctx, e.Name) })
	}
	stopping.Wait()
	var stopped strings.Builder
	for i, e := range doomed {
		if failures[i] == nil {
			fmt.Fprintf(&stopped, "stopped %s (%s)\n", e.Name, ui.Sanitize(e.Dir))
		} else {
			failures[i] = fmt.Errorf("stopping %s: %w", e.Name, failures[i])
		}
	}
	if err = errors.Join(failures...); err == nil {
		step.Done()
	}
	step.Fail() // where the terminal shows it, nothing else is to be written
	return errors.Join(err, printf(h, "%s", stopped.String()))
}
