package guard

import (
	"syscall"
	"time"
)

// changeTime returns when an inode was changed last.
func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }
