package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSecondTerminal has something run in a session's VM beside its command, from when it boots until it is stopped.
func TestSecondTerminal(t *testing.T) {
	w := real(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := w.command(ctx, "--env", "FROM_HOST=a b", "shell", "echo running; sleep 1000")
	out := &lockedBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the VM", func() bool {
		logs, _ := filepath.Glob(filepath.Join(w.state, "vm", "ses_*", "serial.log"))
		return len(logs) > 0
	})
	script := `pwd; echo "$FROM_HOST $1"; cat /proc/self/cgroup; cat; echo complaint >&2; exit 7`
	r := w.run(t, "input", "exec", "sh", "-c", "true") // the first word is the name of a session
	if r.code != 66 {
		t.Errorf("code %d", r.code)
	}
	r = w.run(t, "input", "exec", "--", "sh", "-c", script, "sh", "it's")
	if want := w.project + "\na b it's\n0::/claude-vm/jobs\ninput"; r.code != 7 || r.out != want {
		t.Errorf("code %d, standard output %q, want %q", r.code, r.out, want)
	}
	if !strings.HasSuffix(r.err, "complaint\n") {
		t.Errorf("standard error %q", r.err)
	}
	await(t, "the session's command", func() bool { return strings.Contains(out.String(), "running") })

	// An interrupt reaches the command.
	interrupted := w.command(ctx, "exec", "--", `trap 'touch told; exit' TERM; touch begun; while :; do sleep 0.1; done`)
	if err := interrupted.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "a command", func() bool { return exists(filepath.Join(w.project, "begun")) })
	_ = interrupted.Process.Signal(os.Interrupt)
	_ = interrupted.Wait()
	await(t, "the command to notice", func() bool { return exists(filepath.Join(w.project, "told")) })

	tt := w.terminal(t, "attach")
	tt.see("lima@vm-it-s-a-project")
	tt.typed(`stty size; echo "<$FROM_HOST>"`, "Enter")
	tt.see("<a b>")
	tt.see("30 100")
	begin := time.Now()
	if r := w.run(t, "", "stop"); r.code != 0 || !strings.HasPrefix(r.out, "stopped ses_it-s-a-project_") {
		t.Errorf("stop: code %d, %q", r.code, r.out)
	}
	t.Logf("stopped after %.2f s", time.Since(begin).Seconds())
	w.gone(t)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 143 {
		t.Errorf("the session's exit code is %d", code)
	}
	if code := tt.exit(); code != "70" {
		t.Errorf("the exit code of the shell that was there is %s", code)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
