package host

import "golang.org/x/sys/unix"

// ReadMemory asks the kernel. What it calls the level of memory status is the percentage that the
// command memory_pressure shows as free: what is unused, and what can be thrown away.
func ReadMemory() (m Memory, err error) {
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return m, err
	}
	percent, err := unix.SysctlUint32("kern.memorystatus_level")
	if err != nil {
		return m, err
	}
	return Memory{Total: int64(total), Available: int64(total) / 100 * int64(percent)}, nil
}
