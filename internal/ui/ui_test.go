package ui

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
	"pgregory.net/rapid"
)

// in runs the test in a bubble whose clock moves only when the test sleeps.
func in(t *testing.T, test func(t *testing.T)) {
	t.Parallel()
	synctest.Test(t, test)
}

func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func diff(t *testing.T, want, got string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func plainUI(o Options) (*UI, *bytes.Buffer) {
	var out bytes.Buffer
	o.Err, o.Now = &out, time.Now
	return New(o), &out
}

// talk uses everything a UI can do.
func talk(u *UI) {
	u.Info("using %s", "the template")
	s := u.Step("booting the VM")
	sleep(12300 * time.Millisecond)
	s.Detail("waiting for ssh")
	u.Warn("%d mounts are read only: %v", 2, []string{"/a", "/b"})
	sleep(50 * time.Second)
	s.Done()
	s.Fail()

	s = u.Step("downloading Claude Code 2.1.330")
	for mb := range int64(176) {
		s.Progress(mb*1_000_000, 175_000_000)
		sleep(100 * time.Millisecond)
	}
	s.Done()

	outer := u.Step("building the template")
	sleep(5 * time.Second)
	inner := u.Step("installing docker")
	inner.Progress(1_000_000, 0)
	u.Detail("Unpacking\ta")
	sleep(27 * time.Second)
	inner.Fail()
	u.Detail("half way")
	sleep(29 * time.Second)
	outer.Fail()
	u.Detail("nothing")
	fmt.Fprint(u.Verbose(), "time=now level=info\n")
	u.Error(fmt.Errorf("apt-get install docker: %w", errors.New("exit status 100\nE: no network\nE: giving up")))
	u.Hint("try again with\nclaude-vm %s", "setup")
}

func TestPlain(t *testing.T) {
	in(t, func(t *testing.T) {
		u, out := plainUI(Options{})
		talk(u)
		diff(t, `using the template
booting the VM …
warning: 2 mounts are read only: [/a /b]
still booting the VM  30s  waiting for ssh
still booting the VM  1m0s  waiting for ssh
✓ booting the VM  1m2s
downloading Claude Code 2.1.330 …
✓ downloading Claude Code 2.1.330 (175 MB)  17.6s
building the template …
installing docker …
still building the template  30s
✗ installing docker (1.0 MB)  27.0s
still building the template  1m0s  half way
✗ building the template  1m1s
error: apt-get install docker: exit status 100
  E: no network
  E: giving up
hint: try again with
  claude-vm setup
`, out.String())
	})
}

func TestQuiet(t *testing.T) {
	in(t, func(t *testing.T) {
		u, out := plainUI(Options{Quiet: true, Verbose: true, Terminal: true, NoColor: true})
		talk(u)
		diff(t, `warning: 2 mounts are read only: [/a /b]
error: apt-get install docker: exit status 100
  E: no network
  E: giving up
hint: try again with
  claude-vm setup
`, out.String())
	})
}

func TestNoColorStillRedraws(t *testing.T) {
	in(t, func(t *testing.T) {
		u, out := plainUI(Options{Terminal: true, NoColor: true, Width: func() int { return 80 }})
		talk(u)
		rest := strings.NewReplacer(eraseLine, "", wrapOff, "", wrapOn, "").Replace(out.String())
		if rest == out.String() || strings.Contains(rest, "\x1b") {
			t.Errorf("no redrawing, or an escape code other than that for it: %q", rest)
		}
	})
}

// screen is a terminal that is looked at.
type screen struct {
	vt10x.Terminal
	u *UI
}

func newScreen(width int, o Options) *screen {
	s := &screen{Terminal: vt10x.New(vt10x.WithSize(width, 24))}
	o.Err, o.Terminal, o.Now = s, true, time.Now
	o.Width = func() int { return width }
	s.u = New(o)
	return s
}

// Write does what the line discipline of a terminal does to line ends.
func (s *screen) Write(p []byte) (int, error) {
	_, err := s.Terminal.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

func (s *screen) expect(t *testing.T, want ...string) {
	t.Helper()
	lines := strings.Split(s.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	diff(t, strings.Join(want, "\n"), strings.TrimRight(strings.Join(lines, "\n"), "\n"))
}

// expectFree checks that the cursor is where the next program expects it, below all that was written.
func (s *screen) expectFree(t *testing.T, row int) {
	t.Helper()
	if c := s.Cursor(); c.X != 0 || c.Y != row {
		t.Errorf("cursor at column %d of row %d, want column 0 of row %d", c.X, c.Y, row)
	}
}

func TestTerminal(t *testing.T) {
	in(t, func(t *testing.T) {
		scr := newScreen(80, Options{Verbose: true})
		boot := scr.u.Step("booting the VM")
		scr.expect(t, "⠋ booting the VM  0s")
		sleep(12300 * time.Millisecond)
		scr.expect(t, "⠼ booting the VM  12s")
		boot.Detail("connecting")
		scr.u.Detail("waiting for ssh")
		sleep(slowTick)
		scr.expect(t, "⠴ booting the VM  12s  waiting for ssh")

		scr.u.Warn("the clock is slow")
		log := scr.u.Verbose()
		fmt.Fprint(log, "\x1b[36mINFO\x1b[0m[0000] Starting\tVZ\nhalf")
		scr.expect(t,
			"warning: the clock is slow",
			"INFO[0000] Starting    VZ",
			"⠴ booting the VM  12s  waiting for ssh")
		fmt.Fprint(log, " a line\r\n 10%\r 20%")
		if err := log.Close(); err != nil {
			t.Error(err)
		}
		boot.Detail("")
		boot.Done()
		scr.expect(t,
			"warning: the clock is slow",
			"INFO[0000] Starting    VZ",
			"half a line",
			" 20%",
			"✓ booting the VM  12.8s")
		scr.expectFree(t, 5)

		outer := scr.u.Step("one")
		inner := scr.u.Step("two")
		inner.Fail()
		sleep(61 * time.Second)
		scr.expect(t,
			"warning: the clock is slow",
			"INFO[0000] Starting    VZ",
			"half a line",
			" 20%",
			"✓ booting the VM  12.8s",
			"✗ two  0.0s",
			"⠹ one  1m1s")
		outer.Done()
		scr.expectFree(t, 7)
		if mark := scr.Cell(0, 5); mark.FG != vt10x.Red {
			t.Errorf("colour %d, want red", mark.FG)
		}
	})
}

func TestNarrowTerminal(t *testing.T) {
	in(t, func(t *testing.T) {
		scr := newScreen(30, Options{})
		s := scr.u.Step("downloading Claude Code 2.1.330")
		scr.expect(t, "⠋ downloading Claude Cod…  0s")
		s.Progress(45_600_000, 175_000_000)
		sleep(3 * time.Second)
		scr.expect(t, "⠦ downlo… (26% of 175 MB)  3s")
		scr.u.Warn("this line is longer than the screen is wide")
		s.Progress(175_000_000, 175_000_000)
		sleep(slowTick)
		scr.expect(t,
			"warning: this line is longer t",
			"han the screen is wide",
			"⠧ downloading C… (175 MB)  3s")
		s.Done()
		scr.expect(t,
			"warning: this line is longer t",
			"han the screen is wide",
			"✓ downloading Claude Code 2.1.",
			"330 (175 MB)  3.5s")

		s = scr.u.Step("booting")
		s.Detail("waiting for the guest to answer")
		sleep(tick)
		scr.expect(t,
			"warning: this line is longer t",
			"han the screen is wide",
			"✓ downloading Claude Code 2.1.",
			"330 (175 MB)  3.5s",
			"⠙ booting  0s  waiting for t…")
		scr.u.Release()
		scr.expectFree(t, 4)
	})
}

func TestSpinnerNeverWraps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		name, detail := rapid.String().Draw(rt, "name"), rapid.String().Draw(rt, "detail")
		width := rapid.IntRange(2, 100).Draw(rt, "width")
		total := rapid.Int64Range(0, 1<<40).Draw(rt, "total")
		synctest.Test(t, func(t *testing.T) {
			scr := newScreen(width, Options{})
			s := scr.u.Step(name)
			s.Detail(detail)
			s.Progress(total/3, total)
			sleep(time.Second)
			if y := scr.Cursor().Y; y != 0 {
				rt.Errorf("the spinner is %d lines high:\n%s", y+1, scr)
			}
			scr.u.Release()
			if c := scr.Cursor(); c.X != 0 || strings.TrimSpace(scr.String()) != "" {
				rt.Errorf("not clean:\n%s", scr)
			}
		})
	})
}

