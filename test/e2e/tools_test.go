package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestTools has every tool in the template of a second project, and uses each of them in one session. The layer of the
// tools is kept from run to run, like the base layer.
func TestTools(t *testing.T) {
	w := real(t)
	project := filepath.Join(t.TempDir(), "tools")
	if err := os.MkdirAll(project, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(project, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	page := "<html><body style='background: #c0ffee'><h1>Hello</h1></body></html>"
	if err := os.WriteFile(filepath.Join(project, "page.html"), []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(limit time.Duration, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		cmd := w.command(ctx, args...)
		cmd.Dir = project
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, testLog{t}), testLog{t}
		begin := time.Now()
		err := cmd.Run()
		t.Logf("claude-vm %q took %.1f s", args, time.Since(begin).Seconds())
		return out.String(), err
	}
	if _, err := run(40*time.Minute, "setup", "--all"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if r := w.runIn(t, project, "", "clean"); r.code != 0 {
			t.Errorf("clean: code %d", r.code)
		}
	}()
	if r := w.runIn(t, project, "", "info"); !regexp.MustCompile(`docker \d+\.\d+.* node \d+\.\d+`).MatchString(r.out) {
		t.Errorf("info does not say which tools there are: %q", r.out)
	}

	// The guest's npm gets its packages from where this host's does.
	setting := func(name string) string {
		cmd := exec.Command("npm", "config", "get", name)
		cmd.Dir, cmd.Env = w.home, w.env
		value, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(value))
	}
	args := []string{"--env", "NPM_CONFIG_REGISTRY=" + setting("registry")}
	if trusted, err := os.ReadFile(setting("cafile")); err == nil {
		file := filepath.Join(project, "ca.pem")
		if err := os.WriteFile(file, trusted, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--env", "NPM_CONFIG_CAFILE="+file)
	}
	out, err := run(20*time.Minute, append(args, "shell", "bash", "tools.sh")...)
	if err != nil {
		t.Error(err)
	}
	want := strings.Join([]string{
		"docker runs", "compose runs", "node is LTS", "npm installs true", "pip", "chromium renders 400 x 300",
		"server is chrome_devtools", "server navigates true", "server shoots PNG true", "rust runs",
		"cargo is there", "gh is there", "gpg is there", "git is there", "",
	}, "\n")
	if out != want {
		t.Errorf("got\n%s\nwant\n%s", out, want)
	}
	w.gone(t)
}
