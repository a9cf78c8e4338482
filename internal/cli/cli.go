// Package cli is the command line: one file for each command, which declares its flags, turns them
// into a request, calls into a room and turns what comes back into messages and exit codes. It runs
// no program and knows no shell.
package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

// globals are the flags that every command has.
type globals struct{ verbose, quiet bool }

// shared is what the commands have in common. It makes a host of what this process was started with
// and of the flags.
type shared struct {
	Process
	globals
	ui *ui.UI
}

// openUI makes the terminal as the flags want it.
func (s *shared) openUI() { s.ui = s.streams().WithTerminal().UI }

// host is this computer, for the rooms that do the work.
func (s *shared) host() launch.Host {
	h := s.streams()
	h.UI = s.ui
	if s.ReleaseKey != "" {
		h.Newest = newestRelease(h, s.Process)
	}
	return h
}

func (s *shared) streams() launch.Host {
	return launch.Host{
		Env: s.Env, Dir: s.Dir, Home: s.Home, Stdin: s.Stdin, Stdout: s.Stdout, Stderr: s.Stderr,
		Quiet: s.quiet, Verbose: s.verbose, HTTP: http.DefaultClient, Version: Version(),
	}
}

// Main runs the program and returns its exit code.
func Main(ctx context.Context, p Process) int {
	s := &shared{Process: p}
	s.openUI() // for what goes wrong before the flags are known
	defer func() { s.ui.Release() }()
	root := newRoot(s)
	args, err := split(root, p.Args)
	if err != nil {
		return fail(s.ui, p.Stdout, err)
	}
	root.SetArgs(args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if cause := context.Cause(ctx); !errors.Is(err, cause) {
			err = errors.Join(cause, err) // what a signal has ended fails in many ways
		}
		return fail(s.ui, p.Stdout, err)
	}
	return 0
}

// Command returns the commands and flags, for what is made of them: man pages and completions.
func Command() *cobra.Command { return newRoot(new(shared)) }

// The groups of commands, as the help shows them.
const (
	sessionGroup  = "sessions"
	templateGroup = "templates"
	configGroup   = "configuration"
	programGroup  = "program"
)

func newRoot(s *shared) *cobra.Command {
	var request launch.Request // of nobody: what stands in front of a command is that command's
	root := &cobra.Command{
		Use:   "claude-vm [flags] [claude arguments…]",
		Short: "Run Claude Code in a throw-away virtual machine that sees only this project",
		Long: `Run Claude Code in a throw-away virtual machine that sees only this project.

Everything from the first word or flag that is not claude-vm's own goes to
Claude as it is; what follows -- goes to Claude in any case.`,
		Example: `  claude-vm setup                          build this project's template, once
  claude-vm "help me refactor this code"   run Claude with a prompt
  claude-vm -p "explain main.go" | less    use its answer in a pipe
  claude-vm shell                          look around in the same kind of VM`,
		Version:       Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if s.quiet && s.verbose {
				return usageError(cmd.CommandPath(), errors.New("--quiet and --verbose exclude each other"))
			}
			s.openUI()
			if cmd.Hidden || cmd.Name() == "version" { // started by who has looked already, or nothing to do with it
				return nil
			}
			return s.host().State().Check()
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // split has named the command
	}
	root.SetVersionTemplate("claude-vm {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	s.addFlags(root.PersistentFlags())
	ofSessions := pflag.NewFlagSet("", pflag.ContinueOnError)
	addSessionFlags(ofSessions, &request)
	root.Flags().AddFlagSet(ofSessions)
	addCommands(root, s)
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	acceptEverywhere(root, ofSessions)
	complete(root, s)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 ") +
		"\nExit codes:\n" + ExitCodes)
	return root
}

// addCommands adds all commands, each to the group that the help shows it in.
func addCommands(root *cobra.Command, s *shared) {
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{sessionGroup, "Sessions:", []*cobra.Command{
			newAgentCommand(s), newShellCommand(s), newExecCommand(s), newAttachCommand(s),
			newStopCommand(s), newPsCommand(s), newChangesCommand(s),
		}},
		{templateGroup, "Templates:", []*cobra.Command{
			newSetupCommand(s), newInfoCommand(s), newListCommand(s),
			newCleanCommand(s), newCleanAllCommand(s), newGCCommand(s),
		}},
		{configGroup, "Configuration:", []*cobra.Command{newConfigCommand(s), newTrustCommand(s), newLoginCommand(s)}},
		{programGroup, "This program:", []*cobra.Command{
			newDoctorCommand(s), newBenchCommand(s), newUpdateCommand(s), newVersionCommand(s),
		}},
	} {
		root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.id
		}
		root.AddCommand(group.commands...)
	}
	root.SetHelpCommandGroupID(programGroup)
	root.SetCompletionCommandGroupID(programGroup)
	root.AddCommand(newKeepSpareCommand(s), newKeepWallCommand(s))
}

// flagError says of a flag's value what it may be, where pflag says how it was parsed.
func flagError(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		kinds := map[string]string{"bool": "true or false", "uint": "a whole number, 0 or more"}
		what := kinds[bad.GetFlag().Value.Type()]
		err = fmt.Errorf("--%s must be %s, not %q", bad.GetFlag().Name, what, bad.GetValue())
	}
	return usageError(cmd.CommandPath(), err)
}
