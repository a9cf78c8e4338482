package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/ui"
)

// bootTime is how long a lean boot may take; without hardware help it takes some twenty seconds on
// an idle host.
const bootTime = 5 * time.Minute

// Boot starts a copy of a sealed instance and makes it ready to be used: its shared folders are
// mounted and its files are written. It completes the preparation by what the machine says.
func (s *Store) Boot(ctx context.Context, name string, machine lima.Machine, p guest.Preparation) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootTime, fmt.Errorf("nothing was heard of it for %v", bootTime))
	defer cancel()
	booting, err := s.Lima.StartLean(ctx, name)
	if err != nil {
		return err
	}
	if err := booting.AwaitSSH(ctx, guest.Ready); err != nil {
		return err
	}
	if p.BootID, err = s.Lima.BootID(name); err != nil {
		return err
	}
	p.FS = machine.MountType
	for _, m := range machine.Mounts {
		p.Mounts = append(p.Mounts, guest.Mount{
			Tag: lima.MountTag(s.Lima.Share(name, m)), Point: m.Guest, Options: lima.MountOptions(machine.MountType, m),
		})
	}
	script := strings.NewReader(guest.Tell(guest.Prepare(p)))
	if err := s.Lima.Exec(ctx, name, lima.Command{Line: guest.Listen, Stdin: script}); err != nil {
		return fmt.Errorf("preparing the VM: %w", err)
	}
	return nil
}

// ErrNoShare means that host and guest have no kind of shared folder in common.
var ErrNoShare = errors.New("no way to share folders and nothing else")

// ShareType decides how folders are shared: as asked, or the fastest that host and guest both have.
// Reverse-sshfs has to be asked for: the guest speaks to an sftp server that hands out all that its
// user may open.
func (r Record) ShareType(asked string) (string, error) {
	switch {
	case asked != "auto":
		return asked, nil
	case lima.AppleVirtiofs():
		return "virtiofs", nil
	case slices.Contains(r.Shares, "9p"):
		return "9p", nil
	}
	known := cmp.Or(strings.Join(r.Shares, ", "), "none")
	return "", fmt.Errorf("this host has 9p, and of 9p and virtiofs the guest's kernel knows %s: %w", known, ErrNoShare)
}

// Tend looks after a VM that runs, and tells when it stands still.
func (s *Store) Tend(ctx context.Context, to *ui.UI, name string) {
	s.Lima.Tend(ctx, name, func(stands bool) {
		if stands {
			to.Urgent("the disk of this computer is full, and the VM stands still until there is room in %s",
				s.Lima.Home)
		} else {
			to.Urgent("there is room on the disk again, and the VM goes on")
		}
	})
}
