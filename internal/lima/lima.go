// Package lima drives Lima: limactl, the YAML of an instance, its ssh configuration and its QEMU disk. It is the only
// package that knows any of them, and it knows nothing of templates, sessions or Claude.
//
// What is said here about Lima was read in and tried with release 2.2.0.
package lima

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/state"
)

// MinVersion is the oldest Lima that works: the first that has `clone` and the template debian-13.
const MinVersion = "v2.0.0"

// maxSocketPath is how long the path of a Unix socket may be on macOS, the stricter of the two systems.
const maxSocketPath = 104

// longestSocket is the longest socket name in an instance folder: ssh appends sixteen characters while it creates it.
const longestSocket = "ssh.sock.1234567890123456"

// powerOff is how long a guest may take to shut down.
const powerOff = 2 * time.Minute

// How long limactl may take.
const (
	versionTime = 30 * time.Second
	// cloneTime is long enough for a file system without thin copies.
	cloneTime = 10 * time.Minute
	// createTime is long enough to download an image of half a GB where the network is slow.
	createTime = 30 * time.Minute
	// templateTime is for a template that has to be downloaded.
	templateTime = time.Minute
)

// deletions is how often we try to delete an instance: one that is just starting can get a file in its folder meanwhile.
const deletions = 3

// MaxName is the length of the longest instance name that we make.
const MaxName = 30

var (
	// ErrNoLima means that there is no limactl on PATH.
	ErrNoLima = errors.New("there is no limactl on PATH: Lima is not installed")
	// ErrNoQEMU means that there is no QEMU for this machine on PATH.
	ErrNoQEMU = errors.New("QEMU is not installed")
	// ErrOldLima means that limactl is older than MinVersion.
	ErrOldLima = errors.New("this Lima is too old")
	// ErrHangs means that limactl does not come to an end.
	ErrHangs = errors.New("limactl hangs")
	// ErrHome means that instances cannot lie below the folder given.
	ErrHome = errors.New("the path of the state folder cannot be used")
)

// Client drives one limactl with one LIMA_HOME. It is not changed once it is made: With returns another one.
type Client struct {
	Home    string    // LIMA_HOME: the folder of the instances, ours alone
	Env     []string  // the environment that we were started with
	Log     io.Writer // receives what limactl prints
	Limactl string    // the path of limactl
	Accel   Accel     // what runs the guest's instructions
	Wall    Wall      // what keeps the guests from the host's network

	FreeSpace func(folder string) (int64, error) // nil: host.FreeSpace
}

// With returns a client for instances that run on an accelerator and reach what the rules say.
func (c *Client) With(accel Accel, reach []string) *Client {
	with := *c
	with.Accel, with.Wall.Rules = accel, reach
	return &with
}

// Find looks for limactl and checks its version and whether instances fit below home.
func Find(ctx context.Context, home string, env []string) (*Client, error) {
	c, err := Locate(home, env)
	if err != nil {
		return nil, err
	}
	return c, c.CheckVersion(ctx)
}

// Locate looks for limactl and checks whether instances fit below home.
func Locate(home string, env []string) (*Client, error) {
	limactl, err := proc.Find(env, "limactl")
	if err != nil {
		return nil, ErrNoLima
	}
	if longest := filepath.Join(home, strings.Repeat("x", MaxName), longestSocket); len(longest) >= maxSocketPath {
		return nil, fmt.Errorf("%w: %s is too long for Lima's sockets by %d characters", ErrHome, home, len(longest)-maxSocketPath+1)
	}
	if strings.Contains(home, ",") {
		return nil, fmt.Errorf("%w: QEMU would read the comma in %s as the end of the path", ErrHome, home)
	}
	return &Client{Home: home, Env: env, Log: io.Discard, Limactl: limactl}, nil
}

// CheckVersion returns ErrOldLima for a limactl that is too old.
func (c *Client) CheckVersion(ctx context.Context) error {
	version, err := c.Version(ctx)
	if err != nil {
		return err
	}
	// A build without a version stamp calls itself <unknown>; whoever made it knows what it is.
	if semver.IsValid(version) && semver.Compare(version, MinVersion) < 0 {
		return fmt.Errorf("%w: %s is %s, and %s or newer is needed", ErrOldLima, c.Limactl, version, MinVersion)
	}
	return nil
}

var versionLine = regexp.MustCompile(`limactl version v?(\S+)`)

// Version returns limactl's version as it states it, with a v in front.
func (c *Client) Version(ctx context.Context) (string, error) {
	const doing = "asking Lima for its version"
	var out bytes.Buffer
	cmd := c.command("--version")
	cmd.Stdout, cmd.Stderr = &out, nil
	if err := run(ctx, doing, versionTime, cmd); err != nil {
		return "", err
	}
	found := versionLine.FindSubmatch(out.Bytes())
	if found == nil {
		return "", fmt.Errorf("%s: %s printed %q", doing, c.Limactl, bytes.TrimSpace(out.Bytes()))
	}
	return "v" + string(found[1]), nil
}

