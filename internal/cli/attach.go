package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
)

func newAttachCommand(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "attach [session]",
		Short: "Open a shell in the VM of a running session",
		Long: `Open a shell in the VM of a running session, in the session's folder and with
its variables. The session goes on when the shell ends, and the shell ends with
the session.

` + sessionHelp,
		Example: "  claude-vm attach\n  claude-vm attach my-proj",
		Args:    oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runAttach(cmd, s.host(), append(args, sessionHere)[0], nil)
		},
	}
}

// runAttach runs a command, or without one a shell, in the session that a word means.
func runAttach(cmd *cobra.Command, h launch.Host, word string, command []string) error {
	h.Tidy(cmd.Context())
	e, err := findSession(cmd, h, word)
	if err != nil {
		return err
	}
	return ended(h.Attach(cmd.Context(), e.Name, command))
}
