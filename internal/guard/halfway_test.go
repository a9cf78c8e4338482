package guard

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// runs says whether git takes a line of a rebase's list for a program to run: a word, and what follows it after a blank.
func runs(line string) bool {
	line = strings.TrimLeft(strings.TrimRight(line, "\n"), " \t")
	for _, word := range []string{"exec", "x"} {
		if rest, ok := strings.CutPrefix(line, word); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r")) {
			return true
		}
	}
	return false
}

// Whatever a list of a rebase looks like: nothing runs that was not there before, and all else stays as it was.
func FuzzHalfway(f *testing.F) {
	f.Add([]byte("pick 1 one\nexec true\n"), []byte("pick 1 one\nexec true\nexec false\n"))
	f.Add([]byte(""), []byte("\t x\trm -rf /\r\npick 2\x00\nexec"))
	f.Add([]byte("x a"), []byte("x a\n"))
	f.Fuzz(func(t *testing.T, before, after []byte) {
		left := harmlessly("git-rebase-todo", before, after)
		old := strings.SplitAfter(string(before), "\n")
		for line := range strings.SplitAfterSeq(string(left), "\n") {
			if runs(line) && !slices.Contains(old, line) {
				t.Errorf("%q runs", line)
			}
		}
		for line := range strings.SplitAfterSeq(string(after), "\n") {
			if !command.MatchString(line) && !bytes.Contains(left, []byte(line)) {
				t.Errorf("%q is lost", line)
			}
		}
		if again := harmlessly("git-rebase-todo", before, left); !bytes.Equal(again, left) {
			t.Errorf("%q becomes %q", left, again)
		}
		strategy := harmlessly("strategy", before, after)
		for line := range strings.SplitAfterSeq(string(strategy), "\n") {
			if name := strings.TrimSpace(line); name != "" && !slices.Contains(strategies, name) && !slices.Contains(old, line) {
				t.Errorf("the strategy %q stays", name)
			}
		}
	})
}
