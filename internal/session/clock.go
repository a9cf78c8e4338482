package session

import (
	"context"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
)

const (
	clockTick = 10 * time.Second // how long the guest's clock may be wrong
	clockSlip = 2 * time.Second  // no clock that is kept right is set by more than this at once
)

// keepTime sets the guest's clock each time the host's has moved on without it: the host has slept, or somebody has set the clock.
// There is no agent in the guest that would do it. It returns when the context ends.
func keepTime(ctx context.Context, exec Exec, slip func() time.Duration) {
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	for known := slip(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := slip()
		if (now-known).Abs() > clockSlip && exec.Ask(ctx, guest.SetClock(time.Now()), nil) == nil {
			known = now
		}
	}
}

// hostSlip returns how much further the host's clock has moved than the one that times the work of programs, which stands still
// while the host sleeps.
func hostSlip() (slip func() time.Duration) {
	begin := time.Now()
	return func() time.Duration { return time.Since(begin.Round(0)) - time.Since(begin) }
}
