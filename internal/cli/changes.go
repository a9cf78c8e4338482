package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/report"
	"github.com/themouette/claude-vm/internal/ui"
)

var errNoReport = errors.New("nothing is kept of such a session")

type changesOptions struct{ asJSON, all bool }

func newChangesCommand(s *shared) *cobra.Command {
	var opts changesOptions
	cmd := &cobra.Command{
		Use:   "changes [session]",
		Short: "Show what a session changed that this computer may run",
		Long: `Show what a session changed that this computer may run: what was put back in
git's data, and every file that tools here run by themselves, be it at once when
you open its folder or have a prompt there, on command, or perhaps. It is kept
of the last sessions, of those too whose claude-vm was killed.

A session goes by its name or three letters or more of that, by the name of its
project, or by a folder in the project; of several in one project it is the
last. Without any of these it is the last one of the project you are in.`,
		Example: "  claude-vm changes\n  claude-vm changes --list\n  claude-vm changes my-proj --json",
		Args:    oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.all && len(args) > 0 {
				return usageError(cmd.CommandPath(),
					errors.New("--list leaves nothing to choose: name a session, or say --list"))
			}
			return runChanges(cmd, s.host(), opts, args)
		},
	}
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&opts.all, "list", false, "list the sessions of which something is kept")
	return cmd
}

func runChanges(cmd *cobra.Command, h launch.Host, opts changesOptions, args []string) error {
	h.Tidy(cmd.Context())
	reports, err := h.Guards().Reports()
	if err != nil {
		return err
	}
	if opts.all {
		rows := []reportRow{}
		for _, r := range reports {
			count := len(r.Findings) + len(r.Files) + len(r.Odd)
			rows = append(rows, reportRow{r.Session, r.Root, r.Begun, r.Ended, count})
		}
		header := []string{"SESSION", "FOLDER", "BEGUN", "ENDED", "CHANGES"}
		return printRows(h, opts.asJSON, "Nothing is kept of any session\n", header, "FOLDER", rows)
	}
	r, err := findReport(cmd, h, reports, append(args, sessionHere)[0])
	if err != nil {
		return err
	}
	if opts.asJSON {
		return printJSON(h, reportFactsOf(r))
	}
	return printReport(h, r)
}

// reportRow is a session that has ended, in a list.
type reportRow struct {
	Session string    `json:"session"`
	Dir     string    `json:"dir"`
	Begun   time.Time `json:"begun"`
	Ended   time.Time `json:"ended"`
	Changes int       `json:"changes"`
}

func (r reportRow) cells(home string) []string {
	return []string{orDash(r.Session), tilde(r.Dir, home), ago(r.Begun), ago(r.Ended), fmt.Sprint(r.Changes)}
}

func orDash(name string) string {
	if name == "" {
		return "-"
	}
	return name
}

// findReport returns the report that a word means, of several about one project the last.
func findReport(cmd *cobra.Command, h launch.Host, reports []guard.Report, word string) (guard.Report, error) {
	if word == "" {
		return guard.Report{}, usageError(cmd.CommandPath(), errors.New("the name of the session is empty"))
	}
	found, what := reportsNamed(reports, word), ui.Sanitize(word)
	if word == sessionHere || word == ".." || strings.ContainsRune(word, filepath.Separator) {
		root, err := projectRoot(cmd.Context(), h, h.Path(word))
		switch {
		case err == nil:
			elsewhere := func(r guard.Report) bool { return r.Root != root }
			found, what = slices.DeleteFunc(slices.Clone(reports), elsewhere), ui.Sanitize(root)
		case word == sessionHere || !errors.Is(err, project.ErrGone):
			return guard.Report{}, err
		}
	}
	if len(found) == 0 {
		return guard.Report{}, fmt.Errorf("%w: %s", errNoReport, what)
	}
	if slices.ContainsFunc(found, func(r guard.Report) bool { return r.Root != found[0].Root }) {
		list := ""
		for _, r := range found {
			list += fmt.Sprintf("\n%s in %s, begun %s", orDash(r.Session), ui.Sanitize(r.Root), ago(r.Begun))
		}
		return guard.Report{}, fmt.Errorf("%w by %s:%s", errManySessions, what, list)
	}
	return found[0], nil
}

