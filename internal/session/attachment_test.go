package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// witness writes down what it is told.
type witness struct {
	Nop
	id   int
	fail error // of Before
	log  *[]string
	got  *Outcome
}

func (w witness) Before(context.Context, *Spec) error {
	*w.log = append(*w.log, fmt.Sprint("before ", w.id))
	return w.fail
}

func (w witness) After(ctx context.Context, o Outcome) {
	*w.log = append(*w.log, fmt.Sprint("after ", w.id))
	*w.got = o
	if ctx.Err() != nil {
		*w.log = append(*w.log, "the context has ended")
	}
}

// Whatever fails, be it one of them or the VM: each attachment that has begun is told the end, in reverse order, and why.
func TestAttachmentsAreToldTheEnd(t *testing.T) {
	t.Parallel()
	refusal := errors.New("refused")
	rapid.Check(t, func(rt *rapid.T) {
		dir := state.Dir(t.TempDir())
		r := &Runner{
			Store: instance.Store{State: dir, Lima: &lima.Client{Home: dir.VMs()}}, UI: ui.New(ui.Options{Err: io.Discard, Now: time.Now}),
			Standby: Standby{Count: rapid.IntRange(0, 1).Draw(rt, "standby")},
		}
		n := rapid.IntRange(0, 5).Draw(rt, "attachments")
		failing := rapid.IntRange(0, n).Draw(rt, "failing") // n: none
		var log, want []string
		var got Outcome
		var all []Attachment
		for i := range n {
			w := witness{id: i, log: &log, got: &got}
			if i == failing {
				w.fail = refusal
			}
			all = append(all, w)
			if i <= failing {
				want = append(want, fmt.Sprint("before ", i))
			}
		}
		for i := range slices.Backward(make([]int, failing)) {
			want = append(want, fmt.Sprint("after ", i))
		}
		reason := refusal
		if failing == n {
			reason = instance.ErrNone // there is no template
		}
		ctx, cancel := context.WithCancel(t.Context())
		if rapid.Bool().Draw(rt, "stopped") && failing < n {
			cancel()
		}
		defer cancel()
		_, err := r.Run(ctx, Spec{Shape: Shape{Project: &project.Project{Dir: "/p"}, Template: "tpl_x_12"}}, all...)
		if !errors.Is(err, reason) {
			rt.Errorf("%v, want %v", err, reason)
		}
		if !slices.Equal(log, want) {
			rt.Errorf("%q, want %q", log, want)
		}
		if failing > 0 && (!errors.Is(got.Err, reason) || got.Began) {
			rt.Errorf("told %+v", got)
		}
	})
}
