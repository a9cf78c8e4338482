package login

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/proc"
)

// Ask has a VM run a script, and writes what that prints.
type Ask func(ctx context.Context, script string, out io.Writer) error

// Send has a VM run a line of shell that reads in.
type Send func(ctx context.Context, line string, in io.Reader) error

// Sync carries Claude's login between the store and one VM.
type Sync struct {
	Store      Store
	Held       claude.Login // what the guest has, as far as we know
	Deliberate bool         // the session is there for the login

	file []byte // the guest's credentials file, as far as we know
	stop func() // ends the rounds; nil: there are none
	news News
	err  error
}

// Give returns what carries a login that a VM begins with, and the credentials file that the VM is
// to have. An empty login has no file.
func (s Store) Give(login claude.Login) (*Sync, []byte, error) {
	file, err := login.Credentials()
	return &Sync{Store: s, Held: login, file: file}, file, err
}

// The rounds that are made while a session lives. A renewed login is brought to safety in case we
// are killed, and to other sessions that were given the same one, before theirs expires.
const (
	renewalBegins = 10 * time.Minute // before it expires Claude renews a token; a little earlier than that
	closeRound    = 20 * time.Second // while that may happen
	farRound      = 10 * time.Minute // otherwise
)

// Begin starts to look after the login in a VM.
func (s *Sync) Begin(ctx context.Context, ask Ask, send Send) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(s.pause(time.Now())):
			}
			s.poll(ctx, ask)
			s.refresh(ctx, send)
		}
	}()
}

// pause returns how long nothing is expected to happen.
func (s *Sync) pause(now time.Time) time.Duration {
	if s.Held.Tokens == nil || s.Held.Tokens.ExpiresAt == 0 {
		return farRound
	}
	until := time.UnixMilli(s.Held.Tokens.ExpiresAt).Sub(now) - renewalBegins
	return min(max(until, closeRound), farRound)
}

// end ends the rounds, if there are any.
func (s *Sync) end() {
	if s.stop != nil {
		s.stop()
	}
}

// Leave ends the rounds, and keeps the login that the session ends with.
func (s *Sync) Leave(ctx context.Context, ask Ask) {
	s.end()
	s.poll(ctx, ask)
}

// News ends the rounds, and returns what there is to say: the last news, and the last failure if
// nothing came after it.
func (s *Sync) News() (News, error) {
	s.end()
	return s.news, s.err
}

// maxAnswer bounds, in bytes, what a guest may answer.
const maxAnswer = 9 << 20

// poll looks whether the guest has another login by now, and offers it to the store.
func (s *Sync) poll(ctx context.Context, ask Ask) {
	answer := &proc.Limited{Most: maxAnswer}
	script := guest.Changed(claude.CredentialsFile, string(s.file), claude.StateFile, `"primaryApiKey"`)
	err := ask(ctx, script, answer)
	if err != nil || len(answer.Bytes()) == 0 {
		s.note(None, err)
		return
	}
	credentials, stateFile, _ := bytes.Cut(answer.Bytes(), []byte{0})
	now := time.Now()
	got, err := claude.ReadLogin(credentials, stateFile, now)
	if err != nil {
		s.note(None, err)
		return
	}
	what, err := s.Store.Offer(ctx, s.Held, got, s.Deliberate, now)
	s.note(what, err)
	if err == nil && !got.Empty() {
		s.Held, s.file = got, credentials
	}
}

// refresh gives the guest the kept login if another session has renewed it meanwhile. Claude takes
// it up with its next request. Another account's is for the sessions that begin: no session decides
// whose account another one works with.
func (s *Sync) refresh(ctx context.Context, send Send) {
	kept, err := s.Store.Read()
	now := time.Now()
	if err != nil || s.Held.Tokens == nil || !kept.Usable(now) ||
		!kept.Login.NewerThan(s.Held, now) || !kept.Login.SameAccount(s.Held) {
		return
	}
	credentials, err := kept.Login.Credentials()
	if err != nil {
		return
	}
	if send(ctx, guest.Replace(claude.CredentialsFile), bytes.NewReader(credentials)) == nil {
		s.Held, s.file = kept.Login, credentials
	}
}

// note remembers news and failures. That a login was renewed is no news beside others.
func (s *Sync) note(what News, err error) {
	s.err = err
	if what != None && !(what == Renewed && s.news != None) {
		s.news = what
	}
}
