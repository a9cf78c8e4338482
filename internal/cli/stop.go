package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

func (a *app) stopCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "stop [session…]",
		Short: "End running sessions",
		Long: `End running sessions. Each ends as one that is interrupted does: Claude's login
is kept, and the VM is gone when this returns.

` + sessionHelp,
		Example: "  claude-vm stop\n  claude-vm stop my-proj\n  claude-vm stop --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all && len(args) > 0 {
				return usageError{cmd.CommandPath(), errors.New("--all leaves nothing to choose: name sessions, or say --all")}
			}
			ctx := cmd.Context()
			a.tidy(ctx)
			var doomed []instance.Entry
			var err error
			if all {
				if doomed, err = a.owned(instance.Session); err != nil {
					return err
				}
				if len(doomed) == 0 {
					return a.print("No session is running\n")
				}
			} else if len(args) == 0 {
				args = []string{sessionHere}
			}
			for _, word := range args {
				e, err := a.findSession(cmd, word)
				if err != nil {
					return err
				}
				doomed = append(doomed, e)
			}
			runner := session.Runner{Store: *a.look(), UI: a.ui}
			step := a.ui.Step("stopping")
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
			return errors.Join(err, a.print("%s", stopped.String()))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "end all sessions")
	return cmd
}
