package guest

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAptStatus(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"dlstatus:1:0.0000:Retrieving file 1 of 2\n":             "downloading 0%",
		"dlstatus:2:67.6057:Retrieving file 2 of 2":              "downloading 68%",
		"dlstatus:2:100.0000:":                                   "downloaded",
		"pmstatus:dpkg-exec:0.0000:Running dpkg\n":               "Running dpkg 0%",
		"pmstatus:docker-ce:61.2:Unpacking docker-ce (amd64)":    "Unpacking docker-ce (amd64) 61%",
		"pmstatus:x:5:two: colons\n":                             "two: colons 5%",
		"pmstatus:x:5:" + strings.Repeat("é", 900/2):             strings.Repeat("é", aptText) + " 5%",
		"pmerror:/var/cache/x.deb:33.3333:trying to overwrite\n": "",
		"pmconffile:/etc/x:50:'/etc/x' '/etc/x.dpkg-new' 1 1":    "",
	} {
		if got, ok := aptStatus(line); !ok || got != want {
			t.Errorf("aptStatus(%q) = %q, %v; want %q", line, got, ok, want)
		}
	}
	for _, line := range []string{
		"", "\n", "Unpacking jq (1.7) ...\n", " pmstatus:x:5:y", "pmstatus:x:5", "pmstatus:x::y", "pmstatus:x:y:5:z", "dlstatus:1:NaN:x",
		"dlstatus:1:-1:x", "dlstatus:1:1e9:x", "dlstatus:1:Inf:x", "status:x:5:y", "pmstatus:x:5:" + strings.Repeat("y", aptLine),
	} {
		if got, ok := aptStatus(line); ok {
			t.Errorf("aptStatus(%q) = %q", line, got)
		}
	}
}

// The guest decides what there is to read.
func FuzzAptStatus(f *testing.F) {
	f.Add("dlstatus:2:67.6057:Retrieving file 2 of 2\n")
	f.Add("pmstatus:docker-ce:61.2:Unpacking docker-ce (amd64)\n")
	f.Add("pmerror:a:1:b")
	f.Add("pmstatus:\xff:0x1p3:\xff\x1b[2J")
	f.Fuzz(func(t *testing.T, line string) {
		got, ok := aptStatus(line)
		if n := utf8.RuneCountInString(got); n > aptText+len(" 100%") {
			t.Errorf("%d characters: %q", n, got)
		}
		if !ok && got != "" || ok && got != "" && got != "downloaded" && !strings.HasSuffix(got, "%") {
			t.Errorf("%q, %v", got, ok)
		}
	})
}

// However the guest's output is cut, what is no progress reaches the log byte for byte, and what is does not.
func TestAptProgressOfAnyOutput(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(
			rapid.Just("dlstatus:1:40.4:Retrieving file 1 of 2\n"), rapid.Just("pmstatus:jq:61:Unpacking jq\n"), rapid.Just("pmerror:x:1:y\n"),
			rapid.Map(rapid.StringMatching(`[ -~\r]{0,30}`), func(s string) string { return "." + s + "\n" }),
			rapid.Map(rapid.IntRange(0, 3*aptLine), func(n int) string { return strings.Repeat("x", n) + "\n" }),
		)
		var all, log strings.Builder
		var wanted string
		var said, want []string
		for _, l := range rapid.SliceOf(line).Draw(t, "lines") {
			all.WriteString(l)
			switch progress, ok := aptStatus(l); {
			case !ok:
				wanted += l
			case progress != "":
				want = append(want, progress)
			}
		}
		text := all.String()
		if rapid.Bool().Draw(t, "ended") && text != "" {
			text, wanted = text+"no end", wanted+"no end"
		}
		out := AptProgress(&log, func(s string) { said = append(said, s) })
		for len(text) > 0 {
			n := rapid.IntRange(1, len(text)).Draw(t, "n")
			if _, err := io.WriteString(out, text[:n]); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		if log.String() != wanted {
			t.Errorf("the log: %s", cmp.Diff(wanted, log.String()))
		}
		if d := cmp.Diff(want, said); d != "" {
			t.Error(d)
		}
	})
}

func TestAptProgressReportsWriteErrors(t *testing.T) {
	t.Parallel()
	reader, log := io.Pipe()
	reader.Close()
	out := AptProgress(log, func(string) {})
	if _, err := fmt.Fprintln(out, "line"); err == nil {
		t.Error("no error")
	}
}

// Every call of apt in a script of ours tells how far it is, and not on its own standard output: apt would close that for dpkg.
func TestAptTells(t *testing.T) {
	t.Parallel()
	for _, script := range []string{Base(nil, nil, true), Packages(nil, false)} {
		if calls, told := strings.Count(script, "apt-get update")+strings.Count(script, "apt-get install"), strings.Count(script, "APT::Status-Fd=3"); calls == 0 || calls != told || calls != strings.Count(script, " 3>&1\n") {
			t.Errorf("%d calls, %d with their progress, in\n%s", calls, told, script)
		}
	}
}
