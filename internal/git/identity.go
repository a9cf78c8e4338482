package git

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// Identity is who the host's user is to git, and how they sign. What is not set is empty.
type Identity struct {
	Name, Email string

	SigningKey  string // a key's name for gpg; for ssh a path or the key itself
	Format      string // openpgp, which is also the default, x509 or ssh
	SignCommits bool
	SignTags    bool
}

// Identity returns what the user's and the system's configuration say for a directory: includes that depend on where one
// is count. What the repository itself says is left out. It is for those who work in the repository, and it is not to
// speak for the user.
func (c Client) Identity(ctx context.Context, dir string) (Identity, error) {
	var id Identity
	out, err := c.run(ctx, dir, "config", "--includes", "--show-scope", "--null",
		"--get-regexp", `^(user\.(name|email|signingkey)|gpg\.format|(commit|tag)\.gpgsign)$`)
	if err != nil && proc.ExitCode(err) != 1 { // 1: nothing matches
		return id, fmt.Errorf("reading the git identity: %w", explain(err))
	}
	answers := strings.Split(string(out), "\x00")
	for i := 0; i+1 < len(answers); i += 2 {
		scope := answers[i]
		if scope != "system" && scope != "global" {
			continue
		}
		switch key, value, given := strings.Cut(answers[i+1], "\n"); key {
		case "user.name":
			id.Name = value
		case "user.email":
			id.Email = value
		case "user.signingkey":
			id.SigningKey = value
		case "gpg.format":
			id.Format = value
		case "commit.gpgsign":
			id.SignCommits = isTrue(value, given)
		case "tag.gpgsign":
			id.SignTags = isTrue(value, given)
		}
	}
	return id, nil
}

// isTrue reads a boolean as git does. A key without any value is true.
func isTrue(value string, given bool) bool {
	return !given || !slices.Contains([]string{"", "0", "false", "no", "off"}, strings.ToLower(value))
}

// Setting is a line of a git configuration. The key is of the form section.name, in ASCII letters.
type Setting struct{ Key, Value string }

// File returns a configuration file from which git reads exactly the values given. Only NUL cannot be in one.
func File(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		section, name, _ := strings.Cut(s.Key, ".")
		fmt.Fprintf(&b, "[%s]\n\t%s = \"%s\"\n", section, name, escapes.Replace(s.Value))
	}
	return b.String()
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
