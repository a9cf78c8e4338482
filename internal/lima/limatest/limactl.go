package limatest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// limactl is Lima 2.2.0 in what it does, what it refuses, and what it leaves behind when it fails.
func limactl(c *call) error {
	var flags, args []string
	for i, arg := range c.args {
		if !strings.HasPrefix(arg, "-") {
			args = append(args, arg)
			continue
		}
		if arg == "-" || len(args) > 0 && args[0] == "shell" && len(args) > 1 {
			args = append(args, c.args[i:]...)
			break
		}
		flags = append(flags, arg)
	}
	command := append(args, "")[0]
	fmt.Fprintf(os.Stderr, "level=info msg=\"this is limactl %s\"\n", command)
	switch {
	case command == "" && len(flags) == 1 && flags[0] == "--version":
		version := os.Getenv("FAKE_VERSION")
		if version == "" {
			version = "2.2.0"
		}
		fmt.Println("limactl version " + version)
		return nil
	case command == "template" && len(args) == 4 && args[1] == "copy" && flags[0] == "--embed" && args[3] == "-":
		return printTemplate(args[2])
	case command == "create" && len(args) == 2:
		return c.create(strings.TrimPrefix(flags[len(flags)-1], "--name="), args[1])
	case command == "clone" && len(args) == 3:
		return c.clone(args[1], args[2])
	case command == "start" && len(args) == 2:
		return c.start(args[1])
	case command == "stop" && len(args) == 2:
		return c.stop(args[1])
	case command == "delete" && len(args) == 2:
		return c.delete(args[1], len(flags) > 0 && flags[0] == "--force")
	case command == "list" && len(args) == 1:
		folders, _ := filepath.Glob(filepath.Join(c.home, "[^_]*"))
		for _, folder := range folders {
			fmt.Println(filepath.Base(folder))
		}
		return nil
	case command == "shell" && len(args) > 2:
		dir, err := c.instance(args[1])
		if err != nil {
			return err
		}
		return enter(dir, false, args[2:]...)
	}
	return fmt.Errorf("unknown command %q", c.args)
}

var (
	nameRule  = regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)
	temporary = regexp.MustCompile(`\.(pid|sock|tmp)$`)
)

// instance returns the folder of an instance that can be read.
func (c *call) instance(name string) (string, error) {
	dir := filepath.Join(c.home, name)
	if !exists(filepath.Join(dir, "lima.yaml")) {
		return "", fmt.Errorf("instance `%s` not found", name)
	}
	return dir, nil
}

// free returns the folder for an instance that does not exist yet.
func (c *call) free(name string) (string, error) {
	dir := filepath.Join(c.home, name)
	switch {
	case !nameRule.MatchString(name) || len(name) > 76:
		return "", fmt.Errorf("instance name `%s` is not a valid identifier", name)
	case exists(dir):
		return "", fmt.Errorf("instance `%s` already exists", name)
	case len(dir+"/ssh.sock.1234567890123456") >= 108:
		return "", fmt.Errorf("instance name `%s` too long", name)
	}
	return dir, os.Mkdir(dir, 0o700)
}

// description is what we read of lima.yaml.
type description struct {
	Images []struct {
		Location string
		Kernel   *struct{ Location, Cmdline string }
		Initrd   *struct{ Location string }
	}
	Mounts []struct {
		Location   string
		MountPoint string `yaml:"mountPoint"`
		Writable   bool
	}
}

func describe(dir string) (d description, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "lima.yaml"))
	if err == nil {
		err = yaml.Unmarshal(text, &d)
	}
	return d, err
}

func printTemplate(name string) error {
	if name != "template:debian-13" {
		return fmt.Errorf("template `%s` not found", name)
	}
	fmt.Println("minimumLimaVersion: 2.0.0\nimages:")
	for _, arch := range []string{"x86_64", "aarch64"} {
		fmt.Printf("- location: https://images.invalid/debian-13-%s.qcow2\n  arch: %s\n  digest: sha256:12\n", arch, arch)
	}
	fmt.Println("mounts:\n- location: \"~\"")
	return nil
}

func (c *call) create(name, file string) error {
	dir, err := c.free(name)
	if err != nil {
		return err
	}
	if file == "-" {
		file = "/dev/stdin"
	}
	if err := copyFile(file, filepath.Join(dir, "lima.yaml")); err != nil {
		return err
	}
	d, err := describe(dir)
	if err != nil || len(d.Images) == 0 {
		return errors.Join(errors.New("no image in the description"), err)
	}
	if c.fail {
		return nil
	}
	image := d.Images[0]
	files := map[string]string{"disk": image.Location}
	if image.Kernel != nil {
		files["kernel"] = image.Kernel.Location
		if err := os.WriteFile(filepath.Join(dir, "kernel.cmdline"), []byte(image.Kernel.Cmdline), 0o600); err != nil {
			return err
		}
	}
	if image.Initrd != nil {
		files["initrd"] = image.Initrd.Location
	}
	for to, from := range files {
		if err := copyFile(from, filepath.Join(dir, to)); err != nil {
			return fmt.Errorf("failed to download %s: %w", from, err)
		}
	}
	return write(dir, map[string]string{
		"lima-version": "2.2.0\n", "cloud-config.yaml": "#cloud-config\n",
		"guest/home/.profile": `PATH=$FAKE_BIN:$PATH` + "\n",
	})
}

func (c *call) clone(from, to string) error {
	dir, err := c.instance(from)
	if err != nil {
		return err
	}
	if running(dir) {
		return errors.New("cannot clone a running instance")
	}
	copied, err := c.free(to)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || temporary.MatchString(path) || c.fail && d.Name() == "lima.yaml" {
			return err
		}
		rest, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		target := filepath.Join(copied, rest)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
}

