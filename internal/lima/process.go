package lima

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// programs are the beginnings of the names of all that works for an instance.
var programs = []string{"limactl", "qemu-", "ssh", "virtiofsd"}

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

// kill ends the processes of an instance, as limactl does it.
func (c *Client) kill(name string) {
	for _, file := range pidFiles {
		if pid := c.process(name, file); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// endStrays kills the programs that still work for an instance, where the system tells of them, and says whether there were
// any.
func (c *Client) endStrays(name string) (found bool) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range processes {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && c.worksFor(pid, name) {
			found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
		}
	}
	return found
}
