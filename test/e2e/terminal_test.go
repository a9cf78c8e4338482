package e2e

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
)

// terminal is a program on a pseudo-terminal, and what a person would see there.
type terminal struct {
	t    *testing.T
	cmd  *exec.Cmd
	file *os.File
	vt   vt10x.Terminal
	done chan struct{}
}

func (w *world) terminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	cmd := w.command(ctx, args...)
	cmd.Env = append(cmd.Env, "TERM=xterm-256color")
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 100, Rows: 30})
	if err != nil {
		t.Fatal(err)
	}
	tt := &terminal{t: t, cmd: cmd, file: file, vt: vt10x.New(vt10x.WithSize(100, 30), vt10x.WithWriter(file)), done: make(chan struct{})}
	go func() {
		defer close(tt.done)
		// Parse, unlike Write, waits for the rest of a character that a read has cut in two.
		for in := bufio.NewReader(file); tt.vt.Parse(in) == nil; { // ends with an error when the other side closes
		}
	}()
	return tt
}

// see waits until a text is on the screen.
func (tt *terminal) see(text string) {
	tt.t.Helper()
	defer func() {
		if tt.t.Failed() {
			tt.t.Logf("the screen:\n%s", tt.vt.String())
		}
	}()
	await(tt.t, "to see "+text, func() bool {
		select {
		case <-tt.done:
			return true
		default:
			return strings.Contains(tt.vt.String(), text)
		}
	})
	if !strings.Contains(tt.vt.String(), text) {
		tt.t.Fatalf("the program ended before it showed %q", text)
	}
}

func (tt *terminal) typed(keys string) {
	tt.t.Helper()
	if _, err := tt.file.WriteString(keys); err != nil {
		tt.t.Fatal(err)
	}
}

// exit waits for the end of the program and returns its code.
func (tt *terminal) exit() int {
	_ = tt.cmd.Wait()
	<-tt.done
	tt.file.Close()
	return tt.cmd.ProcessState.ExitCode()
}

// TestShellHasTheTerminal types into a shell in the VM.
func TestShellHasTheTerminal(t *testing.T) {
	w := real(t)
	tt := w.terminal(t, "shell")
	tt.see("lima@vm-it-s-a-project")
	tt.typed("tty; stty size\n")
	tt.see("/dev/pts/")
	tt.see("30 100")
	if err := pty.Setsize(tt.file, &pty.Winsize{Cols: 90, Rows: 20}); err != nil {
		t.Fatal(err)
	}
	tt.typed("stty size\n")
	tt.see("20 90")
	tt.typed("echo be''gun; sleep 1000\n")
	tt.see("begun")
	tt.typed("\x03")
	tt.typed("echo code-$?\n")
	tt.see("code-130") // Ctrl-C ended the guest's program and nothing else
	tt.typed("exit 5\n")
	if code := tt.exit(); code != 5 {
		t.Errorf("exit code %d\n%s", code, tt.vt.String())
	}
	w.gone(t)
}

// TestClaudesScreen starts Claude as a person would: the first screen is the prompt, with no question before it.
func TestClaudesScreen(t *testing.T) {
	w := real(t)
	tt := w.terminal(t)
	tt.see("bypass permissions on")
	tt.typed("say: good morning to you")
	tt.see("say: good morning to you")
	tt.typed("\r")
	tt.see("● good morning to you")
	tt.typed("/exit")
	tt.see("❯ /exit")
	tt.typed("\r")
	if code := tt.exit(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tt.vt.String())
	}
	w.gone(t)
}
