package lima

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"syscall"

	"github.com/themouette/claude-vm/internal/proc"
)

// Paused is an instance that does nothing: its QEMU is stopped as a job is in a shell, and so is the connection that all
// commands share, which would take the silence for the VM's end. When it goes on the guest's clock is right: to the guest that
// was one long moment. Apple's framework runs VMs in limactl itself; there nothing is stopped.
type Paused []int

// masterPID is what ssh says of the connection that all commands share.
var masterPID = regexp.MustCompile(`pid=(\d+)`)

// Pause stops a running instance.
func (c *Client) Pause(ctx context.Context, name string) (Paused, error) {
	qemu := c.process(name, "qemu.pid")
	if qemu == 0 {
		return nil, nil
	}
	p := Paused{qemu}
	said := proc.Limited{Most: 1 << 10}
	check := c.ssh(name, "-O", "check")
	check.Stderr = &said
	if err := proc.Run(ctx, check); err != nil {
		return nil, err
	}
	if found := masterPID.FindStringSubmatch(said.String()); found != nil {
		if master, err := strconv.Atoi(found[1]); err == nil && c.worksFor(master, name) {
			p = append(p, master)
		}
	}
	return p, p.signal(syscall.SIGSTOP)
}

// Resume has the instance go on.
func (p Paused) Resume() error { return p.signal(syscall.SIGCONT) }

func (p Paused) signal(s syscall.Signal) error {
	var errs []error
	for _, pid := range p {
		errs = append(errs, syscall.Kill(pid, s))
	}
	return errors.Join(errs...)
}
