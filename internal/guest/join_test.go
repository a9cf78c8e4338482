package guest

import (
	"os"
	"os/exec" // the tests run the scripts for real
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// join runs a session and then a command that joins it, in one home folder.
func join(t testing.TB, s Session, command ...string) (string, int) {
	t.Helper()
	s.Home = t.TempDir()
	if err := os.Mkdir(filepath.Join(s.Home, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	fails, err := exec.LookPath("false")
	if err == nil {
		err = os.Symlink(fails, filepath.Join(s.Home, "sudo")) // the host's could ask somebody
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Files() {
		if err := os.WriteFile(filepath.Join(s.Home, f.Path), []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(argv ...string) (string, int) {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = []string{"PATH=" + s.Home + ":" + os.Getenv("PATH"), "HOME=" + s.Home}
		out, err := cmd.CombinedOutput()
		if _, failed := err.(*exec.ExitError); err != nil && !failed {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	if s.Mode != "" {
		if out, code := run("bash", filepath.Join(s.Home, folder, "session")); code != 0 {
			t.Fatalf("the session: code %d, %s", code, out)
		}
	}
	token := filepath.Base(s.Home)
	defer os.Remove(joined(token))
	return run("bash", "-c", Join(token, command))
}

func TestJoin(t *testing.T) {
	t.Parallel()
	exporting := Script{Name: "s", Content: "export FROM_SCRIPT=$'c\\nd' A=changed; cd /; readonly R=1; export R"}
	tests := map[string]struct {
		session Session
		command []string
		out     string
		code    int
	}{
		"folder and variables":      {Session{Dir: "/usr", Env: []string{"A=x y"}}, []string{"sh", "-c", `echo "$PWD $A"; exit 7`}, "/usr x y\n", 7},
		"what scripts have set":     {Session{Dir: "/usr", Env: []string{"A=x"}, Scripts: []Script{exporting}, Mode: Exec, Command: []string{"true"}}, []string{"sh", "-c", `echo "$PWD $A $FROM_SCRIPT $R"`}, "/usr changed c\nd 1\n", 0},
		"a command that is missing": {Session{Dir: "/"}, []string{"sh", "-c", "exit 127"}, "", 127},
		"a command that is killed":  {Session{Dir: "/"}, []string{"sh", "-c", "kill -KILL $$"}, "", 137},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := join(t, test.session, test.command...)
			if out != test.out || code != test.code {
				t.Errorf("got %q and code %d, want %q and %d", out, code, test.out, test.code)
			}
		})
	}
}

func TestAnyArgumentJoinsUnchanged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 24).Draw(rt, "bytes")
		if out, code := join(t, Session{Dir: "/"}, "printf", "%s|", string(raw), "-v", "--"); out != string(raw)+"|-v|--|" || code != 0 {
			rt.Fatalf("got %q and code %d, want %q", out, code, raw)
		}
	})
}

// What is secret is in the guest's files and in no argument.
func TestJoinHasNoSecrets(t *testing.T) {
	t.Parallel()
	s := Session{Env: []string{"TOKEN=s3cr3t"}, Mode: Shell}
	if line := Join("token", nil) + Interrupt("token") + s.Run(true); strings.Contains(line, "s3cr3t") {
		t.Error(line)
	}
}
