package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

func newConfigCommand(s *shared) *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show or check the configuration"}
	cmd.AddCommand(newConfigShowCommand(s), newConfigValidateCommand(s))
	return cmd
}

func newConfigShowCommand(s *shared) *cobra.Command {
	var request launch.Request
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print the configuration in force, with the origin of each value",
		Example: "  claude-vm config show\n  claude-vm config show --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			work, err := s.host().Open(cmd.Context(), request)
			if err != nil {
				return err
			}
			if asJSON {
				return work.Config.WriteJSON(s.Stdout)
			}
			return work.Config.WriteTOML(s.Stdout)
		},
	}
	addWorkFlags(cmd.Flags(), &request)
	addScriptFlag(cmd.Flags(), &request)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newConfigValidateCommand(s *shared) *cobra.Command {
	var request launch.Request
	cmd := &cobra.Command{
		Use:     "validate [FILE]",
		Short:   "Check a configuration file, by default all that is in force here",
		Example: "  claude-vm config validate\n  claude-vm config validate examples/.claude-vm.toml",
		Args:    oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConfigValidate(cmd.Context(), s.host(), request, args)
		},
	}
	addWorkFlags(cmd.Flags(), &request)
	addScriptFlag(cmd.Flags(), &request)
	return cmd
}

func runConfigValidate(ctx context.Context, h launch.Host, request launch.Request, args []string) error {
	cfg, err := configNamed(ctx, h, request, args)
	if err == nil {
		err = cfg.Missing()
	}
	if err != nil {
		return err
	}
	var files []string
	for _, file := range cfg.Files() {
		files = append(files, ui.Sanitize(tilde(file, h.Home)))
	}
	if len(files) == 0 {
		return printf(h, "valid; no file was read\n")
	}
	return printf(h, "valid: %s\n", strings.Join(files, ", "))
}

// configNamed returns the configuration of a file, or the one that is in force here.
func configNamed(ctx context.Context, h launch.Host, request launch.Request, args []string) (*config.Config, error) {
	if len(args) == 1 {
		return config.Validate(h.Path(args[0]), h.Home)
	}
	work, err := h.Open(ctx, request)
	if err != nil {
		return nil, err
	}
	return work.Config, nil
}
