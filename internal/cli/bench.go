package cli

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
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
)

func (a *app) benchCommand() *cobra.Command {
	var runs, plainRuns uint
	var mounts bool
	var plainImage string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast sessions start and end here",
		Long: `Measure how fast sessions start and end here, with this project's template: in a
VM that boots and in one that has waited, with and without a terminal. For
comparison the plain sequence is measured too: limactl clone, start, shell, stop
and delete on an instance that Lima made of an image in its ordinary way. All
figures are medians. "Own time" is the processor time of claude-vm itself.
A session is measured from where claude-vm begins its work; to start the program
takes as long as --version, which has a row of its own.`,
		Example: "  claude-vm bench\n  claude-vm bench --runs 5 --plain-runs 0",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bench(cmd.Context(), runs, plainRuns, plainImage, mounts)
		},
	}
	cmd.Flags().UintVar(&runs, "runs", 5, "`NUMBER` of sessions to measure; 0: none")
	cmd.Flags().UintVar(&plainRuns, "plain-runs", 5, "`NUMBER` of plain sequences to measure; 0: none")
	cmd.Flags().BoolVar(&mounts, "mounts", false, "measure the ways to share a folder instead")
	cmd.Flags().StringVar(&plainImage, "plain-image", "", "`IMAGE` of the plain sequence, as --image takes it (default: vm.image)")
	return cmd
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

func (a *app) bench(ctx context.Context, runs, plainRuns uint, plainImage string, mounts bool) error {
	p, cfg, err := a.here(ctx)
	if err != nil {
		return err
	}
	asked, err := a.agreed(ctx, p, cfg)
	if err != nil {
		return err
	}
	store, err := a.machines(ctx, cfg)
	if err != nil {
		return err
	}
	if err := a.ensureTemplate(ctx, store, p, cfg, asked); err != nil {
		return err
	}
	if mounts {
		return a.benchMounts(ctx, store, p, cfg, asked)
	}
	if err := a.benchCommands(ctx, runs); err != nil {
		return err
	}
	defer a.discardSpares(context.WithoutCancel(ctx), store, func(name string) bool { return name == p.TemplateName() })
	var all []series
	var bytes int64
	for _, kind := range []sessionKind{{"cold", 0, false}, {"cold, terminal", 0, true}, {"spare", 1, false}, {"spare, terminal", 1, true}} {
		one := series{name: kind.name}
		for range runs {
			s, size, err := a.benchSession(ctx, store, kind)
			if errors.Is(err, session.ErrNoRoom) {
				a.ui.Info("no more runs of %q: %v", kind.name, err)
				break
			}
			if err != nil {
				return err
			}
			one.samples, bytes = append(one.samples, s), max(bytes, size)
		}
		all = append(all, one)
	}
	if plainRuns > 0 {
		plain := series{name: "plain limactl"}
		if plain.samples, err = a.benchPlain(ctx, store, p.TemplateName(), cmp.Or(plainImage, cfg.VM.Image), plainRuns); err != nil {
			return err
		}
		all = append(all, plain)
	}
	rows := [][]string{}
	for _, s := range all {
		if len(s.samples) > 0 {
			own, ratio := "", ""
			if s.own() > 0 {
				own = seconds(s.own())
			}
			if plainRuns > 0 {
				ratio = fmt.Sprintf("1/%.1f", float64(all[len(all)-1].first())/float64(s.first()))
			}
			rows = append(rows, []string{s.name, fmt.Sprint(len(s.samples)), seconds(s.first()), ratio, seconds(s.back()), own})
		}
	}
	if err := a.table([]string{"SEQUENCE", "RUNS", "FIRST BYTE", "OF PLAIN", "PROMPT BACK", "OWN TIME"}, "", rows); err != nil {
		return err
	}
	return a.print("disk of a session when its command starts: %d kB\naccelerator: %s\n", bytes/1000, store.Lima.Accel)
}

