package session

import (
	"bytes"
	"cmp"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
)

const (
	// settle is how long a keeper leaves the session alone that has just begun, before it boots the next one.
	settle = 3 * time.Second
	// readyTime is how long it may take until a session could use a spare; a guest that does not answer is not kept for ever.
	readyTime = 10 * time.Minute
	// lookAround is how often a keeper finds out whether its spare is still of use.
	lookAround = time.Second
	// spareMemory is what the host must have available for a spare, in bytes: what a guest has touched when it has booted,
	// and enough beside it for everybody else.
	spareMemory = 2 << 30
)

// admission is the lock under which spares are counted and begun.
const admission = "spares"

// order is what a keeper is told.
type order struct {
	Shape    Shape
	Count    int
	TTL      time.Duration
	MemoryGB int
	Accel    lima.Accel
	Reach    []string
}

// PrepareNext has a spare made for the next session of a shape.
func (r *Runner) PrepareNext(s Shape) error {
	if r.Standby.Count == 0 {
		return nil
	}
	var text bytes.Buffer
	err := gob.NewEncoder(&text).Encode(order{s, r.Standby.Count, r.Standby.TTL, r.Standby.MemoryGB, r.Lima.Accel, r.Lima.Wall.Rules})
	if err != nil {
		return err
	}
	return r.Standby.Spawn(text.Bytes())
}

// Keep is the life of a keeper: it makes a spare, unless there are enough or too little memory is left, and keeps it until
// a start claims it, its time is over, or no session could use it any more. If more are wanted, another keeper makes the next
// when this one's is ready, so that several do not boot at once.
func (r *Runner) Keep(ctx context.Context, ordered []byte) (err error) {
	var o order
	if err := gob.NewDecoder(bytes.NewReader(ordered)).Decode(&o); err != nil {
		return fmt.Errorf("reading what spare to keep: %w", err)
	}
	r.Lima = r.Lima.With(o.Accel, o.Reach)
	r.Standby.Count, r.Standby.TTL, r.Standby.MemoryGB = o.Count, o.TTL, o.MemoryGB
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(settle):
	}
	if _, _, err := r.fitting(ctx, o.Shape); errors.Is(err, instance.ErrNone) {
		r.note("%s: no spare, %s", o.Shape.Project.Name(), noTemplate)
		return nil
	}
	spare, record, machine, err := r.beginSpare(ctx, o)
	if spare == nil {
		return err
	}
	end, asking := failed, (*net.UnixConn)(nil)
	if err == nil {
		end, asking, err = r.keep(ctx, o, spare, record, machine)
		spare.closeDoor()
	}
	if end != claimed {
		err = errors.Join(err, spare.destroy(ctx))
	}
	if asking != nil {
		asking.Close() // whoever asked for its end sees it now
	}
	r.note("%s, %s: %s", o.Shape.Project.Name(), spare.name, end)
	return err
}

// note writes to the keepers' log.
func (r *Runner) note(format string, args ...any) {
	r.UI.Info("%s "+format, append([]any{time.Now().Format(time.DateTime)}, args...)...)
}

// keep boots a spare and waits for its end. Unless it was claimed, somebody else has to destroy it.
func (r *Runner) keep(ctx context.Context, o order, spare *vm, record instance.Record, machine lima.Machine) (ending, *net.UnixConn, error) {
	booting, stop := context.WithCancel(ctx)
	go r.Tend(booting, r.UI, spare.name)
	booted := make(chan error, 1)
	go func() { booted <- r.bootSpare(booting, spare, machine, preparation(o.Shape, record)) }()
	defer func() {
		stop()
		if booted != nil {
			<-booted // what it has begun is then there to be destroyed
		}
	}()

	look := time.NewTicker(lookAround)
	defer look.Stop()
	var over <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return discarded, nil, context.Cause(ctx)
		case <-over:
			return expired, nil, nil
		case <-look.C:
			if end := r.outlook(ctx, o, spare.name, record); end != stays {
				return end, nil, nil
			}
		case err := <-booted:
			booted = nil
			record.Ready = true
			if err == nil {
				err = instance.WriteRecord(r.Lima, spare.name, record)
			}
			if err != nil {
				return failed, nil, err
			}
			over = time.After(o.TTL)
			if reason, err := r.unwanted(ctx, o); err == nil && reason == none {
				if err := r.PrepareNext(o.Shape); err != nil {
					r.note("%s: no keeper for one more: %v", o.Shape.Project.Name(), err)
				}
			}
		case visitor := <-spare.visitors:
			switch {
			case visitor.Discard:
				return discarded, visitor.conn, nil
			case visitor.Claim != record.Fits || !record.Ready:
				visitor.conn.Close()
			case spare.handOver(visitor.conn):
				return claimed, visitor.conn, nil
			default:
				return failed, visitor.conn, nil
			}
		}
	}
}

// beginSpare copies the template for a spare, if one more is wanted. Without one there is nothing to destroy.
func (r *Runner) beginSpare(ctx context.Context, o order) (*vm, instance.Record, lima.Machine, error) {
	var record instance.Record
	var machine lima.Machine
	turn, err := r.State.Lock(ctx, admission, state.Exclusive)
	if err != nil {
		return nil, record, machine, err
	}
	defer turn.Unlock()
	if reason, err := r.unwanted(ctx, o); err != nil || reason != none {
		if reason != none {
			r.note("%s: no spare, %s", o.Shape.Project.Name(), reason)
		}
		return nil, record, machine, err
	}
	spare, err := r.own(ctx, instance.NewName(instance.Spare, o.Shape.Project.Name(), instance.Random()))
	if err != nil {
		return nil, record, machine, err
	}
	record, machine, err = r.copyTemplate(ctx, spare.name, instance.Spare, o.Shape, "")
	if err == nil {
		spare.visitors, spare.closeDoor, err = listen(r.spareDoor(spare.name))
	}
	return spare, record, machine, err
}

