package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/proc"
)

func TestIdentity(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, config, local string
		want                git.Identity
	}{
		{name: "none"},
		{
			name: "both", config: "[user]\n name = Zoë \"Z\" O'Hara\n email = z@example.org\n",
			want: git.Identity{Name: `Zoë Z O'Hara`, Email: "z@example.org"},
		},
		{name: "email only", config: "[user]\n email = z@example.org\n", want: git.Identity{Email: "z@example.org"}},
		{name: "the last one counts", config: "[user]\n name = a\n[user]\n name = b\n", want: git.Identity{Name: "b"}},
		{name: "included", config: "[include]\n path = more\n", want: git.Identity{Name: "more"}},
		{
			name:   "included for this repository",
			config: "[user]\n name = a\n[includeIf \"gitdir:**/repo/.git\"]\n path = more\n",
			want:   git.Identity{Name: "more"},
		},
		{
			name:   "included for another repository",
			config: "[user]\n name = a\n[includeIf \"gitdir:**/other/.git\"]\n path = more\n",
			want:   git.Identity{Name: "a"},
		},
		{
			name: "the repository does not speak for the user", config: "[user]\n name = a\n",
			local: "[user]\n name = b\n signingkey = c\n[commit]\n gpgsign = true\n",
			want:  git.Identity{Name: "a"},
		},
		{
			name:   "signing",
			config: "[user]\n signingkey = ~/key.pub\n[gpg]\n format = ssh\n[commit]\n gpgsign\n[tag]\n gpgSign = On\n",
			want:   git.Identity{SigningKey: "~/key.pub", Format: "ssh", SignCommits: true, SignTags: true},
		},
		{name: "no signing", config: "[commit]\n gpgsign = no\n[tag]\n gpgsign =\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.git("", "init", "-q", "repo")
			w.write("home/.gitconfig", test.config, 0o600)
			w.write("home/more", "[user]\n name = more\n", 0o600)
			w.write("repo/.git/config", test.local, 0o600)
			settings, err := git.Client{Env: w.env}.Settings(t.Context(), w.path("repo"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, git.Identify(settings)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestFileIsReadBackByGit holds for values of any bytes.
func TestFileIsReadBackByGit(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config")
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(
			rapid.StringMatching(`[ \t\r\n"\\;#=\[\]a-zé]*`),
			rapid.Map(rapid.SliceOf(rapid.ByteRange(1, 255)), func(b []byte) string { return string(b) }),
		)
		settings := []git.Setting{{"user.name", value.Draw(t, "name")}, {"user.email", value.Draw(t, "email")},
			{"url." + rapid.StringMatching(`[a-z."\\:/@]{1,12}`).Draw(t, "subsection") + ".insteadof", "x"}}
		if err := os.WriteFile(file, []byte(git.File(settings)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := proc.Output(t.Context(), proc.Cmd{Argv: []string{"git", "config", "-f", file, "--null", "--list"}, Env: os.Environ()})
		if err != nil {
			t.Fatalf("%v\n%q", err, git.File(settings))
		}
		var got []git.Setting
		for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
			key, value, _ := strings.Cut(entry, "\n")
			got = append(got, git.Setting{Key: key, Value: value})
		}
		if diff := cmp.Diff(settings, got); diff != "" {
			t.Fatalf("%s\n%q", diff, git.File(settings))
		}
	})
}
