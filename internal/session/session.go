// Package session owns the life of a session VM: a copy of a template that boots, runs one command and is destroyed,
// whatever happens in between. It knows nothing of flags and files of configuration.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// undoTime is how long the destruction of a VM may take, whatever has ended the session.
const undoTime = 30 * time.Second

var (
	// ErrShrink means that a session asked for a smaller disk than its template's.
	ErrShrink = errors.New("a disk can only grow")
	// ErrLost means that the VM went away under its command.
	ErrLost = errors.New("the connection to the VM was lost")
)

// leaveTime is how long all Leavings may take, and a VM to answer. Whatever the guest is up to, the prompt comes back.
const leaveTime = 5 * time.Second

// Exec runs something in a session's VM.
type Exec func(context.Context, lima.Command) error

// Ask has a session's VM run a script, and writes what that prints.
type Ask func(ctx context.Context, script string, out io.Writer) error

// Ask is the Ask that begins with the question.
func (e Exec) Ask(ctx context.Context, script string, out io.Writer) error {
	return e(ctx, lima.Command{Line: guest.Listen, Stdin: strings.NewReader(guest.Tell(script)), Stdout: out})
}

// Shape is what a session's VM is, before it matters what runs in it.
type Shape struct {
	Project  *project.Project
	Template string

	DiskGB, MemoryGB, CPUs int // 0: as the template

	Mounts    []mount.Mount
	MountType string // auto, 9p, virtiofs or reverse-sshfs
}

// Spec is what a session is to be.
type Spec struct {
	Shape
	Ports   []lima.Port
	Sockets []lima.Socket

	Command guest.Session
	Files   []guest.File
	Merge   []guest.File
	Steps   []string // of the preparation
	Label   string   // what runs, for people

	Listen bool // something lives beside the session that asks the guest when its command is over

	TTY    bool // the guest's command gets our terminal
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Runner runs sessions.
type Runner struct {
	instance.Store
	UI      *ui.UI
	Standby Standby // what is kept ready for the next session

	Memory func() (host.Memory, error) // nil: host.ReadMemory
}

// Run runs a session from its beginning to its end, with what lives beside it. The code is that of the guest's command; the
// error says that it never came to that, or that the VM was lost.
func (r *Runner) Run(ctx context.Context, spec Spec, beside ...Attachment) (code int, err error) {
	var o Outcome
	for _, a := range beside {
		if err := a.Before(ctx, &spec); err != nil {
			o.Err = err
			return 0, err
		}
		defer func() { a.After(context.WithoutCancel(ctx), o) }()
	}
	o.Err = r.runVM(ctx, spec, beside, &o)
	return o.Code, o.Err
}

// runVM is the session as long as there is something of its VM.
func (r *Runner) runVM(ctx context.Context, spec Spec, beside attachments, o *Outcome) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() {
		if errors.Is(context.Cause(ctx), ErrStopped) && !errors.Is(err, ErrStopped) {
			err = errors.Join(ErrStopped, err) // it fails in many ways
		}
	}()
	step := r.UI.Step("starting a VM")
	defer step.Fail()
	vm, err := r.bringUp(ctx, spec, beside, step, stop)
	if vm != nil {
		defer func() {
			o.Refused = r.Lima.Refused(vm.name)
			err = errors.Join(err, vm.destroy(ctx))
		}()
	}
	r.sayScripts(spec.Command.Scripts, err)
	if err != nil {
		return err
	}
	exec := Exec(func(ctx context.Context, c lima.Command) error { return r.Lima.Exec(ctx, vm.name, c) })
	if err := beside.ready(ctx, Guest{exec, exec.Ask}); err != nil {
		return err
	}
	step.Done()
	o.Began = true
	o.Code, err = r.command(ctx, spec, beside, vm, exec)
	return err
}

// command runs the session's command in its VM.
func (r *Runner) command(ctx context.Context, spec Spec, beside attachments, vm *vm, exec Exec) (code int, err error) {
	takeBack := r.UI.Release()
	defer takeBack()
	if spec.TTY {
		defer r.UI.Untangle(spec.Stdout) // what is said next is not to be lost on another screen
	}
	err = vm.run(ctx, spec)
	code = proc.ExitCode(err)
	cut := r.cut(ctx, vm.name, spec.TTY, err)
	if !(cut && r.lost(ctx, vm.name)) {
		beside.leaving(ctx, exec, vm)
	}
	switch {
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case cut:
		return 0, fmt.Errorf("%w: %s", ErrLost, vm.name)
	case code < 0:
		return 0, err
	}
	return code, nil
}

