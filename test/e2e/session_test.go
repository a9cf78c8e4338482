package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestSetup makes the template again, from the layer that is there.
func TestSetup(t *testing.T) {
	w := real(t)
	r := w.run(t, "", "setup")
	if r.code != 0 || !strings.Contains(r.out, w.project) || !strings.Contains(r.out, "tpl_it-s-a-project_") {
		t.Errorf("setup does not name the project and its template: code %d, %q", r.code, r.out)
	}
	if strings.Contains(r.err, "booting") {
		t.Errorf("a second setup has booted a VM: %s", r.err)
	}
	if r := w.run(t, "", "list"); r.code != 0 || !strings.Contains(r.out, "tpl_it-s-a-project_") {
		t.Errorf("list: code %d, %q", r.code, r.out)
	}
	if r := w.run(t, "", "ps"); r.out != "No session is running\n" {
		t.Errorf("ps: %q", r.out)
	}
	w.gone(t)
}

// TestClaude is the main job: the real Claude Code runs a tool in the VM, and what it did is there on the host.
func TestClaude(t *testing.T) {
	w := real(t)
	r := w.run(t, "", "-p", "run: uname -r > kernel.txt; pwd; echo done")
	if r.code != 0 {
		t.Fatalf("code %d", r.code)
	}
	text, err := os.ReadFile(filepath.Join(w.project, "kernel.txt"))
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if kernel := strings.TrimSpace(string(text)); kernel == "" || kernel == strings.TrimSpace(string(host)) {
		t.Errorf("Claude's command ran on the kernel %q, and the host's is %q", kernel, host)
	}
	if want := w.project + "\ndone"; !strings.Contains(r.out, want) {
		t.Errorf("standard output %q does not contain %q", r.out, want)
	}
	if info, err := os.Stat(filepath.Join(w.project, "kernel.txt")); err == nil {
		if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Getuid() {
			t.Errorf("the file belongs to user %d", owner)
		}
	}
	// Claude has noted the conversation in the folder of this project, on the host.
	notes, _ := filepath.Glob(filepath.Join(w.home, ".claude/projects/*it-s-a-project/*.jsonl"))
	if len(notes) == 0 {
		t.Error("there is no conversation on the host")
	}
	w.gone(t)
}

// TestOutputIsClaudesAlone has the answer byte for byte, whatever it goes to.
func TestOutputIsClaudesAlone(t *testing.T) {
	w := real(t)
	if r := w.run(t, "", "-p", "say: exactly this"); r.code != 0 || r.out != "exactly this\n" {
		t.Errorf("code %d, standard output %q", r.code, r.out)
	}
}

// TestNothingSurvives writes all over one VM and looks for it in the next.
func TestNothingSurvives(t *testing.T) {
	w := real(t)
	mark := "touch ~/mark && sudo touch /etc/mark && echo $USER $HOME $(id -u) $(hostname) && git status --short && date +%s >clock && exit 7"
	if r := w.run(t, "", "shell", mark); r.code != 7 || !strings.HasPrefix(r.out, "lima /home/lima.linux ") {
		t.Errorf("code %d, standard output %q", r.code, r.out)
	}
	w.sameClock(t)
	w.gone(t)
	if r := w.run(t, "", "shell", "ls ~/mark /etc/mark 2>&1 | grep -c 'No such file'"); r.out != "2\n" {
		t.Errorf("marks of an earlier session are there: %q", r.out)
	}
	const stored = `cd /tmp && git init -q lfs && cd lfs && echo '*.bin filter=lfs diff=lfs merge=lfs -text' >.gitattributes &&
		head -c 5000 /dev/zero >x.bin && git add . && git cat-file -p :x.bin | head -n 1; TERM=alacritty tput colors`
	if r := w.run(t, "", "shell", stored); r.out != "version https://git-lfs.github.com/spec/v1\n256\n" {
		t.Errorf("a large file is stored as %q", r.out)
	}
}

