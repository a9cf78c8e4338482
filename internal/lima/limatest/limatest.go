// Package limatest is a stand-in for the programs that run virtual machines: limactl, ssh and QEMU, to be put on the PATH
// of a test. It keeps its state in LIMA_HOME as the real ones do and has their effects as far as anybody looks at them.
//
// The guest is the host: what ssh is told to run, bash runs right here, with a home folder that belongs to the instance
// and with the programs of the folder guest in front of its PATH. They do what is harmless and write down the rest, so
// that nothing outside of LIMA_HOME, FAKE_DIR and the folder around it is changed, whoever runs the test.
//
// The environment tells what is to go wrong:
//
//	FAKE_DIR      where the traces go: log, with a line for each call, and what guest/claude and guest/sudo leave
//	FAKE_FAIL     a regular expression: calls whose line in the log it matches fail, half done
//	FAKE_FULL     the same: these find the host's disk full, half done
//	FAKE_HANG     the same: these wait until there is a file FAKE_DIR/go
//	FAKE_STOP_AT  a number: so does the call whose line in the log is that one
//	FAKE_APT      what installing packages prints, as echo -e takes it, before it waits for a file FAKE_DIR/go
//	FAKE_SHARES   the kinds of shared folder that the guest's kernel knows; 9p if it is not set
//	FAKE_BOOT     silent: nothing is heard of a guest; panic: its kernel gives up
//	FAKE_VERSION  what limactl calls its version
//	FAKE_CLAUDE   what guest/claude does, as a line of shell
package limatest

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed guest
var guestPrograms embed.FS

// Commands returns the programs, for testscript.Main.
func Commands() map[string]func() {
	commands := map[string]func(){}
	for name, run := range map[string]func(*call) error{
		"limactl": limactl, "ssh": ssh, "qemu-img": qemuImg, "qemu-system-x86_64": qemu, "qemu-system-aarch64": qemu,
	} {
		commands[name] = func() { os.Exit(execute(name, run)) }
	}
	return commands
}

// KillAll ends the virtual machines below a LIMA_HOME.
func KillAll(home string) {
	instances, _ := filepath.Glob(filepath.Join(home, "*", "ha.pid"))
	for _, file := range instances {
		if pid := process(filepath.Dir(file)); pid != 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// KillKeepers ends what would go on by itself for a state folder, and make it anew, where the system tells of it.
func KillKeepers(state string) {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range processes {
		line, _ := os.ReadFile(filepath.Join(folder, "cmdline"))
		env, _ := os.ReadFile(filepath.Join(folder, "environ"))
		pid, _ := strconv.Atoi(filepath.Base(folder))
		if bytes.HasSuffix(line, []byte("\x00keep-spare\x00")) && bytes.Contains(append([]byte{0}, env...), []byte("\x00CLAUDE_VM_HOME="+state+"\x00")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// call is one run of one of the programs.
type call struct {
	name string
	args []string
	home string // LIMA_HOME
	dir  string // FAKE_DIR
	fail bool   // half done
}

// failure is an error with an exit status of its own.
type failure struct {
	code int
	text string
}

func (f failure) Error() string { return f.text }

func execute(name string, run func(*call) error) int {
	c := &call{name: name, args: os.Args[1:], home: os.Getenv("LIMA_HOME"), dir: os.Getenv("FAKE_DIR")}
	if name == "limactl" && len(c.args) > 0 && c.args[0] == "hostagent" {
		c.hostAgent(filepath.Join(c.home, c.args[1]))
		return 0
	}
	line := c.line()
	number := c.note(line)
	for (matches("FAKE_HANG", line) || os.Getenv("FAKE_STOP_AT") == number) && !exists(filepath.Join(c.dir, "go")) {
		time.Sleep(10 * time.Millisecond)
	}
	full := matches("FAKE_FULL", line)
	c.fail = full || matches("FAKE_FAIL", line)
	err := run(c)
	switch {
	case err == nil && full:
		err = &fs.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}
	case err == nil && c.fail:
		err = failure{1, "the reason of " + name}
	}
	if err == nil {
		return 0
	}
	if name == "limactl" {
		fmt.Fprintf(os.Stderr, "level=fatal msg=%q\n", err)
	} else {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	}
	if f, ok := errors.AsType[failure](err); ok {
		return f.code
	}
	return 1
}

var plain = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// note adds a line to the log and returns its number there.
func (c *call) note(line string) string {
	log, err := os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return ""
	}
	defer log.Close()
	fmt.Fprintln(log, line)
	end, _ := log.Seek(0, io.SeekCurrent)
	before, _ := io.ReadAll(io.NewSectionReader(log, 0, end))
	return strconv.Itoa(bytes.Count(before, []byte("\n")))
}

// line is how a call stands in the log.
func (c *call) line() string {
	words := []string{c.name}
	for _, arg := range c.args {
		if !plain.MatchString(arg) {
			arg = strconv.Quote(arg)
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

func matches(variable, line string) bool {
	pattern := os.Getenv(variable)
	return pattern != "" && regexp.MustCompile(pattern).MatchString(line)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// process returns the process of an instance, or 0. It holds a lock on the file with its id: unlike an id, that can be
// neither another's nor a dead one's that nobody has waited for.
func process(dir string) int {
	file, err := os.Open(filepath.Join(dir, "ha.pid"))
	if err != nil {
		return 0
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0
	}
	text, _ := io.ReadAll(file)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func running(dir string) bool { return process(dir) != 0 }

// copyFile copies what a path leads to, symbolic links followed as limactl does.
func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o600)
}

// write makes the files of a map below a folder.
func write(dir string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// install puts the programs of the guest beside the instances and returns their folder.
func install(home string) (string, error) {
	bin := filepath.Join(home, "_guest")
	if exists(bin) {
		return bin, nil
	}
	draft, err := os.MkdirTemp(home, "_guest-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(draft)
	programs, err := guestPrograms.ReadDir("guest")
	if err != nil {
		return "", err
	}
	for _, program := range programs {
		text, err := guestPrograms.ReadFile("guest/" + program.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(draft, program.Name()), text, 0o700)
		}
		if err != nil {
			return "", err
		}
	}
	if err := os.Rename(draft, bin); err != nil && !exists(bin) { // unless another call was faster
		return "", err
	}
	return bin, nil
}

// qemuImg makes overlays, which name the disk below them.
func qemuImg(c *call) error {
	if len(c.args) != 11 || strings.Join(c.args[:9], " ") != "create -q -f qcow2 -o cluster_size=32k -F qcow2 -b" {
		return errors.New("unknown arguments")
	}
	if !exists(c.args[9]) {
		return fmt.Errorf("could not open %q: no such file", c.args[9])
	}
	return os.WriteFile(c.args[10], []byte(overlay+c.args[9]), 0o600)
}

const overlay = "backing file: "

// checkDisk makes sure that a disk and all that are below it are there.
func checkDisk(disk string) error {
	text, err := os.ReadFile(disk)
	if err != nil {
		return err
	}
	if below, ok := strings.CutPrefix(string(text), overlay); ok {
		return checkDisk(below)
	}
	return nil
}

func qemu(c *call) error {
	if len(c.args) == 1 && c.args[0] == "--version" {
		fmt.Println("QEMU emulator version 10.0.0 (fake)\nCopyright: none")
	}
	return nil
}
