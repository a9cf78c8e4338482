package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/themouette/claude-vm/internal/state"
)

// stopTime is how long Stop waits for the owner of a session, which takes leave of the guest and then destroys the VM.
const stopTime = leaveTime + undoTime

var (
	// ErrStopped means that somebody has asked for the end of the session with Stop.
	ErrStopped = errors.New("stopped with claude-vm stop")
	// ErrStuck means that a session does not end, though its owner lives.
	ErrStuck = errors.New("the session does not end")
)

// door is where the owner of a session listens. Somebody who wants its end has to be sure whom it tells so: a process id can
// have come round again, and the one who listens here cannot be another.
func (r *Runner) door(name string) string { return filepath.Join(r.Lima.Dir(name), "session.sock") }

// openDoor has stop called when somebody asks for the end of the session. The asker sees the connection end when the VM is gone.
func (v *vm) openDoor(stop context.CancelCauseFunc) error {
	asked, closeDoor, err := listen(v.r.door(v.name))
	if err != nil {
		return fmt.Errorf("listening for claude-vm stop: %w", err)
	}
	gone := make(chan struct{})
	v.gone = func() { close(gone) }
	go func() {
		var asking []*net.UnixConn
		for {
			select {
			case visitor := <-asked:
				if !visitor.Discard {
					visitor.conn.Close() // there is nothing else to be had here
					continue
				}
				asking = append(asking, visitor.conn)
				stop(ErrStopped)
			case <-gone:
				closeDoor()
				for _, conn := range asking {
					conn.Close()
				}
				return
			}
		}
	}()
	return nil
}

// Stop ends a session and returns when its VM is gone. Its owner does it; Stop itself only if that has died. It returns
// ErrStuck if the owner does not react.
func (r *Runner) Stop(ctx context.Context, name string) error {
	within, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	if conn, err := ask(r.door(name), request{Discard: true}); err == nil {
		defer conn.Close()
		defer context.AfterFunc(within, func() { conn.Close() })()
		_, _ = conn.Read(make([]byte, 1))
	}
	lock, err := r.State.Lock(within, name, state.Exclusive)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case within.Err() != nil:
		return ErrStuck
	case err != nil:
		return err
	}
	v := &vm{r: r, name: name, owner: lock}
	return v.destroy(ctx) // what is gone already is no error
}
