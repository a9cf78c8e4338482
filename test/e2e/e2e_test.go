// Package e2e tries the finished program with the real Lima, QEMU, Debian guest and Claude Code. It is left out unless
// CLAUDE_VM_TEST_REAL is 1, as `make test` sets it. The Messages API is a stand-in on this host's loopback.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/themouette/claude-vm/test/fakeapi"
)

// world is what all tests share: the program, its state with one template, and a project.
type world struct {
	binary  string
	state   string // CLAUDE_VM_HOME
	home    string
	project string
	api     string // the stand-in, as the guest reaches it
	env     []string
}

var shared *world // TestMain has no other way to hand it on

// limit is how long one run of the program may take, the first setup aside.
const limit = 5 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv("CLAUDE_VM_TEST_REAL") != "1" {
		fmt.Println("e2e: left out, CLAUDE_VM_TEST_REAL is not 1")
		os.Exit(m.Run()) // each test says that it is skipped
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	temp, err := os.MkdirTemp("", "cvm-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(temp)
	w, closeWorld, err := makeWorld(temp)
	if err != nil {
		fmt.Println("e2e:", err)
		return 1
	}
	defer closeWorld()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	if out, err := w.command(ctx, "setup").CombinedOutput(); err != nil {
		fmt.Printf("e2e: setup: %v: %s", err, out)
		return 1
	}
	fmt.Printf("e2e: setup took %.1f s\n", time.Since(begin).Seconds())
	shared = w
	code := m.Run()
	if out, err := w.command(context.Background(), "clean").CombinedOutput(); err != nil {
		fmt.Printf("e2e: clean: %v: %s", err, out)
		code = 1
	}
	if left := w.leftovers(); left != "" {
		fmt.Println("e2e: left behind:\n" + left)
		code = 1
	}
	return code
}

func makeWorld(temp string) (*world, func(), error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, nil, err
	}
	if dir := os.Getenv("CLAUDE_VM_DEV_CACHE"); dir != "" {
		cache = dir
	} else {
		cache = filepath.Join(cache, "claude-vm-dev")
	}
	w := &world{
		binary: filepath.Join(temp, "claude-vm"),
		// Kept from run to run: the base layer is built again only when something in it has changed.
		state:   cmp.Or(os.Getenv("CLAUDE_VM_TEST_HOME"), filepath.Join(cache, "e2e")),
		home:    filepath.Join(temp, "home"),
		project: filepath.Join(temp, "it's a project"),
	}
	for _, dir := range []string{w.home, w.project} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, nil, err
		}
	}
	// npm's own settings say where its registry is.
	if home, err := os.UserHomeDir(); err == nil {
		if npmrc, err := os.ReadFile(filepath.Join(home, ".npmrc")); err == nil {
			if err := os.WriteFile(filepath.Join(w.home, ".npmrc"), npmrc, 0o600); err != nil {
				return nil, nil, err
			}
		}
	}
	if out, err := exec.Command("go", "build", "-o", w.binary, "../../cmd/claude-vm").CombinedOutput(); err != nil {
		return nil, nil, fmt.Errorf("building claude-vm: %w: %s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	api := httptest.NewUnstartedServer(fakeapi.Handler(fakeapi.Script{}))
	api.Listener.Close()
	api.Listener = listener
	api.Start()
	w.api = fmt.Sprintf("http://host.lima.internal:%d", listener.Addr().(*net.TCPAddr).Port)
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name != "HOME" && !strings.HasPrefix(name, "ANTHROPIC_") && name != "SSH_AUTH_SOCK" {
			w.env = append(w.env, v)
		}
	}
	w.env = append(w.env, "HOME="+w.home, "CLAUDE_VM_HOME="+w.state, "CLAUDE_VM_STANDBY_COUNT=0", "ANTHROPIC_BASE_URL="+w.api, "ANTHROPIC_API_KEY=stand-in-key-0123456789",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.invalid", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.invalid")
	for _, args := range [][]string{{"init", "-q"}, {"commit", "-q", "--allow-empty", "-m", "one"}} {
		if out, err := w.gitIn(w.project, args...); err != nil {
			return nil, nil, fmt.Errorf("git %v: %w: %s", args, err, out)
		}
	}
	return w, api.Close, nil
}

func (w *world) gitIn(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, w.env
	return cmd.CombinedOutput()
}

// git runs git on the host.
func (w *world) git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := w.gitIn(dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

// real returns the world, or skips the test.
func real(t *testing.T) *world {
	t.Helper()
	if shared == nil {
		t.Skip("CLAUDE_VM_TEST_REAL is not 1")
	}
	return shared
}

// result is what one run of the program came to.
type result struct {
	out, err string
	code     int
}

// command is a run of the program in the project. It has a group of its own, so that a signal to it is one to it alone.
func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.binary, args...)
	cmd.Dir, cmd.Env = w.project, w.env
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// run runs the program to its end.
func (w *world) run(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	return w.runIn(t, w.project, stdin, args...)
}

func (w *world) runIn(t *testing.T, dir, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := w.command(ctx, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, io.MultiWriter(&stderr, testLog{t})
	begin := time.Now()
	err := cmd.Run()
	t.Logf("claude-vm %q took %.1f s", args, time.Since(begin).Seconds())
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return result{out.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// testLog shows what the program says when a test fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimRight(p, "\n"))
	return len(p), nil
}

// instances returns the names of the instances that are there.
func (w *world) instances() (names []string) {
	entries, _ := os.ReadDir(filepath.Join(w.state, "vm"))
	for _, e := range entries {
		if e.IsDir() && e.Name()[0] != '_' {
			names = append(names, e.Name())
		}
	}
	return names
}

// sessions returns the instances that should not outlive a command.
func (w *world) sessions() (names []string) {
	for _, name := range w.instances() {
		if strings.HasPrefix(name, "ses_") || strings.HasPrefix(name, "bld_") {
			names = append(names, name)
		}
	}
	return names
}

// leftovers describes every instance and process of ours that a finished suite must not leave. A process may take a
// moment to notice that its VM is gone.
func (w *world) leftovers() (left string) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		left = strings.Join(w.sessions(), "\n")
		processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range processes {
			text, _ := os.ReadFile(file)
			if line := string(bytes.ReplaceAll(text, []byte{0}, []byte{' '})); strings.Contains(line, filepath.Join(w.state, "vm")) {
				left += "\n" + line
			}
		}
		if left == "" || time.Now().After(deadline) {
			return left
		}
	}
}

// sameClock reads the file clock, to which the guest has written what time it was there, and the host when that was here.
func (w *world) sameClock(t *testing.T) {
	t.Helper()
	file := filepath.Join(w.project, "clock")
	defer os.Remove(file)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	guest, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if off := guest - info.ModTime().Unix(); err != nil || off < -3 || off > 3 {
		t.Errorf("the guest's clock is off by %d s: %v", off, err)
	}
}

// gone fails the test unless every session has disappeared.
func (w *world) gone(t *testing.T) {
	t.Helper()
	if left := w.sessions(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", limit, what)
		}
	}
}
