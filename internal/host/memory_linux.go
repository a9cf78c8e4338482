package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
)

// ReadMemory asks the kernel.
func ReadMemory() (m Memory, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var kB int64
		if _, err := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kB); err == nil {
			m.Total = kB * 1024
		}
		if _, err := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kB); err == nil {
			m.Available = kB * 1024
		}
	}
	if m.Total == 0 || m.Available == 0 {
		return m, errors.New("/proc/meminfo does not tell how much memory there is")
	}
	return m, nil
}
