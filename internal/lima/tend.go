package lima

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/host"
)

const (
	// tend is how often an instance is looked after.
	tend = time.Second
	// maxConsole is how many bytes of a console, or of what Lima says of a guest, are kept on the
	// disk.
	maxConsole = 16 << 20
	// room is how many bytes must be free on the host's disk for a VM to go on that stands still for want of them.
	room = 64 << 20
	// qmpTime is how long QEMU may take to answer.
	qmpTime = 2 * time.Second
)

// Tend looks after an instance that runs, until the context ends. QEMU writes all that a guest prints on its consoles to the
// host's disk, and limactl a line for much of what the guest reports to it: what is much is thrown away. And it stops a VM whose write found the disk full: as soon as there is room it goes on. That
// it stands still, and that it goes on, is told.
func (c *Client) Tend(ctx context.Context, name string, tell func(stands bool)) {
	again := time.NewTicker(tend)
	defer again.Stop()
	stands := false
	for {
		c.trimLogs(name)
		switch full := c.full(); {
		case !stands && full:
			if status, err := c.qmp(name, "query-status"); err == nil && status == "io-error" {
				stands = true
				tell(stands)
			}
		case stands && !full:
			if _, err := c.qmp(name, "cont"); err == nil {
				stands = false
				tell(stands)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

func (c *Client) trimLogs(name string) {
	for _, log := range slices.Concat(serialLogs, agentLogs) {
		path := filepath.Join(c.Dir(name), log)
		info, err := os.Lstat(path)
		if err != nil {
			continue
		}
		// Whoever writes goes on where it was, unless it appends. What counts is what the file
		// takes of the disk, in blocks of 512 bytes.
		if taken, ok := info.Sys().(*syscall.Stat_t); ok && taken.Blocks*512 > maxConsole {
			_ = os.Truncate(path, 0)
		}
	}
}

// full says whether there is too little room for a VM to write. Where nobody knows there is enough.
func (c *Client) full() bool {
	space := host.FreeSpace
	if c.FreeSpace != nil {
		space = c.FreeSpace
	}
	free, err := space(c.Home)
	return err == nil && free < room
}

// qmp has an instance's QEMU run a command, and returns the status in its answer. QEMU talks to one at a time, and limactl wants
// to when it stops an instance: the connection does not stay.
func (c *Client) qmp(name, command string) (status string, err error) {
	conn, err := net.DialTimeout("unix", filepath.Join(c.Dir(name), "qmp.sock"), qmpTime)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(qmpTime)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, `{"execute":"qmp_capabilities"}{"execute":%q,"id":1}`, command); err != nil {
		return "", err
	}
	for said := json.NewDecoder(conn); ; {
		var answer struct {
			ID     int
			Return struct{ Status string }
			Error  json.RawMessage
		}
		switch err := said.Decode(&answer); {
		case err != nil:
			return "", err
		case answer.Error != nil:
			return "", errors.New(string(answer.Error))
		case answer.ID == 1:
			return answer.Return.Status, nil
		}
	}
}
