package host

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FreeSpace returns the bytes that we may still write in a folder, or in what will be its parent.
func FreeSpace(dir string) (int64, error) {
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(dir, &fs)
		if err == nil {
			return int64(fs.Bavail) * int64(fs.Bsize), nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return 0, err
	}
}
