package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/ui"
)

// templateRow is a template in a list. docs/json.md says more of each field of what is printed as JSON.
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
	return []string{r.Name, tilde(r.Project, home), r.State, r.Claude, age(r.Created), age(r.Used), ui.Size(r.Bytes), ui.Size(r.Shared)}
}

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
			entries, err := store.List(instance.Template)
			if err != nil {
				return err
			}
			rows := []templateRow{}
			for _, e := range entries {
				var shared int64
				for _, disk := range e.Disks {
					shared += lima.Size(filepath.Join(a.state().Disks(), disk))
				}
				rows = append(rows, templateRow{
					e.Name, e.Project, e.Created, store.Used(e.Name), e.Claude, e.Tools, lima.Size(store.Lima.Dir(e.Name)), shared,
					store.Condition(e), string(store.Lima.Status(e.Name)),
				})
			}
			return printRows(a, asJSON, "No claude-vm templates found\n",
				[]string{"TEMPLATE", "PROJECT", "STATE", "CLAUDE", "BUILT", "USED", "SIZE", "SHARED"}, "PROJECT", rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

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
	return []string{r.Name, tilde(r.Dir, home), runs, age(r.Started), fmt.Sprint(r.PID), fmt.Sprintf("%.0f%%", r.CPU), ui.Size(r.Memory), ui.Size(r.Bytes)}
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
			sessions, err := a.owned(instance.Session)
			if err != nil {
				return err
			}
			spares, err := a.owned(instance.Spare)
			if err != nil {
				return err
			}
			entries, names := slices.Concat(sessions, spares), []string{}
			for _, e := range entries {
				names = append(names, e.Name)
			}
			usage := store.Lima.Usage(cmd.Context(), names)
			rows := []sessionRow{}
			for _, e := range entries {
				state := "running"
				if e.Kind == instance.Spare {
					state = map[bool]string{false: "booting", true: "ready"}[e.Ready]
				}
				rows = append(rows, sessionRow{
					e.Name, string(e.Kind), state, e.Project, e.Dir, e.Command, e.Created, e.PID, usage[e.Name].CPU, usage[e.Name].Memory,
					lima.Size(store.Lima.Dir(e.Name)),
				})
			}
			return printRows(a, asJSON, "No session is running\n",
				[]string{"SESSION", "FOLDER", "RUNS", "AGE", "PID", "CPU", "MEMORY", "DISK"}, "FOLDER", rows)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// owned returns the sessions or the spares that are alive, those included that still boot.
func (a *app) owned(kind instance.Kind) ([]instance.Entry, error) {
	return a.look().Alive(kind)
}

// printRows prints a list as JSON or as a table, or a sentence in the place of an empty table.
func printRows[Row interface{ cells(home string) []string }](
	a *app, asJSON bool, none string, header []string, paths string, rows []Row,
) error {
	if asJSON {
		return a.printJSON(rows)
	}
	if len(rows) == 0 {
		return a.print("%s", none)
	}
	table := make([][]string, len(rows))
	for i, r := range rows {
		table[i] = r.cells(a.Home)
	}
	return a.table(header, paths, table)
}

// look returns the instances for a command that only looks at them: it needs no limactl.
func (a *app) look() *instance.Store {
	return &instance.Store{Lima: &lima.Client{Home: a.state().VMs(), Env: a.Env}, State: a.state()}
}

// ago says how long ago something was, in one unit.
func ago(t time.Time) string { return age(t) + " ago" }

// age says how old something is, in one unit.
func age(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return span(time.Since(t))
}

// span says how long something took, in one unit.
func span(d time.Duration) string {
	d = max(0, d)
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= unit.length {
			return fmt.Sprintf("%d %s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
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

// table prints a table that fits the terminal, or whole where there is none. One column may have paths.
func (a *app) table(header []string, paths string, rows [][]string) error {
	return ui.Table(a.Stdout, header, paths, rows, terminalWidth(a.Stdout))
}

// tilde is a path as people write it: ~ is the home folder.
func tilde(path, home string) string {
	if path == home {
		return "~"
	}
	if rest, ok := strings.CutPrefix(path, strings.TrimSuffix(home, "/")+"/"); ok && home != "" {
		return "~/" + rest
	}
	return path
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{cmd.CommandPath(), fmt.Errorf("%s takes no arguments, and got %q; a prompt for Claude goes in quotes", cmd.CommandPath(), args[0])}
	}
	return nil
}
