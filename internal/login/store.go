// Package login decides which login of Claude sessions are given. The store keeps one login for all
// of them and says which of two logins wins; a Sync carries it between the store and one VM. It
// reaches the VM through functions, and knows no session.
package login

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/state"
)

// Store is where the one login lies that all sessions are given: a file of ours that nobody else
// may read.
type Store struct{ Dir state.Dir }

// Kept is the store's content.
type Kept struct {
	Version int          `json:"version"`
	Kept    time.Time    `json:"kept"`
	Ended   bool         `json:"ended,omitempty"` // Claude was told that it is over
	Login   claude.Login `json:"login"`
}

const version = 1

// lockName is the lock under which the store is read and written.
const lockName = "login"

// Path returns the store's file.
func (s Store) Path() string { return filepath.Join(string(s.Dir), "state", "login.json") }

// Read returns what is kept; nothing: a zero value.
func (s Store) Read() (Kept, error) {
	var kept Kept
	err := state.ReadJSON(s.Path(), &kept)
	switch {
	case state.Gone(err):
		return Kept{}, nil
	case err != nil:
		return Kept{}, err
	case kept.Version > version:
		return Kept{}, fmt.Errorf("%s was written by a newer claude-vm", s.Path())
	}
	return kept, nil
}

// Usable says whether a session can log in with it.
func (k Kept) Usable(now time.Time) bool {
	return !k.Ended && !k.Login.Empty() && !k.Login.Over(now)
}

// News is what became of the kept login.
type News int

// What can become of it.
const (
	None         News = iota
	First             // there was none before
	Renewed           // the same account
	OtherAccount      // another account than before
	Anonymous         // not kept: it does not say whose it is, and the kept one does
	Ended             // it is over, and the next session is not given it any more
)

// Offer keeps the login that a session was found to have if it is the newest: two sessions at once,
// which were given the same one, must not undo each other's renewal. With deliberate it is what the
// user wants in any case.
func (s Store) Offer(ctx context.Context, given, got claude.Login, deliberate bool, now time.Time) (News, error) {
	lock, err := s.Dir.Lock(ctx, lockName, state.Exclusive)
	if err != nil {
		return None, err
	}
	defer lock.Unlock()
	kept, err := s.Read()
	damaged := err != nil
	untouched := kept.Login.Same(given)
	switch {
	case got.Empty():
		return None, nil
	case got.Over(now):
		if deliberate || given.Empty() || !untouched || kept.Ended {
			return None, nil
		}
		kept.Ended = true
		return Ended, state.WriteJSON(s.Path(), kept)
	case !deliberate && kept.Login.Named() && !got.Named():
		if kept.Login.Same(got) {
			return None, nil
		}
		return Anonymous, nil // a session could hand anybody's tokens to all others under the user's name
	case deliberate, damaged, kept.Ended:
	case kept.Login.Empty() && !given.Empty():
		return None, nil // forgotten meanwhile, and that was on purpose
	case kept.Login.Same(got) && (kept.Login.Account != nil || got.Account == nil):
		return None, nil
	case !untouched && !got.NewerThan(kept.Login, now):
		return None, nil
	}
	if got.Account == nil && got.SameAccount(kept.Login) {
		got.Account = kept.Login.Account
	}
	return change(kept.Login, got), state.WriteJSON(s.Path(), Kept{Version: version, Kept: now.UTC(), Login: got})
}

// change says what a login is to the one whose place it takes.
func change(old, got claude.Login) News {
	switch {
	case old.Empty():
		return First
	case !old.Named() || old.SameAccount(got):
		return Renewed
	}
	return OtherAccount
}

// Forget removes the kept login and says whether there was one.
func (s Store) Forget(ctx context.Context) (bool, error) {
	lock, err := s.Dir.Lock(ctx, lockName, state.Exclusive)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	err = os.Remove(s.Path())
	if state.Gone(err) {
		return false, nil
	}
	return err == nil, err
}