// TestSessionIsAShellAway puts what a session promises into one VM: input and output byte for byte, arguments as they
// are, the working directory, runtime scripts, mounts, and that nothing else of the host is there.
func TestSessionIsAShellAway(t *testing.T) {
	w := real(t)
	sub := filepath.Join(w.project, "sub folder")
	data := t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(sub, "probe.sh"):                      probe,
		filepath.Join(w.project, ".claude-vm.runtime.sh"):   "export FROM_SCRIPT='a b'\nsleep 300 &\n",
		filepath.Join(data, "file"):                         "data",
		filepath.Join(w.home, "private"):                    "not for guests",
		filepath.Join(w.home, ".claude/projects/x/private"): "not for guests",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Remove(filepath.Join(w.project, ".claude-vm.runtime.sh"))
	var everyByte strings.Builder
	for i := range 256 {
		everyByte.WriteByte(byte(i))
	}
	odd := "a  b'\"$x\\\n\t*é\x01"
	r := w.runIn(t, sub, everyByte.String(), "--mount", data+":/vm/data:ro", "shell", "./probe.sh", odd, "", w.home)
	if r.code != 0 {
		t.Fatalf("code %d, standard output %q", r.code, r.out)
	}
	want := strings.Join([]string{
		"cwd " + sub, "arg " + odd, "arg ", "script a b", "job alive", "mount data", "read-only", "home hidden", "conversations of this project",
		"stdin " + everyByte.String(),
	}, "\n")
	if r.out != want {
		t.Errorf("got\n%q, want\n%q", r.out, want)
	}
}

const probe = `#!/bin/bash
echo "cwd $PWD"
echo "arg $1"
echo "arg $2"
echo "script $FROM_SCRIPT"
pgrep -x sleep >/dev/null && echo job alive
echo "mount $(cat /vm/data/file)"
sudo touch /vm/data/new 2>/dev/null || echo read-only
[ -e "$3/private" ] || echo home hidden
[ -e ~/.claude/projects/x ] || echo conversations of this project
printf 'stdin '
cat
`

// TestThreeAtOnce has three sessions that all listen on one port, none of which the host can reach.
func TestThreeAtOnce(t *testing.T) {
	w := real(t)
	var wg sync.WaitGroup
	results := make([]result, 3)
	for i := range results {
		wg.Go(func() {
			results[i] = w.run(t, "", "shell", fmt.Sprintf(`(busybox nc -ll -p 3000 -e echo %d >/dev/null 2>&1 &)
				until busybox nc -w1 127.0.0.1 3000 </dev/null; do sleep 0.2; done`, i))
		})
	}
	wg.Wait()
	for i, r := range results {
		if r.code != 0 || r.out != fmt.Sprintf("%d\n", i) {
			t.Errorf("session %d: code %d, %q", i, r.code, r.out)
		}
	}
	w.gone(t)
}

// TestSignals ends a session from outside, while it boots and while its command runs.
func TestSignals(t *testing.T) {
	w := real(t)
	booting := func(string) bool {
		logs, _ := filepath.Glob(filepath.Join(w.state, "vm", "ses_*", "serial.log"))
		return len(logs) > 0
	}
	running := func(out string) bool { return strings.Contains(out, "running") }
	for _, test := range []struct {
		name   string
		signal syscall.Signal
		when   func(out string) bool
	}{
		{"SIGTERM while it boots", syscall.SIGTERM, booting},
		{"SIGHUP while its command runs", syscall.SIGHUP, running},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			cmd := w.command(ctx, "shell", "echo running; sleep 300")
			out := &lockedBuffer{}
			cmd.Stdout = out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			await(t, test.name, func() bool { return test.when(out.String()) })
			begin := time.Now()
			_ = cmd.Process.Signal(test.signal)
			_ = cmd.Wait()
			t.Logf("gone after %.2f s", time.Since(begin).Seconds())
			if code := cmd.ProcessState.ExitCode(); code != 128+int(test.signal) {
				t.Errorf("exit code %d", code)
			}
			w.gone(t)
		})
	}
}

// TestKilled leaves a VM without an owner, and the next command finds it.
func TestKilled(t *testing.T) {
	w := real(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := w.command(ctx, "shell", "echo running; sleep 300")
	cmd.WaitDelay = time.Millisecond // its ssh lives on and keeps the pipe open
	out := &lockedBuffer{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the command", func() bool { return strings.Contains(out.String(), "running") })
	if r := w.run(t, "", "ps"); !strings.Contains(r.out, fmt.Sprint(cmd.Process.Pid)) {
		t.Errorf("ps does not show the session: %q", r.out)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if len(w.sessions()) != 1 {
		t.Fatalf("sessions after the kill: %v", w.sessions())
	}
	if r := w.run(t, "", "list"); r.code != 0 {
		t.Errorf("code %d", r.code)
	}
	w.gone(t)
}

// lockedBuffer can be read while a program writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
