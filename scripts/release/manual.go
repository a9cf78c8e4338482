package main

import (
	"regexp"
	"strings"

	"github.com/themouette/claude-vm/internal/cli"
)

var (
	// defaults match what cobra prints of a flag that has none.
	defaults = regexp.MustCompile(`(?m)(\\fP)(=""|=\[\]|\[=[a-z]*\])$`)
	codes    = regexp.MustCompile(`(?m)^  (\S+) +(\S.*(?:\n   .*)*)`)
	rows     = regexp.MustCompile("(?m)^\\| (`[A-Z].*) \\| (.*) \\|$")
)

// manual completes a page that cobra has made with the exit codes and, from a page of the documentation, the variables.
func manual(page []byte, documentation string) []byte {
	_, variables, _ := strings.Cut(documentation, "\n## Variables that are no keys\n")
	variables, _, _ = strings.Cut(variables, "\n<!--")
	const others = "\n.PP\nMost keys of the configuration have a variable too, such as CLAUDE_VM_DISK for vm.disk.\n"
	text := defaults.ReplaceAllString(string(page), "$1")
	before, after, _ := strings.Cut(text, "\n.SH SEE ALSO")
	return []byte(before + list("EXIT STATUS", codes, cli.ExitCodes) + list("ENVIRONMENT", rows, variables) + others + "\n.SH SEE ALSO" + after)
}

// list is a section of terms and what they mean, as a pattern finds them in a text.
func list(title string, pattern *regexp.Regexp, text string) string {
	section := "\n.SH " + title + "\n"
	for _, found := range pattern.FindAllStringSubmatch(text, -1) {
		meaning := strings.Join(strings.Fields(found[2]), " ")
		section += ".TP\n" + strings.ReplaceAll("\\fB"+found[1]+"\\fP\n"+meaning+"\n", "`", "")
	}
	return section
}
