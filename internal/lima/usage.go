package lima

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// Usage is what the program that is a VM takes of the host.
type Usage struct {
	CPU    float64 // in percent of one processor: on Linux since it began, on macOS lately
	Memory int64   // bytes that are resident
}

// Usage returns what running instances take of the host, as ps(1) tells it. One that it knows nothing of has no entry.
func (c *Client) Usage(ctx context.Context, names []string) map[string]Usage {
	byPID, list := map[int]string{}, []string{}
	for _, name := range names {
		for _, file := range []string{"qemu.pid", "vz.pid"} {
			if pid := c.process(name, file); pid != 0 {
				byPID[pid], list = name, append(list, strconv.Itoa(pid))
			}
		}
	}
	usage := map[string]Usage{}
	if len(list) == 0 {
		return usage
	}
	// It fails if only one of them has ended meanwhile, and prints the others.
	out, _ := proc.Output(ctx, proc.Cmd{
		Argv: []string{"ps", "-o", "pid=,%cpu=,rss=", "-p", strings.Join(list, ",")}, Env: append(c.Env[:len(c.Env):len(c.Env)], "LC_ALL=C"),
	})
	for line := range bytes.Lines(out) {
		var pid int
		var u Usage
		if n, _ := fmt.Sscan(string(line), &pid, &u.CPU, &u.Memory); n == 3 {
			u.Memory <<= 10 // it counts in KiB
			usage[byPID[pid]] = u
		}
	}
	return usage
}
