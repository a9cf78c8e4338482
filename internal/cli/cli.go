// Package cli is the command line: one file for each command, which turns flags into options, calls into a room and turns
// what comes back into messages and exit codes. It runs no program and knows no shell.
package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/ui"
)

// app is what every command has at hand.
type app struct {
	Process
	ui    *ui.UI
	http  *http.Client
	flags globalFlags

	noNext   bool                   // nothing is prepared for the next session
	settings func() []guard.Setting // of the user's git, once somebody has asked for them
}

// globalFlags are understood before and after the name of every command.
type globalFlags struct {
	verbose, quiet         bool
	noConfig, allowHome    bool
	autoSetup              bool
	forwardAgent           bool
	noConversations        bool
	mounts, ports          []string
	env, envFiles, inherit []string

	values []config.FlagValue // of the flags that stand for a configuration key
}

// keyFlag is a flag that stands for a configuration key, which says what it may be.
type keyFlag struct {
	key, flag string
	values    *[]config.FlagValue
}

func (k keyFlag) String() string { return "" }
func (k keyFlag) Type() string   { return "string" }

func (k keyFlag) Set(value string) error {
	*k.values = append(*k.values, config.FlagValue{Key: k.key, Flag: "--" + k.flag, Value: value})
	return nil
}

// forKey registers a flag that stands for a configuration key.
func (f *globalFlags) forKey(set *pflag.FlagSet, flag, key, usage string) {
	set.Var(keyFlag{key, flag, &f.values}, flag, usage)
}

func (f *globalFlags) register(set *pflag.FlagSet) {
	set.BoolVarP(&f.verbose, "verbose", "v", false, "show what Lima and the scripts print")
	set.BoolVarP(&f.quiet, "quiet", "q", false, "say nothing but warnings and errors")
	set.BoolVar(&f.noConfig, "no-config", false, "ignore both configuration files")
	set.BoolVar(&f.allowHome, "allow-home", false, "accept home or a system folder as the project")
	set.BoolVar(&f.autoSetup, "auto-setup", false, "build a missing template without asking")
	f.forKey(set, "disk", "vm.disk", "disk of the VM in `GB` (1-1000)")
	f.forKey(set, "memory", "vm.memory", "memory of the VM in `GB` (1-64)")
	f.forKey(set, "cpus", "vm.cpus", "`NUMBER` of processors of the VM (1-64)")
	f.forKey(set, "image", "vm.image", "`IMAGE` to build the VM from: a Lima template, a disk image or an image folder")
	set.BoolVarP(&f.forwardAgent, "forward-ssh-agent", "A", false, "let the VM use the keys of your ssh-agent")
	set.BoolVar(&f.noConversations, "no-conversations", false, "keep the project's history out of the VM")
	set.StringArrayVar(&f.mounts, "mount", nil, "share a folder: `HOST[:GUEST][:ro]` (repeatable)")
	f.forKey(set, "runtime-script", "runtime.scripts", "`SCRIPT` to run in the VM before the command (repeatable)")
	set.StringArrayVar(&f.ports, "publish", nil, "let the VM's port GUEST be 127.0.0.1:HOST here: `HOST:GUEST` (repeatable)")
	f.forKey(set, "allow-net", "network.allow", "let the VM reach an `ADDRESS` of this computer or its network, as in localhost:5432 (repeatable)")
	set.StringArrayVar(&f.env, "env", nil, "set `NAME=VALUE` in the VM (repeatable)")
	set.StringArrayVar(&f.envFiles, "env-file", nil, "set the variables of a `FILE` (repeatable)")
	set.StringArrayVar(&f.inherit, "inherit-env", nil, "pass the variable `NAME` on (repeatable)")
}

