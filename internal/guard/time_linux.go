package guard

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// changeTime returns when an inode was changed last.
func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }

// now returns the time by the clock that inodes are stamped with. It moves in steps of some milliseconds: what is changed after
// a moment of the finer clock can bear a stamp from before it.
func now() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &t) != nil {
		return time.Now()
	}
	return time.Unix(t.Unix())
}
