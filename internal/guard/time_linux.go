package guard

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// changeTime returns when an inode was changed last.
func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }

// now returns a moment that no earlier change of an inode is stamped with, and that no later one is stamped before. Inodes are
// stamped by the system's clock or, unless somebody looks at them often, by one that moves in steps of some milliseconds and
// lags behind it. So it waits until the slower clock has passed the moment at which it was asked.
func now() time.Time {
	for asked := time.Now(); ; time.Sleep(step / 8) {
		if moment := stamp(); moment.After(asked) {
			return moment
		}
	}
}

// step is how far the slower clock moves at once on most systems.
const step = 4 * time.Millisecond

// stamp returns the time by that clock.
func stamp() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t) != nil {
		return time.Now()
	}
	return time.Unix(t.Unix())
}
