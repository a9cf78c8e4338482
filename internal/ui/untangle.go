package ui

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// untangled is what a terminal is told that somebody else has had, who may have been killed:
// whatever a program switches on for itself is off again. It means nothing to a terminal on which
// nothing is on, and moves no cursor there.
const untangled = "\x1b\\" + // the end of a text that was not ended
	"\x1b7\x1b[?1049l" + // the other screen; leaving it restores the cursor, wherever that was saved last
	"\x1b7\x1b[?69l\x1b[r" + // margins and the region that scrolls
	"\x1b[=0;1u\x1b[<99u\x1b[>4;0m" + // ways to report keys
	"\x1b8" +
	"\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l" + // the mouse
	"\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l" + // and how it is told of; focus
	"\x1b[?2004l\x1b[?2026l\x1b[?2031l\x1b[?2048l" + // pasting, frames, news of colours and sizes
	"\x1b[?1l\x1b>\x1b[2l\x1b[4l\x1b[?5l\x1b[?7h" + // keys, insertion, colours turned over, wrapping
	"\x1b[?25h\x1b[0 q" + // the cursor
	"\x1b(B\x0f\x1b[0m" // characters and colours

// Untangle makes a terminal ordinary again that a guest has had.
func (u *UI) Untangle(terminal io.Writer) {
	if u.o.Terminal {
		_, _ = io.WriteString(terminal, untangled)
	}
}

// Drain reads what a terminal still answers to questions of a guest that is gone, and what was
// typed before it has: nobody can tell one from the other, and neither may be taken for input by
// whoever reads next. A question of our own comes last, and the terminal answers in order. One that
// does not know it is read until typed ends.
func Drain(typed io.Reader, terminal io.Writer) {
	mode := 10000 + rand.IntN(50000) // one that nobody knows: a guest could have asked beforehand
	if _, err := fmt.Fprintf(terminal, "\x1b[?%d$p", mode); err != nil {
		return
	}
	answer := fmt.Appendf(nil, "\x1b[?%d;", mode)
	var last []byte
	for chunk := make([]byte, 1024); ; {
		n, err := typed.Read(chunk)
		last = append(last, chunk[:n]...)
		if _, rest, ok := bytes.Cut(last, answer); ok && bytes.Contains(rest, []byte("$y")) || err != nil {
			return
		}
		last = last[max(0, len(last)-64):]
	}
}
