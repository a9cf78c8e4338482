package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

type cleanOptions struct {
	launch.Request
	yes bool
}

func newCleanCommand(s *shared) *cobra.Command {
	var opts cleanOptions
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "Remove this project's template",
		Long: `Remove this project's template. Sessions that are running go on.

On a terminal it asks first, elsewhere it does not.`,
		Example: "  claude-vm clean\n  claude-vm clean --yes",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runClean(cmd.Context(), s.host(), opts)
		},
	}
	addPlaceFlags(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask")
	return cmd
}

func runClean(ctx context.Context, h launch.Host, opts cleanOptions) error {
	p, err := h.Project(ctx, opts.Request)
	if err != nil {
		return err
	}
	return remove(ctx, h, opts.yes, true, func(e instance.Entry) bool { return e.Name == p.TemplateName() })
}

// remove removes the templates that are chosen, and the layers that nothing needs then.
func remove(ctx context.Context, h launch.Host, yes, keepLayers bool, chosen func(instance.Entry) bool) error {
	store, err := h.Store(ctx)
	if err != nil {
		return err
	}
	h.Sweep(ctx, store)
	entries, err := store.List(instance.Template)
	if err != nil {
		return err
	}
	var doomed []instance.Entry
	for _, e := range entries {
		if chosen(e) {
			doomed = append(doomed, e)
		}
	}
	if len(doomed) == 0 {
		if err := printf(h, "No claude-vm templates found\n"); err != nil {
			return err
		}
		return store.Reclaim(ctx, keepLayers)
	}
	question := "Remove the template of " + projects(doomed) + "?"
	if len(doomed) > 1 {
		question = fmt.Sprintf("Remove %d templates, of %s?", len(doomed), projects(doomed))
	}
	if agreed, err := confirm(ctx, h, yes, question); !agreed {
		return err
	}
	return errors.Join(removeTemplates(ctx, h, store, doomed), store.Reclaim(ctx, keepLayers))
}

// projects names those that templates belong to, as many as a person would read.
func projects(templates []instance.Entry) string {
	const most = 5
	var names []string
	for _, e := range templates[:min(most, len(templates))] {
		names = append(names, ui.Sanitize(e.Project))
	}
	if more := len(templates) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// removeTemplates removes templates. One that resists does not keep the others.
func removeTemplates(ctx context.Context, h launch.Host, store instance.Store, doomed []instance.Entry) error {
	var removed []string
	var failures []error
	for _, e := range doomed {
		if err := store.Remove(ctx, e.Name); err != nil {
			failures = append(failures, fmt.Errorf("removing %s: %w", e.Name, err))
			continue
		}
		removed = append(removed, e.Name)
		if err := printf(h, "removed %s (%s)\n", e.Name, ui.Sanitize(e.Project)); err != nil {
			failures = append(failures, err)
		}
	}
	// Only now, since nobody can begin one more.
	h.DiscardSpares(ctx, store, func(name string) bool { return slices.Contains(removed, name) })
	return errors.Join(failures...)
}

// confirm asks before something is lost, if there is anybody to ask.
func confirm(ctx context.Context, h launch.Host, yes bool, question string) (bool, error) {
	if yes {
		return true, nil
	}
	agreed, err := h.UI.Confirm(ctx, question, false)
	if errors.Is(err, ui.ErrNotInteractive) {
		return true, nil
	}
	return agreed, err
}
