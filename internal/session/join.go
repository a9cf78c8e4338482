package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
)

// ErrEnded means that a session has ended while something else than its own command was running in it.
var ErrEnded = errors.New("the session has ended")

// joinPoll is how often a session that boots is looked at by who wants to join it.
const joinPoll = 50 * time.Millisecond

// tellTime is how long it may take to tell a command of the guest that it is to end. Usually that is nothing to notice.
const tellTime = 30 * time.Second

// killed is the status of a command that was killed, as those are that still run when their session ends.
const killed = 128 + int(syscall.SIGKILL)

// Joining is what is to run in a session beside its command.
type Joining struct {
	Command []string // empty: a shell for a person to type into
	TTY     bool     // it gets our terminal
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
}

// Join runs something in a session, which may still be booting, until it or the session ends. The code is that of the guest's
// command. It is seen in the arguments of ssh on the host.
func (r *Runner) Join(ctx context.Context, name string, j Joining) (code int, err error) {
	if err := r.awaitConnection(ctx, name); err != nil {
		return 0, err
	}
	token := instance.Random()
	running, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() {
		defer cut()
		if j.TTY {
			return
		}
		// Nobody else would tell the command. It is listened to until it has ended: what it writes then must not kill it.
		within, cancel := context.WithTimeout(running, tellTime)
		defer cancel()
		if r.Lima.Exec(within, name, lima.Command{Line: guest.Interrupt(token)}) == nil {
			select {
			case <-within.Done():
			case <-time.After(leaveTime):
			}
		}
	})()
	err = r.Lima.Exec(running, name, lima.Command{
		Line: guest.Join(token, j.Command), TTY: j.TTY, Stdin: j.Stdin, Stdout: j.Stdout, Stderr: j.Stderr,
	})
	switch code = proc.ExitCode(err); {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case (code == sshFailed || code == killed) && r.lost(ctx, name):
		return 0, fmt.Errorf("%w: %s", ErrEnded, name)
	case code < 0:
		return 0, err
	}
	return code, nil
}

// awaitConnection waits until a session's VM can be reached.
func (r *Runner) awaitConnection(ctx context.Context, name string) error {
	if r.Lima.Connected(name) {
		return nil
	}
	step := r.UI.Step("waiting for " + name)
	defer step.Fail()
	for !r.Lima.Connected(name) {
		if !r.Owned(name) {
			return fmt.Errorf("%w: %s", ErrEnded, name)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(joinPoll):
		}
	}
	step.Done()
	return nil
}
