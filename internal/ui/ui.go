// Package ui is the terminal as a person sees it: steps with a spinner, messages, questions, tables. It owns every escape
// code the program writes and the promise that foreign text cannot bring its own. It knows nothing of virtual machines and
// looks at neither the environment nor the process: whether there is a terminal, and how wide it is, comes in from outside.
//
// What it says goes to standard error, each change in one write, so that no line is ever seen half done. While somebody
// else has the terminal (the guest, or a person who is being asked) nothing is written; it is said afterwards.
package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// ErrNotInteractive is returned by [UI.Confirm] when there is nobody to answer.
var ErrNotInteractive = errors.New("no terminal to ask on")

const (
	eraseLine = "\r\x1b[K"
	wrapOff   = "\x1b[?7l"
	wrapOn    = "\x1b[?7h"
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
	cyan      = "\x1b[36m"
	plain     = "\x1b[0m"
)

// Options are the streams and the facts that a UI is made from.
type Options struct {
	In            io.Reader // read by questions only
	Err           io.Writer
	Terminal      bool // Err understands escape codes; false for TERM=dumb
	InteractiveIn bool // a person reads Err, escape codes or not, and types on In
	NoColor       bool
	Quiet         bool // only warnings, errors, their hints, and questions
	Verbose       bool // show foreign output; Quiet wins over it
	Now           func() time.Time
	Width         func() int // columns, asked for each spinner line; zero: 80. Not called without a terminal
}

// UI writes to one terminal. Its methods may be called from several goroutines.
type UI struct {
	o Options

	mu     sync.Mutex
	active []*Step       // the last one has the spinner
	stop   chan struct{} // closed when active becomes empty
	drawn  bool          // the cursor is behind a spinner
	held   int           // how many others have the terminal
	kept   string        // what was to be said meanwhile
}

// New returns a UI that has said nothing yet.
func New(o Options) *UI { return &UI{o: o} }

// Info says something good to know.
func (u *UI) Info(format string, args ...any) {
	if !u.o.Quiet {
		u.message("", format, args...)
	}
}

// Warn says that something is not as it should be, and that the work goes on.
func (u *UI) Warn(format string, args ...any) {
	u.message(u.paint(yellow, "warning: "), format, args...)
}

// Urgent is Warn for what cannot wait until the guest has given the terminal back, to which a new line is more than a line end.
func (u *UI) Urgent(format string, args ...any) {
	text := compose(u.paint(yellow, "warning: "), format, args)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held > 0 {
		u.write("\r\n"+strings.ReplaceAll(text, "\n", "\r\n"), false)
		return
	}
	u.print(text)
}

// Hint says what to do about the warning or the error before it.
func (u *UI) Hint(format string, args ...any) {
	u.message(u.paint(cyan, "hint: "), format, args...)
}

// Error says what failed.
func (u *UI) Error(err error) { u.message(u.paint(red, "error: "), "%v", err) }

func (u *UI) message(label, format string, args ...any) {
	text := compose(label, format, args)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.print(text)
}

// compose breaks lines where the format or an error does, and indents them; a string argument is a name or the like and
// stays on its line. So nothing from outside ever stands where our labels do.
func compose(label, format string, args []any) string {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = Sanitize(s) // in place, or vet would no longer check the formats of our callers
		}
	}
	lines := strings.Split(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n")
	for i, line := range lines {
		lines[i] = foreign(line)
	}
	return label + strings.Join(lines, "\n  ") + "\n"
}

// Verbose returns a writer for the output of a foreign program: shown line by line if the user wants to see it, discarded
// otherwise. Close shows what came after the last line end. Every stream needs a writer of its own.
func (u *UI) Verbose() io.WriteCloser { return &stream{u: u} }

type stream struct {
	u    *UI
	rest []byte // a line that has not ended yet; guarded by u.mu
}

func (s *stream) Write(p []byte) (int, error) {
	if !s.u.o.Verbose || s.u.o.Quiet {
		return len(p), nil
	}
	s.u.mu.Lock()
	defer s.u.mu.Unlock()
	s.rest = append(s.rest, p...)
	for line := range bytes.Lines(s.rest) {
		// A program that never ends its line is not given all of our memory.
		if !bytes.HasSuffix(line, []byte("\n")) && len(line) < 64<<10 {
			s.rest = line
			return len(p), nil
		}
		s.u.print(foreign(string(line)) + "\n")
	}
	s.rest = nil
	return len(p), nil
}

func (s *stream) Close() error {
	if len(s.rest) > 0 {
		s.Write([]byte("\n"))
	}
	return nil
}

// Confirm asks a question and reads one line and not a byte more, for what follows may be meant for the guest. An empty
// answer is the default, anything but yes is no, and so is the end of the input. It fails with ErrNotInteractive if nobody is
// there, and with the error of ctx when that ends first; nothing should be read from the input after that.
func (u *UI) Confirm(ctx context.Context, question string, byDefault bool) (bool, error) {
	if !u.o.InteractiveIn {
		return false, ErrNotInteractive
	}
	choice := " [y/N] "
	if byDefault {
		choice = " [Y/n] "
	}
	defer u.hold(Sanitize(question) + choice)()

	var line string
	var err error
	read := make(chan struct{})
	go func() {
		line, err = readLine(u.o.In)
		close(read)
	}()
	select {
	case <-ctx.Done():
		io.WriteString(u.o.Err, "\n")
		return false, ctx.Err()
	case <-read:
	}
	if err != nil {
		io.WriteString(u.o.Err, "\n")
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "":
		return byDefault, nil
	case "y", "yes":
		return true, nil
	}
	return false, nil
}

func readLine(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		switch n, err := r.Read(b); {
		case n == 1 && b[0] == '\n':
			return string(line), nil
		case n == 1:
			line = append(line, b[0])
		case err != nil:
			return "", err
		}
	}
}

// Release leaves the terminal to the guest, or for good: when it returns, the spinner is gone, the cursor stands on an
// empty line and the running steps are forgotten. What is said from then on is kept until takeBack is called.
func (u *UI) Release() (takeBack func()) {
	u.mu.Lock()
	if len(u.active) > 0 {
		u.active = nil
		close(u.stop)
	}
	u.mu.Unlock()
	return u.hold("")
}

// hold writes text in place of the spinner and keeps back what follows.
func (u *UI) hold(text string) (resume func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.write(text, false)
	u.held++
	return sync.OnceFunc(func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		text := u.kept
		u.held--
		u.kept = ""
		u.print(text)
	})
}

// print writes lines that stay, above the spinner if there is one. As everything below, it wants u.mu to be held.
func (u *UI) print(text string) {
	if u.held > 0 {
		u.kept += text
		return
	}
	u.write(text, u.o.Terminal && len(u.active) > 0)
}

func (u *UI) write(text string, spin bool) {
	if u.drawn {
		text = eraseLine + text
	}
	if spin {
		text += u.spinner()
	}
	u.drawn = spin
	io.WriteString(u.o.Err, text)
}

func (u *UI) paint(color, text string) string {
	if !u.o.Terminal || u.o.NoColor {
		return text
	}
	return color + text + plain
}
