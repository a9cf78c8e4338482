package cli

import (
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	var asJSON bool
	show := &cobra.Command{
		Use:     "show",
		Short:   "Print the configuration in force, with the origin of each value",
		Example: "  claude-vm config show\n  claude-vm config show --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, cfg, err := a.here(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return cfg.WriteJSON(a.Stdout)
			}
			return cfg.WriteTOML(a.Stdout)
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	validate := &cobra.Command{
		Use:     "validate [FILE]",
		Short:   "Check a configuration file, by default all that is in force here",
		Example: "  claude-vm config validate\n  claude-vm config validate examples/.claude-vm.toml",
		Args:    oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return config.Validate(a.path(args[0]), a.Home)
			}
			_, _, err := a.here(cmd.Context())
			return err
		},
	}
	cmd := &cobra.Command{Use: "config", Short: "Show or check the configuration"}
	cmd.AddCommand(show, validate)
	return cmd
}
