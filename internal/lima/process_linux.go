package lima

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// commandLine returns the arguments of a process, nothing if it is gone or nobody may know.
func commandLine(pid int) []string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// exchange swaps the names of two folders in one step.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
