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

// Waiting is a command in an instance that was started before anybody knew what it should do, and reads that from its input,
// part by part. It is a handful of open files: it can be handed to another process, and lives on when the one that started it
// ends.
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
		err = c.detach(name, "-T", line, theirs[:]...)
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

// detach starts a command that outlives us. Its exit status goes to the last of the files.
func (c *Client) detach(name, option, line string, files ...*os.File) error {
	cmd := c.ssh(name, option)
	// Only the parent of a process learns its exit status. This one has no other task.
	cmd.Argv = append([]string{"sh", "-c", `"$@" 3>&-; echo $? >&3`}, append(append([]string{"sh"}, cmd.Argv...), "--", line)...)
	cmd.Dir = "/"
	return proc.Detach(cmd, files...)
}

// exit returns how a command has ended that was detached, as Exec does.
func exit(code io.Reader, stderr string) error {
	failure := &proc.Error{Argv: []string{"ssh"}, Stderr: strings.TrimSpace(stderr)}
	if _, err := fmt.Fscan(code, &failure.Code); err != nil {
		failure.Code, failure.Killed = 255, true // nobody was there any more to tell
	}
	if failure.Code == 0 {
		return nil
	}
	failure.Err = fmt.Errorf("exit status %d", failure.Code)
	return failure
}

// Files returns what stands for the command when it is handed over.
func (w *Waiting) Files() []*os.File { return []*os.File{w.stdin, w.stdout, w.stderr, w.code} }

// AdoptWaiting makes a command ours that was handed over as open files, and returns the files that are not its own.
func AdoptWaiting(fds []int) (*Waiting, []int, error) {
	files, rest, err := adopt(fds, waitingFiles)
	if err != nil {
		return nil, nil, err
	}
	return &Waiting{files[0], files[1], files[2], files[3]}, rest, nil
}

func adopt(fds []int, count int) (files []*os.File, rest []int, err error) {
	if len(fds) < count {
		return nil, nil, fmt.Errorf("%d files are not a command that waits", len(fds))
	}
	for _, fd := range fds[:count] {
		if err := syscall.SetNonblock(fd, true); err != nil { // so that Close ends a Read
			return nil, nil, err
		}
		files = append(files, os.NewFile(uintptr(fd), "ssh"))
	}
	return files, fds[count:], nil
}

// Close lets go of the command. Without anybody who could feed it, it ends.
func (w *Waiting) Close() {
	for _, file := range w.Files() {
		file.Close()
	}
}

// Do feeds the command with a part of its work, and returns when it has printed a byte. Before that it prints nothing else.
func (w *Waiting) Do(ctx context.Context, part string) error {
	defer context.AfterFunc(ctx, w.Close)()
	_, err := io.WriteString(w.stdin, part)
	if err == nil {
		_, err = w.stdout.Read(make([]byte, 1))
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil { // it has ended instead
		kept := proc.Limited{Most: 1 << 16}
		_, _ = io.Copy(&kept, w.stderr)
		err = errors.Join(exit(w.code, kept.String()), err)
	}
	return fmt.Errorf("preparing the VM: %w", err)
}

// Run feeds the command with the last part of its work, and then with the input given, until it ends. The error is as Exec's.
func (w *Waiting) Run(ctx context.Context, part string, command Command) error {
	defer w.Close()
	defer context.AfterFunc(ctx, w.Close)()
	go func() { // it may still wait for input when the command has ended
		_, err := io.WriteString(w.stdin, part)
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
	return exit(w.code, kept.String())
}
