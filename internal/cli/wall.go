package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/wall"
)

// knockTime is how long a wall waits for QEMU. Whoever has raised it ends it sooner if nothing comes of the VM.
const knockTime = 10 * time.Minute

// firstDoor is the descriptor of the first of a wall's doors.
const firstDoor = 3

// wallCommand is the process that raiseWall starts.
func (a *app) wallCommand() *cobra.Command {
	return &cobra.Command{
		Use:    lima.WallCommand + " folder [rule…]",
		Short:  "Keep a VM from this computer and its network (claude-vm starts this itself)",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var rules []wall.Rule
			for _, text := range args[1:] {
				rule, err := wall.ParseRule(text)
				if err != nil {
					return err
				}
				rules = append(rules, rule)
			}
			var plugs [3]io.ReadWriter
			for i := range plugs {
				conn, err := accept(cmd.Context(), firstDoor+i)
				if err != nil {
					return err
				}
				plugs[i] = conn
			}
			return wall.Stand(cmd.Context(), wall.Plugs{From: plugs[0], To: plugs[1], Back: plugs[2]}, rules, a.Stdout)
		},
	}
}

// accept waits at a door that we were started with. The connection ends with the context.
func accept(ctx context.Context, fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "door")
	if file == nil {
		return nil, errors.New("claude-vm starts this itself")
	}
	defer file.Close()
	door, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	defer door.Close()
	defer context.AfterFunc(ctx, func() { door.Close() })()
	if unix, ok := door.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(true) // nobody else is to come in
		if err := unix.SetDeadline(time.Now().Add(knockTime)); err != nil {
			return nil, err
		}
	}
	conn, err := door.Accept()
	if err == nil {
		context.AfterFunc(ctx, func() { conn.Close() })
	}
	return conn, err
}

// raiseWall starts the process that keeps a VM from this computer and its network. It ends with QEMU's connections.
func (a *app) raiseWall(dir string, rules []string, doors []*os.File, report *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := slices.Concat([]string{self, lima.WallCommand, dir + string(filepath.Separator)}, rules)
	return proc.Detach(proc.Cmd{Argv: argv, Env: []string{"CLAUDE_VM_HOME=" + string(a.state())}, Dir: "/"}, append([]*os.File{nil, report, nil}, doors...)...)
}
