package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/state"
)

// A spare is a session VM that has booted before anybody needs it. A process of its own, the keeper, owns it until a start
// claims it over the keeper's socket: the keeper hands over the lock that says who owns the VM, and the shell that waits in
// it, as open files. The lock is free at no time in between, and whoever of the two dies, the kernel lets go of what it held.

// Standby says what is kept ready.
type Standby struct {
	Count    int           // spares of each kind; 0: none
	TTL      time.Duration // how long one waits
	MemoryGB int           // what all spares together may have, in GiB; 0: half of the host's, or one
	// Spawn starts a keeper, a process that outlives this one and passes what it reads to Keep.
	Spawn func(order []byte) error
}

// request is what is asked of the owner of a VM. Its answer is one byte with the files, or the end of the connection.
type request struct {
	Discard bool   `json:"discard,omitempty"` // the end of the connection means that the VM is gone
	Claim   string `json:"claim,omitempty"`   // the fingerprint of the session that wants it
}

// How long a keeper may take to answer a claim, and its spare to be made ready. A cold start is the alternative.
const (
	patience  = time.Second
	equipTime = 10 * time.Second
)

// spareDoor is where a spare's keeper listens.
func (r *Runner) spareDoor(name string) string { return filepath.Join(r.Lima.Dir(name), "spare.sock") }