func TestRelease(t *testing.T) {
	in(t, func(t *testing.T) {
		scr := newScreen(80, Options{})
		left := scr.u.Step("left behind")
		sleep(time.Second)
		takeBack := scr.u.Release()
		scr.expect(t)
		scr.expectFree(t, 0)

		fmt.Fprint(scr, "guest> ")
		left.Done()
		scr.u.Warn("the disk is full")
		sweeping := scr.u.Step("sweeping")
		sleep(time.Minute)
		scr.expect(t, "guest>")
		scr.u.Urgent("it stands still")
		scr.expect(t, "guest>", "warning: it stands still")
		fmt.Fprint(scr, "exit\n")

		takeBack()
		takeBack()
		scr.expect(t, "guest>", "warning: it stands still", "exit", "warning: the disk is full", "⠋ sweeping  1m0s")
		sweeping.Done()
		scr.expect(t, "guest>", "warning: it stands still", "exit", "warning: the disk is full", "✓ sweeping  1m0s")
		scr.expectFree(t, 5)

		scr.u.Release()
		scr.u.Info("never seen")
		scr.expectFree(t, 5)
	})
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in        string
		byDefault bool
		want      bool
		ends      bool // without a line
		left      string
	}{
		{in: "y\n", want: true},
		{in: " YES \r\nthe prompt\n", want: true, left: "the prompt\n"},
		{in: "n\n", byDefault: true},
		{in: "\n", byDefault: true, want: true},
		{in: "\n"},
		{in: "what?\n", byDefault: true},
		{in: "", byDefault: true, ends: true},
		{in: "y", ends: true},
	} {
		t.Run(test.in, func(t *testing.T) {
			in := strings.NewReader(test.in)
			u, out := plainUI(Options{In: in, InteractiveIn: true, Quiet: true})
			got, err := u.Confirm(t.Context(), "build\nit?", test.byDefault)
			if got != test.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
			if left, _ := io.ReadAll(in); string(left) != test.left {
				t.Errorf("left %q, want %q", left, test.left)
			}
			want := `build\nit? [y/N] `
			if test.byDefault {
				want = `build\nit? [Y/n] `
			}
			if test.ends {
				want += "\n"
			}
			diff(t, want, out.String())
		})
	}
}

