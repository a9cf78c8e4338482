package launch

import (
	"context"
	"sync"
	"time"

	"github.com/themouette/claude-vm/internal/selfupdate"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
)

// releaseNews is what is known about newer versions of this program.
type releaseNews struct {
	Checked time.Time `json:"checked"`
	Told    time.Time `json:"told"`
	Latest  string    `json:"latest"`
}

const day = 24 * time.Hour

// updates says, once a day, that there is a newer version, and looks for one while a session's
// command runs. It never keeps anybody waiting.
type updates struct {
	session.Nop
	host   Host
	wanted bool // by the configuration

	known  releaseNews
	look   bool
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// Before tells.
func (u *updates) Before(context.Context, *session.Spec) error {
	h := u.host
	if !u.wanted || h.Newest == nil || h.Quiet || !IsTerminal(h.Stdout) || !IsTerminal(h.Stderr) {
		return nil
	}
	_ = state.ReadJSON(h.note("update.json"), &u.known) // without it nothing is known
	now := time.Now()
	_, err := selfupdate.ParseVersion(u.known.Latest)
	if err == nil && selfupdate.Compare(u.known.Latest, h.Version) > 0 && now.Sub(u.known.Told).Abs() > day {
		h.UI.Info("claude-vm %s can be had, this is %s; see: claude-vm update --check", u.known.Latest, h.Version)
		u.known.Told = now
		_ = state.WriteJSON(h.note("update.json"), u.known)
	}
	u.look = now.Sub(u.known.Checked).Abs() >= day
	return nil
}

// Ready looks, beside the session.
func (u *updates) Ready(ctx context.Context, _ session.Guest) error {
	if !u.look {
		return nil
	}
	ctx, u.cancel = context.WithCancel(ctx)
	u.done.Go(func() {
		newest, err := u.host.Newest(ctx)
		if err != nil {
			return
		}
		u.known.Checked, u.known.Latest = time.Now(), newest
		_ = state.WriteJSON(u.host.note("update.json"), u.known)
	})
	return nil
}

// After ends the look.
func (u *updates) After(context.Context, session.Outcome) {
	if u.cancel != nil {
		u.cancel()
	}
	u.done.Wait()
}
