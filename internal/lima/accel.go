package lima

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/proc"
)

// Accel is what runs the guest's instructions: "kvm", "hvf" (both the processor itself) or "tcg" (software, slow).
type Accel string

// The accelerators.
const (
	KVM Accel = "kvm"
	HVF Accel = "hvf"
	TCG Accel = "tcg"
)

// qemuBinary is the QEMU for guests of this host's architecture.
func qemuBinary() string { return "qemu-system-" + Arch() }

// CheckQEMU says whether QEMU is there, on hosts that need it.
func (c *Client) CheckQEMU() error {
	if Driver(runtime.GOOS) != "qemu" {
		return nil
	}
	for _, program := range []string{qemuBinary(), "qemu-img"} {
		if _, err := proc.Find(c.Env, program); err != nil {
			return fmt.Errorf("%w: there is no %s on PATH", ErrNoQEMU, program)
		}
	}
	return nil
}

// QEMUVersion returns the version that QEMU states.
func (c *Client) QEMUVersion(ctx context.Context) (string, error) {
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{qemuBinary(), "--version"}, Env: c.Env})
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimPrefix(line, "QEMU emulator version "), nil
}

// ProbeAccel finds out which accelerator really works. That /dev/kvm exists says little: inside another VM QEMU may die
// at once on it. So QEMU is started with it, without a guest, and told to quit. The reason is why a faster one was
// passed over; it is empty when there was none to pass over.
func (c *Client) ProbeAccel(ctx context.Context) (accel Accel, reason string) {
	switch runtime.GOOS {
	case "darwin":
		return HVF, ""
	case "linux":
	default:
		return TCG, "this system has no accelerator that we know"
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return TCG, "there is no /dev/kvm"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := proc.Run(ctx, proc.Cmd{
		Argv:  []string{qemuBinary(), "-machine", kvmMachine(), "-cpu", "host", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio"},
		Env:   c.Env,
		Stdin: strings.NewReader("quit\n"),
	})
	if err != nil {
		return TCG, "/dev/kvm does not work: " + firstLine(err)
	}
	return KVM, ""
}

func kvmMachine() string {
	if Arch() == "aarch64" {
		return "virt,accel=kvm"
	}
	return "q35,accel=kvm"
}

// firstLine is the shortest telling part of a failure of QEMU: its own first line, without its name.
func firstLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for _, line := range lines[1:] {
		if line = strings.TrimSpace(line); line != "" {
			return strings.TrimPrefix(strings.TrimPrefix(line, qemuBinary()+": "), "error: ")
		}
	}
	return lines[0]
}

// args make QEMU use the accelerator. Lima takes KVM whenever /dev/kvm exists, unless QEMU's arguments say otherwise. Several virtual processors on several host threads are not safe without hardware help: a guest kernel that
// patches its own code while another processor runs it has been seen to panic. So all run on one thread.
func (a Accel) args() []string {
	if a != TCG || runtime.GOOS != "linux" {
		return nil
	}
	machine := "q35,vmport=off"
	if Arch() == "aarch64" {
		machine = "virt"
	}
	return []string{"-machine", machine, "-accel", "tcg,thread=single,tb-size=512", "-cpu", "max"}
}

// DefaultCPUs returns how many processors a guest gets when nobody says: four, at most the host's. Without an accelerator
// one, since more of them would take turns on the same host thread.
func (a Accel) DefaultCPUs() int {
	if a == TCG {
		return 1
	}
	return min(4, runtime.NumCPU())
}
