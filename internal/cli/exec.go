package cli

import (
	"errors"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"
)

func newExecCommand(s *shared) *cobra.Command {
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
				return usageError(cmd.CommandPath(),
					errors.New("there is no command to run; for a shell there is claude-vm attach"))
			}
			err := runAttach(cmd, s.host(), word, args)
			// the command may have been taken for the session
			if errors.Is(err, errNoSession) && cmd.ArgsLenAtDash() < 0 {
				return advisedError(err, "claude-vm ps shows the sessions that are running; for the session of "+
					"this project: claude-vm exec -- "+shellescape.QuoteCommand(typed))
			}
			return err
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}
