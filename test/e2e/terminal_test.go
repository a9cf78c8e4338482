package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// terminal is a program in a real terminal emulator, and what a person would see there.
type terminal struct {
	t      *testing.T
	w      *world
	socket string
	code   string // the file that will hold the program's exit code
}

// terminal starts the program in a window of 100 columns and 30 lines.
func (w *world) terminal(t *testing.T, args string) *terminal {
	t.Helper()
	dir := t.TempDir()
	tt := &terminal{t: t, w: w, socket: filepath.Join(dir, "tmux"), code: filepath.Join(dir, "code")}
	cmd := exec.Command("tmux", "-S", tt.socket, "-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-s", "t",
		w.binary+" "+args+`; echo $? >"`+tt.code+`"; sleep 1000`)
	cmd.Dir, cmd.Env = w.project, append(w.env, "SHELL=/bin/sh")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v: %s", err, out)
	}
	t.Cleanup(func() { tt.tmux("kill-server") })
	return tt
}

func (tt *terminal) tmux(args ...string) string {
	out, err := exec.Command("tmux", append([]string{"-S", tt.socket}, args...)...).CombinedOutput()
	if err != nil {
		tt.t.Errorf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// screen returns what is to be seen. A blank is a blank, whatever its kind.
func (tt *terminal) screen() string {
	return strings.ReplaceAll(tt.tmux("capture-pane", "-p", "-t", "t"), "\u00a0", " ")
}

// see waits until a text is on the screen.
func (tt *terminal) see(text string) {
	tt.t.Helper()
	tt.await("to see "+text, func() bool { return strings.Contains(tt.screen(), text) })
}

func (tt *terminal) await(what string, condition func() bool) {
	tt.t.Helper()
	defer func() {
		if tt.t.Failed() {
			tt.t.Logf("the screen:\n%s", tt.screen())
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, err := tt.w.command(ctx, "exec", "--", "sudo", "sh", "-c", "ps -eo pid,ppid,pgid,tpgid,stat,wchan:30,tty,args; dmesg | tail -30").CombinedOutput()
			tt.t.Logf("the VM: %v\n%s", err, out)
		}
	}()
	await(tt.t, what, condition)
}

// typed presses keys; Enter and C-c are keys, other words are typed letter by letter.
func (tt *terminal) typed(words ...string) {
	for _, word := range words {
		if word == "Enter" || word == "C-c" {
			tt.tmux("send-keys", "-t", "t", word)
		} else {
			tt.tmux("send-keys", "-t", "t", "-l", word)
		}
	}
}

// exit waits for the end of the program and returns its code.
func (tt *terminal) exit() (code string) {
	tt.t.Helper()
	tt.await("the program to end", func() bool {
		text, err := os.ReadFile(tt.code)
		code = strings.TrimSpace(string(text))
		return err == nil && code != ""
	})
	return code
}

// TestShellHasTheTerminal types into a shell in the VM.
func TestShellHasTheTerminal(t *testing.T) {
	w := real(t)
	tt := w.terminal(t, "shell")
	tt.see("lima@vm-it-s-a-project")
	tt.typed("tty; stty size", "Enter")
	tt.see("/dev/pts/")
	tt.see("30 100")
	tt.tmux("resize-window", "-t", "t", "-x", "90", "-y", "20")
	tt.typed("clear; stty size", "Enter")
	tt.see("20 90")
	// A program that is there when it speaks: bash takes a Ctrl-C that comes while it starts one for its own.
	tt.typed(`sh -c 'echo be""gun; exec sleep 1000'`, "Enter")
	tt.see("begun")
	tt.typed("C-c")
	tt.typed("echo code-$?", "Enter")
	tt.see("code-130") // Ctrl-C ended the guest's program and nothing else
	tt.typed("exit 5", "Enter")
	if code := tt.exit(); code != "5" {
		t.Errorf("exit code %s\n%s", code, tt.screen())
	}
	w.gone(t)
}

// TestClaudesScreen starts Claude as a person would: the first screen is the prompt, with no question before it.
func TestClaudesScreen(t *testing.T) {
	w := real(t)
	tt := w.terminal(t, "")
	tt.see("bypass permissions on")
	tt.typed("say: good morning to you")
	tt.see("❯ say: good morning to you")
	tt.typed("Enter")
	tt.see("● good morning to you")
	tt.typed("/exit")
	tt.see("❯ /exit")
	tt.typed("Enter")
	if code := tt.exit(); code != "0" {
		t.Errorf("exit code %s\n%s", code, tt.screen())
	}
	w.gone(t)
}
