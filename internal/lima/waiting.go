package lima

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/themouette/claude-vm/internal/proc"
)

// Waiting is a command in an instance that was started before anybody knew what it should do, and reads that from its input.
// It is a handful of open files: it can be handed to another process, and lives on when the one that started it ends.
type Waiting struct{ stdin, stdout, stderr, code *os.File }

// waitingFiles is how many files a Waiting has.
const waitingFiles = 4

// Await starts a command that waits.
func (c *Client) Await(name, line string) (w *Waiting, err error) {
	var ours, theirs [waitingFiles]*os.File
	for i := range ours {
		read, write, pipeErr := os.Pipe()
		ours[i], theirs[i] = read, write
		if i == 0 {
			ours[i], theirs[i] = write, read
		}
		err = errors.Join(err, pipeErr)
	}
	w = &Waiting{ours[0], ours[1], ours[2], ours[3]}
	if err == nil {
		cmd := c.ssh(name, "-T")
		// Only the parent of a process learns its exit status. This one has no other task.
		cmd.Argv = append([]string{"sh", "-c", `"$@" 3>&-; echo $? >&3`}, append(append([]string{"sh"}, cmd.Argv...), "--", line)...)
		cmd.Dir = "/"
		err = proc.Detach(cmd, theirs[:]...)
	}
	for _, file := range theirs {
		file.Close()
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("preparing the VM: %w", err)
	}
	return w, nil
}

// Files returns what stands for the command when it is handed over.
func (w *Waiting) Files() []*os.File { return []*os.File{w.stdin, w.stdout, w.stderr, w.code} }

// AdoptWaiting makes a command ours that was handed over as open files.
func AdoptWaiting(fds []int) (*Waiting, error) {
	if len(fds) != waitingFiles {
		return nil, fmt.Errorf("%d files are not a command that waits", len(fds))
	}
	var files [waitingFiles]*os.File
	for i, fd := range fds {
		if err := syscall.SetNonblock(fd, true); err != nil { // so that Close ends a Read
			return nil, err
		}
		files[i] = os.NewFile(uintptr(fd), "ssh")
	}
	return &Waiting{files[0], files[1], files[2], files[3]}, nil
}

// Close lets go of the command. Without anybody who could feed it, it ends.
func (w *Waiting) Close() {
	for _, file := range w.Files() {
		file.Close()
	}
}

// Rehearse feeds the command with something to begin with, and returns when it has printed a byte.
func (w *Waiting) Rehearse(ctx context.Context, text string) error {
	defer context.AfterFunc(ctx, w.Close)()
	_, err := io.WriteString(w.stdin, text)
	if err == nil {
		_, err = w.stdout.Read(make([]byte, 1))
	}
	if err != nil {
		return fmt.Errorf("preparing the VM: %w", err)
	}
	return nil
}

// Run feeds the command with what it waits for, and then with the input given, until it ends. The error is as Exec's.
func (w *Waiting) Run(ctx context.Context, awaited string, command Command) error {
	defer w.Close()
	defer context.AfterFunc(ctx, w.Close)()
	go func() { // it may still wait for input when the command has ended
		_, err := io.WriteString(w.stdin, awaited)
		if err == nil && command.Stdin != nil {
			_, _ = io.Copy(w.stdin, command.Stdin)
		}
		w.stdin.Close()
	}()
	kept := proc.Limited{Most: 1 << 16}
	var outputs sync.WaitGroup
	pass := func(to io.Writer, from *os.File) {
		outputs.Go(func() {
			if to == nil {
				to = io.Discard
			}
			if _, err := io.Copy(to, from); err != nil {
				from.Close() // nobody listens any more: the command is to notice
			}
		})
	}
	pass(command.Stdout, w.stdout)
	if command.Stderr == nil {
		pass(&kept, w.stderr)
	} else {
		pass(command.Stderr, w.stderr)
	}
	outputs.Wait()
	failure := &proc.Error{Argv: []string{"ssh"}, Stderr: strings.TrimSpace(kept.String())}
	if _, err := fmt.Fscan(w.code, &failure.Code); err != nil {
		failure.Code, failure.Killed = 255, true // nobody was there any more to tell
	}
	if failure.Code == 0 {
		return nil
	}
	failure.Err = fmt.Errorf("exit status %d", failure.Code)
	return failure
}
