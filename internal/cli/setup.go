package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

type setupOptions struct {
	launch.Request
	rebuild bool
}

func newSetupCommand(s *shared) *cobra.Command {
	var opts setupOptions
	cmd := &cobra.Command{
		Use:   "setup [flags]",
		Short: "Build the template VM of this project",
		Long: `Build the template VM that every session of this project starts from.

The base of it, with Claude Code in it, is built once and shared by all
projects, and so is a layer with the tools for all projects that want the same
ones. An existing template stays in use until its successor is complete.

Setup scripts run in the VM, in this order: ~/.claude-vm.setup.sh,
.claude-vm.setup.sh of the project, those of the configuration, its phases,
those of the command line. Folders given with --mount are shared only while they
run.`,
		Example: `  claude-vm setup
  claude-vm setup --docker --node
  claude-vm setup --disk 40 --memory 16
  claude-vm setup --setup-script ./extras.sh --mount ~/packages:/tmp/packages:ro`,
		Args: func(cmd *cobra.Command, args []string) error {
			err := noArguments(cmd, args)
			if len(args) > 0 && cmd.Flags().Lookup(args[0]) != nil {
				err = advisedError(err, "did you mean --"+args[0]+"?")
			}
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runSetup(cmd.Context(), s.host(), opts) },
	}
	addWorkFlags(cmd.Flags(), &opts.Request)
	addMountFlag(cmd.Flags(), &opts.Request)
	addToolFlags(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVar(&opts.rebuild, "rebuild", false, "build the shared layers anew, with the newest packages")
	forKey(cmd.Flags(), &opts.Request, "setup-script", "setup.scripts",
		"`SCRIPT` to run in the VM at the end (repeatable)")
	return cmd
}

func runSetup(ctx context.Context, h launch.Host, opts setupOptions) error {
	work, err := h.Open(ctx, opts.Request)
	if err != nil {
		return err
	}
	entry, err := work.Setup(ctx, opts.rebuild)
	if err != nil {
		return err
	}
	if err := printf(h, "project  %s\ntemplate %s\n", ui.Sanitize(work.Project.Main), entry.Name); err != nil {
		return err
	}
	h.UI.Info(`next: claude-vm "what Claude is to do", or claude-vm shell to look around`)
	return nil
}
