package cli

import (
	"bytes"
	"context"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

// loginKeeper carries Claude's login between the host and one session.
type loginKeeper struct {
	store      loginStore
	held       claude.Login // what the guest has, as far as we know
	file       []byte       // the guest's credentials file, as far as we know
	deliberate bool         // the session is there for the login
	unlikely   bool         // Claude works without a terminal, and we know of no login

	stop func() // ends the rounds; nil: there are none
	news news
	err  error
}

// The rounds that are made while a session lives. A renewed login is brought to safety in case we are killed, and to other
// sessions that were given the same one, before theirs expires.
const (
	renewalBegins = 10 * time.Minute // before it expires Claude renews a token; a little earlier than that
	closeRound    = 20 * time.Second // while that may happen
	farRound      = 10 * time.Minute // otherwise
)

// begin starts to look after the login in a VM.
func (k *loginKeeper) begin(ctx context.Context, exec session.Exec) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	k.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(k.pause(time.Now())):
			}
			k.fetch(ctx, exec.Ask)
			k.refresh(ctx, exec)
		}
	}()
}

// pause returns how long nothing is expected to happen.
func (k *loginKeeper) pause(now time.Time) time.Duration {
	if k.held.Tokens == nil || k.held.Tokens.ExpiresAt == 0 {
		return farRound
	}
	until := time.UnixMilli(k.held.Tokens.ExpiresAt).Sub(now) - renewalBegins
	return min(max(until, closeRound), farRound)
}

// end keeps the login that the session ends with.
func (k *loginKeeper) end(ctx context.Context, ask session.Ask) {
	if k.stop != nil {
		k.stop()
	}
	k.fetch(ctx, ask)
}

// maxLogin bounds, in bytes, what a guest may answer.
const maxLogin = 9 << 20

// fetch looks whether the guest has another login by now, and offers it to the store.
func (k *loginKeeper) fetch(ctx context.Context, ask session.Ask) {
	answer := &proc.Limited{Most: maxLogin}
	script := guest.Changed(claude.CredentialsFile, string(k.file), claude.StateFile, `"primaryApiKey"`)
	err := ask(ctx, script, answer)
	if err != nil || len(answer.Bytes()) == 0 {
		k.note(noNews, err)
		return
	}
	credentials, stateFile, _ := bytes.Cut(answer.Bytes(), []byte{0})
	now := time.Now()
	got, err := claude.ReadLogin(credentials, stateFile, now)
	if err != nil {
		k.note(noNews, err)
		return
	}
	what, err := k.store.offer(ctx, k.held, got, k.deliberate, now)
	k.note(what, err)
	if err == nil && !got.Empty() {
		k.held, k.file = got, credentials
	}
}

// refresh gives the guest the kept login if another session has renewed it meanwhile. Claude takes it up with its next
// request. Another account's is for the sessions that begin: no session decides whose account another one works with.
func (k *loginKeeper) refresh(ctx context.Context, exec session.Exec) {
	kept, err := k.store.read()
	now := time.Now()
	if err != nil || k.held.Tokens == nil || !kept.usable(now) || !kept.Login.NewerThan(k.held, now) || !kept.Login.SameAccount(k.held) {
		return
	}
	credentials, err := kept.Login.Credentials()
	if err != nil {
		return
	}
	if exec(ctx, lima.Command{Line: guest.Replace(claude.CredentialsFile), Stdin: bytes.NewReader(credentials)}) == nil {
		k.held, k.file = kept.Login, credentials
	}
}

// note remembers what there is to say in the end: the last news, and the last failure if nothing came after it.
func (k *loginKeeper) note(what news, err error) {
	k.err = err
	if what != noNews && !(what == renewed && k.news != noNews) {
		k.news = what
	}
}

// tellLogin says what became of the login of a session whose command ended with a code.
func (a *app) tellLogin(k *loginKeeper, code int) {
	who := ui.Sanitize(k.held.Who())
	switch k.news {
	case firstLogin:
		a.ui.Info("the login of %s is kept for the next sessions (claude-vm login --status)", who)
	case otherPerson:
		a.ui.Warn("sessions are logged in as %s from now on (claude-vm login --status)", who)
	case strangeLogin:
		a.ui.Warn("the login that the session ended with does not say whose it is, and was not kept")
		a.ui.Hint("if it is yours, log in with: claude-vm login")
	case loginEnded:
		a.ui.Warn("Claude's login has ended")
		a.ui.Hint("log in again with: claude-vm login")
	case noNews, renewed:
	}
	if k.unlikely && k.held.Empty() && code != 0 {
		a.ui.Hint("if Claude is not logged in: " + loginHint)
	}
	if k.err != nil {
		a.ui.Warn("the login that the session ended with could not be kept: %v", k.err)
	}
}
