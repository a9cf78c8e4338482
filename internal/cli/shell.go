package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
)

func (a *app) shellCommand() *cobra.Command {
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
			return a.runSession(cmd.Context(), func(*config.Config) guest.Session {
				switch {
				case len(args) == 0:
					return guest.Session{Mode: guest.Shell}
				case isLine(args):
					return guest.Session{Mode: guest.Line, Command: args}
				}
				return guest.Session{Mode: guest.Exec, Command: args}
			})
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

// isLine says whether a command is one line for the guest's shell.
func isLine(args []string) bool {
	return len(args) == 1 && strings.ContainsAny(args[0], " \t\n|&;<>()$`\\\"'*?[]{}~#=%!")
}