// memory is the host's.
func (r *Runner) memory() (host.Memory, error) {
	if r.Memory != nil {
		return r.Memory()
	}
	return host.ReadMemory()
}

// unwanted says why there is no need of, or no room for, one more spare.
func (r *Runner) unwanted(ctx context.Context, o order) (reason refusal, err error) {
	own, fits, err := r.fitting(ctx, o.Shape)
	if errors.Is(err, instance.ErrNone) {
		return noTemplate, nil
	}
	if err != nil {
		return none, err
	}
	if !own.Unattended {
		return unattended, nil
	}
	memory, err := r.memory()
	if err != nil {
		return none, err
	}
	spares, err := r.List(instance.Spare)
	if err != nil {
		return none, err
	}
	limited := o.MemoryGB != 0
	same, together := 0, int64(cmp.Or(o.Shape.MemoryGB, own.MemoryGB))<<30
	for _, spare := range spares {
		if !r.Owned(spare.Name) {
			continue
		}
		limited = true // one alone may have more than half of the host's memory, of which it touches little while it waits
		together += int64(spare.MemoryGB) << 30
		if spare.Fits == fits {
			same++
		}
	}
	switch {
	case same >= o.Count:
		return enough, nil
	case memory.Available < spareMemory:
		return noMemory, nil
	case limited && together > cmp.Or(int64(o.MemoryGB)<<30, memory.Total/2):
		return overLimit, nil
	}
	return none, nil
}

// fitting returns the record of the template that sessions of a shape start from now, and their fingerprint.
func (r *Runner) fitting(ctx context.Context, s Shape) (instance.Record, string, error) {
	if _, err := os.Stat(r.Lima.Dir(s.Template)); state.Gone(err) {
		return instance.Record{}, "", instance.ErrNone // to lock it would make folders that may have been removed on purpose
	}
	own, lock, err := r.Find(ctx, s.Template)
	if err != nil {
		return own, "", err
	}
	lock.Unlock()
	fits, err := r.fingerprint(s, own, guest.Digest())
	return own, fits, err
}

// bootSpare boots a spare and starts the shells in it one of which is to be a session's. Then it is paused: it costs no
// processor time.
func (r *Runner) bootSpare(ctx context.Context, spare *vm, machine lima.Machine, p guest.Preparation) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fmt.Errorf("it was not ready after %v", readyTime))
	defer cancel()
	err := r.Boot(ctx, spare.name, machine, p)
	if err == nil {
		spare.waiting, err = r.Lima.Await(spare.name, guest.Await())
	}
	if err == nil {
		err = spare.waiting.Do(ctx, guest.Rehearse(lima.GuestHome))
	}
	if err == nil {
		spare.listening, err = r.Lima.Await(spare.name, guest.Listen)
	}
	if err == nil {
		spare.terminal, err = r.Lima.AwaitTerminal(ctx, spare.name, guest.AwaitTerminal())
	}
	if err == nil {
		spare.paused, err = r.Lima.Pause(ctx, spare.name)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// outlook says why a spare is to end now, if it is.
func (r *Runner) outlook(ctx context.Context, o order, name string, record instance.Record) ending {
	if _, fits, err := r.fitting(ctx, o.Shape); err != nil || fits != record.Fits {
		return useless
	}
	if record.Ready && r.Lima.Status(name) != lima.Running {
		return failed
	}
	if memory, err := r.memory(); err == nil && memory.Available < spareMemory/2 {
		return crowded
	}
	return stays
}

// maxRequest is the size in bytes of the longest request that is listened to; those of ours have some hundred.
const maxRequest = 4 << 10

// visitor is somebody at an owner's door, and what it wants.
type visitor struct {
	request
	conn *net.UnixConn
}

// listen opens a door.
func listen(path string) (asked <-chan visitor, closeDoor func(), err error) {
	door, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	visitors := make(chan visitor)
	closed := make(chan struct{})
	go func() {
		for {
			conn, err := door.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				v := visitor{conn: conn}
				if conn.SetReadDeadline(time.Now().Add(patience)) != nil || json.NewDecoder(io.LimitReader(conn, maxRequest)).Decode(&v.request) != nil {
					conn.Close()
					return
				}
				select {
				case visitors <- v:
				case <-closed:
					conn.Close()
				}
			}()
		}
	}()
	return visitors, func() {
		close(closed)
		door.Close()
	}, nil
}

// handOver wakes the VM and gives it to whoever claims it, and says whether it has arrived. Until the other side has said so, or has gone
// away, nobody can know: there is no deadline.
func (v *vm) handOver(to *net.UnixConn) (arrived bool) {
	if v.paused.Resume() != nil {
		return false
	}
	files := []int{int(v.owner.File().Fd())}
	for _, file := range slices.Concat(v.waiting.Files(), v.listening.Files(), v.terminal.Files()) {
		files = append(files, int(file.Fd()))
	}
	if to.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	if _, _, err := to.WriteMsgUnix([]byte{1}, syscall.UnixRights(files...), nil); err != nil {
		return false
	}
	if n, _ := to.Read(make([]byte, 1)); n == 0 {
		return false
	}
	v.owner.Leave()
	return true
}
