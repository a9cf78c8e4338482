package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/state"
)

// loginStore is where the one login lies that all sessions are given: a file of ours that nobody else may read.
type loginStore struct{ dir state.Dir }

// keptLogin is its content.
type keptLogin struct {
	Version int          `json:"version"`
	Kept    time.Time    `json:"kept"`
	Ended   bool         `json:"ended,omitempty"` // Claude was told that it is over
	Login   claude.Login `json:"login"`
}

const loginVersion = 1

func (s loginStore) path() string { return filepath.Join(string(s.dir), "state", "login.json") }

// read returns what is kept; nothing: a zero value.
func (s loginStore) read() (keptLogin, error) {
	var kept keptLogin
	err := state.ReadJSON(s.path(), &kept)
	switch {
	case state.Gone(err):
		return keptLogin{}, nil
	case err != nil:
		return keptLogin{}, err
	case kept.Version > loginVersion:
		return keptLogin{}, fmt.Errorf("%s was written by a newer claude-vm", s.path())
	}
	return kept, nil
}

// usable says whether a session can log in with it.
func (k keptLogin) usable(now time.Time) bool {
	return !k.Ended && !k.Login.Empty() && !k.Login.Over(now)
}

// news is what became of the kept login.
type news int

const (
	noNews       news = iota
	firstLogin        // there was none before
	renewed           // the same account
	otherPerson       // another account than before
	strangeLogin      // not kept: it does not say whose it is, and the kept one does
	loginEnded        // it is over, and the next session is not given it any more
)

// offer keeps the login that a session was found to have if it is the newest: two sessions at once, which were given the same
// one, must not undo each other's renewal. With deliberate it is what the user wants in any case.
func (s loginStore) offer(ctx context.Context, given, got claude.Login, deliberate bool, now time.Time) (news, error) {
	lock, err := s.dir.Lock(ctx, "login", state.Exclusive)
	if err != nil {
		return noNews, err
	}
	defer lock.Unlock()
	kept, err := s.read()
	damaged := err != nil
	untouched := kept.Login.Same(given)
	switch {
	case got.Empty():
		return noNews, nil
	case got.Over(now):
		if deliberate || given.Empty() || !untouched || kept.Ended {
			return noNews, nil
		}
		kept.Ended = true
		return loginEnded, state.WriteJSON(s.path(), kept)
	case !deliberate && kept.Login.Named() && !got.Named():
		if kept.Login.Same(got) {
			return noNews, nil
		}
		return strangeLogin, nil // a session could hand anybody's tokens to all others under the user's name
	case deliberate, damaged, kept.Ended:
	case kept.Login.Empty() && !given.Empty():
		return noNews, nil // forgotten meanwhile, and that was on purpose
	case kept.Login.Same(got) && (kept.Login.Account != nil || got.Account == nil):
		return noNews, nil
	case !untouched && !got.NewerThan(kept.Login, now):
		return noNews, nil
	}
	if got.Account == nil && got.SameAccount(kept.Login) {
		got.Account = kept.Login.Account
	}
	what := firstLogin
	switch {
	case kept.Login.Empty():
	case !kept.Login.Named() || kept.Login.SameAccount(got):
		what = renewed
	default:
		what = otherPerson
	}
	return what, state.WriteJSON(s.path(), keptLogin{Version: loginVersion, Kept: now.UTC(), Login: got})
}

// forget removes it and says whether there was one.
func (s loginStore) forget(ctx context.Context) (bool, error) {
	lock, err := s.dir.Lock(ctx, "login", state.Exclusive)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	err = os.Remove(s.path())
	if state.Gone(err) {
		return false, nil
	}
	return err == nil, err
}
