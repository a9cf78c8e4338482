package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
)

// split tells our own flags and commands from what belongs to Claude. Cobra alone cannot: it would
// take every flag for ours and every first word for a command. The result is what cobra is to
// parse.
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
		if cmd, left := commandNamed(root, rest); cmd.HasSubCommands() && len(left) > 0 &&
			!strings.HasPrefix(left[0], "-") {
			return nil, unknownCommand(cmd, append(strings.Fields(cmd.CommandPath())[1:], left[0]))
		}
		return args, nil
	case slices.ContainsFunc(ours, isHelp):
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

// isHelp says whether a flag asks for what a command says of itself.
func isHelp(flag string) bool { return slices.Contains([]string{"-h", "--help", "--version"}, flag) }

// ownFlags separates the flags that are ours, and their values, from the first argument that is
// neither.
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
			return nil, nil, usageError("claude-vm", fmt.Errorf("flag needs an argument: %s", args[i-1]))
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
		short := string(letter)
		ours := root.PersistentFlags().ShorthandLookup(short) != nil || root.Flags().ShorthandLookup(short) != nil
		if !ours && letter != 'h' {
			return false, false
		}
	}
	return false, true // our short flags are switches
}

// isCommand says whether the arguments begin with a command of ours. "help me with this" is a
// prompt.
func isCommand(root *cobra.Command, args []string) bool {
	if args[0] != "help" {
		cmd, _ := commandNamed(root, args)
		return cmd != root
	}
	cmd, left := commandNamed(root, args[1:])
	return len(left) == 0 || cmd != root && strings.HasPrefix(left[0], "-")
}

// commandNamed returns the command that words name, root if they name none, and the words behind
// it. Flags of ours may stand between them.
func commandNamed(root *cobra.Command, words []string) (cmd *cobra.Command, left []string) {
	for cmd = root; ; words = words[1:] {
		_, words, _ = ownFlags(root, words) // a value that is missing will be missed when the flags are read
		i := -1
		if len(words) > 0 {
			i = slices.IndexFunc(cmd.Commands(),
				func(c *cobra.Command) bool { return c.Name() == words[0] || c.HasAlias(words[0]) })
		}
		if i < 0 {
			return cmd, words
		}
		cmd = cmd.Commands()[i]
	}
}

// unknownCommand says that the last of the words is no command of a group, which is root or one
// that has others below it.
func unknownCommand(group *cobra.Command, words []string) error {
	last := len(words) - 1
	advice := "see " + group.CommandPath() + " --help."
	if likely := typo(group, words[last]); likely != "" {
		advice = "did you mean claude-vm " + strings.Join(append(slices.Clone(words[:last]), likely), " ") + "?"
	}
	return unknownCommandError{words, advice}
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
