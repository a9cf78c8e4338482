package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

type trustOptions struct {
	launch.Request
	show, revoke, yes bool
}

func newTrustCommand(s *shared) *cobra.Command {
	var opts trustOptions
	cmd := &cobra.Command{
		Use:   "trust [flags]",
		Short: "Agree to what this project's files ask of your computer",
		Long: `Agree to what this project's files ask of your computer.

What a project says about the inside of the VM is its own affair. Folders and
scripts outside of the project, ports, the GnuPG agent and the like have no
effect until you have agreed. You agree to what is asked now, scripts with what
they say: after a change you are asked again. Without a terminal the command
itself is the answer.`,
		Example: "  claude-vm trust\n  claude-vm trust --show",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opts.show && opts.revoke || opts.show && opts.yes || opts.revoke && opts.yes {
				return usageError(cmd.CommandPath(), errors.New("--show, --revoke and --yes exclude each other"))
			}
			return runTrust(cmd.Context(), s.host(), opts)
		},
	}
	addWorkFlags(cmd.Flags(), &opts.Request)
	addMountFlag(cmd.Flags(), &opts.Request)
	addScriptFlag(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVar(&opts.show, "show", false, "tell what is asked for and what was agreed to")
	cmd.Flags().BoolVar(&opts.revoke, "revoke", false, "take back every agreement for this project")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "agree without being asked")
	return cmd
}

func runTrust(ctx context.Context, h launch.Host, opts trustOptions) error {
	if opts.revoke { // even where the configuration cannot be read
		p, err := h.Project(ctx, opts.Request)
		if err != nil {
			return err
		}
		return revokeTrust(h, p)
	}
	work, err := h.Open(ctx, opts.Request)
	if err != nil {
		return err
	}
	review, err := work.Review()
	if err != nil {
		return err
	}
	if opts.show {
		return showTrust(h, work.Project, review)
	}
	return giveTrust(ctx, h, work.Project, review, opts.yes)
}

func giveTrust(ctx context.Context, h launch.Host, p *project.Project, review *trust.Review, yes bool) error {
	if refused := review.Refused(); len(refused) > 0 {
		return &launch.AskedError{Project: p.Main, Requests: refused, Refused: true}
	}
	known := h.Consents().Read(p.Main)
	switch {
	case len(review.Requests) == 0:
		return printf(h, "nothing is asked for\n")
	case known.Covers(review):
		return printf(h, "you have agreed already\n")
	}
	asked := &launch.AskedError{Project: p.Main, Requests: review.Requests}
	answer, err := yes, error(nil)
	if !yes {
		answer, err = h.AskTrust(ctx, known, asked, review)
	}
	if yes || errors.Is(err, ui.ErrNotInteractive) { // who types this command where nobody can be asked has answered
		asked.LookUp(ctx)
		h.UI.Info("%v", asked)
		answer, err = true, nil
	}
	if err != nil {
		return err
	}
	if !answer {
		return printf(h, "nothing was agreed to\n")
	}
	if err := h.Consents().Agree(p.Main, review, time.Now()); err != nil {
		return err
	}
	return printf(h, "agreed\n")
}

func revokeTrust(h launch.Host, p *project.Project) error {
	found, err := h.Consents().Revoke(p.Main)
	if err != nil {
		return err
	}
	if !found {
		return printf(h, "nothing was agreed to\n")
	}
	return printf(h, "taken back\n")
}

func showTrust(h launch.Host, p *project.Project, review *trust.Review) error {
	known := h.Consents().Read(p.Main)
	var failures []error
	for _, line := range trustLines(known, review) {
		failures = append(failures, printf(h, "%s\n", line))
	}
	if len(review.Requests) == 0 {
		failures = append(failures, printf(h, "nothing is asked for\n"))
	}
	if len(known.Consents) > 0 {
		_, removed := known.Changes(review)
		for _, what := range removed {
			failures = append(failures, printf(h, "no longer asked for: %s\n", ui.Sanitize(what)))
		}
		failures = append(failures, printf(h, "agreed last %s\n", ago(known.Consents[0].At)))
	}
	return errors.Join(failures...)
}

// trustLines describes each thing that is asked for, and whether it may be had.
func trustLines(known trust.Project, review *trust.Review) (lines []string) {
	covered := known.Covers(review)
	for _, q := range review.Requests {
		state := "not agreed"
		switch {
		case q.Refused != "":
			state = "refused"
		case covered:
			state = "agreed"
		}
		lines = append(lines, state+": "+launch.RequestLine(q))
	}
	return lines
}
