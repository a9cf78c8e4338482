package limatest

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec" // it is a program that runs programs
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// tag is the name under which Lima offers a folder to a guest.
func tag(location, mountPoint string) string {
	sum := sha256.Sum256([]byte(location + ":" + mountPoint))
	return fmt.Sprintf("lima-%x", sum[:8])
}

// hostName is what Lima calls an instance in its ssh.config.
func hostName(instance string) string {
	return "lima-" + strings.NewReplacer("_", "-", ".", "-").Replace(instance)
}

// ssh runs a command line in a guest that has come up, with bash as the login shell.
func ssh(c *call) error {
	var flags, words []string
	config := ""
	for i := 0; i < len(c.args); i++ {
		switch arg := c.args[i]; {
		case arg == "--":
			words = append(words, c.args[i+1:]...)
			i = len(c.args)
		case slices.Contains([]string{"-o", "-E", "-F", "-O", "-L", "-R"}, arg):
			i++
			flags = append(flags, arg+c.args[i])
			if arg == "-F" {
				config = c.args[i]
			}
		case strings.HasPrefix(arg, "-"):
			flags = append(flags, arg)
		default:
			words = append(words, arg)
		}
	}
	dir := filepath.Dir(config)
	master := filepath.Join(dir, "ssh.sock")
	switch {
	case !exists(config) || len(words) == 0 || words[0] != hostName(filepath.Base(dir)):
		return failure{255, "Could not resolve hostname"}
	case slices.Contains(flags, "-Oexit"):
		return os.Remove(master)
	case slices.Contains(flags, "-Ocheck"):
		if !running(dir) || !exists(master) {
			return failure{255, "Control socket connect: no such file"}
		}
		return nil
	case !running(dir) || !exists(filepath.Join(dir, "guest/up.tmp")):
		return failure{255, "Connection refused"}
	case c.fail:
		return nil
	case slices.Contains(flags, "-M"):
		return os.WriteFile(master, nil, 0o600)
	case slices.Contains(flags, "-Oforward"):
		return lend(dir, flags)
	}
	line := inGuest(dir).Replace(strings.Join(words[1:], " "))
	switch {
	case slices.Contains(flags, "-n"):
		line = "exec </dev/null\n" + line
	case strings.Contains(line, "claude_vm_size"): // it is told scripts of ours, which data may follow
		read, write, err := os.Pipe()
		if err != nil {
			return err
		}
		go feed(write, os.Stdin, inGuest(dir))
		os.Stdin = read
	}
	return enter(dir, slices.Contains(flags, "-tt"), "bash", "-c", line)
}

// lend puts a socket of the host where the guest is to have it. As with sshd, nothing may be there already.
func lend(dir string, flags []string) error {
	for _, flag := range flags {
		if sockets, ok := strings.CutPrefix(flag, "-R"); ok {
			guest, host, _ := strings.Cut(sockets, ":")
			return os.Symlink(host, inGuest(dir).Replace(guest))
		}
	}
	return nil
}

// scripts is how many a shell is told at most, before something else follows.
const scripts = 3

// feed passes on the scripts that begin with their sizes, translated, and what follows them as it is.
func feed(to io.WriteCloser, from io.Reader, translate *strings.Replacer) {
	defer to.Close()
	input := bufio.NewReader(from)
	for range scripts {
		var size int
		if _, err := fmt.Fscanf(input, "%d\n", &size); err != nil {
			return
		}
		script := make([]byte, size)
		if _, err := io.ReadFull(input, script); err != nil {
			return
		}
		text := translate.Replace(string(script))
		fmt.Fprintf(to, "%d\n%s", len(text), text)
	}
	_, _ = io.Copy(to, input)
}

// inGuest translates the paths that only a guest has.
func inGuest(dir string) *strings.Replacer {
	return strings.NewReplacer("/home/lima.linux", filepath.Join(dir, "guest/home"), "/sys/fs/cgroup", filepath.Join(dir, "guest/cgroup"),
		"/dev/shm/", filepath.Join(dir, "guest/shm")+"/",
		"/boot/claude-vm-", filepath.Join(dir, "guest/boot")+"/", "/usr/sbin/modprobe", "modprobe")
}

// enter runs a program in a guest and ends as ssh does. With a terminal the guest gets one of its own, and ours passes on
// each byte that is typed.
func enter(dir string, terminal bool, argv ...string) error {
	bin, err := install(filepath.Dir(dir))
	if err != nil {
		return err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	if program := filepath.Join(bin, argv[0]); exists(program) {
		cmd = exec.Command(program, argv[1:]...)
	}
	cmd.Dir = filepath.Join(dir, "guest/home")
	cmd.Env = []string{
		"HOME=" + cmd.Dir, "USER=lima", "LOGNAME=lima", "SHELL=/bin/bash", "TERM=" + os.Getenv("TERM"),
		"PATH=" + bin + ":" + os.Getenv("PATH"), "FAKE_BIN=" + bin, "FAKE_INSTANCE=" + dir,
	}
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "FAKE_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	if terminal {
		err = runOnTerminal(cmd)
	} else {
		leaveTerminal()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		err = cmd.Run()
	}
	if ended, ok := errors.AsType[*exec.ExitError](err); ok {
		if ended.ExitCode() < 0 { // ssh cannot say which signal it was
			os.Exit(255)
		}
		os.Exit(ended.ExitCode())
	}
	return err
}

// leaveTerminal has what is started from now on find no /dev/tty: the guest's programs do not see the terminal that somebody sits
// at here. A shell would stop until it is in that one's foreground.
func leaveTerminal() {
	if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
		_ = unix.IoctlSetInt(int(tty.Fd()), unix.TIOCNOTTY, 0)
		tty.Close()
	}
}

func runOnTerminal(cmd *exec.Cmd) error {
	size := &pty.Winsize{Rows: 24, Cols: 80}
	resized := make(chan os.Signal, 1)
	if term.IsTerminal(int(os.Stdin.Fd())) {
		signal.Notify(resized, syscall.SIGWINCH)
		ours, err := pty.GetsizeFull(os.Stdin)
		if err != nil {
			return err
		}
		raw, err := term.MakeRaw(int(os.Stdin.Fd()))
		if err != nil {
			return err
		}
		defer func() { _ = term.Restore(int(os.Stdin.Fd()), raw) }()
		size = ours
	}
	tty, err := pty.StartWithSize(cmd, size)
	if err != nil {
		return err
	}
	go func() {
		for range resized {
			_ = pty.InheritSize(os.Stdin, tty)
		}
	}()
	go func() { _, _ = io.Copy(tty, os.Stdin) }()
	_, _ = io.Copy(os.Stdout, tty) // until the last of the guest's programs has closed it
	return cmd.Wait()
}
