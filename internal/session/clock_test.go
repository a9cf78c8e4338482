package session

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
)

// The guest is told the time once after each jump, and again if that failed; the clocks' small differences are nobody's.
func TestGuestsClockFollowsTheHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ticks := []struct {
			name string
			slip time.Duration
			fail error
			told bool
		}{
			{"the session begins", 0, nil, false},
			{"nothing happens", 0, nil, false},
			{"the clock is corrected", time.Second, nil, false},
			{"the host sleeps", time.Hour, nil, true},
			{"it goes on", time.Hour, nil, false},
			{"somebody sets the clock back", -time.Hour, errors.New("the guest is busy"), true},
			{"once more", -time.Hour, nil, true},
			{"it goes on", -time.Hour, nil, false},
		}
		told := make([]string, len(ticks))
		now := -1
		ctx, cancel := context.WithCancel(t.Context())
		go keepTime(ctx, func(_ context.Context, c lima.Command) error {
			script, err := io.ReadAll(c.Stdin)
			told[now] += string(script)
			if want := guest.Tell(guest.SetClock(time.Now())); string(script) != want {
				t.Errorf("%s: told %q, want %q", ticks[now].name, script, want)
			}
			return errors.Join(err, ticks[now].fail)
		}, func() time.Duration {
			now++
			return ticks[now].slip
		})
		time.Sleep(time.Duration(len(ticks)-1) * clockTick)
		synctest.Wait()
		cancel()
		synctest.Wait()
		for i, tick := range ticks {
			if (told[i] != "") != tick.told {
				t.Errorf("%s: told %q", tick.name, told[i])
			}
		}
	})
}

func TestHostHasNotSlept(t *testing.T) {
	slip := hostSlip()
	if s := slip(); s.Abs() > clockSlip {
		t.Errorf("the clocks differ by %v", s)
	}
}
