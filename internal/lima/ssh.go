package lima

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/themouette/claude-vm/internal/proc"
)

const (
	// poll is how often something is looked at that ends within moments.
	poll = 20 * time.Millisecond
	// glance is how often a guest's console is looked at where the system does not say that it has changed, as on some
	// shared file systems.
	glance = 250 * time.Millisecond
	// rarely is how often it is looked at where the system does say so, in case it does not.
	rarely = 2 * time.Second
)

// ErrBoot means that a VM did not come up.
var ErrBoot = errors.New("the VM did not come up")

// AwaitSSH waits until a booting instance says on its serial console that its ssh server listens, and connects. limactl
// start goes on beside it. Knocking at the port instead would cost: QEMU accepts every connection at once, and a guest
// without hardware help takes seconds to greet each of them.
func (s *Starting) AwaitSSH(ctx context.Context, marker string) error {
	if err := s.awaitMarker(ctx, marker); err != nil {
		return err
	}
	return s.client.connect(ctx, s.name)
}

func (s *Starting) awaitMarker(ctx context.Context, marker string) error {
	const gaveUp = "Kernel panic - not syncing"
	var consoles []*console
	for _, log := range serialLogs {
		consoles = append(consoles, &console{
			path: filepath.Join(s.client.Dir(s.name), log), search: search{words: []string{marker, gaveUp}, found: map[string]bool{}},
		})
	}
	// An event instead of a look now and then: a boot is long, and each look wakes the host. The folder is not watched for the
	// logs to appear: limactl writes a disk there in small pieces, of 20 MB at an image's first boot, and each would be an event.
	var changed chan fsnotify.Event
	unwatched := slices.Clone(consoles)
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer watcher.Close()
		changed = watcher.Events
	}
	tick := time.NewTicker(glance)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.failure(fmt.Errorf("%w: %w", ErrBoot, context.Cause(ctx)))
		case <-s.proc.Done():
			if err := s.proc.Wait(); err != nil {
				return s.failure(fmt.Errorf("%w: %w", ErrBoot, full(err)))
			}
			return nil // limactl has seen by itself that the guest answers
		case <-changed:
		case <-tick.C:
			if watcher == nil {
				break
			}
			unwatched = slices.DeleteFunc(unwatched, func(c *console) bool { return watcher.Add(c.path) == nil })
			if len(unwatched) < len(consoles) {
				tick.Reset(rarely)
			}
		}
		for _, console := range consoles {
			console.look()
			if console.found[marker] {
				return nil
			}
			if console.found[gaveUp] { // Lima would wait for ten minutes
				return s.failure(fmt.Errorf("%w: its kernel has given up", ErrBoot))
			}
		}
	}
}

// alive has ssh give up a VM of which nothing is heard: one without its wall, for instance. A guest that is only slow, or was
// asleep with its host, has three minutes.
var alive = []string{"-o", "ServerAliveInterval=30", "-o", "ServerAliveCountMax=6"}

// connect makes the connection that all commands to an instance share, unless Lima has made it.
func (c *Client) connect(ctx context.Context, name string) error {
	if c.Connected(name) {
		return nil
	}
	log := filepath.Join(c.Dir(name), "ssh.log") // the connection lives on in the background, and would hold our stderr
	cmd := c.ssh(name, append([]string{"-M", "-N", "-f", "-E", log, "-o", "ConnectTimeout=60"}, alive...)...)
	if err := proc.Run(ctx, cmd); err != nil {
		text, _ := os.ReadFile(log)
		return fmt.Errorf("connecting to the VM: %w\n%s", err, bytes.TrimSpace(text))
	}
	return nil
}

// Connected says whether there is the connection that all commands to an instance share.
func (c *Client) Connected(name string) bool {
	_, err := os.Stat(filepath.Join(c.Dir(name), "ssh.sock"))
	return err == nil
}

// Holds says whether the shared connection to an instance still holds. One that was lost can leave its socket behind.
func (c *Client) Holds(ctx context.Context, name string) bool {
	return proc.Run(ctx, c.ssh(name, "-O", "check")) == nil
}