// Main runs the program and returns its exit code.
func Main(ctx context.Context, p Process) int {
	a := &app{Process: p, http: http.DefaultClient}
	a.openUI() // for what goes wrong before the flags are known
	defer func() { a.ui.Release() }()
	root := a.root()
	args, err := split(root, p.Args)
	if err != nil {
		return a.fail(err)
	}
	root.SetArgs(args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	if err := root.ExecuteContext(ctx); err != nil {
		if cause := context.Cause(ctx); !errors.Is(err, cause) {
			err = errors.Join(cause, err) // what a signal has ended fails in many ways
		}
		return a.fail(err)
	}
	return 0
}

// Command returns the commands and flags, for what is made of them: man pages and completions.
func Command() *cobra.Command { return new(app).root() }

// openUI makes the terminal as the flags want it.
func (a *app) openUI() {
	a.ui = ui.New(ui.Options{
		In: a.Stdin, Err: a.Stderr,
		Terminal:      isTerminal(a.Stderr) && proc.Getenv(a.Env, "TERM") != "dumb",
		InteractiveIn: isTerminal(a.Stderr) && isTerminal(a.Stdin),
		NoColor:       proc.Getenv(a.Env, "NO_COLOR") != "",
		Quiet:         a.flags.quiet,
		Verbose:       a.flags.verbose,
		Now:           time.Now,
		Width:         func() int { return terminalWidth(a.Stderr) },
	})
}

func (a *app) root() *cobra.Command {
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
			if a.flags.quiet && a.flags.verbose {
				return usageError{cmd.CommandPath(), errors.New("--quiet and --verbose exclude each other")}
			}
			a.openUI()
			if cmd.Hidden || cmd.Name() == "version" { // started by who has looked already, or nothing to do with it
				return nil
			}
			return a.state().Check()
		},
		RunE: func(*cobra.Command, []string) error { return nil }, // split has named the command
	}
	root.SetVersionTemplate("claude-vm {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	a.flags.register(root.PersistentFlags())
	root.AddCommand(
		a.agentCommand(), a.setupCommand(), a.shellCommand(), a.execCommand(), a.attachCommand(), a.stopCommand(),
		a.infoCommand(), a.changesCommand(), a.trustCommand(), a.listCommand(), a.psCommand(), a.cleanCommand(), a.cleanAllCommand(), a.gcCommand(),
		a.configCommand(), a.loginCommand(), a.doctorCommand(), a.benchCommand(), a.updateCommand(), a.versionCommand(), a.keepSpareCommand(), a.wallCommand(),
	)
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	a.complete(root)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", ".FlagUsagesWrapped 80 ") + "\nExit codes:\n" + ExitCodes)
	return root
}

// flagError says of a flag's value what it may be, where pflag says how it was parsed.
func flagError(cmd *cobra.Command, err error) error {
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		what := map[string]string{"bool": "true or false", "uint": "a whole number, 0 or more"}[bad.GetFlag().Value.Type()]
		err = fmt.Errorf("--%s must be %s, not %q", bad.GetFlag().Name, what, bad.GetValue())
	}
	return usageError{cmd.CommandPath(), err}
}

// split tells our own flags and commands from what belongs to Claude. Cobra alone cannot: it would take every flag for
// ours and every first word for a command. The result is what cobra is to parse.
func split(root *cobra.Command, args []string) ([]string, error) {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		return completing(root, args), nil
	}
	ours, rest, err := ownFlags(root, args)
	if err != nil {
		return nil, err
	}
	switch {
	case len(rest) > 0 && slices.Contains([]string{"agent", "run"}, rest[0]):
		more, others, err := ownFlags(root, rest[1:])
		if err != nil {
			return nil, err
		}
		ours, rest = slices.Concat(ours, more), others
	case len(rest) > 0 && isCommand(root, rest):
		if cmd, left := commandNamed(root, rest); cmd.HasSubCommands() && len(left) > 0 && !strings.HasPrefix(left[0], "-") {
			return nil, unknownCommand(cmd, append(strings.Fields(cmd.CommandPath())[1:], left[0]))
		}
		return args, nil
	case slices.ContainsFunc(ours, func(flag string) bool { return slices.Contains([]string{"-h", "--help", "--version"}, flag) }):
		return ours, nil
	case len(rest) == 1 && typo(root, rest[0]) != "":
		return nil, unknownCommand(root, rest)
	case len(rest) > 1 && rest[0] == "help":
		if group, left := commandNamed(root, rest[1:]); group.HasSubCommands() && len(left) == 1 {
			return nil, unknownCommand(group, rest)
		}
	}
	if len(rest) > 0 && rest[0] == "--" {
		rest = rest[1:]
	}
	return slices.Concat(ours, []string{"agent", "--"}, rest), nil
}

