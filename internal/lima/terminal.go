package lima

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/creack/pty"
	"github.com/muesli/cancelreader"
	"golang.org/x/term"
)

// Terminal is a command in an instance, on a terminal, that was started before anybody knew what it should do: the ssh in front
// of it has a terminal of our making, which takes the size of the user's and passes on what is typed there. As a Waiting it can
// be handed to another process.
type Terminal struct{ pty, code *os.File }

// terminalFiles is how many files a Terminal has.
const terminalFiles = 2

// AwaitTerminal starts a command on a terminal, and returns when it has printed a line end. Before that it prints nothing else.
func (c *Client) AwaitTerminal(ctx context.Context, name, line string) (t *Terminal, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("preparing the VM's terminal: %w", err)
		}
	}()
	ours, theirs, err := pty.Open()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	code, tell, err := os.Pipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer tell.Close()
	t = &Terminal{ours, code}
	stop := context.AfterFunc(ctx, t.Close)
	defer stop()
	err = c.detach(name, "-tt", line, theirs, theirs, theirs, tell)
	for last := []byte{0}; err == nil && last[0] != '\n'; {
		_, err = ours.Read(last)
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Files returns what stands for the command when it is handed over.
func (t *Terminal) Files() []*os.File { return []*os.File{t.pty, t.code} }

// AdoptTerminal makes a command ours that was handed over as open files.
func AdoptTerminal(fds []int) (*Terminal, error) {
	files, _, err := adopt(fds, terminalFiles)
	if err != nil {
		return nil, err
	}
	return &Terminal{files[0], files[1]}, nil
}

// Close lets go of the command: its terminal hangs up.
func (t *Terminal) Close() {
	for _, file := range t.Files() {
		file.Close()
	}
}

// Run joins the command's terminal to the user's, has the command told to begin, and returns when it has ended. The error is as
// Exec's.
func (t *Terminal) Run(ctx context.Context, begin func() error, command Command) error {
	defer t.Close()
	defer context.AfterFunc(ctx, t.Close)()
	if users, ok := command.Stdin.(*os.File); ok {
		leave, err := t.join(users)
		if err != nil {
			return fmt.Errorf("passing on the terminal: %w", err)
		}
		defer leave()
	}
	if err := begin(); err != nil {
		return err
	}
	_, _ = io.Copy(command.Stdout, t.pty) // until nobody has the other side open any more, which is an error on Linux
	return exit(t.code, "")
}

// join passes on the size of the user's terminal and what is typed there, until leave is called.
func (t *Terminal) join(users *os.File) (leave func(), err error) {
	typed, err := cancelreader.NewReader(users)
	if err != nil {
		return nil, err
	}
	before, err := term.MakeRaw(int(users.Fd()))
	if err != nil {
		return nil, errors.Join(err, typed.Close())
	}
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	_ = pty.InheritSize(users, t.pty)
	go func() {
		for range resized {
			_ = pty.InheritSize(users, t.pty)
		}
	}()
	go func() {
		_, _ = io.Copy(t.pty, typed)
		_ = typed.Close()
	}()
	return func() {
		signal.Stop(resized)
		close(resized)
		typed.Cancel()
		_ = term.Restore(int(users.Fd()), before)
	}, nil
}
