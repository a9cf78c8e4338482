package cli

import (
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/ui"
)

// complete says what a shell may offer for arguments and values of flags. Where nothing is said it
// offers nothing: what stands there is a number, a name or a prompt.
func complete(root *cobra.Command, s *shared) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	files := cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)
	flags := map[string]cobra.CompletionFunc{
		"image": files, "runtime-script": files, "setup-script": files, "env-file": files,
		"mount":       cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"inherit-env": variables(s),
	}
	var each func(*cobra.Command)
	each = func(cmd *cobra.Command) {
		switch cmd.Name() {
		case "shell", "validate":
			cmd.ValidArgsFunction = files
		case "exec":
			cmd.ValidArgsFunction = sessionNames(s, 1, cobra.ShellCompDirectiveDefault)
		case "attach":
			cmd.ValidArgsFunction = sessionNames(s, 1, cobra.ShellCompDirectiveNoFileComp)
		case "stop":
			cmd.ValidArgsFunction = sessionNames(s, math.MaxInt, cobra.ShellCompDirectiveNoFileComp)
		case "changes":
			cmd.ValidArgsFunction = reportNames(s)
		case "bash", "zsh", "fish", "powershell":
			cmd.Args = noArguments // cobra's own commands
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if fn, ok := flags[f.Name]; ok {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, fn) // fails only for a flag that is not there
			}
		})
		for _, child := range cmd.Commands() {
			each(child)
		}
	}
	each(root)
}

// variables are the names of those that are set here.
func variables(s *shared) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		for _, v := range s.Env {
			name, _, _ := strings.Cut(v, "=")
			names = append(names, name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// sessionNames are those of the sessions that are running, and of their projects as far as one word
// means one session, for so many arguments. What comes after them, or after a --, is completed as
// the directive says.
func sessionNames(s *shared, arguments int, after cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= arguments || slices.Contains(s.Args[:len(s.Args)-1], "--") { // cobra does not tell of the --
			return nil, after
		}
		h := s.host()
		all, _ := h.Look().Alive(instance.Session)
		var names []cobra.Completion
		for _, e := range all {
			words := []string{e.Name}
			if project := filepath.Base(e.Project); len(instance.Named(all, project)) == 1 &&
				project == ui.Sanitize(project) {
				words = append(words, project)
			}
			if slices.ContainsFunc(words, func(word string) bool { return slices.Contains(args, word) }) {
				continue
			}
			for _, word := range words {
				names = append(names, cobra.CompletionWithDesc(word,
					ui.Sanitize(e.Command+" in "+tilde(e.Dir, h.Home))))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completing turns the question of a shell about a command line that is Claude's by now into one
// about Claude's arguments: cobra alone would take a word of a prompt for a command.
func completing(root *cobra.Command, args []string) []string {
	if len(args) < 2 {
		return args
	}
	typed, last := args[1:len(args)-1], args[len(args)-1]
	if _, rest, err := ownFlags(root, typed); err == nil && len(rest) > 0 && !isCommand(root, rest) {
		return []string{args[0], "agent", "--", last}
	}
	return args
}

// reportNames are those of the sessions that have ended, for who completes one.
func reportNames(s *shared) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		h := s.host()
		var names []cobra.Completion
		reports, _ := h.Guards().Reports()
		for _, r := range reports {
			if len(args) == 0 && r.Session != "" {
				about := ui.Sanitize("begun " + ago(r.Begun) + " in " + tilde(r.Root, h.Home))
				names = append(names, cobra.CompletionWithDesc(r.Session, about))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
