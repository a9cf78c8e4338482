package lima

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec" // a process to be taken for a virtual machine
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/proc"
)

func TestFind(t *testing.T) {
	t.Parallel()
	short := "/tmp/cvm"
	broken := []string{"PATH=" + program(t, "limactl", "echo 'it does not work' >&2; exit 1")}
	for name, test := range map[string]struct {
		home string
		env  []string
		err  error  // or
		text string // in the message; empty: it is found
	}{
		"found":           {home: short, env: fakeEnv(t)},
		"oldest":          {home: short, env: fakeEnv(t, "FAKE_VERSION=2.0.0")},
		"pre-release":     {home: short, env: fakeEnv(t, "FAKE_VERSION=2.3.0-beta.1")},
		"unstamped build": {home: short, env: fakeEnv(t, "FAKE_VERSION=<unknown>")},
		"development":     {home: short, env: fakeEnv(t, "FAKE_VERSION=v2.2.0-12-gabcdef")},
		"none":            {home: short, env: []string{"PATH=/nonexistent"}, err: ErrNoLima},
		"no PATH":         {home: short, err: ErrNoLima},
		"too old":         {home: short, env: fakeEnv(t, "FAKE_VERSION=1.2.2"), err: ErrOldLima},
		"older beta":      {home: short, env: fakeEnv(t, "FAKE_VERSION=2.0.0-alpha.1"), err: ErrOldLima},
		"broken":          {home: short, env: broken, text: "it does not work"},
		"something else":  {home: short, env: []string{"PATH=" + program(t, "limactl", "echo hello")}, text: `printed "hello"`},
		"long home":       {home: "/" + strings.Repeat("x", 46), env: fakeEnv(t), err: ErrHome},
		"comma":           {home: "/tmp/a,b", env: fakeEnv(t), err: ErrHome},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Find(t.Context(), test.home, test.env)
			switch {
			case test.err != nil:
				if !errors.Is(err, test.err) {
					t.Errorf("got %v, want %v", err, test.err)
				}
			case test.text != "":
				if err == nil || !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %v, want %q", err, test.text)
				}
			case err != nil:
				t.Error(err)
			case c.Home != test.home:
				t.Errorf("home %s", c.Home)
			}
		})
	}
}

// program makes a program of a line of shell and returns a PATH on which it is found.
func program(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir + ":/usr/bin:/bin"
}

func TestASocketFitsBelowTheLongestHome(t *testing.T) {
	t.Parallel()
	home := "/" + strings.Repeat("x", 45)
	if _, err := Find(t.Context(), home, fakeEnv(t)); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(home, strings.Repeat("n", MaxName), longestSocket)
	if len(socket) != maxSocketPath-1 {
		t.Errorf("%d characters", len(socket))
	}
}

func TestCheckQEMU(t *testing.T) {
	t.Parallel()
	if Driver(runtime.GOOS) != "qemu" {
		t.Skip("nobody needs QEMU here")
	}
	if err := (&Client{Env: fakeEnv(t)}).CheckQEMU(); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/nonexistent", program(t, "qemu-img", "")} {
		if err := (&Client{Env: []string{"PATH=" + strings.Split(path, ":")[0]}}).CheckQEMU(); !errors.Is(err, ErrNoQEMU) {
			t.Errorf("got %v", err)
		}
	}
}