// ownFlags separates the flags that are ours, and their values, from the first argument that is neither.
func ownFlags(root *cobra.Command, args []string) (ours, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		takesValue, known := lookUp(root, args[i])
		if !known {
			return args[:i], args[i:], nil
		}
		if takesValue {
			i++
		}
		if i == len(args) {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("flag needs an argument: %s", args[i-1])}
		}
	}
	return args, nil, nil
}

// lookUp says whether an argument is a flag of ours and whether the next argument is its value.
func lookUp(root *cobra.Command, arg string) (takesValue, known bool) {
	if name, ok := strings.CutPrefix(arg, "--"); ok {
		name, _, withValue := strings.Cut(name, "=")
		flag := root.Flag(name)
		if name == "" || flag == nil {
			return false, false
		}
		return flag.NoOptDefVal == "" && !withValue, true
	}
	if len(arg) < 2 || arg[0] != '-' {
		return false, false
	}
	for _, letter := range arg[1:] {
		flag := root.PersistentFlags().ShorthandLookup(string(letter))
		if flag == nil && letter != 'h' {
			return false, false
		}
	}
	return false, true // our short flags are switches
}

// isCommand says whether the arguments begin with a command of ours. "help me with this" is a prompt.
func isCommand(root *cobra.Command, args []string) bool {
	if args[0] != "help" {
		cmd, _ := commandNamed(root, args)
		return cmd != root
	}
	cmd, left := commandNamed(root, args[1:])
	return len(left) == 0 || cmd != root && strings.HasPrefix(left[0], "-")
}

// commandNamed returns the command that words name, root if they name none, and the words behind it. Flags of ours may stand
// between them.
func commandNamed(root *cobra.Command, words []string) (cmd *cobra.Command, left []string) {
	for cmd = root; ; words = words[1:] {
		_, words, _ = ownFlags(root, words) // a value that is missing will be missed when the flags are read
		i := -1
		if len(words) > 0 {
			i = slices.IndexFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == words[0] || c.HasAlias(words[0]) })
		}
		if i < 0 {
			return cmd, words
		}
		cmd = cmd.Commands()[i]
	}
}

// unknownCommand says that the last of the words is no command of a group, which is root or one that has others below it.
func unknownCommand(group *cobra.Command, words []string) error {
	last := len(words) - 1
	advice := "see " + group.CommandPath() + " --help."
	if likely := typo(group, words[last]); likely != "" {
		advice = "did you mean claude-vm " + strings.Join(append(slices.Clone(words[:last]), likely), " ") + "?"
	}
	return unknownCommandError{words, advice}
}

// oneArgument is for the commands that take one argument or none.
func oneArgument(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{cmd.CommandPath(), fmt.Errorf("%s takes one argument, and got %q besides", cmd.CommandPath(), args[1])}
	}
	return nil
}

// typo returns the command of a group that a word is one typing error away from, if there is one.
func typo(group *cobra.Command, word string) string {
	if word == "ls" && !group.HasParent() {
		return "list" // and not ps
	}
	for _, c := range group.Commands() {
		if !c.Hidden && config.OneTypo(word, c.Name()) {
			return c.Name()
		}
	}
	return ""
}