// reportsNamed returns the reports of the sessions that a word can mean, as it is with those that
// are running.
func reportsNamed(reports []guard.Report, word string) (found []guard.Report) {
	var entries []instance.Entry
	for _, r := range reports {
		record := instance.Record{Project: r.Root, Dir: r.Root, Created: r.Begun}
		entries = append(entries, instance.Entry{Name: r.Session, Record: record})
	}
	for _, e := range instance.Named(entries, word) {
		for _, r := range reports {
			if r.Session == e.Name && r.Begun.Equal(e.Created) {
				found = append(found, r)
			}
		}
	}
	return found
}

// reportFacts is what changes tells of a session.
type reportFacts struct {
	Session    string         `json:"session"`
	Dir        string         `json:"dir"`
	Begun      time.Time      `json:"begun"`
	Ended      time.Time      `json:"ended"`
	PutBack    bool           `json:"put_back"`
	Git        []findingFacts `json:"git"`
	Files      []changeFacts  `json:"files"`
	Dangerous  []findingFacts `json:"dangerous"`
	Incomplete []string       `json:"incomplete"`
}

type changeFacts struct {
	Path string `json:"path"`
	What string `json:"what"`
	When string `json:"when"`
	Kind string `json:"kind"`
	Many int    `json:"many"`
}

type findingFacts struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Error string `json:"error,omitempty"` // why it was not put back
}

func reportFactsOf(r guard.Report) reportFacts {
	facts := func(found []guard.Finding) []findingFacts {
		all := []findingFacts{}
		for _, f := range found {
			fact := findingFacts{Path: report.ShortPath(r.Root, f.Path), What: f.What}
			if f.Err != nil {
				fact.Error = f.Err.Error()
			}
			all = append(all, fact)
		}
		return all
	}
	all := reportFacts{
		Session: r.Session, Dir: r.Root, Begun: r.Begun, Ended: r.Ended, PutBack: r.Fixed,
		Git: facts(r.Findings), Files: []changeFacts{}, Dangerous: facts(r.Odd),
		Incomplete: append([]string{}, r.Partial...),
	}
	for _, c := range r.Files {
		all.Files = append(all.Files, changeFacts{c.Path, c.What, c.When, c.Kind, c.Many})
	}
	return all
}

// printReport shows all of a report, a line for each thing.
func printReport(h launch.Host, r guard.Report) error {
	var out strings.Builder
	fmt.Fprintf(&out, "session %s in %s, begun %s, ended %s\n",
		orDash(r.Session), ui.Sanitize(tilde(r.Root, h.Home)), ago(r.Begun), ago(r.Ended))
	section := func(heading string, text report.Lines) {
		if len(text) > 0 {
			fmt.Fprintf(&out, "\n%s:\n  %s\n", heading, strings.Join(text, "\n  "))
		}
	}
	found := func(heading string, found []guard.Finding) {
		done := ", put back"
		if !r.Fixed {
			done = `, and left as it is (guard.git = "warn")`
		}
		section(heading+done, report.Findings(r.Root, found))
	}
	found("changed in git's data, where git could run it on this computer or not show you all", r.Findings)
	for _, danger := range []struct{ when, heading string }{
		{guard.AtOnce, "run by tools on this computer as soon as you open the folder, have a prompt there or use git"},
		{guard.OnCommand, "run by tools on this computer on a command that does something else"},
		{guard.Perhaps, "obeyed by tools on this computer, perhaps"},
	} {
		var text report.Lines
		for _, c := range r.Files {
			if c.When == danger.when {
				text = append(text, ui.Sanitize(sayWhole(c)))
			}
		}
		section(danger.heading, text)
	}
	found("dangerous to others on this computer", r.Odd)
	section("too large to look at all of it", report.Sanitized(r.Partial))
	if strings.Count(out.String(), "\n") == 1 {
		out.WriteString("It changed nothing that this computer runs by itself.\n")
	}
	return printf(h, "%s", out.String())
}

// sayWhole says of a change what it is and what became of it.
func sayWhole(c guard.Change) string {
	if c.Many > 0 {
		return fmt.Sprintf("%s/: %d new or changed programs", c.Path, c.Many)
	}
	return c.Path + ": " + c.What
}