func TestAccelerator(t *testing.T) {
	t.Parallel()
	for _, accel := range []Accel{KVM, HVF} {
		if env := (&Client{Accel: accel}).qemu(nil); env != nil {
			t.Errorf("%s: %q", accel, env)
		}
		if got, want := accel.DefaultCPUs(), min(4, runtime.NumCPU()); got != want {
			t.Errorf("%s: %d processors, want %d", accel, got, want)
		}
	}
	if TCG.DefaultCPUs() != 1 {
		t.Error("several processors would take turns")
	}
	if runtime.GOOS != "linux" {
		return
	}
	env := strings.Join((&Client{Accel: TCG}).qemu(nil), "")
	if !strings.HasPrefix(env, "QEMU_SYSTEM_"+strings.ToUpper(Arch())+"=qemu-system-"+Arch()+" ") || !strings.Contains(env, "thread=single") {
		t.Errorf("%q", env)
	}
	c := &Client{Limactl: "/limactl", Env: []string{"A=1"}, Accel: TCG, Home: "/h"}
	if cmd := c.command("x"); !slices.Contains(cmd.Env, env) || !slices.Contains(cmd.Env, "LIMA_HOME=/h") || !slices.Contains(cmd.Env, "A=1") {
		t.Errorf("%q", cmd.Env)
	}
	name, _, _ := strings.Cut(env, "=")
	for _, c := range []struct {
		client Client
		want   string
	}{
		{Client{Accel: KVM}, "qemu-system-" + Arch() + " -readconfig '/a b/wall.conf'"},
		{Client{Accel: KVM, Env: []string{name + "=/own/qemu -s"}}, "/own/qemu -s -readconfig '/a b/wall.conf'"},
	} {
		if got := c.client.qemu([]string{"-readconfig", "/a b/wall.conf"}); !slices.Equal(got, []string{name + "=" + c.want}) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestProbeAccel(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/kvm"); runtime.GOOS != "linux" || err != nil {
		t.Skip("there is no /dev/kvm")
	}
	works := &Client{Env: fakeEnv(t)}
	if accel, reason := works.ProbeAccel(t.Context()); accel != KVM || reason != "" {
		t.Errorf("%s, %q", accel, reason)
	}
	fails := &Client{Env: []string{"PATH=" + program(t, qemuBinary(), "echo '"+qemuBinary()+": error: failed to set MSR 0x10a' >&2; exit 1")}}
	if accel, reason := fails.ProbeAccel(t.Context()); accel != TCG || reason != "/dev/kvm does not work: failed to set MSR 0x10a" {
		t.Errorf("%s, %q", accel, reason)
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "image")
	for path, content := range map[string]string{
		"disk.img": "", "image/disk.qcow2": "", "image/vmlinuz": "", "image/initrd.img": "", "image/cmdline": " root=/dev/vda quiet\n",
		"no-initrd/disk.qcow2": "", "no-initrd/vmlinuz": "", "no-cmdline/disk.qcow2": "", "no-cmdline/vmlinuz": "", "no-cmdline/initrd.img": "",
	} {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Find(t.Context(), "/tmp/cvm", fakeEnv(t))
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string]Image{
		"https://images.invalid/x.qcow2": {Location: "https://images.invalid/x.qcow2", Arch: Arch()},
		filepath.Join(dir, "disk.img"):   {Location: filepath.Join(dir, "disk.img"), Arch: Arch()},
		"template:debian-13":             {Location: "https://images.invalid/debian-13-" + Arch() + ".qcow2", Arch: Arch(), Digest: "sha256:12"},
		folder: {
			Location: folder + "/disk.qcow2", Arch: Arch(), Initrd: &File{Location: folder + "/initrd.img"},
			Kernel: &Kernel{File: File{Location: folder + "/vmlinuz"}, Cmdline: "root=/dev/vda quiet"},
		},
	} {
		got, err := c.Images(t.Context(), ref)
		if diff := cmp.Diff([]Image{want}, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", ref, err, diff)
		}
	}
	for _, ref := range []string{"template:nothing", filepath.Join(dir, "nothing"), filepath.Join(dir, "no-initrd"), filepath.Join(dir, "no-cmdline"), ""} {
		if got, err := c.Images(t.Context(), ref); !errors.Is(err, ErrNoImage) {
			t.Errorf("%s: %v, %v", ref, got, err)
		}
	}
}

// world is a LIMA_HOME with the stand-in.
func world(t *testing.T, more ...string) (c *Client, vm string) {
	t.Helper()
	dir := shortTemp(t)
	vm = unique()
	c, err := Find(t.Context(), filepath.Join(dir, "vm"), fakeEnv(t, more...))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), vm, Machine{Images: image(t, dir, c.Env), CPUs: 1, MemoryGB: 1, DiskGB: 1}); err != nil {
		t.Fatal(err)
	}
	return c, vm
}

func TestLifeOfAnInstance(t *testing.T) {
	t.Parallel()
	c, vm := world(t)
	ctx := t.Context()
	if err := c.StartPlain(ctx, vm); err != nil {
		t.Fatal(err)
	}
	if got := c.Status(vm); got != Running {
		t.Errorf("after the start: %s", got)
	}
	if id, err := c.BootID(vm); err != nil || !strings.HasPrefix(id, "iid-") {
		t.Errorf("boot id %q, %v", id, err)
	}
	var out strings.Builder
	command := Command{Line: "cat; echo $USER; exit 3", Stdin: strings.NewReader("in "), Stdout: &out}
	if code := proc.ExitCode(c.Exec(ctx, vm, command)); code != 3 || out.String() != "in lima\n" {
		t.Errorf("code %d, output %q", code, out.String())
	}
	if err := c.Stop(ctx, vm); err != nil {
		t.Error(err)
	}
	if got := c.Status(vm); got != Stopped {
		t.Errorf("after the stop: %s", got)
	}
	if code := proc.ExitCode(c.Exec(ctx, vm, command)); code != 255 {
		t.Errorf("ssh to a VM that is off ends with %d", code)
	}
	if err := c.StartPlain(ctx, vm); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(ctx, vm); err != nil || c.Status(vm) != Broken {
		t.Errorf("deleting a running VM: %v", err)
	}
}

