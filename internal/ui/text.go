package ui

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Sanitize makes text that a guest, a repository or a server can influence safe to show, on one line: what is not a
// printable character (controls, escapes, line ends, direction overrides, invisible and invalid ones) becomes its Go
// escape. Printable text stays as it is, backslashes included, so that sanitizing twice changes nothing.
func Sanitize(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(quoted[1 : len(quoted)-1])
}

// styling matches the sequences with which programs colour their output and move the cursor.
var styling = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]`)

// foreign returns a line of a program's output as a colourless terminal would leave it: a carriage return begins it anew,
// tabs are blanks. What else there is becomes visible.
func foreign(line string) string {
	line = strings.TrimRight(line, "\r\n")
	line = line[strings.LastIndexByte(line, '\r')+1:]
	line = styling.ReplaceAllString(line, "")
	return Sanitize(strings.ReplaceAll(line, "\t", "    "))
}

// Size returns a number of bytes for people, in decimal units: 175 MB.
func Size(bytes int64) string {
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/1000, 0
	for ; value >= 999.5; unit++ {
		value /= 1000
	}
	if value < 9.95 {
		return fmt.Sprintf("%.1f %cB", value, "kMGTPE"[unit])
	}
	return fmt.Sprintf("%.0f %cB", value, "kMGTPE"[unit])
}

// Table writes aligned columns, two blanks apart; no row has more cells than the header. Cells are sanitized. A width of
// zero is no limit. Of lines that are longer the column with the title paths loses the beginnings of its cells, and if that
// is not enough whole columns are left out: they come in the order of their importance. The first one has names to copy
// and is always whole. A character counts as one column.
func Table(w io.Writer, header []string, paths string, rows [][]string, width int) error {
	const gap, short = 2, 16
	rows = append([][]string{header}, rows...)
	columns := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			columns[i] = max(columns[i], utf8.RuneCountInString(Sanitize(cell)))
		}
	}
	over := columns[0] - cmp.Or(width, math.MaxInt)
	for _, c := range columns[1:] {
		over += gap + c
	}
	path := slices.Index(header, paths)
	spare := func() int { // what the paths may lose
		if path <= 0 || path >= len(columns) {
			return 0
		}
		return max(0, columns[path]-short)
	}
	for last := len(columns) - 1; last > 0 && over > spare(); last-- {
		over -= gap + columns[last]
		columns = columns[:last]
	}
	if over > 0 && spare() > 0 {
		columns[path] -= over
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, cell := range row[:min(len(row), len(columns))] {
			cell = Sanitize(cell)
			if i == path {
				cell = fitPath(cell, columns[i])
			}
			line += fmt.Sprintf("%-*s", columns[i]+gap, cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fitPath cuts a path to at most n characters, if it can between two folders, and shows that it did.
func fitPath(path string, n int) string {
	runes := []rune(path)
	if len(runes) <= n {
		return path
	}
	end := string(runes[len(runes)-n+1:])
	return "…" + end[max(0, strings.IndexByte(end, '/')):]
}

// fit cuts s to at most n characters and shows that it did.
func fit(s string, n int) string {
	runes := []rune(s)
	switch {
	case len(runes) <= n:
		return s
	case n <= 0:
		return ""
	}
	return string(runes[:n-1]) + "…"
}

// Span says how long something took, in one unit.
func Span(d time.Duration) string {
	d = max(0, d)
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= unit.length {
			return fmt.Sprintf("%d %s", d/unit.length, unit.name)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
}