// start runs until the guest is what Lima calls ready.
func (c *call) start(name string) error {
	dir, err := c.instance(name)
	if err != nil {
		return err
	}
	d, err := describe(dir)
	if err != nil {
		return err
	}
	if running(dir) {
		return fmt.Errorf("instance `%s` seems running", name)
	}
	if err := checkDisk(filepath.Join(dir, "disk")); err != nil {
		return err
	}
	shares := ""
	for _, m := range d.Mounts {
		m.Location = strings.ReplaceAll(m.Location, `{{"{{"}}`, "{{")
		m.MountPoint = strings.ReplaceAll(m.MountPoint, `{{"{{"}}`, "{{")
		if info, err := os.Stat(m.Location); err != nil || !info.IsDir() {
			return fmt.Errorf("field `mounts[].location` refers to a non-directory path: `%s`", m.Location)
		}
		shares += fmt.Sprintf("%s\t%s\t%s\n", tag(m.Location, m.MountPoint), m.MountPoint, m.Location)
	}
	id := fmt.Sprintf("iid-%d", time.Now().UnixNano())
	for _, stale := range []string{"guest/up.tmp", "guest/ready.tmp", "serial.log", "serialv.log"} {
		_ = os.Remove(filepath.Join(dir, stale))
	}
	err = write(dir, map[string]string{
		"cidata.iso": "CD001\x00instance-id: " + id + "\n\x00", "ssh.config": "Host " + hostName(name) + "\n",
		"guest/shares": shares, "guest/cgroup/claude-vm/jobs/cgroup.kill": "", "guest/shm/.keep": "",
	})
	if err != nil {
		return err
	}
	_ = copyFile(filepath.Join(dir, "lima.yaml"), filepath.Join(c.dir, "started.yaml"))
	if c.fail {
		return write(dir, map[string]string{"serial.log": "the firmware has found nothing to boot\n"})
	}

	agent, err := spawn("limactl", "hostagent", name)
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = agent.Wait()
		close(ended)
	}()
	for !exists(filepath.Join(dir, "guest/ready.tmp")) {
		select {
		case <-ended:
			return errors.New("host agent process has exited")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// spawn starts this program once more, as a process that outlives us.
func spawn(argv ...string) (*os.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	return os.StartProcess(self, argv, &os.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// wallDoors returns the sockets that QEMU is to pass the guest's frames through, by the file that its arguments name.
func wallDoors(dir string) (paths []string) {
	if !strings.Contains(os.Getenv("QEMU_SYSTEM_X86_64")+os.Getenv("QEMU_SYSTEM_AARCH64"), " -readconfig "+dir+"/wall.conf") {
		return nil
	}
	text, _ := os.ReadFile(filepath.Join(dir, "wall.conf"))
	for _, found := range regexp.MustCompile(`(?m)^  path = "(.*)"$`).FindAllSubmatch(text, -1) {
		paths = append(paths, string(found[1]))
	}
	return paths
}

// hostAgent is the host agent, the hypervisor and the guest in one process. It does not outlive its folder.
func (c *call) hostAgent(dir string) {
	put := func(file, text string) { _ = os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600) } // unless it is gone
	lock, err := os.OpenFile(filepath.Join(dir, "ha.pid"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer lock.Close()
	for _, door := range wallDoors(dir) { // as QEMU, which ends if it cannot have one
		conn, err := net.Dial("unix", door)
		if err != nil {
			return
		}
		defer conn.Close()
	}
	pid := fmt.Sprintln(os.Getpid())
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX) != nil {
		return
	}
	put("ha.pid", pid)
	put("qemu.pid", pid)
	text := "the kernel boots\n"
	marker, err := os.ReadFile(filepath.Join(dir, "guest/lean"))
	time.Sleep(20 * time.Millisecond)
	switch boot := os.Getenv("FAKE_BOOT"); {
	case boot == "panic":
		text += "Kernel panic - not syncing: no working init found\n"
	case boot == "silent":
	case err == nil:
		text += string(marker)
		put("guest/up.tmp", "")
	default: // by the time that Lima finds out
		put("guest/up.tmp", "")
		put("guest/ready.tmp", "")
	}
	put("serial.log", text)
	for end := time.Now().Add(10 * time.Minute); exists(dir) && time.Now().Before(end); {
		select {
		case <-stop:
			for _, file := range []string{"guest/up.tmp", "guest/ready.tmp", "ha.pid", "qemu.pid", "ssh.sock"} {
				_ = os.Remove(filepath.Join(dir, file))
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *call) stop(name string) error {
	dir, err := c.instance(name)
	if err != nil {
		return err
	}
	if c.fail {
		return nil
	}
	pid := process(dir)
	if pid == 0 {
		return errors.New("expected status `Running`, got `Stopped` (maybe use `limactl stop -f`?)")
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		return err
	}
	for running(dir) {
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func (c *call) delete(name string, force bool) error {
	dir := filepath.Join(c.home, name)
	switch {
	case !exists(dir):
		fmt.Fprintf(os.Stderr, "level=warning msg=\"Ignoring non-existent instance `%s`\"\n", name)
		return nil
	case !exists(filepath.Join(dir, "lima.yaml")):
		return fmt.Errorf("instance `%s` directory `%s` exists but its `lima.yaml` could not be read; it was NOT deleted", name, dir)
	case running(dir) && !force:
		return errors.New("expected status `Stopped`, got `Running`")
	case c.fail:
		return nil
	}
	if pid := process(dir); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}