// A limactl that does not come to an end is named, and ended together with what it has started.
func TestLimactlThatHangs(t *testing.T) {
	t.Parallel()
	path := program(t, "limactl", `trap "" TERM; echo $$ >"$HOME/pid"; sleep 600 & wait; sleep 600`)
	home := t.TempDir()
	c, err := Locate(shortTemp(t), []string{"PATH=" + path, "HOME=" + home})
	if err != nil {
		t.Fatal(err)
	}
	err = run(t.Context(), "copying", 200*time.Millisecond, c.command("clone"))
	if !errors.Is(err, ErrHangs) || !strings.Contains(err.Error(), "copying: limactl hangs: "+c.Limactl+" has been at it for 200ms") {
		t.Errorf("got %v", err)
	}
	pid, err := os.ReadFile(filepath.Join(home, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	group, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); syscall.Kill(-group, 0) == nil; time.Sleep(poll) { // orphans are reaped by somebody else
		if time.Since(begin) > 10*time.Second {
			t.Fatal("it still runs")
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the user is tired of it"))
	if err := run(ctx, "copying", time.Hour, c.command("clone")); err == nil || errors.Is(err, ErrHangs) {
		t.Errorf("after an interrupt: %v", err)
	}
}

// A boot that cannot end well ends soon, and says why.
func TestBootsThatFail(t *testing.T) {
	t.Parallel()
	for boot, want := range map[string]string{"panic": "its kernel has given up", "silent": "the user is tired of it"} {
		t.Run(boot, func(t *testing.T) {
			t.Parallel()
			c, vm := world(t, "FAKE_BOOT="+boot)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			booting, err := c.Start(ctx, vm)
			if err != nil {
				t.Fatal(err)
			}
			if boot == "silent" {
				go func() {
					for c.SerialTail(vm) == "" && ctx.Err() == nil {
						time.Sleep(poll)
					}
					cancel(errors.New("the user is tired of it"))
				}()
			}
			err = booting.AwaitSSH(ctx, "the marker")
			if !errors.Is(err, ErrBoot) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the kernel boots") {
				t.Errorf("got %v", err)
			}
			if err := c.Delete(t.Context(), vm); err != nil {
				t.Error(err)
			}
		})
	}
}

// taken starts a process that looks like one of an instance, or like somebody else's.
func taken(t *testing.T, argv ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("bash")
	cmd.Args = append([]string{argv[0], "-c", "read x"}, argv[1:]...)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func TestStatus(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir()}
	pid := func(argv ...string) string { return strconv.Itoa(taken(t, argv...).Process.Pid) }
	for name, test := range map[string]struct {
		file, pid string
		want      Status
	}{
		"no files":      {want: Stopped},
		"host-agent":    {"ha.pid", pid("limactl", "hostagent", c.Dir("host-agent")+"/ha.pid") + "\n", Running},
		"qemu":          {"qemu.pid", pid("qemu-system-x86_64", "file="+c.Dir("qemu")+"/disk"), Running},
		"apple":         {"vz.pid", pid("limactl", "hostagent", c.Dir("apple")+"/ha.pid"), Running},
		"another's":     {"qemu.pid", pid("qemu-system-x86_64", "file="+c.Dir("somebody")+"/disk"), Stopped},
		"other program": {"ha.pid", pid("vim", c.Dir("other program")+"/lima.yaml"), Stopped},
		"gone":          {"ha.pid", "99999999", Stopped},
		"empty":         {"ha.pid", "", Stopped},
		"nonsense":      {"ha.pid", "x", Stopped},
		"everybody":     {"ha.pid", "-1", Stopped},
		"init, or any":  {"ha.pid", "1", Stopped},
	} {
		if err := os.MkdirAll(c.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if got := c.Status(name); got != Broken {
			t.Errorf("%s: without a description: %s", name, got)
		}
		for file, content := range map[string]string{"lima.yaml": "", test.file: test.pid} {
			if file == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(c.Dir(name), file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.Status(name); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// After a power cut an instance's files name processes that are anybody's.
func TestDeleteSparesWhoeverHasThePIDNow(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir()}
	vm := unique()
	stranger := taken(t, "somebody's work")
	if err := os.MkdirAll(c.Dir(vm), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range pidFiles {
		if err := os.WriteFile(filepath.Join(c.Dir(vm), file), []byte(strconv.Itoa(stranger.Process.Pid)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Delete(t.Context(), vm); err != nil {
		t.Error(err)
	}
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("it was killed: %v", err)
	}
	if status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", stranger.Process.Pid)); bytes.Contains(status, []byte(") Z ")) {
		t.Error("it was killed")
	}
}

// Whoever looks while an instance is replaced sees the old one or the new, and nothing is left of the other.
func TestReplaceIsOneStep(t *testing.T) {
	t.Parallel()
	c := &Client{Home: t.TempDir()}
	name := unique()
	put := func(name string) {
		if err := os.MkdirAll(c.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	if err := c.Replace(t.Context(), "first", name); err != nil { // there is nothing to replace
		t.Fatal(err)
	}
	done := make(chan struct{})
	missing := make(chan bool, 1)
	go func() {
		gone := false
		for {
			select {
			case <-done:
				missing <- gone
				return
			default:
				_, err := os.Stat(c.Dir(name))
				gone = gone || err != nil
			}
		}
	}()
	for range 100 {
		put("draft")
		if err := c.Replace(t.Context(), "draft", name); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	if <-missing {
		t.Error("for a moment there was none")
	}
	if names, err := c.Instances(); err != nil || !slices.Equal(names, []string{name}) {
		t.Errorf("%v, %v", names, err)
	}
}

func TestInstances(t *testing.T) {
	t.Parallel()
	c := &Client{Home: filepath.Join(t.TempDir(), "vm")}
	if names, err := c.Instances(); err != nil || names != nil {
		t.Errorf("without a folder: %v, %v", names, err)
	}
	for _, name := range []string{"b", "a", "_config", "_disks", ".cache"} {
		if err := os.MkdirAll(c.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(c.Dir("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := c.Instances(); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
}

// What works for an instance ends with it, also if no file says so.
func TestDeleteEndsStrays(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the system does not tell of processes")
	}
	c := &Client{Home: t.TempDir()}
	vm := unique()
	machine := exec.Command("bash")
	machine.Args = []string{"qemu-system-fake", "-c", "read x", filepath.Join(c.Dir(vm), "disk")}
	wait, err := machine.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(c.Dir(vm), "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), vm); err != nil {
		t.Error(err)
	}
	_ = wait.Close() // whoever lives reads the end of its input
	if err := machine.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the process ended with %v", err)
	}
	if _, err := os.Stat(c.Dir(vm)); err == nil {
		t.Error("the folder is still there")
	}
}

// When Delete says that an instance is gone nothing of it runs, its other threads included. If it cannot be sure, it says so, and
// the instance's files stay, by which the next one finds what runs.
func TestDeleteIsSure(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the system does not tell of processes")
	}
	c := &Client{Home: t.TempDir()}
	vm := unique()
	disk := filepath.Join(c.Dir(vm), "disk")
	start := func() *exec.Cmd {
		machine := exec.Command("bash")
		machine.Args = []string{"qemu-system-fake", "-c", "while :; do :; done", disk}
		if err := errors.Join(os.MkdirAll(c.Dir(vm), 0o700), os.WriteFile(disk, nil, 0o600), machine.Start()); err != nil {
			t.Fatal(err)
		}
		return machine
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	machine := start()
	if err := c.Delete(over, vm); err == nil {
		t.Error("it is sure though it could not wait")
	}
	if _, err := os.Stat(disk); err != nil {
		t.Error("the files are gone")
	}
	_ = machine.Process.Kill()
	_ = machine.Wait()
	for range 20 {
		machine := start()
		if err := c.Delete(t.Context(), vm); err != nil {
			t.Fatal(err)
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", machine.Process.Pid))
		for _, task := range tasks {
			text, _ := os.ReadFile(task)
			if _, state, _ := strings.Cut(string(text), ") "); state != "" && state[0] != 'Z' && state[0] != 'X' {
				t.Errorf("a thread is in the state %c", state[0])
			}
		}
		_ = machine.Wait()
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "full"), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	sparse, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer sparse.Close()
	if err := sparse.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if got := Size(dir); got < 100_000 || got > 1_000_000 {
		t.Errorf("%d bytes", got)
	}
	if got := Size(filepath.Join(dir, "nothing")); got != 0 {
		t.Errorf("nothing has %d bytes", got)
	}
}
