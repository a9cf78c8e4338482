package session

import (
	"context"
)

// Attachment is something that lives beside a session. Its methods are called in the order in which
// they stand here. Embed Nop, and write those that you need.
type Attachment interface {
	// Before is called while there is no VM yet. It may add to what the session is to be, or refuse
	// it.
	Before(context.Context, *Spec) error
	// Named is told the name of each VM that may become the session's, before anything of the
	// session's runs in it. Its failure is the session's.
	Named(vm string) error
	// Ready is called when the VM is up and its command has not begun. Its failure is the
	// session's. The context ends with the session.
	Ready(context.Context, Guest) error
	// Leaving is called when the command is over, whatever has ended it, while the VM can still be
	// asked. All Leavings together have little time. It is not called if the VM is lost.
	Leaving(context.Context, Guest)
	// After is called when the VM is gone and the terminal is the user's again, if Before has
	// succeeded: whatever has happened since, and in reverse order. The context does not end by
	// itself.
	After(context.Context, Outcome)
}

// Guest is a session's VM, for what lives beside the session.
type Guest struct {
	Exec Exec
	Ask  Ask
}

// Outcome is how a session has ended.
type Outcome struct {
	Code  int   // of the guest's command
	Err   error // it never came to that, or the VM was lost
	Began bool  // its command could begin

	Refused []string // the places of this computer and its network that the VM has looked for and was kept from
}

// Nop is an attachment that does nothing.
type Nop struct{}

// Before does nothing.
func (Nop) Before(context.Context, *Spec) error { return nil }

// Named does nothing.
func (Nop) Named(string) error { return nil }

// Ready does nothing.
func (Nop) Ready(context.Context, Guest) error { return nil }

// Leaving does nothing.
func (Nop) Leaving(context.Context, Guest) {}

// After does nothing.
func (Nop) After(context.Context, Outcome) {}

// Clock keeps the guest's clock right while the session lives.
type Clock struct{ Nop }

// Ready begins to look at the clock.
func (Clock) Ready(ctx context.Context, g Guest) error {
	go keepTime(ctx, g.Exec, hostSlip())
	return nil
}

// DiskWatch tells when the host's disk is full and the VM stands still.
type DiskWatch struct {
	Nop
	Runner Runner
	vm     string
}

// Named notes which VM it is.
func (d *DiskWatch) Named(vm string) error {
	d.vm = vm
	return nil
}

// Ready begins to look at the disk.
func (d *DiskWatch) Ready(ctx context.Context, _ Guest) error {
	go d.Runner.Tend(ctx, d.Runner.UI, d.vm)
	return nil
}

// NextVM has a spare made for the next session of the same shape. That it cannot be made is no
// failure of this session.
type NextVM struct {
	Nop
	Runner Runner
	shape  Shape
	done   chan struct{}
}

// Before notes the shape of the session.
func (n *NextVM) Before(_ context.Context, spec *Spec) error {
	n.shape = spec.Shape
	return nil
}

// Ready begins to prepare the next VM, beside the session.
func (n *NextVM) Ready(context.Context, Guest) error {
	n.done = make(chan struct{})
	go func() {
		defer close(n.done)
		_ = n.Runner.PrepareNext(n.shape)
	}()
	return nil
}

// After returns when the keeper of the next VM knows what it is to do.
func (n *NextVM) After(context.Context, Outcome) {
	if n.done != nil {
		<-n.done
	}
}

// attachments are all that live beside one session.
type attachments []Attachment

func (all attachments) named(vm string) error {
	for _, a := range all {
		if err := a.Named(vm); err != nil {
			return err
		}
	}
	return nil
}

func (all attachments) ready(ctx context.Context, g Guest) error {
	for _, a := range all {
		if err := a.Ready(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (all attachments) leaving(ctx context.Context, exec Exec, vm *vm) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	for _, a := range all {
		a.Leaving(ctx, Guest{exec, vm.ask(exec)})
	}
}
