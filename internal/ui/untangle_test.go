package ui

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"golang.org/x/term"
	"pgregory.net/rapid"
)

// Whatever a program has switched on is off, and on an ordinary terminal nothing changes.
func TestUntangle(t *testing.T) {
	t.Parallel()
	var reset bytes.Buffer
	New(Options{Terminal: true, Err: io.Discard}).Untangle(&reset)
	rapid.Check(t, func(t *rapid.T) {
		shown := vt10x.New(vt10x.WithSize(40, 10))
		write := func(text string) {
			if _, err := io.WriteString(shown, text); err != nil {
				t.Fatal(err)
			}
		}
		write(rapid.StringMatching(`([a-z ]{0,30}\r\n){0,15}[a-z]{0,30}`).Draw(t, "before"))
		text, cursor := shown.String(), shown.Cursor()
		for _, mode := range rapid.SliceOf(rapid.SampledFrom([]string{
			"\x1b[?1000h", "\x1b[?1002h", "\x1b[?1003h", "\x1b[?1006h", "\x1b[?1004h", "\x1b[?1h", "\x1b=", "\x1b[?25l", "\x1b[4h", "\x1b[?5h",
			"\x1b[31;7m",
		})).Draw(t, "modes") {
			write(mode)
		}
		other := rapid.Bool().Draw(t, "other screen")
		if other {
			write("\x1b[?1049h\x1b[2J\x1b[3;5r\x1b[5;5Hfull")
		}
		if rapid.Bool().Draw(t, "cut off") {
			write("\x1b]0;title")
		}
		sent := reset.String()
		if !other { // vt10x takes this for a change to the other screen
			sent = strings.Replace(sent, "\x1b[?1049l", "", 1)
		}
		write(sent)
		now := shown.Cursor() // vt10x keeps one saved cursor for both screens, where terminals keep two
		if shown.String() != text || !other && (now.X != cursor.X || now.Y != cursor.Y) {
			t.Fatalf("%q at %+v has become %q at %+v", text, cursor, shown.String(), shown.Cursor())
		}
		const on = vt10x.ModeMouseMask | vt10x.ModeFocus | vt10x.ModeAppCursor | vt10x.ModeAppKeypad | vt10x.ModeAltScreen |
			vt10x.ModeInsert | vt10x.ModeReverse | vt10x.ModeHide
		if left := shown.Mode() & on; left != 0 || shown.Mode()&vt10x.ModeWrap == 0 {
			t.Fatalf("modes %b are on", left)
		}
	})
	reset.Reset()
	New(Options{Err: io.Discard}).Untangle(&reset)
	if reset.Len() > 0 {
		t.Errorf("what is no terminal is told %q", &reset)
	}
}

// What is answered before our own question is answered reaches nobody, and what is typed afterwards
// is there.
func TestDrain(t *testing.T) {
	t.Parallel()
	ours, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer terminal.Close()
	asked, tell := io.Pipe()
	go func() {
		question := make([]byte, 20)
		n, _ := asked.Read(question)
		mode := regexp.MustCompile(`\d+`).FindString(string(question[:n]))
		for _, text := range []string{"\x1b[?62;c\x1b]11;rgb:0/0/0\x1b\\", "\x1b[0n\x1b[?1;2$y", "evil\n", "\x1b[?" + mode, ";0$", "y"} {
			if _, err := ours.Write([]byte(text)); err != nil {
				t.Error(err)
			}
		}
	}()
	if _, err := term.MakeRaw(int(terminal.Fd())); err != nil {
		t.Fatal(err)
	}
	Drain(terminal, tell)
	go func() { _, _ = ours.Write([]byte("ls\r")) }()
	got := make([]byte, 20)
	n, err := terminal.Read(got)
	if err != nil || strings.TrimRight(string(got[:n]), "\r") != "ls"[:min(n, 2)] {
		t.Errorf("%q, %v", got[:n], err)
	}
	// One that does not answer is read to the end.
	Drain(strings.NewReader("\x1b[?62;c"), io.Discard)
	Drain(strings.NewReader(strings.Repeat("x", 1<<20)), io.Discard)
}
