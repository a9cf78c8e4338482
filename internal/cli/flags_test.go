package cli

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// allCommands returns every command below one, without cobra's own.
func allCommands(c *cobra.Command) (all []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Name() != "completion" && sub.Name() != "help" {
			all = append(append(all, sub), allCommands(sub)...)
		}
	}
	return all
}

// An alias may have any flag of a session: it stands in front of every command and behind every command, alone or with others,
// with its value beside it or after a sign.
func TestFlagsStandBesideEveryCommand(t *testing.T) {
	t.Parallel()
	values := map[string]string{"bool": "true", "string": "12", "stringArray": "x"}
	Command().LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" {
			return
		}
		given := [][]string{{"--" + f.Name}}
		if f.NoOptDefVal == "" {
			value := values[f.Value.Type()]
			given = [][]string{{"--" + f.Name, value}, {"--" + f.Name + "=" + value}}
		}
		root := Command()
		for _, c := range allCommands(root) {
			path := strings.Fields(c.CommandPath())[1:]
			for _, flag := range given {
				for _, line := range [][]string{
					slices.Concat(flag, path), slices.Concat([]string{"-v"}, flag, path), slices.Concat(path, flag),
					slices.Concat(path[:1], flag, path[1:]),
				} {
					c.Flags().Lookup(f.Name).Changed = false
					args, err := split(root, line)
					if err != nil {
						t.Errorf("%q: %v", line, err)
						continue
					}
					found, rest, err := root.Find(args)
					if err == nil {
						err = found.ParseFlags(rest)
					}
					if err != nil || found.CommandPath() != c.CommandPath() || !found.Flags().Changed(f.Name) {
						t.Errorf("%q is %s: %v", line, found.CommandPath(), err)
					}
				}
			}
		}
	})
}

// A flag stands in the help of the commands for which it does something.
func TestHelpShowsWhatIsOfUse(t *testing.T) {
	t.Parallel()
	begins := []string{"agent", "shell", "bench"}
	all := append([]string{"info"}, begins...)
	want := map[string][]string{
		"mount":             append([]string{"setup", "trust"}, all...),
		"publish":           all,
		"no-conversations":  all,
		"env":               append([]string{"login"}, all...),
		"auto-setup":        append([]string{"login"}, begins...),
		"forward-ssh-agent": begins,
		"runtime-script":    append([]string{"show", "trust", "validate"}, all...),
		"no-config":         append([]string{"doctor", "login", "setup", "show", "trust", "update", "validate"}, all...),
		"allow-home":        append([]string{"clean", "setup", "show", "trust", "update", "validate"}, all...),
	}
	for _, c := range allCommands(Command()) {
		c.InitDefaultHelpFlag() // as cobra does when it runs one
		if c.Flags().Lookup("help").Hidden || !strings.HasSuffix(c.Flags().Lookup("help").Usage, " "+c.Name()) {
			t.Errorf("%s: the help does not show --help", c.CommandPath())
		}
	}
	for name, commands := range want {
		var shown []string
		for _, c := range allCommands(Command()) {
			if f := c.Flags().Lookup(name); f != nil && !f.Hidden {
				shown = append(shown, c.Name())
			}
		}
		slices.Sort(shown)
		slices.Sort(commands)
		if !slices.Equal(shown, commands) {
			t.Errorf("--%s is in the help of %q, and not of %q", name, shown, commands)
		}
	}
}

// Which flags there are is known to those who declare them and to those who act on a request. A room below them that names one
// would have to know the command line.
func TestFlagsAreNamedAbove(t *testing.T) {
	t.Parallel()
	var names []string
	Command().LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && f.Name != "version" {
			names = append(names, "--"+f.Name)
		}
	})
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		room, _, _ := strings.Cut(path, "/")
		ours := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
		if err != nil || !ours || room == "cli" || room == "launch" {
			return err
		}
		text, err := fs.ReadFile(root, path)
		for line := range strings.Lines(string(text)) {
			code, _, _ := strings.Cut(line, "//")
			for _, word := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(code, -1) {
				if slices.Contains(names, word) {
					t.Errorf("internal/%s names %s: %s", path, word, strings.TrimSpace(line))
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
