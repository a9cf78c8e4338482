package git

import (
	"fmt"
	"slices"
	"strings"
)

// Identity is who the host's user is to git, and how they sign. What is not set is empty.
type Identity struct {
	Name, Email string

	SigningKey  string // a key's name for gpg; for ssh a path or the key itself
	Format      string // openpgp, which is also the default, x509 or ssh
	SignCommits bool
	SignTags    bool
}

// Identify returns what the user's and the system's settings say. What the repository itself says
// is left out. It is for those who work in the repository, and it is not to speak for the user.
func Identify(settings []UserSetting) Identity {
	user := OfUser(settings)
	get := func(key string) string { value, _ := Last(user, key); return value }
	return Identity{
		Name: get("user.name"), Email: get("user.email"), SigningKey: get("user.signingkey"), Format: get("gpg.format"),
		SignCommits: IsTrue(get("commit.gpgsign")), SignTags: IsTrue(get("tag.gpgsign")),
	}
}

// IsTrue reads a boolean as git does.
func IsTrue(value string) bool {
	return !slices.Contains([]string{"", "0", "false", "no", "off"}, strings.ToLower(value))
}

// Setting is a line of a git configuration. The key is of the form section.name or
// section.subsection.name, as git writes it.
type Setting struct{ Key, Value string }

// File returns a configuration file from which git reads exactly the values given. Only NUL cannot
// be in one.
func File(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		section, name, _ := strings.Cut(s.Key, ".")
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			section, name = fmt.Sprintf("%s \"%s\"", section, subsection.Replace(name[:i])), name[i+1:]
		}
		fmt.Fprintf(&b, "[%s]\n\t%s = \"%s\"\n", section, name, escapes.Replace(s.Value))
	}
	return b.String()
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

var subsection = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
