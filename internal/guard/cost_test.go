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
