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
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/trust"
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
figures are medians. "Own time" is the processor time of claude-vm itself.`,
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
	guarded, err := a.guardGit(ctx, p, cfg)
	if err != nil {
		return err
	}
	defer guarded()
	if mounts {
		return a.benchMounts(ctx, store, p, cfg, asked)
	}
	if err := a.benchCommands(ctx, runs); err != nil {
		return err
	}
	runner := a.runner(store, cfg)
	defer a.discardSpares(context.WithoutCancel(ctx), store, func(name string) bool { return name == p.TemplateName() })
	var all []series
	var bytes int64
	for _, kind := range []struct {
		name       string
		spare, tty bool
	}{
		{"cold", false, false}, {"cold, terminal", false, true}, {"spare", true, false}, {"spare, terminal", true, true},
	} {
		runner.Standby.Count = 0
		if kind.spare {
			runner.Standby.Count = 1
		}
		one := series{name: kind.name}
		for range runs {
			s, size, err := a.benchSession(ctx, runner, cfg, asked, kind.tty)
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

// firstByte notes when something is written for the first time.
type firstByte struct {
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
	return len(p), nil
}

// benchSession measures a session. If the runner keeps spares it waits for one first.
func (a *app) benchSession(ctx context.Context, runner session.Runner, cfg *config.Config, asked *trust.Review, tty bool) (sample, int64, error) {
	prepare := func() (spec session.Spec, err error) { // what a start does before it has a VM
		p, err := a.project(ctx)
		if err != nil {
			return spec, err
		}
		spec, _, err = a.sessionSpec(p, cfg, asked, guest.Session{Mode: guest.Exec, Command: []string{"uname", "-a"}})
		if err == nil {
			_, err = a.addUser(ctx, runner.Store, p, cfg, &spec)
		}
		return spec, err
	}
	spec, err := prepare()
	if err == nil && runner.Standby.Count > 0 {
		err = a.awaitSpare(ctx, runner, spec.Shape)
	}
	if err != nil {
		return sample{}, 0, err
	}
	runner.Standby.Spawn = func([]byte) error { return nil } // what comes next is not measured
	begin, used := time.Now(), processorTime()
	if spec, err = prepare(); err != nil {
		return sample{}, 0, err
	}
	var out firstByte
	var size int64
	spec.TTY, spec.Stdin, spec.Stderr = tty, nil, io.Discard
	spec.Stdout = &out
	out.first = func() { size = sessionSize(runner.Store) }
	code, err := runner.Run(ctx, spec)
	end := time.Now()
	if err != nil {
		return sample{}, 0, err
	}
	if code != 0 || out.at.IsZero() {
		return sample{}, 0, fmt.Errorf("the guest's command ended with code %d", code)
	}
	return sample{out.at.Sub(begin), end.Sub(out.at), processorTime() - used}, size, nil
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

// sessionSize returns the bytes of the only session of this process, without Lima's seed disk.
func sessionSize(store template.Store) int64 {
	entries, _ := store.List(template.Session)
	for _, e := range entries {
		if e.PID == os.Getpid() {
			return lima.Size(store.Lima.Dir(e.Name)) - lima.Size(store.Lima.Dir(e.Name)+"/cidata.iso")
		}
	}
	return 0
}

// benchPlain measures what Lima does by itself.
func (a *app) benchPlain(ctx context.Context, store template.Store, name, image string, runs uint) (samples []sample, err error) {
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
			var out firstByte
			steps := []func() error{
				func() error { return store.Lima.Clone(ctx, original, clone) },
				func() error { return store.Lima.StartPlain(ctx, clone) },
				func() error { return store.Lima.ShellPlain(ctx, clone, &out, "uname", "-a") },
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