// sayScripts tells who wants to know it which scripts have been brought into the VM.
func (r *Runner) sayScripts(scripts []guest.Script, err error) {
	mark := "✓"
	if err != nil {
		mark = "✗"
	}
	log := r.UI.Verbose()
	defer log.Close()
	for _, script := range scripts {
		fmt.Fprintf(log, "%s script %s\n", mark, script.Name)
	}
}

// sshFailed is the status of an ssh that failed itself, and of a guest command that chose the same one.
const sshFailed = 255

// cut says whether it was the connection that has ended, and not the session's command.
func (r *Runner) cut(ctx context.Context, name string, tty bool, err error) bool {
	if failure, ok := errors.AsType[*proc.Error](err); ok && failure.Killed {
		select {
		case <-ctx.Done(): // whoever has ended ssh meant us as well, as a terminal does that goes away
		case <-time.After(patience):
		}
		return ctx.Err() == nil
	}
	if ctx.Err() != nil || proc.ExitCode(err) != sshFailed {
		return false
	}
	within, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	if !tty {
		return r.Lima.Exec(within, name, lima.Command{Line: guest.Chosen}) != nil
	}
	return !r.Lima.Holds(within, name) || r.lost(ctx, name)
}

// lost says whether a VM cannot be reached any more.
func (r *Runner) lost(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	return r.Lima.Exec(ctx, name, lima.Command{Line: "true"}) != nil
}

// bringUp makes a session VM that is ready for its command. Read from top to bottom it is what happens at each start. The VM
// that it returns is to be destroyed. There can be one with an error, too.
func (r *Runner) bringUp(
	ctx context.Context, spec Spec, beside attachments, step *ui.Step, stop context.CancelCauseFunc,
) (*vm, error) {
	vm, err := r.claim(ctx, spec, beside, stop)
	if vm == nil && err == nil {
		vm, err = r.start(ctx, spec, beside, step, stop)
	}
	if err != nil {
		return vm, err
	}
	for _, socket := range spec.Sockets {
		if err := r.Lima.Lend(ctx, vm.name, socket); err != nil {
			return vm, err
		}
	}
	if spec.Listen && vm.listening == nil {
		vm.listening, _ = r.Lima.Await(vm.name, guest.Listen) // beside the command, so that the prompt does not wait for it
	}
	for _, port := range spec.Ports {
		if err := r.Lima.Publish(ctx, vm.name, port); err != nil {
			return vm, err
		}
	}
	return vm, nil
}

// start boots a new VM.
func (r *Runner) start(
	ctx context.Context, spec Spec, beside attachments, step *ui.Step, stop context.CancelCauseFunc,
) (*vm, error) {
	vm, err := r.own(ctx, instance.NewName(instance.Session, spec.Project.Name(), instance.Random()))
	if err != nil {
		return vm, err
	}
	if err := beside.named(vm.name); err != nil {
		return vm, err
	}
	if !r.Lima.Clones() {
		step.Detail("copying the whole disk, which its file system cannot clone")
	}
	record, machine, err := r.copyTemplate(ctx, vm.name, instance.Session, spec.Shape, spec.Label)
	if err != nil {
		return vm, err
	}
	if err := vm.openDoor(stop); err != nil {
		return vm, err
	}
	step.Detail("booting")
	p := preparation(spec.Shape, record)
	p.Outfit = outfit(spec)
	return vm, r.Boot(ctx, vm.name, machine, p)
}

// vm is the VM of a session or a spare, and what makes it ours.
type vm struct {
	r     *Runner
	name  string
	owner *state.Lock
	gone  func() // tells whoever has asked for the VM's end; nil: nobody can

	// The shells that wait in a VM that is or was a spare. The first makes it ready, and then itself or the other one becomes
	// the session.
	waiting  *lima.Waiting
	terminal *lima.Terminal
	paused   lima.Paused // while it is a spare

	// At a spare's door.
	visitors  <-chan visitor
	closeDoor func()

	listening *lima.Waiting // the shell for what is asked at the end; nil: one is started then
}

