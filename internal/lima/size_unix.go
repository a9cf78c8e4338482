package lima

import (
	"io/fs"
	"syscall"
)

// allocated returns the bytes that a file takes on the disk.
func allocated(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512 // POSIX counts in these units, whatever the file system's are
	}
	return info.Size()
}
