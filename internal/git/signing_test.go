package git_test

import (
	"testing"

	"github.com/themouette/claude-vm/internal/git"
)

func TestSigningKey(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ global, local, want string }{
		"none":              {"", "", ""},
		"of the user":       {"[user]\nsigningKey = AAAA", "", "AAAA"},
		"of the repository": {"[user]\nsigningKey = AAAA", "[user]\nsigningKey = \"Ann <ann@example.org>\"", "Ann <ann@example.org>"},
		"of another kind":   {"[user]\nsigningKey = AAAA\n[gpg]\nformat = ssh", "", ""},
		"said outright":     {"[user]\nsigningKey = AAAA\n[gpg]\nformat = ssh", "[gpg]\nformat = openpgp", "AAAA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.write("home/.gitconfig", tt.global, 0o600)
			dir := w.mkdir("repo")
			w.git("repo", "init", "-q")
			w.write("repo/.git/config", "[core]\nrepositoryformatversion = 0\n"+tt.local, 0o600)
			got, err := git.Client{Env: w.env}.SigningKey(t.Context(), dir)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}
