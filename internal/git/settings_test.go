package git_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/git"
)

// What the user and the system have set is found wherever git finds it, with includes, and told from
// what is the repository's.
func TestSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git("", "init", "-q", "repo")
	for _, test := range []struct{ name, variable, value, file string }{
		{"in the home folder", "LANG", "", "home/.gitconfig"},
		{"by XDG_CONFIG_HOME", "XDG_CONFIG_HOME", "xdg", "xdg/git/config"},
		{"by GIT_CONFIG_GLOBAL", "GIT_CONFIG_GLOBAL", "global", "global"},
		{"of the system", "GIT_CONFIG_SYSTEM", "system", "system"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.git("", "init", "-q", "repo")
			w.git("repo", "config", "core.pager", "the repository's")
			w.mkdir("xdg/git")
			env := append(w.env[:len(w.env):len(w.env)],
				"GIT_CONFIG_NOSYSTEM=0", "GIT_CONFIG_SYSTEM="+w.path("none"), test.variable+"="+w.path(test.value))
			w.write("more one", "[alias]\n\tst = status\n\tx = \"!a\\nb\"\n[core]\n\tbare\n", 0o600)
			condition := "[includeIf \"gitdir:" + w.path("repo") + "/\"]"
			w.write(test.file, "[core]\n\thooksPath = .hooks\n"+condition+"\n\tpath = \""+w.path("more one")+"\"\n", 0o600)
			got, err := git.Client{Env: env}.Settings(t.Context(), w.path("repo"))
			if err != nil {
				t.Fatal(err)
			}
			if value, _ := git.Last(git.OfRepository(got), "core.pager"); value != "the repository's" {
				t.Errorf("the repository's: %v", got)
			}
			got = git.OfUser(got)
			for i := range got {
				got[i].Scope = ""
			}
			file, more := w.path(test.file), w.path("more one")
			want := []git.UserSetting{
				{"", file, "core.hookspath", ".hooks"}, {"", file, "includeif.gitdir:" + w.path("repo") + "/.path", more},
				{"", more, "alias.st", "status"}, {"", more, "alias.x", "!a\nb"}, {"", more, "core.bare", "true"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	none, err := git.Client{Env: w.env}.Settings(t.Context(), w.mkdir("no repository"))
	if err != nil || len(none) > 0 {
		t.Errorf("of nobody: %v, %v", none, err)
	}
	w.write("home/.gitconfig", "[broken", 0o600)
	if _, err := (git.Client{Env: w.env}).Settings(t.Context(), w.path("repo")); err == nil {
		t.Error("a broken configuration was read")
	}
}
