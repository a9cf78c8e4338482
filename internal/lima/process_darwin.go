package lima

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// commandLine returns the arguments of a process, nothing if it is gone or nobody may know. The kernel's answer is their
// number, the path of the program, some NULs, and then they.
func commandLine(pid int) []string {
	answer, err := unix.SysctlRaw("kern.procargs2", pid)
	if err != nil || len(answer) < 4 {
		return nil
	}
	count := binary.LittleEndian.Uint32(answer)
	_, rest, _ := bytes.Cut(answer[4:], []byte{0})
	argv := strings.Split(string(bytes.TrimLeft(rest, "\x00")), "\x00")
	return argv[:min(len(argv), int(count))]
}

// kill ends a process that works for an instance, and returns when it has ended.
func (c *Client) kill(ctx context.Context, pid int, name string) error {
	return c.killByID(ctx, pid, name)
}

// parent is not known here: nothing that matters is found by it.
func parent(int) int { return 0 }

// Clones says whether copies of an instance share its disk until one of them writes to it: APFS can do that, a disk with another
// file system cannot.
func (c *Client) Clones() bool {
	var fs unix.Statfs_t
	return unix.Statfs(c.Home, &fs) != nil || unix.ByteSliceToString(fs.Fstypename[:]) == "apfs"
}

// exchange swaps the names of two folders in one step.
func exchange(a, b string) error { return unix.RenamexNp(a, b, unix.RENAME_SWAP) }
