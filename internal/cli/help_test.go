package cli_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/cli"
)

// What is written for people fits an ordinary terminal, no flag's value goes by the name of a type, and there is an example.
func TestHelpFits(t *testing.T) {
	t.Parallel()
	const columns = 80
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		if c.Name() == "completion" { // cobra's own
			return
		}
		var help strings.Builder
		c.SetOut(&help)
		if err := c.Help(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(help.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.Contains(line, " string ") {
				t.Errorf("%s: %s", c.CommandPath(), line)
			}
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%s: a line of %d columns: %s", c.CommandPath(), n, line)
			}
		}
		if c.Example == "" && !c.HasSubCommands() && !c.Hidden && c.Name() != "help" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			check(sub)
		}
	}
	check(cli.Command())
}
