package lima

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCommandLine is how much of a command line is read, in bytes; QEMU's has some five thousand.
const maxCommandLine = 1 << 14

// commandLine returns the arguments of a process, nothing if it is gone or nobody may know. It is asked of every process of the
// host at the end of each session, and so does without what os does for files that one waits for.
func commandLine(pid int) []string {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var text [maxCommandLine]byte
	n, err := unix.Read(fd, text[:])
	if err != nil || n == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text[:n]), "\x00"), "\x00")
}

// Clones says whether copies of an instance share its disk until one of them writes to it: QEMU's stand on each other.
func (c *Client) Clones() bool { return true }

// exchange swaps the names of two folders in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
