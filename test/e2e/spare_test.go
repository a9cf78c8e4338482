package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// waiting returns the VM that waits and has booted, and its keeper, or nothing.
func (w *world) waiting(t *testing.T) (name string, keeper int) {
	t.Helper()
	var rows []struct {
		Name, State string
		PID         int
	}
	if err := json.Unmarshal([]byte(w.run(t, "", "ps", "--json").out), &rows); err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if row.State == "ready" {
			return row.Name, row.PID
		}
	}
	return "", 0
}

// TestSpare starts twice: the second session runs in the VM that has waited for it, and nobody can tell but by the time.
func TestSpare(t *testing.T) {
	w := *real(t)
	w.env = append(slices.Clone(w.env), "CLAUDE_VM_STANDBY_COUNT=1", "CLAUDE_VM_STANDBY_MEMORY_LIMIT=1000", "FROM_HOST=a'b")
	first := func(stdin string, args ...string) (result, time.Duration) {
		begin := time.Now()
		r := w.run(t, stdin, args...)
		return r, time.Since(begin)
	}
	ready := func() (name string) {
		await(t, "a VM that waits", func() bool { // its record is cheaper to ask for than ps
			records, _ := filepath.Glob(filepath.Join(w.state, "vm", "spa_*", "claude-vm.json"))
			if !slices.ContainsFunc(records, func(path string) bool {
				text, _ := os.ReadFile(path)
				return strings.Contains(string(text), `"ready": true`)
			}) {
				return false
			}
			name, _ = w.waiting(t)
			return name != ""
		})
		return name
	}
	defer func() {
		if _, keeper := w.waiting(t); keeper != 0 {
			_ = syscall.Kill(keeper, syscall.SIGTERM)
		}
		await(t, "the end of the VM that waits", func() bool {
			left, _ := filepath.Glob(filepath.Join(w.state, "vm", "spa_*"))
			return len(left) == 0
		})
	}()

	_, cold := first("", "shell", "true")
	spare := ready()
	var taken int64
	files, _ := filepath.Glob(filepath.Join(w.state, "vm", spare, "*"))
	for _, file := range files {
		if info, err := os.Lstat(file); err == nil {
			taken += info.Sys().(*syscall.Stat_t).Blocks * 512
		}
	}
	if taken == 0 || taken > 1<<20 {
		t.Errorf("what has only waited takes %d bytes of the disk", taken)
	}
	script := filepath.Join(w.project, ".claude-vm.runtime.sh")
	if err := os.WriteFile(script, []byte("export FROM_SCRIPT='a b'\nsleep 300 &\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(script)
	r, warm := first("to stdin\x00\xff", "--inherit-env", "FROM_HOST", "shell",
		`echo "$FROM_HOST $FROM_SCRIPT $PWD $(hostname)"; date +%s >clock; cat; echo complaint >&2; touch from-guest; exit 7`)
	w.sameClock(t)
	lines := strings.SplitN(r.out, "\n", 2)
	if len(lines) != 2 || lines[0] != "a'b a b "+w.project+" vm-it-s-a-project" || lines[1] != "to stdin\x00\xff" {
		t.Errorf("standard output %q", r.out)
	}
	if r.code != 7 || !strings.Contains(r.err, "complaint") {
		t.Errorf("code %d, standard error %q", r.code, r.err)
	}
	if err := os.Remove(filepath.Join(w.project, "from-guest")); err != nil {
		t.Error(err)
	}
	if slices.Contains(w.instances(), spare) {
		t.Errorf("%s is still there", spare)
	}
	t.Logf("a session took %.2f s, and %.2f s in a VM that had waited", cold.Seconds(), warm.Seconds())

	// On a terminal.
	spare = ready()
	tt := w.terminal(t, "shell")
	tt.see("lima@vm-it-s-a-project")
	tt.typed("tty; stty size; echo $FROM_SCRIPT", "Enter")
	tt.see("/dev/pts/")
	tt.see("30 100")
	tt.see("a b")
	// A program that is there when it speaks: bash takes a Ctrl-C that comes while it starts one for its own.
	tt.typed(`sh -c 'echo be""gun; exec sleep 1000'`, "Enter")
	tt.see("begun")
	tt.typed("C-c")
	tt.typed("echo code-$?", "Enter")
	tt.see("code-130")
	tt.typed("exit 5", "Enter")
	if code := tt.exit(); code != "5" {
		t.Errorf("exit code %s\n%s", code, tt.screen())
	}
	if slices.Contains(w.instances(), spare) {
		t.Errorf("%s is still there", spare)
	}
	ready()
}
