package lima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxCommandLine is how much of a command line is read, in bytes; QEMU's has some five thousand.
const maxCommandLine = 1 << 14

// execTime is how long a process can take to become another program.
const execTime = 500 * time.Millisecond

// commandLine returns the arguments of a process, nothing if it is gone or nobody may know. It is asked of every process of the
// host at the end of each session, and so does without what os does for files that one waits for.
func commandLine(pid int) []string {
	dir := "/proc/" + strconv.Itoa(pid)
	for begun := time.Now(); time.Since(begun) < execTime; time.Sleep(time.Millisecond) {
		fd, err := unix.Open(dir+"/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil
		}
		var text [maxCommandLine]byte
		n, err := unix.Read(fd, text[:])
		unix.Close(fd)
		if err == nil && n > 0 {
			return strings.Split(strings.TrimSuffix(string(text[:n]), "\x00"), "\x00")
		}
		// One that is becoming another program has none for a moment. A thread of the kernel, and one that has ended, have no
		// program either.
		if _, failed := os.Readlink(dir + "/exe"); err != nil || failed != nil {
			return nil
		}
	}
	return nil
}

// kill ends a process that works for an instance, and returns when the kernel says that all of its threads have ended. A
// command line is gone before that: the thread of a QEMU that was killed can still finish a write.
func (c *Client) kill(ctx context.Context, pid int, name string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // an old kernel, or a container that forbids it
		return c.killByID(ctx, pid, name)
	case err != nil:
		return fmt.Errorf("ending the process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if !c.worksFor(pid, name) {
		return nil // the id may be that of another process by now
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ending the process %d: %w", pid, err)
	}
	for ctx.Err() == nil {
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(poll.Milliseconds()))
		if ended > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("waiting for the end of the process %d: %w", pid, err)
		}
	}
	return fmt.Errorf("waiting for the end of the process %d: %w", pid, context.Cause(ctx))
}

// parent returns the process that a process was started by, or 0.
func parent(pid int) (id int) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	rest := string(text[strings.LastIndexByte(string(text), ')')+1:]) // the name before it can hold anything
	var state string
	_, _ = fmt.Sscan(rest, &state, &id)
	return id
}

// Clones says whether copies of an instance share its disk until one of them writes to it: QEMU's stand on each other.
func (c *Client) Clones() bool { return true }

// exchange swaps the names of two folders in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
