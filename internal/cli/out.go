package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

// printRows prints a list as JSON or as a table, or a sentence in the place of an empty table.
func printRows[Row interface{ cells(home string) []string }](
	h launch.Host, asJSON bool, none string, header []string, paths string, rows []Row,
) error {
	if asJSON {
		return printJSON(h, rows)
	}
	if len(rows) == 0 {
		return printf(h, "%s", none)
	}
	table := make([][]string, len(rows))
	for i, r := range rows {
		table[i] = r.cells(h.Home)
	}
	return printTable(h, header, paths, table)
}

// ago says how long ago something was, in one unit.
func ago(t time.Time) string { return age(t) + " ago" }

// age says how old something is, in one unit.
func age(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return ui.Span(time.Since(t))
}

func printf(h launch.Host, format string, args ...any) error {
	_, err := fmt.Fprintf(h.Stdout, format, args...)
	return err
}

func printJSON(h launch.Host, v any) error {
	out := json.NewEncoder(h.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// printTable prints a table that fits the terminal, or whole where there is none. One column may
// have paths.
func printTable(h launch.Host, header []string, paths string, rows [][]string) error {
	return ui.Table(h.Stdout, header, paths, rows, launch.Width(h.Stdout))
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
		return usageError(cmd.CommandPath(),
			fmt.Errorf("%s takes no arguments, and got %q; a prompt for Claude goes in quotes", cmd.CommandPath(),
				args[0]))
	}
	return nil
}

// oneArgument is for the commands that take one argument or none.
func oneArgument(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError(cmd.CommandPath(),
			fmt.Errorf("%s takes one argument, and got %q besides", cmd.CommandPath(), args[1]))
	}
	return nil
}
