package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// loginWorld is the world of somebody who has no login in the environment and has a name.
func loginWorld(t *testing.T) *world {
	t.Helper()
	w := *real(t)
	config := filepath.Join(t.TempDir(), "gitconfig")
	if err := os.WriteFile(config, []byte("[user]\n\tname = Zoë \\\"Z\\\" O'Hara\n\temail = z@example.invalid\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = slices.DeleteFunc(slices.Clone(w.env), func(v string) bool {
		return strings.HasPrefix(v, "ANTHROPIC_API_KEY=") || strings.HasPrefix(v, "CLAUDE_CODE_OAUTH_TOKEN=") || strings.HasPrefix(v, "GIT_CONFIG_GLOBAL=")
	})
	w.env = append(w.env, "GIT_CONFIG_GLOBAL="+config)
	forget := func() { os.Remove(filepath.Join(w.state, "state", "login.json")) }
	forget() // the state outlives a run that was killed
	t.Cleanup(forget)
	return &w
}

// tokens is the content of Claude's credentials file.
func tokens(name string, life time.Duration) string {
	return fmt.Sprintf(`{"claudeAiOauth":{"accessToken":"sk-ant-oat01-%s","refreshToken":"sk-ant-ort01-%s","expiresAt":%d,`+
		`"scopes":["user:inference","user:profile","user:sessions:claude_code"],"subscriptionType":"max","rateLimitTier":"default_claude_max_5x"}}`,
		name, name, time.Now().Add(life).UnixMilli())
}