// own makes the name of a VM ours. Whoever finds the VM without this lock knows that its owner is gone.
func (r *Runner) own(ctx context.Context, name string) (*vm, error) {
	owner, err := r.State.Lock(ctx, name, state.Exclusive) // somebody may just be looking whose it is
	return &vm{r: r, name: name, owner: owner}, err
}

// destroy ends and removes the VM, whatever it is doing, or what there is of it.
func (v *vm) destroy(ctx context.Context) error {
	if v.owner == nil {
		return nil
	}
	if v.gone != nil {
		defer v.gone()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := v.r.Lima.Delete(ctx, v.name); err != nil {
		v.owner.Unlock() // for the next command to try again
		return err
	}
	v.owner.Remove()
	return nil
}

// run runs the session's command.
func (v *vm) run(ctx context.Context, spec Spec) error {
	command := lima.Command{TTY: spec.TTY, Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr}
	if v.waiting != nil && spec.TTY {
		begin := guest.BeginOnTerminal(spec.Command.Mode, v.r.terminalKind())
		return v.terminal.Run(ctx, func() error { return v.waiting.Do(ctx, begin) }, command)
	}
	if v.waiting != nil {
		return v.waiting.Run(ctx, guest.Begin(), command)
	}
	command.Line = spec.Command.Run(spec.TTY)
	return v.r.Lima.Exec(ctx, v.name, command)
}

// ask asks through the shell that waits in the VM for that, if there is one.
func (v *vm) ask(exec Exec) Ask {
	return func(ctx context.Context, script string, out io.Writer) error {
		if v.listening != nil && v.listening.Run(ctx, guest.Tell(script), lima.Command{Stdout: out}) == nil {
			return nil
		}
		return exec.Ask(ctx, script, out) // the session may have ended all shells that it has found
	}
}

// terminalKind is what a command on the user's terminal has to know of it, as ssh and Lima pass it on.
func (r *Runner) terminalKind() []string {
	kind := []string{"TERM=" + proc.Getenv(r.Lima.Env, "TERM")}
	if colors := proc.Getenv(r.Lima.Env, "COLORTERM"); colors != "" {
		kind = append(kind, "COLORTERM="+colors)
	}
	return kind
}

// preparation is what the VM of a session needs after its boot, whatever runs in it.
func preparation(s Shape, record instance.Record) guest.Preparation {
	return guest.Preparation{
		Host: hostName(s.Project.Name()), Grow: record.DiskGB > record.SystemGB, Outfit: guest.Outfit{Elsewhere: elsewhere(s.Mounts)},
	}
}

// copyTemplate makes the stopped VM, while nobody can replace or remove the template.
func (r *Runner) copyTemplate(ctx context.Context, name string, kind instance.Kind, s Shape, label string) (instance.Record, lima.Machine, error) {
	record, lock, err := r.Find(ctx, s.Template)
	if err != nil {
		return record, lima.Machine{}, err
	}
	defer lock.Unlock()
	r.MarkUsed(s.Template)
	if record.Fits, err = r.fingerprint(s, record, guest.Digest()); err != nil {
		return record, lima.Machine{}, err
	}
	if s.DiskGB != 0 && s.DiskGB < record.DiskGB {
		return record, lima.Machine{}, fmt.Errorf("%w: the template's has %d GB, and %d were asked for", ErrShrink, record.DiskGB, s.DiskGB)
	}
	record.DiskGB = cmp.Or(s.DiskGB, record.DiskGB)
	record.MemoryGB = cmp.Or(s.MemoryGB, record.MemoryGB)
	record.CPUs = cmp.Or(s.CPUs, record.CPUs)
	record.Kind, record.Template, record.Created = kind, s.Template, time.Now().UTC()
	record.Dir, record.Command, record.PID = s.Project.Dir, label, os.Getpid()

	machine := record.Machine()
	machine.Mounts = s.Mounts
	if len(s.Mounts) > 0 {
		if machine.MountType, err = record.ShareType(s.MountType); err != nil {
			return record, machine, err
		}
	}
	return record, machine, r.Copy(ctx, s.Template, name, machine, record)
}

// hostName is what the prompt in the guest shows: that this is not the host, and which project it is.
func hostName(project string) string { return "vm-" + project }
