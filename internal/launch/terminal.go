package launch

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/muesli/cancelreader"
	"golang.org/x/term"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/host"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

// IsTerminal says whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Width returns the columns of a terminal, 0 if they are not known.
func Width(f *os.File) int {
	width, _, _ := term.GetSize(int(f.Fd()))
	return width
}

// regainTime is how long a terminal may take to answer.
const regainTime = 150 * time.Millisecond

// KeepTerminal returns a function that gives the terminal the settings back that it has now, for
// the case that a program that had it was killed. Nothing that the terminal still answers to that
// program is left for whoever reads there next.
func (h Host) KeepTerminal() func() {
	state, err := term.GetState(int(h.Stdin.Fd()))
	if err != nil {
		return func() {}
	}
	return func() {
		if IsTerminal(h.Stdout) && proc.Getenv(h.Env, "TERM") != "dumb" {
			h.regain()
		}
		_ = term.Restore(int(h.Stdin.Fd()), state)
	}
}

// regain makes the terminal ordinary again, and drops what waits there.
func (h Host) regain() {
	if _, err := term.MakeRaw(int(h.Stdin.Fd())); err != nil { // what comes is not to be shown
		return
	}
	typed, err := cancelreader.NewReader(h.Stdin)
	if err != nil {
		return
	}
	defer typed.Close()
	defer time.AfterFunc(regainTime, func() { typed.Cancel() }).Stop()
	h.UI.Untangle(h.Stdout)
	ui.Drain(typed, h.Stdout)
}

// plainTerminals are those that the guest has a description of, as every Debian has.
var plainTerminals = []string{
	"", "dumb", "linux", "vt100", "vt220", "xterm", "xterm-256color", "screen", "screen-256color", "tmux",
	"tmux-256color",
}

// terminal has the guest know the terminal, and gives it back as it was.
type terminal struct {
	session.Nop
	host     Host
	giveBack func()
}

// Before notes how it is, and has the guest get its description.
func (t *terminal) Before(_ context.Context, spec *session.Spec) error {
	name := proc.Getenv(spec.Command.Env, "TERM")
	if spec.TTY && !slices.Contains(plainTerminals, name) {
		if compiled := host.Terminfo(t.host.Env, t.host.Home, name); compiled != nil {
			spec.Steps = append(spec.Steps, guest.Terminfo(name, compiled))
		}
	}
	t.giveBack = t.host.KeepTerminal()
	return nil
}

// After makes it so again.
func (t *terminal) After(context.Context, session.Outcome) { t.giveBack() }
