package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/ui"
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
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var cfg *config.Config
			if len(args) == 1 {
				cfg, err = config.Validate(a.path(args[0]), a.Home)
			} else {
				_, cfg, err = a.here(cmd.Context())
			}
			if err == nil {
				err = cfg.Missing()
			}
			if err != nil {
				return err
			}
			var files []string
			for _, file := range cfg.Files() {
				files = append(files, ui.Sanitize(tilde(file, a.Home)))
			}
			if len(files) == 0 {
				return a.print("valid; no file was read\n")
			}
			return a.print("valid: %s\n", strings.Join(files, ", "))
		},
	}
	cmd := &cobra.Command{Use: "config", Short: "Show or check the configuration"}
	cmd.AddCommand(show, validate)
	return cmd
}