// keptToken returns the access token that is kept.
func (w *world) keptToken(t *testing.T) string {
	t.Helper()
	path := filepath.Join(w.state, "state", "login.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	var kept struct {
		Login struct {
			Tokens struct{ AccessToken string } `json:"claudeAiOauth"`
		}
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	return kept.Login.Tokens.AccessToken
}

// put writes a file of the project that is gone after the test.
func (w *world) put(t *testing.T, name, content string) {
	t.Helper()
	path := filepath.Join(w.project, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
}

// TestLoginOnce logs in in one session and finds the login in the next, at whose prompt nothing is asked. Renewals of two
// sessions at once do not undo each other, and no token is seen in a list of processes.
func TestLoginOnce(t *testing.T) {
	w := loginWorld(t)
	if r := w.run(t, "", "-p", "hello"); r.code == 0 || !strings.Contains(r.err, "CLAUDE_CODE_OAUTH_TOKEN") {
		t.Errorf("without any login: code %d, %q", r.code, r.err)
	}

	w.put(t, "first", tokens("first", 6*time.Hour))
	r := w.run(t, "", "shell", `mkdir -p ~/.claude && cp first ~/.claude/.credentials.json
		git commit -q --allow-empty -m 'from the VM' && git config --global --list`)
	if r.code != 0 || w.keptToken(t) != "sk-ant-oat01-first" {
		t.Fatalf("code %d, kept %s", r.code, w.keptToken(t))
	}
	if want := "user.name=Zoë \"Z\" O'Hara\nuser.email=z@example.invalid\ngc.worktreepruneexpire=never\n"; r.out != want {
		t.Errorf("git in the guest is configured with %q", r.out)
	}
	log := exec.Command("git", "log", "-1", "--format=%an %ce %s")
	log.Dir = w.project
	if out, err := log.CombinedOutput(); string(out) != "Zoë \"Z\" O'Hara z@example.invalid from the VM\n" {
		t.Errorf("%q, %v", out, err)
	}

	tt := w.terminal(t, "")
	tt.see("bypass permissions on")
	tt.typed("say: good morning to you")
	tt.see("❯ say: good morning to you")
	tt.typed("Enter")
	tt.see("● good morning to you")
	tt.typed("/exit")
	tt.see("❯ /exit")
	tt.typed("Enter")
	if code := tt.exit(); code != "0" || w.keptToken(t) != "sk-ant-oat01-first" {
		t.Errorf("exit code %s, kept %s", code, w.keptToken(t))
	}

	w.put(t, "slow", tokens("slow", 7*time.Hour))
	w.put(t, "quick", tokens("quick", 8*time.Hour))
	for _, mark := range []string{"slow.up", "quick.up", "quick.gone"} {
		t.Cleanup(func() { os.Remove(filepath.Join(w.project, mark)) })
	}
	script := `touch %[1]s.up; until [ -e %[2]s ]; do sleep 0.2; done; cp %[1]s ~/.claude/.credentials.json; exit 3`
	var wg sync.WaitGroup
	wg.Go(func() {
		if r := w.run(t, "", "shell", fmt.Sprintf(script, "slow", "quick.gone")); r.code != 3 {
			t.Errorf("code %d", r.code)
		}
	})
	wg.Go(func() {
		r := w.run(t, "", "shell", fmt.Sprintf(script, "quick", "slow.up"))
		if r.code != 3 || w.keptToken(t) != "sk-ant-oat01-quick" {
			t.Errorf("code %d, kept %s", r.code, w.keptToken(t))
		}
		if seen := processesWith("sk-ant-o"); len(seen) > 0 {
			t.Errorf("a token is in the arguments of %q", seen)
		}
		w.put(t, "quick.gone", "")
	})
	wg.Wait()
	if token := w.keptToken(t); token != "sk-ant-oat01-quick" {
		t.Errorf("kept %s, which is older than what there was", token)
	}
	if r := w.run(t, "", "login", "--status"); r.code != 0 || strings.Contains(r.out, "sk-ant") || !strings.Contains(r.out, "plan     max") {
		t.Errorf("code %d, %q", r.code, r.out)
	}
	w.gone(t)
}

// TestLoginCommand comes as far as anybody does without an account.
func TestLoginCommand(t *testing.T) {
	w := loginWorld(t)
	tt := w.terminal(t, "login")
	tt.see("https://claude")
	tt.see("Paste code here")
	tt.typed("C-c")
	if code := tt.exit(); code == "0" {
		t.Errorf("exit code %s\n%s", code, tt.screen())
	}
	if _, err := os.Stat(filepath.Join(w.state, "state", "login.json")); err == nil {
		t.Error("something was kept")
	}
	w.gone(t)
}

// processesWith returns the command lines of this host that hold a text.
func processesWith(text string) (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, _ := os.ReadFile(file); bytes.Contains(line, []byte(text)) {
			found = append(found, string(line))
		}
	}
	return found
}

// TestShare copies the user's own ~/.claude into a session, whatever the files are called, and takes nothing back.
func TestShare(t *testing.T) {
	w := loginWorld(t)
	odd := "it's\n a \"skill\" \xff"
	for name, content := range map[string]string{
		".claude-vm.toml":           "[claude]\nshare = [\"settings\", \"memory\", \"skills\"]\n",
		".claude/CLAUDE.md":         "be kind\n",
		".claude/settings.json":     `{"language": "español", "apiKeyHelper": "/bin/evil"}`,
		".claude/.credentials.json": tokens("host", time.Hour),
		".claude/skills/" + odd + strings.Repeat("/long folder name", 20) + "/run.sh": "#!/bin/sh\necho ran\n",
	} {
		path := filepath.Join(w.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Remove(path) })
	}
	_ = os.Remove(filepath.Join(w.state, "state", "shared.json")) // what has been said in an earlier run is not said again
	r := w.run(t, "", "shell", `cd ~/.claude && cat CLAUDE.md && "$(find skills -name run.sh)" && jq -r '.language, .apiKeyHelper' settings.json
		test -e .credentials.json || echo no credentials
		echo changed >CLAUDE.md; rm -rf skills`)
	if want := "be kind\nran\nespañol\nnull\nno credentials\n"; r.code != 0 || r.out != want {
		t.Errorf("code %d, %q, want %q", r.code, r.out, want)
	}
	if !strings.Contains(r.err, "not shared from ~/.claude: the settings apiKeyHelper") {
		t.Errorf("nothing is said of what stays: %q", r.err)
	}
	if text, err := os.ReadFile(filepath.Join(w.home, ".claude/CLAUDE.md")); string(text) != "be kind\n" {
		t.Errorf("%q, %v", text, err)
	}
	w.gone(t)
}
