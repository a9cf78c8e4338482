package guard

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What it costs to look at a large project, before a session and after it.
func BenchmarkLargeProject(b *testing.B) {
	for _, kind := range []string{"src", "node_modules"} {
		b.Run(kind, func(b *testing.B) {
			w := newWorld(b)
			for i := range 60_000 {
				name := w.path(fmt.Sprintf("%s/p%d/d%d/file%d.js", kind, i%100, i%1000, i))
				if i < 1000 {
					w.write(name[len(w.root)+1:], "x\n")
				} else if err := os.WriteFile(name, []byte("x\n"), 0o644); err != nil {
					b.Fatal(err)
				}
			}
			var begin, end time.Duration
			n := 0
			for b.Loop() {
				at := time.Now()
				watch := w.begin(true)
				begin += time.Since(at)
				at = time.Now()
				w.end(watch)
				end += time.Since(at)
				n++
			}
			b.ReportMetric(float64(begin.Milliseconds())/float64(n), "ms/begin")
			b.ReportMetric(float64(end.Milliseconds())/float64(n), "ms/end")
		})
	}
}

// What it costs to note a large index, and to look at it after a session that has not changed it,
// and after one that has.
func BenchmarkIndex(b *testing.B) {
	w := newWorld(b)
	for i := range 60_000 {
		name := fmt.Sprintf("src/p%d/d%d/file%d.js", i%100, i%1000, i)
		if i < 1000 {
			w.write(name, "x\n")
		} else if err := os.WriteFile(w.path(name), []byte("x\n"), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	w.git("add", "-A")
	w.git("commit", "-qm", "x")
	notNow()
	s, err := newScanner(&Area{Path: w.root}, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer s.root.Close()
	s.copies, s.start = b.TempDir(), now()
	var noted *index
	b.Run("note", func(b *testing.B) {
		for b.Loop() {
			noted, s.copied = s.index(".git"), 0
		}
	})
	c := &comparison{before: s.Area, now: s, fix: true, dirs: map[string]bool{}}
	b.Run("same", func(b *testing.B) {
		for b.Loop() {
			c.revealFiles(".git", noted)
		}
	})
	w.write("src/new.js", "y\n")
	w.git("add", "-A")
	b.Run("changed", func(b *testing.B) {
		for b.Loop() {
			c.revealFiles(".git", noted)
		}
	})
	if len(c.findings) > 0 {
		b.Error(c.findings)
	}
}
