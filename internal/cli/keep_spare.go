package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
)

// newKeepSpareCommand makes the command that launch starts as a process of its own.
func newKeepSpareCommand(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:    launch.KeepSpare,
		Short:  "Boot a VM and keep it for the next session (claude-vm starts this itself)",
		Hidden: true,
		Args:   noArguments,
		RunE:   func(cmd *cobra.Command, _ []string) error { return s.host().Keep(cmd.Context()) },
	}
}
