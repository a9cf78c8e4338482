package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/ui"
)

func (a *app) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the templates of all projects",
		Example: "  claude-vm list\n  claude-vm list --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.tidy(cmd.Context())
			store := a.look()
			entries, err := store.List(template.Template)
			if err != nil {
				return err
			}
			type row struct {
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
			rows := []row{}
			for _, e := range entries {
				var shared int64
				for _, disk := range e.Disks {
					shared += lima.Size(filepath.Join(a.state().Disks(), disk))
				}
				rows = append(rows, row{
					e.Name, e.Project, e.Created, store.Used(e.Name), e.Claude, e.Tools, lima.Size(store.Lima.Dir(e.Name)), shared,
					store.Condition(e), string(store.Lima.Status(e.Name)),
				})
			}
			if asJSON {
				return a.printJSON(rows)
			}
			if len(rows) == 0 {
				return a.print("No claude-vm templates found\n")
			}
			table := make([][]string, len(rows))
			for i, r := range rows {
				table[i] = []string{r.Name, ui.Sanitize(r.Project), r.State, ago(r.Created), ago(r.Used), r.Claude, ui.Size(r.Bytes), ui.Size(r.Shared)}
			}
			return a.table([]string{"TEMPLATE", "PROJECT", "STATE", "BUILT", "USED", "CLAUDE", "SIZE", "SHARED"}, table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) psCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the sessions that are running, and the VMs that wait for one",
		Example: "  claude-vm ps",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.tidy(cmd.Context())
			store := a.look()
			sessions, err := store.List(template.Session)
			if err != nil {
				return err
			}
			spares, err := store.List(template.Spare)
			if err != nil {
				return err
			}
			type row struct {
				Name    string    `json:"name"`
				Kind    string    `json:"kind"`  // session or spare
				State   string    `json:"state"` // running; of a spare booting, or ready
				Dir     string    `json:"dir"`
				Command string    `json:"command"`
				Started time.Time `json:"started"`
				PID     int       `json:"pid"`
				Bytes   int64     `json:"bytes"`
			}
			rows := []row{}
			for _, e := range slices.Concat(sessions, spares) {
				if e.Kind != template.Session && e.Kind != template.Spare || !store.Owned(e.Name) {
					continue
				}
				state := "running"
				if e.Kind == template.Spare {
					state = map[bool]string{false: "booting", true: "ready"}[e.Ready]
				}
				rows = append(rows, row{
					e.Name, string(e.Kind), state, e.Dir, e.Command, e.Created, e.PID, lima.Size(store.Lima.Dir(e.Name)),
				})
			}
			if asJSON {
				return a.printJSON(rows)
			}
			if len(rows) == 0 {
				return a.print("No session is running\n")
			}
			table := make([][]string, len(rows))
			for i, r := range rows {
				table[i] = []string{r.Name, ui.Sanitize(r.Dir), ui.Sanitize(r.Command), r.State, ago(r.Started), fmt.Sprint(r.PID), ui.Size(r.Bytes)}
			}
			return a.table([]string{"SESSION", "FOLDER", "RUNS", "STATE", "STARTED", "PID", "SIZE"}, table)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// look returns the instances for a command that only looks at them: it needs no limactl.
func (a *app) look() *template.Store {
	return &template.Store{Lima: &lima.Client{Home: a.state().VMs(), Env: a.Env}, State: a.state()}
}

// ago says how long ago something was, in one unit.
func ago(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	age := max(0, time.Since(t))
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if age >= unit.length {
			return fmt.Sprintf("%d %s ago", age/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d s ago", age/time.Second)
}

func (a *app) print(format string, args ...any) error {
	_, err := fmt.Fprintf(a.Stdout, format, args...)
	return err
}

func (a *app) printJSON(v any) error {
	out := json.NewEncoder(a.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// table prints a table that fits the terminal, or whole where there is none.
func (a *app) table(header []string, rows [][]string) error {
	width := terminalWidth(a.Stdout)
	return ui.Table(a.Stdout, header, rows, width)
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{cmd.CommandPath(), fmt.Errorf("%s takes no arguments, and got %q; a prompt for Claude goes in quotes", cmd.CommandPath(), args[0])}
	}
	return nil
}
