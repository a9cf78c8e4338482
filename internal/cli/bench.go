package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/trust"
)

func (a *app) benchCommand() *cobra.Command {
	var runs, plainRuns int
	var plainImage string
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast sessions start and end here",
		Long: `Measure how fast sessions start and end here, with this project's template. For comparison the
plain sequence is measured too: limactl clone, start, shell, stop and delete on an instance that
Lima made of an image in its ordinary way. All figures are medians.`,
		Example: "  claude-vm bench\n  claude-vm bench --runs 5 --plain-runs 0",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.bench(cmd.Context(), runs, plainRuns, plainImage)
		},
	}
	cmd.Flags().IntVar(&runs, "runs", 5, "sessions to measure")
	cmd.Flags().IntVar(&plainRuns, "plain-runs", 3, "plain sequences to measure; 0: none")
	cmd.Flags().StringVar(&plainImage, "plain-image", "", "`IMAGE` of the plain sequence, as --image takes it (default: vm.image)")
	return cmd
}

// sample is what one run took.
type sample struct{ first, back time.Duration }

func (a *app) bench(ctx context.Context, runs, plainRuns int, plainImage string) error {
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
	var ours, plain []sample
	var bytes int64
	for range runs {
		s, size, err := a.benchSession(ctx, store, cfg, asked)
		if err != nil {
			return err
		}
		ours, bytes = append(ours, s), max(bytes, size)
	}
	if plainRuns > 0 {
		if plain, err = a.benchPlain(ctx, store, p.TemplateName(), cmp.Or(plainImage, cfg.VM.Image), plainRuns); err != nil {
			return err
		}
	}
	rows := [][]string{}
	row := func(what string, of []sample) {
		if len(of) > 0 {
			rows = append(rows, []string{what, fmt.Sprint(len(of)),
				seconds(median(of, func(s sample) time.Duration { return s.first })), seconds(median(of, func(s sample) time.Duration { return s.back }))})
		}
	}
	row("claude-vm", ours)
	row("plain limactl", plain)
	if err := a.table([]string{"SEQUENCE", "RUNS", "FIRST BYTE", "PROMPT BACK"}, rows); err != nil {
		return err
	}
	if len(ours) > 0 && len(plain) > 0 {
		first := func(s sample) time.Duration { return s.first }
		if err := a.print("first byte, claude-vm to plain: %.3f\n", float64(median(ours, first))/float64(median(plain, first))); err != nil {
			return err
		}
	}
	return a.print("disk of a session when its command starts: %d kB\naccelerator: %s\n", bytes/1000, store.Lima.Accel)
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

func (a *app) benchSession(ctx context.Context, store template.Store, cfg *config.Config, asked *trust.Review) (sample, int64, error) {
	begin := time.Now()
	p, err := a.project(ctx)
	if err != nil {
		return sample{}, 0, err
	}
	spec, err := a.sessionSpec(p, cfg, asked, guest.Session{Mode: guest.Exec, Command: []string{"uname", "-a"}})
	if err != nil {
		return sample{}, 0, err
	}
	if _, err := a.addUser(ctx, store, p, cfg, &spec); err != nil {
		return sample{}, 0, err
	}
	var out firstByte
	var size int64
	spec.TTY, spec.Stdin, spec.Stderr = false, nil, io.Discard
	spec.Stdout = &out
	out.first = func() { size = sessionSize(store) }
	runner := session.Runner{Store: store, UI: a.ui}
	code, err := runner.Run(ctx, spec)
	end := time.Now()
	if err != nil {
		return sample{}, 0, err
	}
	if code != 0 || out.at.IsZero() {
		return sample{}, 0, fmt.Errorf("the guest's command ended with code %d", code)
	}
	return sample{out.at.Sub(begin), end.Sub(out.at)}, size, nil
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
func (a *app) benchPlain(ctx context.Context, store template.Store, name, image string, runs int) (samples []sample, err error) {
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
			samples = append(samples, sample{out.at.Sub(begin), time.Since(out.at)})
		}
		return nil
	})
	return samples, err
}

func median(of []sample, figure func(sample) time.Duration) time.Duration {
	figures := make([]time.Duration, len(of))
	for i, s := range of {
		figures[i] = figure(s)
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
