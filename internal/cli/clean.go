package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/ui"
)

func (a *app) cleanCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "clean",
		Short:   "Remove this project's template",
		Long:    "Remove this project's template. Sessions that are running go on.",
		Example: "  claude-vm clean",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			p, err := a.project(ctx)
			if err != nil {
				return err
			}
			return a.remove(ctx, func(e template.Entry) bool { return e.Name == p.TemplateName() }, false)
		},
	}
}

func (a *app) cleanAllCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "clean-all",
		Short:   "Remove the templates of all projects",
		Long:    "Remove the templates of all projects and the layers below them. Sessions that are running go on.",
		Example: "  claude-vm clean-all",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.remove(cmd.Context(), func(template.Entry) bool { return true }, true)
		},
	}
}

// remove removes the templates that are chosen. One that resists does not keep the others.
func (a *app) remove(ctx context.Context, chosen func(template.Entry) bool, layers bool) error {
	entries, err := a.look().List(template.Template)
	if err != nil {
		return err
	}
	store, err := a.store(ctx)
	if err != nil {
		return err
	}
	a.sweep(ctx, store)
	removed := 0
	var failures []error
	for _, e := range entries {
		if !chosen(e) {
			continue
		}
		if err := store.Remove(ctx, e.Name); err != nil {
			failures = append(failures, fmt.Errorf("removing %s: %w", e.Name, err))
			continue
		}
		removed++
		if err := a.print("removed %s (%s)\n", e.Name, ui.Sanitize(e.Project)); err != nil {
			return err
		}
	}
	if removed == 0 && len(failures) == 0 {
		if err := a.print("No claude-vm templates found\n"); err != nil {
			return err
		}
	}
	return errors.Join(append(failures, store.Reclaim(ctx, layers))...)
}
