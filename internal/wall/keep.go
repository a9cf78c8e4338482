package wall

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// knockTime is how long a wall waits for QEMU. Whoever has raised it ends it sooner if nothing
// comes of the VM.
const knockTime = 10 * time.Minute

// firstDoor is the descriptor of the first of a wall's doors.
const firstDoor = 3

// Keep stands at the doors that this process was started with, until QEMU closes them.
func Keep(ctx context.Context, rules []string, report io.Writer) error {
	var parsed []Rule
	for _, text := range rules {
		rule, err := ParseRule(text)
		if err != nil {
			return err
		}
		parsed = append(parsed, rule)
	}
	var plugs [3]io.ReadWriter
	for i := range plugs {
		conn, err := accept(ctx, firstDoor+i)
		if err != nil {
			return err
		}
		plugs[i] = conn
	}
	return Stand(ctx, Plugs{From: plugs[0], To: plugs[1], Back: plugs[2]}, parsed, report)
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
