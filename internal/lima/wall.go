package lima

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"

	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/wall"
)

// Wall is what stands between the guests and the network of the host: a process for each guest, through which QEMU passes what
// the guest sends. Without the process nothing gets out. Apple's framework offers no such place.
type Wall struct {
	Rules []string // what it lets through, besides the internet
	// Raise starts the process for the instance of a folder. It gets the doors at which QEMU will knock, in the order of
	// package wall's Plugs, and a file for what it has turned away. Nil: there is no wall.
	Raise func(dir string, rules []string, doors []*os.File, report *os.File) error
}

// wallDoors are the sockets between QEMU and a wall, and refusedFile is its report, in the folder of an instance.
var wallDoors = []string{"wall-from.sock", "wall-to.sock", "wall-back.sock"}

const (
	wallConfig  = "wall.conf"
	refusedFile = "wall.refused"
)

// wallDevices make QEMU pass on what the guest sends: out by the first door, in again by the second one. By the third one
// comes what the guest is told. net0 is what Lima calls the guest's network. It is a file of configuration because Lima
// wants the option -object for itself.
const wallDevices = `
[object "wall"]
  qom-type = "filter-redirector"
  netdev = "net0"
  queue = "rx"
  outdev = "wall-from"
  indev = "wall-to"
[object "wall-back"]
  qom-type = "filter-redirector"
  netdev = "net0"
  queue = "tx"
  indev = "wall-back"
`

// raise puts up the wall for an instance that is about to start, and returns the arguments that QEMU needs for it.
func (c *Client) raise(name string) (args []string, err error) {
	dir := c.Dir(name)
	report := filepath.Join(dir, refusedFile)
	if err := os.Remove(report); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if c.Wall.Raise == nil || slices.Contains(c.Wall.Rules, wall.Everything) || Driver(runtime.GOOS) != "qemu" {
		return nil, nil
	}
	if strings.ContainsAny(dir, "\"\n") {
		return nil, fmt.Errorf("%w: QEMU could not read the name %q in a file", ErrHome, dir)
	}
	var text strings.Builder
	var doors []*os.File
	defer func() {
		for _, door := range doors {
			door.Close()
		}
	}()
	for _, door := range wallDoors {
		path := filepath.Join(dir, door)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of an earlier start
			return nil, err
		}
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return nil, err
		}
		listener.SetUnlinkOnClose(false)
		file, err := listener.File()
		listener.Close()
		if err != nil {
			return nil, err
		}
		doors = append(doors, file)
		fmt.Fprintf(&text, "[chardev %q]\n  backend = \"socket\"\n  path = \"%s\"\n", strings.TrimSuffix(door, ".sock"), path)
	}
	refused, err := os.Create(report)
	if err != nil {
		return nil, err
	}
	defer refused.Close()
	path := filepath.Join(dir, wallConfig)
	if err := os.WriteFile(path, []byte(text.String()+wallDevices), 0o600); err != nil {
		return nil, err
	}
	if err := c.Wall.Raise(dir, c.Wall.Rules, doors, refused); err != nil {
		return nil, err
	}
	return []string{"-readconfig", path}, nil
}

// maxRefused is how many lines of a wall's report are read.
const maxRefused = 100

// Refused returns what an instance has asked the network for and not got, since it was started.
func (c *Client) Refused(name string) (places []string) {
	report, err := os.Open(filepath.Join(c.Dir(name), refusedFile))
	if err != nil {
		return nil
	}
	defer report.Close()
	for lines := bufio.NewScanner(report); lines.Scan() && len(places) < maxRefused; {
		places = append(places, lines.Text())
	}
	return places
}

// qemu is the variable by which limactl learns what QEMU to start: the accelerator's, with further arguments. Nothing, if it
// would choose the same itself.
func (c *Client) qemu(args []string) []string {
	name := "QEMU_SYSTEM_" + strings.ToUpper(Arch())
	args = slices.Concat(c.Accel.args(), args)
	if len(args) == 0 {
		return nil
	}
	program := proc.Getenv(c.Env, name)
	if program == "" || c.Accel == TCG {
		program = qemuBinary()
	}
	return []string{name + "=" + program + " " + shellescape.QuoteCommand(args)}
}
