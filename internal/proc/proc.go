// Package proc runs programs on the host. It owns argument vectors, streams, cancellation and the shape of a failure;
// it knows nothing of what the programs are for. It is the only package that imports os/exec.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"al.essio.dev/pkg/shellescape"
	"golang.org/x/term"
)

// grace is how long a program may take to end after it was asked to, before it is killed.
const grace = 3 * time.Second

// Cmd describes one run of a program.
type Cmd struct {
	Argv []string // the program, found on PATH or named by its path, and its arguments
	Env  []string // the whole environment, as NAME=value
	Dir  string   // the working directory; empty: ours

	Stdin  io.Reader // nil: no input
	Stdout io.Writer // nil: discarded
	Stderr io.Writer // nil: kept only for the error

	// Foreground leaves the program in our process group, so that it may read from the terminal and receives the
	// signals that the terminal sends. Others get a group of their own: a Ctrl-C reaches them only through the context.
	Foreground bool
	// Abrupt kills the program at once when it is cancelled: it has nothing to tidy up.
	Abrupt bool
	// MapUser, when not zero, runs the program in a user namespace in which our user carries this id (Linux only).
	MapUser int
}

// Error is a program that could not be started or that failed.
type Error struct {
	Argv   []string
	Code   int    // the exit status; 128+n after signal n; -1 if the program did not run
	Killed bool   // it was a signal that ended the program itself
	Stderr string // the last lines of its standard error
	Err    error
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("%s: %v", shellescape.QuoteCommand(e.Argv), e.Err)
	if e.Stderr != "" {
		msg += "\n" + e.Stderr
	}
	return msg
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns the exit status that err carries: 0 for nil, 128+n after signal n, and -1 when err is not the
// failure of a program that ran.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return -1
}

// Find returns the path of a program on the PATH of the environment given.
func Find(env []string, name string) (string, error) {
	if strings.ContainsRune(name, os.PathSeparator) {
		return exec.LookPath(name)
	}
	for _, dir := range strings.Split(Getenv(env, "PATH"), string(os.PathListSeparator)) {
		if !filepath.IsAbs(dir) {
			continue // a program is never taken from where we happen to be: a project could bring its own
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", &Error{Argv: []string{name}, Code: -1, Err: exec.ErrNotFound}
}

// Getenv returns the value of a variable in an environment, the last one if it is there twice.
func Getenv(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(env[i], "="); k == name {
			return v
		}
	}
	return ""
}

// Process is a program that is running.
type Process struct {
	cmd  *exec.Cmd
	tail *tail
	argv []string
	done chan struct{}
	err  error
}

// Start starts a program. When ctx ends the program is asked to terminate, and killed if it does not.
func Start(ctx context.Context, c Cmd) (*Process, error) {
	path, err := Find(c.Env, c.Argv[0])
	if err != nil {
		return nil, err
	}
	p := &Process{tail: &tail{}, argv: c.Argv, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, path, c.Argv[1:]...)
	p.cmd.Env, p.cmd.Dir = c.Env, c.Dir
	p.cmd.Stdin, p.cmd.Stdout = c.Stdin, c.Stdout
	switch {
	case c.Stderr == nil:
		p.cmd.Stderr = p.tail
	case c.Foreground:
		p.cmd.Stderr = c.Stderr // handed over as it is: the program may ask whether it is a terminal
	default:
		p.cmd.Stderr = io.MultiWriter(c.Stderr, p.tail)
	}
	p.cmd.SysProcAttr = attributes(c)
	p.cmd.WaitDelay = grace
	p.cmd.Cancel = func() error {
		switch {
		case c.Foreground:
			return p.cmd.Process.Signal(syscall.SIGTERM)
		case c.Abrupt:
			return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		}
		// What it has started may not listen either, and is only found as long as somebody of the group is there.
		time.AfterFunc(grace-grace/10, func() {
			select {
			case <-p.done:
			default:
				_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			}
		})
		return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, &Error{Argv: c.Argv, Code: -1, Err: err}
	}
	go func() {
		defer close(p.done)
		p.err = p.failure(p.cmd.Wait())
	}()
	return p, nil
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the program and returns its failure.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

func (p *Process) failure(err error) error {
	if err == nil {
		return nil
	}
	failure := &Error{Argv: p.argv, Code: -1, Stderr: p.tail.String(), Err: err}
	if state := p.cmd.ProcessState; state != nil {
		failure.Code = state.ExitCode()
		if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			failure.Code, failure.Killed = 128+int(status.Signal()), true
		}
	}
	if out, ok := p.cmd.Stdout.(*Limited); ok && out.full {
		failure.Code, failure.Killed, failure.Err = -1, false, ErrOutput // whatever else it has died of
	}
	return failure
}

// Run runs a program to its end.
func Run(ctx context.Context, c Cmd) error {
	p, err := Start(ctx, c)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Detach starts a program that lives on without us, in a session of its own and with nothing of ours open but the files given:
// its standard input, output and error, and what follows them from descriptor 3 on. A nil is /dev/null. A terminal as standard
// input becomes that of the session.
func Detach(c Cmd, files ...*os.File) error {
	path, err := Find(c.Env, c.Argv[0])
	if err != nil {
		return err
	}
	cmd := exec.Command(path, c.Argv[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if len(files) > 0 && files[0] != nil {
		cmd.SysProcAttr.Setctty = term.IsTerminal(int(files[0].Fd()))
	}
	for i, file := range files {
		switch {
		case i > 2:
			cmd.ExtraFiles = append(cmd.ExtraFiles, file)
		case file == nil: // a file that is nil is not the nil that exec knows
		case i == 0:
			cmd.Stdin = file
		case i == 1:
			cmd.Stdout = file
		case i == 2:
			cmd.Stderr = file
		}
	}
	if err := cmd.Start(); err != nil {
		return &Error{Argv: c.Argv, Code: -1, Err: err}
	}
	go func() { _ = cmd.Wait() }() // whether anybody cares or not
	return nil
}

// maxOutput is how many bytes Output returns at most: what a program prints may depend on files that a guest has written.
const maxOutput = 64 << 20

// ErrOutput means that a program has printed more than anybody could want.
var ErrOutput = errors.New("it prints without end")

// Output runs a program to its end and returns its standard output. One that prints too much is stopped, with ErrOutput.
func Output(ctx context.Context, c Cmd) ([]byte, error) {
	out := Limited{Most: maxOutput}
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

// Limited is a buffer that takes so many bytes. More are an error, ErrOutput, which ends whoever writes them to a pipe. The
// buffer in it is not embedded: io.Copy would find its other ways in.
type Limited struct {
	Most int
	text bytes.Buffer
	full bool
}

func (l *Limited) Write(p []byte) (int, error) {
	if l.full = l.full || l.text.Len()+len(p) > l.Most; l.full {
		return 0, ErrOutput
	}
	return l.text.Write(p)
}

// Bytes returns what was written.
func (l *Limited) Bytes() []byte { return l.text.Bytes() }

// String returns what was written.
func (l *Limited) String() string { return l.text.String() }

// tail keeps the end of what is written to it: enough to say why a program failed.
type tail struct{ buf []byte }

const (
	tailBytes = 4096
	tailLines = 12
)

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = t.buf[extra:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	lines := strings.Split(strings.TrimSpace(string(t.buf)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
