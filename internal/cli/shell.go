package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
)

func newShellCommand(s *shared) *cobra.Command {
	var request launch.Request
	cmd := &cobra.Command{
		Use:   "shell [flags] [command [argument…]]",
		Short: "Open a shell, or run a command, in a throw-away VM",
		Long: `Open a shell, or run a command, in a throw-away VM of this project.

Several words are a command and its arguments, passed on exactly as they are.
One word with blanks or shell syntax in it is run by the VM's shell.`,
		Example: `  claude-vm shell
  claude-vm shell make test
  claude-vm shell "make && make test"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runSession(cmd.Context(), s.host(), request, launch.Shell(args))
		},
	}
	addSessionFlags(cmd.Flags(), &request)
	cmd.Flags().SetInterspersed(false)
	return cmd
}
