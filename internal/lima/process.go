package lima

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// programs are the beginnings of the names of all that works for an instance.
var programs = []string{"limactl", "qemu-", "ssh", "virtiofsd"}

// sftpServer serves folders over reverse-sshfs.
const sftpServer = "sftp-server"

// WallCommand is the first argument of the process that is a wall; after it comes the folder of its instance, with a slash.
const WallCommand = "keep-wall"

// worksFor says whether a process works for an instance: it is one of those programs or a wall, and it names the instance's folder or,
// limactl itself, the instance and our LIMA_HOME. An id alone says nothing: after a power cut the file with it is still
// there, and the id may be that of anybody.
func (c *Client) worksFor(pid int, name string) bool {
	argv := commandLine(pid)
	if len(argv) == 0 {
		return false
	}
	program := filepath.Base(argv[0])
	if program == sftpServer { // Lima starts it for shared folders, and names no instance
		starter := parent(pid)
		return starter > 1 && c.worksFor(starter, name)
	}
	raised := len(argv) > 1 && argv[1] == WallCommand
	if !raised && !slices.ContainsFunc(programs, func(known string) bool { return strings.HasPrefix(program, known) }) {
		return false
	}
	line := strings.Join(argv, "\x00")
	for _, home := range c.homes() {
		if strings.Contains(line, filepath.Join(home, name)+"/") {
			return true
		}
	}
	if program != "limactl" || !slices.Contains(argv, name) && !slices.Contains(argv, "--name="+name) {
		return false
	}
	env, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	return slices.Contains(strings.Split(string(env), "\x00"), "LIMA_HOME="+c.Home)
}

// homes returns the names of our LIMA_HOME: limactl follows the symbolic links in it.
func (c *Client) homes() []string {
	homes := []string{c.Home}
	if real, err := filepath.EvalSymlinks(c.Home); err == nil && real != c.Home {
		homes = append(homes, real)
	}
	return homes
}

// process returns the process of an instance whose id is in one of its files, or 0.
func (c *Client) process(name, pidFile string) int {
	text, err := os.ReadFile(filepath.Join(c.Dir(name), pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 || !c.worksFor(pid, name) {
		return 0
	}
	return pid
}

// working returns the processes that work for an instance: those whose ids are in its files and, where the system tells of
// them, all others. The files may not speak yet of what a start that was cut off has begun.
func (c *Client) working(name string) (pids []int) {
	for _, file := range pidFiles {
		if pid := c.process(name, file); pid != 0 {
			pids = append(pids, pid)
		}
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err == nil && !slices.Contains(pids, pid) && c.worksFor(pid, name) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// end kills all that works for an instance, and returns when none of it runs any more.
func (c *Client) end(ctx context.Context, name string) error {
	for {
		pids := c.working(name)
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			if err := c.kill(ctx, pid, name); err != nil {
				return err
			}
		}
	}
}

// killByID kills a process by its id alone, and looks again and again whether it still works for the instance.
func (c *Client) killByID(ctx context.Context, pid int, name string) error {
	for c.worksFor(pid, name) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending the process %d: %w", pid, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of the process %d: %w", pid, context.Cause(ctx))
		case <-time.After(poll / 4):
		}
	}
	return nil
}
