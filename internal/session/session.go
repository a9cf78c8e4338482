// Package session owns the life of a session VM: a copy of a template that boots, runs one command and is destroyed,
// whatever happens in between. It knows nothing of flags and files of configuration.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/template"
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

// leaveTime is how long Leaving may take. Whatever the guest is up to, the prompt comes back.
const leaveTime = 5 * time.Second

// Exec runs something in a session's VM.
type Exec func(context.Context, lima.Command) error

// Spec is what a session is to be.
type Spec struct {
	Project  *project.Project
	Template string

	DiskGB, MemoryGB, CPUs int // 0: as the template

	Mounts       []mount.Mount
	MountType    string // auto, 9p, virtiofs or reverse-sshfs
	ForwardAgent bool
	Ports        []lima.Port
	Sockets      []lima.Socket

	Command guest.Session
	Files   []guest.File
	Merge   []guest.File
	Steps   []string // of the preparation
	Label   string   // what runs, for people

	// Arrived is called when the VM is ready, before the command; its failure is the session's. Leaving is called after the
	// command, whatever has ended it, while the VM is still there. Both may be nil.
	Arrived func(context.Context, Exec) error
	Leaving func(context.Context, Exec)

	TTY    bool // the guest's command gets our terminal
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Runner runs sessions.
type Runner struct {
	template.Store
	UI *ui.UI
}

// Run runs a session from its beginning to its end. The code is that of the guest's command; the error says that it never
// came to that, or that the VM was lost.
func (r *Runner) Run(ctx context.Context, spec Spec) (code int, err error) {
	step := r.UI.Step("starting a VM")
	defer step.Fail()
	name, destroy, err := r.bringUp(ctx, spec, step)
	defer func() { err = errors.Join(err, destroy()) }()
	if err != nil {
		return 0, err
	}
	exec := func(ctx context.Context, c lima.Command) error { return r.Lima.Exec(ctx, name, c) }
	if spec.Arrived != nil {
		if err := spec.Arrived(ctx, exec); err != nil {
			return 0, err
		}
	}
	step.Done()

	takeBack := r.UI.Release()
	defer takeBack()
	err = r.Lima.Exec(ctx, name, lima.Command{
		Line: spec.Command.Run(spec.TTY), TTY: spec.TTY, Stdin: spec.Stdin, Stdout: spec.Stdout, Stderr: spec.Stderr,
	})
	code = proc.ExitCode(err)
	if ctx.Err() == nil && code == sshFailed && r.lost(ctx, name) {
		return 0, fmt.Errorf("%w: %s", ErrLost, name)
	}
	if spec.Leaving != nil {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
		spec.Leaving(within, exec)
		cancel()
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	if code < 0 {
		return 0, err
	}
	return code, nil
}

// sshFailed is the status of an ssh that failed itself, and of a guest command that chose the same one.
const sshFailed = 255

// lost says whether a VM cannot be reached any more.
func (r *Runner) lost(ctx context.Context, name string) bool {
	return r.Lima.Exec(ctx, name, lima.Command{Line: "true"}) != nil
}

// bringUp makes a session VM that is ready for its command. Read from top to bottom it is what happens at each start. The
// function that it returns undoes whatever was done; it is never nil.
func (r *Runner) bringUp(ctx context.Context, spec Spec, step *ui.Step) (name string, destroy func() error, err error) {
	name = template.NewName(template.Session, spec.Project.Name(), template.Random())
	destroy = func() error { return nil }

	// Whoever finds the VM without this lock knows that its owner is gone.
	owner, err := r.State.TryLock(name, state.Exclusive)
	if err != nil {
		return name, destroy, err
	}
	destroy = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
		defer cancel()
		if err := r.Lima.Delete(ctx, name); err != nil {
			owner.Unlock() // for the next command to try again
			return err
		}
		owner.Remove()
		return nil
	}

	record, machine, err := r.copyTemplate(ctx, name, spec)
	if err != nil {
		return name, destroy, err
	}

	step.Detail("booting")
	err = r.Boot(ctx, name, machine, guest.Preparation{
		Host:  hostName(spec.Project.Name()),
		Grow:  record.DiskGB > record.SystemGB,
		Files: append(spec.Files, spec.Command.Files()...),
		Merge: spec.Merge,
		Steps: spec.Steps,
	})
	if err != nil {
		return name, destroy, err
	}
	for _, socket := range spec.Sockets {
		if err := r.Lima.Lend(ctx, name, socket); err != nil {
			return name, destroy, err
		}
	}
	for _, port := range spec.Ports {
		if err := r.Lima.Publish(ctx, name, port); err != nil {
			return name, destroy, err
		}
	}
	return name, destroy, nil
}

// copyTemplate makes the stopped VM, while nobody can replace or remove the template.
func (r *Runner) copyTemplate(ctx context.Context, name string, spec Spec) (template.Record, lima.Machine, error) {
	record, lock, err := r.Find(ctx, spec.Template)
	if err != nil {
		return record, lima.Machine{}, err
	}
	defer lock.Unlock()
	r.MarkUsed(spec.Template)
	if spec.DiskGB != 0 && spec.DiskGB < record.DiskGB {
		return record, lima.Machine{}, fmt.Errorf("%w: the template's has %d GB, and %d were asked for", ErrShrink, record.DiskGB, spec.DiskGB)
	}
	for field, wanted := range map[*int]int{&record.DiskGB: spec.DiskGB, &record.MemoryGB: spec.MemoryGB, &record.CPUs: spec.CPUs} {
		if wanted != 0 {
			*field = wanted
		}
	}
	record.Kind, record.Template, record.Created = template.Session, spec.Template, time.Now().UTC()
	record.Dir, record.Command, record.PID = spec.Project.Dir, spec.Label, os.Getpid()

	machine := record.Machine()
	machine.Mounts, machine.ForwardAgent = spec.Mounts, spec.ForwardAgent
	machine.MountType = record.ShareType(spec.MountType)
	return record, machine, r.Copy(ctx, spec.Template, name, machine, record)
}

// hostName is what the prompt in the guest shows: that this is not the host, and which project it is.
func hostName(project string) string { return "vm-" + project }
