package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
)

func newCleanAllCommand(s *shared) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "clean-all",
		Short: "Remove the templates of all projects",
		Long: `Remove the templates of all projects and the layers below them. Sessions that
are running go on.

On a terminal it asks first, elsewhere it does not.`,
		Example: "  claude-vm clean-all\n  claude-vm clean-all --yes",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return remove(cmd.Context(), s.host(), yes, false, func(instance.Entry) bool { return true })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