// benchCommands measures what should not keep anybody waiting, and how long the setup of another project takes.
func (a *app) benchCommands(ctx context.Context, runs uint) error {
	if runs == 0 {
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
		err := proc.Run(ctx, proc.Cmd{Argv: append([]string{self}, args...), Env: append(slices.Clone(a.Env), "CLAUDE_VM_STANDBY_COUNT=0"), Dir: dir})
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
		{"--version", a.Dir, []string{"--version"}}, {"--help", a.Dir, []string{"--help"}}, {"list", a.Dir, []string{"list"}},
		{"config show", a.Dir, []string{"config", "show"}}, {"setup", another, []string{"setup"}},
		{"setup, a script", another, []string{"setup", "--setup-script", script}},
	} {
		var s series
		for range runs {
			took, err := run(ctx, line.dir, line.args...)
			if err != nil {
				return err
			}
			s.samples = append(s.samples, sample{first: took})
		}
		rows = append(rows, []string{"claude-vm " + line.says, fmt.Sprint(runs), seconds(s.first())})
	}
	return a.table([]string{"COMMAND", "RUNS", "TIME"}, "", rows)
}

// benched is what runs in a VM that is measured. What it prints begins with answer and has no more bytes than maxAnswer.
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

// benchSession measures all that the command shell does, but for the start of its process and of what comes next. A VM that has
// waited is awaited first.
func (a *app) benchSession(ctx context.Context, store instance.Store, kind sessionKind) (s sample, size int64, err error) {
	shell := *a
	shell.Env = append(slices.Clone(a.Env), "CLAUDE_VM_STANDBY_COUNT="+strconv.Itoa(kind.spares),
		"CLAUDE_VM_VM_ACCEL="+string(store.Lima.Accel)) // which is chosen, and said, already
	command := func(*config.Config) guest.Session { return guest.Session{Mode: guest.Exec, Command: benched} }
	if kind.spares > 0 {
		p, err := shell.prepare(ctx, command)
		if err == nil {
			err = a.awaitSpare(ctx, shell.runner(p.store, p.cfg), p.spec.Shape)
		}
		if err != nil {
			return s, 0, err
		}
	}
	var used instance.Entry
	shell.noNext = true // it would boot beside what is measured next
	out := firstByte{Limited: proc.Limited{Most: maxAnswer}, first: func() { used, size = ownSession(store) }}
	heard, err := shell.redirect(kind.tty, &out)
	if err != nil {
		return s, 0, err
	}
	begin, busy := time.Now(), processorTime()
	err = shell.runSession(ctx, command)
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

// redirect gives the program other streams, which are terminals or not. What is said to people goes on to ours, but nothing that
// was drawn for a terminal to what is none. Once its work is done, heard returns when all of the output has been written to out.
func (a *app) redirect(tty bool, out io.Writer) (heard func(), err error) {
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
	if !tty || isTerminal(a.Stderr) {
		said = a.Stderr
	}
	a.Stdout, a.Stderr = channel(out), channel(said)
	if a.Stdin = a.Stdout; !tty && err == nil {
		a.Stdin, err = os.Open(os.DevNull)
		files = append(files, a.Stdin)
	}
	if err != nil {
		heard()
		return nil, err
	}
	a.openUI()
	return heard, nil
}

// awaitSpare has a spare made and waits until it is ready, or until it is clear that there is no room for one.
func (a *app) awaitSpare(ctx context.Context, runner session.Runner, shape session.Shape) error {
	step := a.ui.Step("waiting for a VM that waits")
	defer step.Fail()
	if _, err := runner.Waiting(ctx, shape); err != nil {
		return err
	}
	if err := runner.PrepareNext(shape); err != nil {
		return err
	}
	within, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("no VM was made that waits: state/spares.log in the state folder says why"))
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

// processorTime is what this process has used of the processor so far, without the programs that it runs.
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

// benchPlain measures what Lima does by itself.
func (a *app) benchPlain(ctx context.Context, store instance.Store, name, image string, runs uint) (samples []sample, err error) {
	record, lock, err := store.Find(ctx, name)
	if err != nil {
		return nil, err
	}
	lock.Unlock()
	if record.Images, err = store.Lima.Images(ctx, image); err != nil {
		return nil, err
	}
	prepared := a.ui.Step("making an instance in Lima's ordinary way")
	defer prepared.Fail()
	err = store.Plain(ctx, record, func(original, clone string) error {
		prepared.Done()
		for range runs {
			step := a.ui.Step("the plain sequence")
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