// fingerprint names all that a spare has in common with the sessions that can use it, with the digest of the guest's scripts.
func (r *Runner) fingerprint(s Shape, of instance.Record, scripts string) (string, error) {
	inputs := struct {
		Template instance.Record
		Shape    Shape
		Mounts   []string
		Accel    lima.Accel
		Reach    []string
		Scripts  string
	}{Template: of, Shape: s, Accel: r.Lima.Accel, Reach: r.Lima.Wall.Rules, Scripts: scripts}
	for _, m := range s.Mounts {
		info, err := os.Stat(m.Host)
		if err != nil {
			return "", err
		}
		mounted := fmt.Sprintf("%q %q", m.Host, m.Guest) // JSON does not tell all names apart
		if id, ok := info.Sys().(*syscall.Stat_t); ok {
			mounted += fmt.Sprint(" ", id.Dev, " ", id.Ino) // nor is the spare's folder one that has taken its name since
		}
		inputs.Mounts = append(inputs.Mounts, mounted)
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// claim returns a spare that fits, made ready for the session's command, or nil if there is none.
func (r *Runner) claim(
	ctx context.Context, spec Spec, beside attachments, stop context.CancelCauseFunc,
) (*vm, error) {
	if r.Standby.Count == 0 {
		return nil, nil
	}
	spares, err := r.fittingSpares(ctx, spec.Shape)
	if err != nil {
		return nil, err
	}
	for _, spare := range spares {
		vm, err := r.takeOver(spare.Name, spare.Fits)
		if err != nil {
			continue // somebody was faster
		}
		if err = beside.named(vm.name); err == nil {
			err = vm.equip(ctx, spare.Record, spec, stop)
		}
		if err == nil || ctx.Err() != nil {
			r.MarkUsed(spec.Template)
			return vm, err
		}
		r.UI.Warn("a VM that waited was of no use: %v", err)
		_ = vm.destroy(ctx)
		break // what has kept this one from reacting may keep others, and a boot is sooner done than a second wait
	}
	return nil, nil
}

// equip makes the VM that was a spare the session's, all but its command.
func (v *vm) equip(ctx context.Context, record instance.Record, spec Spec, stop context.CancelCauseFunc) error {
	ctx, cancel := context.WithTimeoutCause(ctx, equipTime, fmt.Errorf("it did not react for %v", equipTime))
	defer cancel()
	record.Kind, record.Created, record.Command, record.PID = instance.Session, time.Now().UTC(), spec.Label, os.Getpid()
	if err := instance.WriteRecord(v.r.Lima, v.name, record); err != nil {
		return err
	}
	if err := v.openDoor(stop); err != nil {
		return err
	}
	err := v.waiting.Do(ctx, guest.Equip(outfit(spec), time.Now()))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// ErrNoRoom means that no spare can be made.
var ErrNoRoom = errors.New("there is no room for a VM that waits")

// Waiting says whether a spare is ready for sessions of a shape. It returns ErrNoRoom if none is there and none will come.
func (r *Runner) Waiting(ctx context.Context, s Shape) (bool, error) {
	spares, err := r.fittingSpares(ctx, s)
	if err != nil || len(spares) > 0 {
		return err == nil, err
	}
	turn, err := r.State.Lock(ctx, admission, state.Exclusive) // one that is just being copied does not say yet what it is
	if err != nil {
		return false, err
	}
	defer turn.Unlock()
	reason, err := r.unwanted(ctx, order{Shape: s, Count: r.Standby.Count, MemoryGB: r.Standby.MemoryGB})
	if err == nil && reason.lasts() {
		err = fmt.Errorf("%w: %v", ErrNoRoom, reason)
	}
	return false, err
}

// fittingSpares returns the spares that are ready for sessions of a shape.
func (r *Runner) fittingSpares(ctx context.Context, s Shape) ([]instance.Entry, error) {
	_, fits, err := r.fitting(ctx, s)
	if err != nil {
		return nil, err
	}
	spares, err := r.List(instance.Spare)
	return slices.DeleteFunc(spares, func(e instance.Entry) bool { return e.Fits != fits || !e.Ready }), err
}

// outfit is what a VM gets for one session.
func outfit(spec Spec) guest.Outfit {
	return guest.Outfit{Files: slices.Concat(spec.Files, spec.Command.Files()), Merge: spec.Merge, Steps: spec.Steps, Elsewhere: elsewhere(spec.Mounts)}
}

// takeOver gets a spare from its keeper.
func (r *Runner) takeOver(name, fits string) (*vm, error) {
	conn, err := ask(r.spareDoor(name), request{Claim: fits})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	fds, err := receiveFiles(conn)
	if err != nil {
		return nil, err
	}
	if len(fds) == 0 {
		return nil, errors.New("the keeper has handed over nothing")
	}
	v := &vm{r: r, name: name, owner: r.State.Adopt(name, fds[0])}
	var rest []int
	if v.waiting, rest, err = lima.AdoptWaiting(fds[1:]); err == nil {
		v.listening, rest, err = lima.AdoptWaiting(rest)
	}
	if err == nil {
		v.terminal, err = lima.AdoptTerminal(rest)
	}
	if err == nil {
		_, err = conn.Write([]byte{1}) // from here on it is ours alone
	}
	if err != nil {
		v.owner.Leave() // the keeper destroys it
		return nil, err
	}
	return v, nil
}

// ask knocks at a door and says what is wanted.
func ask(door string, what request) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: door, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(conn).Encode(what); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// receiveFiles reads the answer to a claim.
func receiveFiles(conn *net.UnixConn) ([]int, error) {
	var answer [1]byte
	rights := make([]byte, syscall.CmsgSpace(16*4))
	_, n, _, _, err := conn.ReadMsgUnix(answer[:], rights)
	if err != nil {
		return nil, err
	}
	messages, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("a spare's keeper refuses"), err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return fds, err
}

// Discard ends the spares of some templates, and returns when they are gone.
func (r *Runner) Discard(ctx context.Context, of func(templateName string) bool) error {
	ctx, cancel := context.WithTimeout(ctx, undoTime)
	defer cancel()
	turn, err := r.State.Lock(ctx, admission, state.Exclusive) // whoever is just beginning one has a door afterwards
	if err != nil {
		return err
	}
	spares, err := r.List(instance.Spare)
	turn.Unlock()
	if err != nil {
		return err
	}
	var asked sync.WaitGroup
	for _, spare := range spares {
		if !of(spare.Template) {
			continue
		}
		asked.Go(func() {
			conn, err := ask(r.spareDoor(spare.Name), request{Discard: true})
			if err != nil {
				return // nobody keeps it: whoever sweeps finds it
			}
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			_, _ = conn.Read(make([]byte, 1))
		})
	}
	asked.Wait()
	return nil
}
