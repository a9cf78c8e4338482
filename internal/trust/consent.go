package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/themouette/claude-vm/internal/state"
)

const (
	version = 1
	// maxConsents is how many sets of requests of one project are remembered, the newest first: its worktrees may differ.
	maxConsents = 16
)

// Store keeps what users have agreed to.
type Store struct{ Dir string }

// Consent is what was agreed to at one time.
type Consent struct {
	At     time.Time `json:"at"`
	Things []string  `json:"things"`
}

// Project is everything that was agreed to for a project, the newest first.
type Project struct {
	Version  int       `json:"version"`
	Path     string    `json:"project"`
	Consents []Consent `json:"consents"`
}

func (s Store) file(project string) string {
	sum := sha256.Sum256([]byte(project))
	return filepath.Join(s.Dir, hex.EncodeToString(sum[:16])+".json")
}

// Read returns what was agreed to for a project, which is named by the path of its main checkout. A file that another
// version wrote, or that is broken, holds no agreement.
func (s Store) Read(project string) Project {
	var p Project
	if err := state.ReadJSON(s.file(project), &p); err != nil || p.Version != version || p.Path != project {
		return Project{Version: version, Path: project}
	}
	return p
}

// Agree notes that the user agrees to all that a review has found.
func (s Store) Agree(project string, r *Review, now time.Time) error {
	if refused := r.Refused(); len(refused) > 0 {
		return fmt.Errorf("%s: %s", refused[0].What, refused[0].Refused)
	}
	p := s.Read(project)
	p.Consents = slices.Insert(p.Consents, 0, Consent{now.UTC(), r.things()})
	p.Consents = p.Consents[:min(len(p.Consents), maxConsents)]
	return state.WriteJSON(s.file(project), p)
}

// Revoke forgets what was agreed to for a project, and says whether there was anything.
func (s Store) Revoke(project string) (bool, error) {
	err := os.Remove(s.file(project))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Covers says whether one agreement covers all of a review. One that covers more does: a project may come to ask for less.
func (p Project) Covers(r *Review) bool {
	if len(r.Requests) == 0 {
		return true
	}
	return len(r.Refused()) == 0 && slices.ContainsFunc(p.Consents, func(c Consent) bool {
		return len(missing(c.Things, r.things())) == 0
	})
}

// Changes returns what a review asks for beyond the newest agreement, and what that covers and nobody asks for any more.
func (p Project) Changes(r *Review) (added, removed []string) {
	var last []string
	if len(p.Consents) > 0 {
		last = p.Consents[0].Things
	}
	return missing(last, r.things()), missing(r.things(), last)
}

func (r *Review) things() []string {
	things := []string{}
	for _, q := range r.Requests {
		things = append(things, q.What)
	}
	slices.Sort(things)
	return things
}

// missing returns what is in wanted and not in things.
func missing(things, wanted []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(t string) bool { return slices.Contains(things, t) })
}
