package guard

import (
	"syscall"
	"time"
)

// changeTime returns when an inode was changed last.
func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctimespec.Unix()) }

// now returns the time by the clock that inodes are stamped with.
func now() time.Time { return time.Now() }
