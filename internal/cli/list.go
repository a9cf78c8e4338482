package cli

import (
	"context"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/ui"
)

// templateRow is a template in a list. docs/json.md says more of each field of what is printed as
// JSON.
type templateRow struct {
	Name    string    `json:"name"`
	Project string    `json:"project"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
	Claude  string    `json:"claude"`
	Tools   versions  `json:"tools,omitempty"`
	Bytes   int64     `json:"bytes"`  // of its own
	Shared  int64     `json:"shared"` // of the disks below it, which others may use too
	State   string    `json:"state"`  // ready, running, damaged, project gone
	Status  string    `json:"status"` // Lima's
}

func (r templateRow) cells(home string) []string {
	return []string{r.Name, tilde(r.Project, home), r.State, r.Claude, age(r.Created), age(r.Used), ui.Size(r.Bytes),
		ui.Size(r.Shared)}
}

type listOptions struct{ asJSON bool }

func newListCommand(s *shared) *cobra.Command {
	var opts listOptions
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the templates of all projects",
		Example: "  claude-vm list\n  claude-vm list --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runList(cmd.Context(), s.host(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print JSON")
	return cmd
}

func runList(ctx context.Context, h launch.Host, opts listOptions) error {
	h.Tidy(ctx)
	store := h.Look()
	entries, err := store.List(instance.Template)
	if err != nil {
		return err
	}
	rows := []templateRow{}
	for _, e := range entries {
		var shared int64
		for _, disk := range e.Disks {
			shared += lima.Size(filepath.Join(h.State().Disks(), disk))
		}
		rows = append(rows, templateRow{
			e.Name, e.Project, e.Created, store.Used(e.Name), e.Claude, e.Tools,
			lima.Size(store.Lima.Dir(e.Name)), shared,
			store.Condition(e), string(store.Lima.Status(e.Name)),
		})
	}
	return printRows(h, opts.asJSON, "No claude-vm templates found\n",
		[]string{"TEMPLATE", "PROJECT", "STATE", "CLAUDE", "BUILT", "USED", "SIZE", "SHARED"}, "PROJECT", rows)
}
