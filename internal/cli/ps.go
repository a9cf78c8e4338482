package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/ui"
)

// sessionRow is a session, or a VM that waits for one, in a list.
type sessionRow struct {
	Name    string    `json:"name"`
	Kind    string    `json:"kind"`  // session or spare
	State   string    `json:"state"` // running; of a spare booting, or ready
	Project string    `json:"project"`
	Dir     string    `json:"dir"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`
	CPU     float64   `json:"cpu"`    // percent of one processor
	Memory  int64     `json:"memory"` // bytes
	Bytes   int64     `json:"bytes"`  // on disk
}

func (r sessionRow) cells(home string) []string {
	runs := r.Command
	if r.Kind == string(instance.Spare) {
		runs = r.State
	}
	return []string{r.Name, tilde(r.Dir, home), runs, age(r.Started), fmt.Sprint(r.PID),
		fmt.Sprintf("%.0f%%", r.CPU), ui.Size(r.Memory), ui.Size(r.Bytes)}
}

type psOptions struct{ asJSON bool }

func newPsCommand(s *shared) *cobra.Command {
	var opts psOptions
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the sessions that are running, and the VMs that wait for one",
		Example: "  claude-vm ps",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPs(cmd.Context(), s.host(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print JSON")
	return cmd
}

func runPs(ctx context.Context, h launch.Host, opts psOptions) error {
	h.Tidy(ctx)
	store := h.Look()
	sessions, err := store.Alive(instance.Session)
	if err != nil {
		return err
	}
	spares, err := store.Alive(instance.Spare)
	if err != nil {
		return err
	}
	entries, names := slices.Concat(sessions, spares), []string{}
	for _, e := range entries {
		names = append(names, e.Name)
	}
	usage := store.Lima.Usage(ctx, names)
	rows := []sessionRow{}
	for _, e := range entries {
		state := "running"
		if e.Kind == instance.Spare {
			state = map[bool]string{false: "booting", true: "ready"}[e.Ready]
		}
		rows = append(rows, sessionRow{
			e.Name, string(e.Kind), state, e.Project, e.Dir, e.Command, e.Created, e.PID,
			usage[e.Name].CPU, usage[e.Name].Memory,
			lima.Size(store.Lima.Dir(e.Name)),
		})
	}
	return printRows(h, opts.asJSON, "No session is running\n",
		[]string{"SESSION", "FOLDER", "RUNS", "AGE", "PID", "CPU", "MEMORY", "DISK"}, "FOLDER", rows)
}
