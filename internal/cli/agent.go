package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
)

func newAgentCommand(s *shared) *cobra.Command {
	var request launch.Request
	cmd := &cobra.Command{
		Use:     "agent [flags] [claude arguments…]",
		Aliases: []string{"run"},
		Short:   "Run Claude in a throw-away VM, as claude-vm without a command does",
		Example: `  claude-vm agent "fix the failing test"
  claude-vm agent --model opus -p "explain main.go"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSession(cmd.Context(), s.host(), request, launch.Claude(args))
		},
	}
	addSessionFlags(cmd.Flags(), &request)
	cmd.Flags().SetInterspersed(false) // behind the first word no flag is ours
	return cmd
}

// runSession runs a session. Its exit code is that of the command.
func runSession(ctx context.Context, h launch.Host, request launch.Request, command launch.Command) error {
	return ended(h.Run(ctx, request, command))
}

// ended makes an error of a code that is not 0.
func ended(code int, err error) error {
	if err == nil && code != 0 {
		return exitCode(code)
	}
	return err
}