func TestConfirmNeedsAPerson(t *testing.T) {
	t.Parallel()
	u, out := plainUI(Options{In: strings.NewReader("y\n")})
	if yes, err := u.Confirm(t.Context(), "sure?", true); yes || !errors.Is(err, ErrNotInteractive) {
		t.Errorf("got %v, %v", yes, err)
	}
	diff(t, "", out.String())
}

func TestConfirmFailingInput(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	w.CloseWithError(errors.New("input/output error"))
	u, _ := plainUI(Options{In: r, InteractiveIn: true})
	if yes, err := u.Confirm(t.Context(), "sure?", true); yes || err == nil || errors.Is(err, ErrNotInteractive) {
		t.Errorf("got %v, %v", yes, err)
	}
}

func TestConfirmHoldsTheSpinnerAndEndsWithTheContext(t *testing.T) {
	in(t, func(t *testing.T) {
		keyboard, hand := io.Pipe()
		defer hand.Close()
		scr := newScreen(80, Options{In: keyboard, InteractiveIn: true})
		s := scr.u.Step("looking around")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Minute)
			scr.u.Warn("something happened")
			cancel()
		}()
		go func() {
			time.Sleep(time.Second)
			scr.expect(t, "build it now? [Y/n]")
		}()
		if yes, err := scr.u.Confirm(ctx, "build it now?", true); yes || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, %v", yes, err)
		}
		s.Fail()
		scr.expect(t, "build it now? [Y/n]", "warning: something happened", "✗ looking around  1m0s")
	})
}

func TestVerbose(t *testing.T) {
	t.Parallel()
	u, out := plainUI(Options{Verbose: true})
	w := u.Verbose()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`([a-z]{0,5}\n?){0,10}`).Draw(rt, "text")
		out.Reset()
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(rt, "chunk")
			if m, err := io.WriteString(w, rest[:n]); m != n || err != nil {
				rt.Fatalf("wrote %d, %v", m, err)
			}
			rest = rest[n:]
		}
		w.Close()
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if out.String() != text {
			rt.Errorf("got %q, want %q", out, text)
		}
	})
	out.Reset()
	endless := strings.Repeat("x", 64<<10)
	io.WriteString(w, endless)
	diff(t, endless+"\n", out.String())
}

func TestForeignTextCannotActOnTheTerminal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		evil := rapid.OneOf(rapid.String(), rapid.StringMatching("(\x1b\\][0-9];|\x1b\\[2J|\u009b|\n|\r|\a|[a-z]){1,9}")).Draw(rt, "evil")
		u, out := plainUI(Options{Verbose: true, In: strings.NewReader("\n"), InteractiveIn: true})
		u.Info("%s", evil)
		u.Warn("x %v", []string{evil})
		u.Hint("x %q", evil)
		u.Error(errors.New("x " + evil))
		io.WriteString(u.Verbose(), evil+"\n")
		s := u.Step(evil)
		s.Detail(evil)
		s.Fail()
		u.Release()()
		if _, err := u.Confirm(t.Context(), evil, false); err != nil {
			rt.Error(err)
		}
		if err := Table(out, []string{evil}, "", [][]string{{evil}}, 40); err != nil {
			rt.Error(err)
		}
		shown := strings.ReplaceAll(out.String(), "\n", "")
		if Sanitize(shown) != shown {
			rt.Errorf("not safe: %q", out)
		}
	})
}

func TestMessagesKeepTheirPlace(t *testing.T) {
	t.Parallel()
	u, out := plainUI(Options{})
	u.Warn("cannot remove %s:\n%v", "ses_a\nerror: all is lost", errors.New("busy\nhint: run this"))
	diff(t, `warning: cannot remove ses_a\nerror: all is lost:
  busy
  hint: run this
`, out.String())
}

// TestConcurrent is for the race detector, and for the lines to stay whole.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	scr := newScreen(80, Options{Verbose: true})
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			for range 3 {
				s := scr.u.Step("working")
				s.Detail("hard")
				s.Progress(1, 2)
				fmt.Fprintln(scr.u.Verbose(), "log")
				time.Sleep(tick)
				scr.u.Release()()
				s.Done()
			}
		})
	}
	group.Wait()
	for line := range strings.Lines(scr.String()) {
		line = strings.TrimSpace(line)
		if line != "" && line != "log" && !strings.HasPrefix(line, "✓ working (50% of 2 B)  0.") {
			t.Errorf("broken line %q", line)
		}
	}
}