// ssh is a call of ssh with the configuration that Lima writes for the instance.
func (c *Client) ssh(name string, options ...string) proc.Cmd {
	argv := append([]string{"ssh", "-F", filepath.Join(c.Dir(name), "ssh.config"), "-o", "LogLevel=ERROR"}, options...)
	host := "lima-" + strings.NewReplacer("_", "-", ".", "-").Replace(name) // as Lima calls it there
	return proc.Cmd{Argv: append(argv, host), Env: c.Env}
}

// Command is something to run in an instance.
type Command struct {
	Line   string // for the login shell of the guest's user; everybody on the host can see it
	TTY    bool   // give it a terminal, and hand ours over to it
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Exec runs a command in a running instance. The error carries its exit status; 255 means that ssh itself failed.
func (c *Client) Exec(ctx context.Context, name string, command Command) error {
	options := []string{"-T"}
	if command.TTY {
		options = []string{"-tt"}
	}
	if command.Stdin == nil {
		options = append(options, "-n")
	}
	cmd := c.ssh(name, options...)
	cmd.Argv = append(cmd.Argv, "--", command.Line)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = command.Stdin, command.Stdout, command.Stderr
	cmd.Foreground = command.TTY
	cmd.Abrupt = !command.TTY // ssh would wait for an answer, and the VM is about to go
	return proc.Run(ctx, cmd)
}

// Port is a port of the guest that the host offers on its loopback.
type Port struct{ Host, Guest int }

// ErrPort means that a port of the host could not be had.
var ErrPort = errors.New("the port cannot be had")

// Publish offers a port of a running instance on the host's loopback, over the shared connection.
func (c *Client) Publish(ctx context.Context, name string, p Port) error {
	forward := fmt.Sprintf("127.0.0.1:%d:127.0.0.1:%d", p.Host, p.Guest)
	if err := proc.Run(ctx, c.ssh(name, "-O", "forward", "-L", forward)); err != nil {
		return fmt.Errorf("publishing port %d on the host's port %d: %w: %w", p.Guest, p.Host, ErrPort, err)
	}
	return nil
}

// Socket is a Unix socket of the host, and where the guest has it.
type Socket struct{ Host, Guest string }

// socketPath keeps ssh from reading a path as more than one: it takes colons apart and expands what follows a percent sign.
var socketPath = strings.NewReplacer(`\`, `\\`, `:`, `\:`, `%`, `%%`)

// Lend lets a running instance connect to a socket of the host, over the shared connection. Nothing may lie in its place in
// the guest.
func (c *Client) Lend(ctx context.Context, name string, s Socket) error {
	forward := socketPath.Replace(s.Guest) + ":" + socketPath.Replace(s.Host)
	if err := proc.Run(ctx, c.ssh(name, "-O", "forward", "-R", forward)); err != nil {
		return fmt.Errorf("lending the VM the socket %s: %w", s.Host, err)
	}
	return nil
}

var instanceID = regexp.MustCompile(`instance-id: (iid-[0-9]+)`)

// seedTail is how much of the seed disk's end holds the small files; before them there may be some 20 MB of Lima's programs.
const seedTail = 1 << 20

// BootID returns the id that Lima gave to this boot of an instance and that it waits to read in the guest. It stands in
// plain text on the seed disk.
func (c *Client) BootID(name string) (string, error) {
	seed, err := os.Open(filepath.Join(c.Dir(name), "cidata.iso"))
	if err != nil {
		return "", err
	}
	defer seed.Close()
	info, err := seed.Stat()
	if err != nil {
		return "", err
	}
	for _, from := range []int64{max(0, info.Size()-seedTail), 0} {
		text, err := io.ReadAll(io.NewSectionReader(seed, from, info.Size()-from))
		if err != nil {
			return "", err
		}
		if found := instanceID.FindSubmatch(text); found != nil {
			return string(found[1]), nil
		}
	}
	return "", fmt.Errorf("there is no instance id on the seed disk of %s", name)
}