// command is a call of limactl that never asks anything.
func (c *Client) command(args ...string) proc.Cmd {
	env := append(c.Env[:len(c.Env):len(c.Env)], "LIMA_HOME="+c.Home)
	env = append(env, c.qemu(nil)...)
	cmd := proc.Cmd{Argv: append([]string{c.Limactl}, args...), Env: env, Stdout: c.Log, Stderr: c.Log}
	if os.Geteuid() == 0 && runtime.GOOS == "linux" {
		// limactl refuses to be root. Seen from a namespace that calls root by an ordinary id we are not, and the
		// files that it makes still belong to us. Without a passwd entry for that id USER and HOME decide.
		cmd.MapUser = GuestUID()
		cmd.Env = append(cmd.Env, "USER="+GuestUser, "HOME="+orElse(proc.Getenv(c.Env, "HOME"), "/root"))
	}
	return cmd
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// run runs a limactl that may take so long, and returns ErrHangs if it takes longer.
func run(ctx context.Context, doing string, limit time.Duration, cmd proc.Cmd) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrHangs)
	defer cancel()
	err := proc.Run(ctx, cmd)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), ErrHangs):
		return fmt.Errorf("%s: %w: %s has been at it for %v", doing, ErrHangs, cmd.Argv[0], limit)
	}
	return fmt.Errorf("%s: %w", doing, full(err))
}

// full puts the kind of failure in front of what a program of the host says if the disk has become full: its exit status does
// not tell.
func full(err error) error {
	failure, ok := errors.AsType[*proc.Error](err)
	if ok && strings.Contains(strings.ToLower(failure.Stderr), syscall.ENOSPC.Error()) {
		return fmt.Errorf("%w: %w", syscall.ENOSPC, err)
	}
	return err
}

// Dir returns the folder of an instance.
func (c *Client) Dir(name string) string { return filepath.Join(c.Home, name) }

// Create makes a stopped instance from an image, which limactl downloads or copies.
func (c *Client) Create(ctx context.Context, name string, m Machine) error {
	if err := os.MkdirAll(c.Home, 0o700); err != nil {
		return err
	}
	cmd := c.command("create", "--tty=false", "--name="+name, "-")
	cmd.Stdin = bytes.NewReader(m.yaml())
	return run(ctx, "creating the VM", createTime, cmd)
}

// Clone makes a stopped copy of a stopped instance. When the original was sealed, the two share its disk.
func (c *Client) Clone(ctx context.Context, from, to string) error {
	if err := run(ctx, "cloning the VM", cloneTime, c.command("clone", "--tty=false", from, to)); err != nil {
		return err
	}
	return c.clear(to) // who waits for the copy to boot must not read how the original did
}

