package launch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/trust"
)

// What is mounted is what the review has seen, whatever happens to the project in between.
func TestExchangedFolder(t *testing.T) {
	t.Parallel()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(home, "proj")
	for _, dir := range []string{".ssh", "data", "proj/sub"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	exchange := func(target string) {
		t.Helper()
		sub := filepath.Join(root, "sub")
		if err := os.RemoveAll(sub); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, sub); err != nil {
			t.Fatal(err)
		}
	}
	w := &Work{Host: Host{Dir: root, Home: home}, Project: &project.Project{Dir: root, Root: root, Main: root}}
	for _, key := range []string{"mounts", "setup.mounts"} {
		text := "[[" + key + "]]\nlocation = \"./sub\"\nmount_point = \"/sub\"\n[[" + key + "]]\nlocation = \"~/data\"\nmount_point = \"/data\"\nwritable = false\n"
		if err := os.WriteFile(filepath.Join(root, project.ConfigName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		w.Config, err = config.Load(w.Host.input(w.Request, filepath.Join(root, project.ConfigName)))
		if err != nil {
			t.Fatal(err)
		}
		mount := func(asked *trust.Review) error {
			_, err := w.mounts(asked)
			if key == "setup.mounts" {
				setup, _ := w.Host.addedMounts(w.Config.Setup.Mounts, nil)
				_, err = w.templateSpec(asked, setup)
			}
			return err
		}
		exchange("../proj")
		asked, err := w.Review()
		if err != nil {
			t.Fatal(err)
		}
		if err := mount(asked); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		for _, target := range []string{"../.ssh", "../data"} { // the latter may be read, and not written to
			exchange(target)
			if err := mount(asked); !errors.Is(err, trust.ErrExchanged) {
				t.Errorf("%s, now %s: %v", key, target, err)
			}
		}
	}
}

// Whoever is asked about a name sees what it means.
func TestAddresses(t *testing.T) {
	t.Parallel()
	if got := addresses(t.Context(), "localhost"); !strings.HasPrefix(got, "(localhost is now ") || !strings.Contains(got, "127.0.0.1") {
		t.Error(got)
	}
	if got := addresses(t.Context(), "nobody.invalid"); got != "(the addresses of nobody.invalid cannot be looked up now)" {
		t.Error(got)
	}
}
