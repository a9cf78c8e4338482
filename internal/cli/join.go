package cli

import (
	"errors"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/session"
)

func (a *app) execCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec [flags] [session] -- command [argument…]",
		Short: "Run a command in the VM of a running session",
		Long: `Run a command in the VM of a running session, in the session's folder and with
its variables.

` + sessionHelp + `

Several words are a command and its arguments, passed on exactly as they are.
One word with blanks or shell syntax in it is run by the VM's shell. What the
command leaves in the background goes on until the session ends.`,
		Example: `  claude-vm exec -- git status
  claude-vm exec my-proj -- "make test | tail"
  claude-vm exec 1f2e3d4c npm run dev`,
		RunE: func(cmd *cobra.Command, args []string) error {
			word, typed := sessionHere, args
			if cmd.ArgsLenAtDash() != 0 && len(args) > 0 {
				word, args = args[0], args[1:]
			}
			if len(args) > 0 && args[0] == "--" && cmd.ArgsLenAtDash() != 0 {
				args = args[1:]
			}
			if len(args) == 0 {
				return usageError{cmd.CommandPath(), errors.New("there is no command to run; for a shell there is claude-vm attach")}
			}
			if isLine(args) {
				args = []string{"bash", "-c", args[0]}
			}
			err := a.join(cmd, word, args)
			if errors.Is(err, errNoSession) && cmd.ArgsLenAtDash() < 0 { // the command may have been taken for the session
				return advisedError{err, "claude-vm ps shows the sessions that are running; for the session of this project: claude-vm exec -- " + shellescape.QuoteCommand(typed)}
			}
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (a *app) attachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attach [session]",
		Short: "Open a shell in the VM of a running session",
		Long: `Open a shell in the VM of a running session, in the session's folder and with
its variables. The session goes on when the shell ends, and the shell ends with
the session.

` + sessionHelp,
		Example: "  claude-vm attach\n  claude-vm attach my-proj",
		Args:    oneArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.join(cmd, append(args, sessionHere)[0], nil)
		},
	}
}

// join runs a command, or without one a shell, in the session that a word means.
func (a *app) join(cmd *cobra.Command, word string, command []string) error {
	ctx := cmd.Context()
	a.tidy(ctx)
	e, err := a.findSession(cmd, word)
	if err != nil {
		return err
	}
	if err := a.checkSSH(); err != nil {
		return err
	}
	defer a.keepTerminal()()
	runner := session.Runner{Store: *a.look(), UI: a.ui}
	code, err := runner.Join(ctx, e.Name, session.Joining{
		Command: command, TTY: isTerminal(a.Stdin) && isTerminal(a.Stdout), Stdin: a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}
