package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/bench"
	"github.com/themouette/claude-vm/internal/launch"
)

type benchOptions struct {
	launch.Request
	runs, plainRuns uint
	plainImage      string
	mounts          bool
}

func newBenchCommand(s *shared) *cobra.Command {
	var opts benchOptions
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast sessions start and end here",
		Long: `Measure how fast sessions start and end here, with this project's template: in a
VM that boots and in one that has waited, with and without a terminal. For
comparison the plain sequence is measured too: limactl clone, start, shell, stop
and delete on an instance that Lima made of an image in its ordinary way. All
figures are medians. "Own time" is the processor time of claude-vm itself.
A session is measured from where claude-vm begins its work; to start the program
takes as long as --version, which has a row of its own.`,
		Example: "  claude-vm bench\n  claude-vm bench --runs 5 --plain-runs 0",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBench(cmd.Context(), s.host(), opts) },
	}
	addSessionFlags(cmd.Flags(), &opts.Request)
	cmd.Flags().UintVar(&opts.runs, "runs", 5, "`NUMBER` of sessions to measure; 0: none")
	cmd.Flags().UintVar(&opts.plainRuns, "plain-runs", 5, "`NUMBER` of plain sequences to measure; 0: none")
	cmd.Flags().BoolVar(&opts.mounts, "mounts", false, "measure the ways to share a folder instead")
	cmd.Flags().StringVar(&opts.plainImage, "plain-image", "",
		"`IMAGE` of the plain sequence, as --image takes it (default: vm.image)")
	return cmd
}

func runBench(ctx context.Context, h launch.Host, opts benchOptions) error {
	return bench.Bench{
		Host: h, Request: opts.Request, Mounts: opts.mounts,
		Runs: opts.runs, PlainRuns: opts.plainRuns, PlainImage: opts.plainImage,
	}.Run(ctx)
}
