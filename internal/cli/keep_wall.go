package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
)

// newKeepWallCommand makes the command that launch starts as a process of its own for each VM.
func newKeepWallCommand(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:    launch.KeepWallCommand + " folder [rule…]",
		Short:  "Keep a VM from this computer and its network (claude-vm starts this itself)",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE:   func(cmd *cobra.Command, args []string) error { return s.host().KeepWall(cmd.Context(), args[1:]) },
	}
}