// Replace gives a stopped instance, a draft, the name of another one, which is removed. At every moment one of the two has the
// name: whoever dies in between, by a power cut too, leaves at most a draft. An instance is its folder: limactl's own rename
// moves the files one by one, and could fail half-way.
func (c *Client) Replace(ctx context.Context, draft, name string) error {
	if err := c.sync(draft); err != nil {
		return err
	}
	err := exchange(c.Dir(draft), c.Dir(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Rename(c.Dir(draft), c.Dir(name)); err != nil {
			return err
		}
		return state.Sync(c.Home)
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		// A network's file system may not know how: there nothing has the name for a moment.
		old := draft + "-old"
		err = errors.Join(os.Rename(c.Dir(name), c.Dir(old)), os.Rename(c.Dir(draft), c.Dir(name)))
		draft = old
	}
	if err == nil {
		err = state.Sync(c.Home)
	}
	if err != nil {
		return err
	}
	return c.Delete(ctx, draft)
}

// sync returns when the files of a stopped instance are on the disk.
func (c *Client) sync(name string) error {
	entries, err := os.ReadDir(c.Dir(name))
	if err != nil {
		return err
	}
	files := []string{c.Dir(name)}
	for _, e := range entries {
		if e.Type().IsRegular() {
			files = append(files, filepath.Join(c.Dir(name), e.Name()))
		}
	}
	return state.Sync(files...)
}

// Configure replaces the machine that a stopped instance describes. Its image is not looked at again.
func (c *Client) Configure(name string, m Machine) error {
	if err := m.checkShares(); err != nil {
		return err
	}
	links, err := filepath.Glob(filepath.Join(c.Dir(name), "share-*"))
	for _, link := range links { // of an earlier description
		err = errors.Join(err, os.Remove(link))
	}
	shares := make([]mount.Mount, len(m.Mounts))
	for i, folder := range m.Mounts {
		if shares[i] = c.Share(name, folder); shares[i].Host != folder.Host {
			err = errors.Join(err, os.Symlink(folder.Host, shares[i].Host))
		}
	}
	if err != nil {
		return err
	}
	m.Mounts = shares
	return os.WriteFile(filepath.Join(c.Dir(name), "lima.yaml"), m.yaml(), 0o600)
}

// Stop shuts an instance down in an orderly way, so that its disk is complete. The guest does it itself: nobody in a lean
// one listens to the power button, which is all that limactl has.
func (c *Client) Stop(ctx context.Context, name string) error {
	asked := c.Exec(ctx, name, Command{Line: "sudo systemctl --no-block poweroff"})
	within, cancel := context.WithTimeout(ctx, powerOff)
	defer cancel()
	for c.Status(name) == Running {
		select {
		case <-within.Done():
			return errors.Join(fmt.Errorf("stopping the VM: it still runs after %v", powerOff), asked, ctx.Err())
		case <-time.After(poll):
		}
	}
	return nil
}

// Delete ends an instance at once, whatever it is doing, and removes it. When it returns without an error nothing of the
// instance runs any more. To delete one that is not there is no error; what was about to make it is ended. It does what limactl delete --force does for the drivers that we use, and does not wait for a
// limactl to start.
func (c *Client) Delete(ctx context.Context, name string) error {
	var err error
	for range deletions {
		if err = c.end(ctx, name); err != nil {
			break
		}
		if err = os.RemoveAll(c.Dir(name)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("deleting the VM %s: %w", name, err)
}

// Status says whether an instance runs.
type Status string

// The states of an instance.
const (
	Running Status = "Running"
	Stopped Status = "Stopped"
	Broken  Status = "Broken" // its description is missing: it was never finished
)

// pidFiles are the files beside an instance in which Lima keeps the ids of its processes.
var pidFiles = []string{"ha.pid", "qemu.pid", "vz.pid"}

// Status looks at an instance.
func (c *Client) Status(name string) Status {
	for _, file := range pidFiles {
		if c.process(name, file) != 0 {
			return Running
		}
	}
	if _, err := os.Stat(filepath.Join(c.Dir(name), "lima.yaml")); err != nil {
		return Broken
	}
	return Stopped
}

// Instances returns the names of all instances. It reads the folder, since starting limactl takes longer.
func (c *Client) Instances() ([]string, error) {
	entries, err := os.ReadDir(c.Home)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		// Lima keeps its own files in folders that begin with an underscore.
		if e.IsDir() && !strings.HasPrefix(e.Name(), "_") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Starting is an instance on its way up.
type Starting struct {
	client *Client
	name   string
	proc   *proc.Process
}

// Start puts up the wall around an instance, begins to boot it and returns at once.
func (c *Client) Start(ctx context.Context, name string) (*Starting, error) {
	return c.startWalled(ctx, c.Limactl, name)
}

// StartLean is Start for an instance in which nothing of Lima's runs any more.
func (c *Client) StartLean(ctx context.Context, name string) (*Starting, error) {
	return c.startWalled(ctx, c.withoutAgent(), name)
}

func (c *Client) startWalled(ctx context.Context, limactl, name string) (*Starting, error) {
	args, err := c.raise(name)
	if err != nil {
		return nil, fmt.Errorf("closing the VM's way to this computer: %w", err)
	}
	return c.start(ctx, limactl, name, args)
}

// withoutAgent returns another name of limactl, by which it puts no guest agent on an instance's seed disk: 20 MB, written a
// few kB at a time. It looks for the agent beside where it was called first, and there lies an empty one.
func (c *Client) withoutAgent() string {
	prefix := filepath.Join(c.Home, "_lean") // what begins like this limactl does not take for an instance
	link, agent := filepath.Join(prefix, "bin", "limactl"), filepath.Join(prefix, "share", "lima", "lima-guestagent.Linux-"+Arch())
	if to, err := os.Readlink(link); err == nil && to == c.Limactl {
		return link
	}
	draft := link + strconv.Itoa(os.Getpid()) // others may be doing the same
	err := errors.Join(
		os.MkdirAll(filepath.Dir(link), 0o700), os.MkdirAll(filepath.Dir(agent), 0o700),
		os.WriteFile(agent, nil, 0o600), os.Symlink(c.Limactl, draft), os.Rename(draft, link),
	)
	if err != nil {
		return c.Limactl // with the agent it works as well
	}
	return link
}

// start begins to boot an instance, with further arguments for QEMU.
func (c *Client) start(ctx context.Context, limactl, name string, qemuArgs []string) (*Starting, error) {
	for _, log := range serialLogs { // of an earlier boot, perhaps that of what this is a copy of, which must not be taken for this one's
		if err := os.Remove(filepath.Join(c.Dir(name), log)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("starting the VM: %w", err)
		}
	}
	cmd := c.command("start", "--tty=false", name)
	cmd.Argv[0] = limactl
	cmd.Env = append(cmd.Env, c.qemu(qemuArgs)...)
	p, err := proc.Start(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("starting the VM: %w", err)
	}
	return &Starting{client: c, name: name, proc: p}, nil
}

func (s *Starting) failure(err error) error {
	if tail := s.client.SerialTail(s.name); tail != "" {
		return fmt.Errorf("booting the VM: %w\nthe end of its serial log:\n%s", err, tail)
	}
	return fmt.Errorf("booting the VM: %w", err)
}
