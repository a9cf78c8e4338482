// Package bench measures how fast sessions start and end on this computer.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

// Bench says what is measured.
type Bench struct {
	Host       launch.Host
	Request    launch.Request
	Runs       uint   // of sessions
	PlainRuns  uint   // of what Lima does by itself
	PlainImage string // empty: that of the template
	Mounts     bool   // the ways to share a folder, and nothing else
}

func (b Bench) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(b.Host.Stdout, format, args...)
	return err
}

func (b Bench) table(header []string, rows [][]string) error {
	return ui.Table(b.Host.Stdout, header, "", rows, launch.Width(b.Host.Stdout))
}

// sample is what one run took.
type sample struct{ first, back, own time.Duration }

// series are runs of one sequence.
type series struct {
	name    string
	samples []sample
}

func (s series) median(figure func(sample) time.Duration) time.Duration {
	figures := make([]time.Duration, len(s.samples))
	for i, one := range s.samples {
		figures[i] = figure(one)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func (s series) first() time.Duration {
	return s.median(func(s sample) time.Duration { return s.first })
}
func (s series) back() time.Duration { return s.median(func(s sample) time.Duration { return s.back }) }
func (s series) own() time.Duration  { return s.median(func(s sample) time.Duration { return s.own }) }

// Run measures, and prints tables.
func (b Bench) Run(ctx context.Context) error {
	s, err := b.Host.Prepare(ctx, b.Request, launch.Shell(nil))
	if err != nil {
		return err
	}
	if err := s.EnsureTemplate(ctx); err != nil {
		return err
	}
	if b.Mounts {
		return b.mounts(ctx, s)
	}
	if err := b.commands(ctx); err != nil {
		return err
	}
	defer b.Host.DiscardSpares(context.WithoutCancel(ctx), s.Store,
		func(name string) bool { return name == s.Work.Project.TemplateName() })
	all, bytes, err := b.sessions(ctx, s)
	if err != nil {
		return err
	}
	if b.PlainRuns > 0 {
		plain := series{name: "plain limactl"}
		if plain.samples, err = b.plain(ctx, s); err != nil {
			return err
		}
		all = append(all, plain)
	}
	if err := b.print(all); err != nil {
		return err
	}
	return b.printf("disk of a session when its command starts: %d kB\naccelerator: %s\n", bytes/1000,
		s.Store.Lima.Accel)
}

// sessions measures each kind of session, and the most bytes that one of them has on the disk.
func (b Bench) sessions(ctx context.Context, prepared *launch.Session) (all []series, bytes int64, err error) {
	for _, kind := range []sessionKind{
		{"cold", 0, false}, {"cold, terminal", 0, true}, {"spare", 1, false}, {"spare, terminal", 1, true},
	} {
		one := series{name: kind.name}
		for range b.Runs {
			s, size, err := b.session(ctx, prepared, kind)
			if errors.Is(err, session.ErrNoRoom) {
				b.Host.UI.Info("no more runs of %q: %v", kind.name, err)
				break
			}
			if err != nil {
				return nil, 0, err
			}
			one.samples, bytes = append(one.samples, s), max(bytes, size)
		}
		all = append(all, one)
	}
	return all, bytes, nil
}

// print shows the medians.
func (b Bench) print(all []series) error {
	rows := [][]string{}
	for _, s := range all {
		if len(s.samples) > 0 {
			own, ratio := "", ""
			if s.own() > 0 {
				own = seconds(s.own())
			}
			if b.PlainRuns > 0 {
				ratio = fmt.Sprintf("1/%.1f", float64(all[len(all)-1].first())/float64(s.first()))
			}
			rows = append(rows, []string{s.name, fmt.Sprint(len(s.samples)), seconds(s.first()), ratio,
				seconds(s.back()), own})
		}
	}
	return b.table([]string{"SEQUENCE", "RUNS", "FIRST BYTE", "OF PLAIN", "PROMPT BACK", "OWN TIME"}, rows)
}

// commands measures what should not keep anybody waiting, and how long the setup of another project
// takes.
func (b Bench) commands(ctx context.Context) error {
	if b.Runs == 0 {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	another, err := os.MkdirTemp("", "claude-vm-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(another)
	run := func(ctx context.Context, dir string, args ...string) (time.Duration, error) {
		begin := time.Now()
		err := proc.Run(ctx, proc.Cmd{Argv: append([]string{self}, args...),
			Env: append(slices.Clone(b.Host.Env), "CLAUDE_VM_STANDBY_COUNT=0"), Dir: dir})
		return time.Since(begin), err
	}
	defer func() { _, _ = run(context.WithoutCancel(ctx), another, "clean", "--yes") }()
	if _, err := run(ctx, another, "setup"); err != nil { // the layers are there from here on
		return err
	}
	script := filepath.Join(another, "script")
	if err := os.WriteFile(script, []byte("true\n"), 0o600); err != nil {
		return err
	}
	var rows [][]string
	for _, line := range []struct {
		says, dir string
		args      []string
	}{
		{"--version", b.Host.Dir, []string{"--version"}}, {"--help", b.Host.Dir, []string{"--help"}},
		{"list", b.Host.Dir, []string{"list"}},
		{"config show", b.Host.Dir, []string{"config", "show"}}, {"setup", another, []string{"setup"}},
		{"setup, a script", another, []string{"setup", "--setup-script", script}},
	} {
		var s series
		for range b.Runs {
			took, err := run(ctx, line.dir, line.args...)
			if err != nil {
				return err
			}
			s.samples = append(s.samples, sample{first: took})
		}
		rows = append(rows, []string{"claude-vm " + line.says, fmt.Sprint(b.Runs), seconds(s.first())})
	}
	return b.table([]string{"COMMAND", "RUNS", "TIME"}, rows)
}

// benched is what runs in a VM that is measured. What it prints begins with answer and has no more
// bytes than maxAnswer.
var benched = []string{"uname", "-a"}

const (
	answer    = "Linux "
	maxAnswer = 1 << 10
)

// firstByte keeps what is written, and notes when that began.
type firstByte struct {
	proc.Limited
	at    time.Time
	first func() // if not nil, called then
}

func (w *firstByte) Write(p []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
		if w.first != nil {
			w.first()
		}
	}
	return w.Limited.Write(p)
}

// check says whether what was written is the answer.
func (w *firstByte) check() error {
	if !strings.HasPrefix(w.String(), answer) {
		return fmt.Errorf("the guest's command printed %q", w.String())
	}
	return nil
}

// sessionKind is one way to have a session.
type sessionKind struct {
	name   string
	spares int // 1: it gets a VM that has waited
	tty    bool
}

// session measures all that the command shell does, but for the start of its process and of what
// comes next. A VM that has waited is awaited first.
func (b Bench) session(
	ctx context.Context, prepared *launch.Session, kind sessionKind,
) (s sample, size int64, err error) {
	shell := b.Host
	shell.Env = append(slices.Clone(b.Host.Env), "CLAUDE_VM_STANDBY_COUNT="+strconv.Itoa(kind.spares),
		"CLAUDE_VM_VM_ACCEL="+string(prepared.Store.Lima.Accel)) // which is chosen, and said, already
	if kind.spares > 0 {
		p, err := shell.Prepare(ctx, b.Request, measured)
		if err == nil {
			err = b.awaitSpare(ctx, p.Runner(), p.Plan.Spec.Shape)
		}
		if err != nil {
			return s, 0, err
		}
	}
	var used instance.Entry
	out := firstByte{Limited: proc.Limited{Most: maxAnswer}, first: func() { used, size = ownSession(prepared.Store) }}
	shell, heard, err := redirect(shell, kind.tty, &out)
	if err != nil {
		return s, 0, err
	}
	begin, busy := time.Now(), processorTime()
	err = b.run(ctx, shell)
	end := time.Now()
	busy = processorTime() - busy
	heard()
	if err == nil {
		err = out.check()
	}
	if waited := instance.KindOf(used.Name) == instance.Spare; err == nil && waited != (kind.spares > 0) {
		err = fmt.Errorf("%q was measured with the VM %s", kind.name, used.Name)
	}
	return sample{out.at.Sub(begin), end.Sub(out.at), busy}, size, err
}

// measured is the command of the sessions that are measured.
func measured(*config.Config) guest.Session { return guest.Session{Mode: guest.Exec, Command: benched} }

// run runs one session that prepares no other one, which would boot beside what is measured next.
func (b Bench) run(ctx context.Context, h launch.Host) error {
	s, err := h.Prepare(ctx, b.Request, measured)
	if err != nil {
		return err
	}
	s.Last = true
	code, err := s.Run(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("the measured command ended with code %d", code)
	}
	return err
}

// redirect gives the program other streams, which are terminals or not. What is said to people goes
// on to ours, but nothing that was drawn for a terminal to what is none. Once its work is done,
// heard returns when all of the output has been written to out.
func redirect(h launch.Host, tty bool, out io.Writer) (to launch.Host, heard func(), err error) {
	var files []*os.File
	var readers sync.WaitGroup
	heard = func() {
		for _, file := range files {
			file.Close()
		}
		readers.Wait()
	}
	open := os.Pipe
	if tty {
		open = pty.Open
	}
	channel := func(to io.Writer) *os.File {
		read, write, openErr := open()
		if openErr != nil {
			err = openErr
			return nil
		}
		files = append(files, write)
		readers.Go(func() {
			defer read.Close()
			_, _ = io.Copy(to, read) // on Linux a terminal ends with an error
		})
		return write
	}
	said := io.Writer(io.Discard)
	if !tty || launch.IsTerminal(h.Stderr) {
		said = h.Stderr
	}
	h.Stdout, h.Stderr = channel(out), channel(said)
	if h.Stdin = h.Stdout; !tty && err == nil {
		h.Stdin, err = os.Open(os.DevNull)
		files = append(files, h.Stdin)
	}
	if err != nil {
		heard()
		return h, nil, err
	}
	return h.WithTerminal(), heard, nil
}

// awaitSpare has a spare made and waits until it is ready, or until it is clear that there is no
// room for one.
func (b Bench) awaitSpare(ctx context.Context, runner session.Runner, shape session.Shape) error {
	step := b.Host.UI.Step("waiting for a VM that waits")
	defer step.Fail()
	if _, err := runner.Waiting(ctx, shape); err != nil {
		return err
	}
	if err := runner.PrepareNext(shape); err != nil {
		return err
	}
	within, cancel := context.WithTimeoutCause(ctx, 10*time.Minute,
		errors.New("no VM was made that waits: state/spares.log in the state folder says why"))
	defer cancel()
	for {
		ready, err := runner.Waiting(ctx, shape)
		if err != nil {
			return err
		}
		if ready {
			step.Done()
			return nil
		}
		select {
		case <-within.Done():
			return context.Cause(within)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// processorTime is what this process has used of the processor so far, without the programs that it
// runs.
func processorTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // never fails for ourselves
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// ownSession returns the only session of this process, and the bytes that it has on the disk.
func ownSession(store instance.Store) (instance.Entry, int64) {
	entries, _ := store.List(instance.Session)
	for _, e := range entries {
		if e.PID == os.Getpid() {
			return e, lima.Size(store.Lima.Dir(e.Name))
		}
	}
	return instance.Entry{}, 0
}

// plain measures what Lima does by itself.
func (b Bench) plain(ctx context.Context, s *launch.Session) (samples []sample, err error) {
	store := s.Store
	record, lock, err := store.Find(ctx, s.Work.Project.TemplateName())
	if err != nil {
		return nil, err
	}
	lock.Unlock()
	if record.Images, err = store.Lima.Images(ctx, cmp.Or(b.PlainImage, s.Work.Config.VM.Image)); err != nil {
		return nil, err
	}
	prepared := b.Host.UI.Step("making an instance in Lima's ordinary way")
	defer prepared.Fail()
	err = store.Plain(ctx, record, func(original, clone string) error {
		prepared.Done()
		for range b.PlainRuns {
			step := b.Host.UI.Step("the plain sequence")
			begin := time.Now()
			out := firstByte{Limited: proc.Limited{Most: maxAnswer}}
			steps := []func() error{
				func() error { return store.Lima.Clone(ctx, original, clone) },
				func() error { return store.Lima.StartPlain(ctx, clone) },
				func() error { return store.Lima.ShellPlain(ctx, clone, &out, benched...) },
				out.check,
				func() error { return store.Lima.StopPlain(ctx, clone) },
				func() error { return store.Lima.Delete(ctx, clone) },
			}
			for _, run := range steps {
				if err := run(); err != nil {
					step.Fail()
					return err
				}
			}
			step.Done()
			samples = append(samples, sample{first: out.at.Sub(begin), back: time.Since(out.at)})
		}
		return nil
	})
	return samples, err
}

func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.3f s", d.Seconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}
