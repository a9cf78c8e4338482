package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/conversation"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// carryEvery is how often a session's conversations come out while it lives.
	carryEvery = time.Minute
	// carryTime is how long they may take at a session's end, and bringing them out for one that was killed.
	carryTime = 30 * time.Second
	// carryInTime is how long a session's command waits for the host's conversations. Where there are very many, the
	// older ones follow while it runs.
	carryInTime = 3 * time.Second
)

// The values of claude.conversations.
const (
	filtered = "filtered" // sessions and the host have the same conversations
	private  = "own"      // sessions have theirs, the host has its own
	untold   = "none"     // nothing is kept
)

// conversationMode says what becomes of a session's conversations.
func (a *app) conversationMode(cfg *config.Config) string {
	if a.flags.noConversations {
		return untold
	}
	return cfg.Claude.Conversations
}

// carrier carries a project's conversations. The folder that is shared is one for all working trees of a repository, as
// Claude's memory is, and for all sessions. What sessions have among themselves lies in another one.
func (a *app) carrier(p *project.Project, mode string) conversation.Carrier {
	folder := filepath.Join(a.talks(), p.Name()+"_"+p.ID())
	return conversation.Carrier{
		Host: filepath.Join(a.Home, ".claude"), Shared: filepath.Join(folder, mode), Root: p.Root, Main: p.Main,
		Known: filepath.Join(a.talkNotesDir(), "known", p.Name()+"_"+p.ID()+".json"),
	}
}

// talks is where the conversations of all projects lie.
func (a *app) talks() string { return filepath.Join(string(a.state()), "conversations") }

// talkNotesDir is where the notes lie of the sessions that may still write to conversations.
func (a *app) talkNotesDir() string {
	return filepath.Join(string(a.state()), "state", "conversations")
}

const (
	// talkLock is what the locks begin with that say which sessions may still write to conversations.
	talkLock = "talk-"
	// carryLock is what those begin with under which a project's conversations are carried.
	carryLock = "conversations-"
)

// talk is a session's part in the conversations of its project; the zero value: it has none that the host could know of.
type talk struct {
	a       *app
	carrier conversation.Carrier
	note    string // the file by which the next command brings out what a killed one has left
	owner   *state.Lock
	stop    func()       // ends what goes on beside the session
	begun   *atomic.Bool // the session's command may write
}

// beginTalk has the host's conversations brought to a session, beside its boot, and the session's to the host.
func (a *app) beginTalk(ctx context.Context, p *project.Project, cfg *config.Config, spec *session.Spec) (t talk, err error) {
	if a.conversationMode(cfg) != filtered {
		return t, nil
	}
	t = talk{a: a, begun: new(atomic.Bool), carrier: a.carrier(p, filtered)}
	name := strings.ToLower(rand.Text()[:12])
	if t.owner, err = a.state().TryLock(talkLock+name, state.Exclusive); err != nil {
		return t, err
	}
	t.note = filepath.Join(a.talkNotesDir(), name+".json")
	if err = state.WriteJSON(t.note, t.carrier); err != nil {
		t.owner.Remove()
		return t, err
	}
	ctx, cancel := context.WithCancel(ctx)
	in, out := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(in)
		a.carryIn(ctx, t)
	}()
	t.stop = func() { cancel(); <-in; <-out }
	go func() {
		defer close(out)
		<-in
		t.rounds(ctx)
	}()
	spec.WhenArrived(func() {
		select {
		case <-in:
		case <-time.After(carryInTime):
		}
		t.begun.Store(true)
	})
	return t, nil
}

// carryIn brings the host's conversations to the sessions. What sessions have left that were killed comes out first.
func (a *app) carryIn(ctx context.Context, t talk) {
	lock, err := a.state().Lock(ctx, carryLock+noteName(t.carrier.Known), state.Exclusive)
	if err == nil {
		defer lock.Unlock()
		_, err = t.carrier.Out(ctx)
		err = errors.Join(err, t.carrier.In(ctx, func() bool { return !t.begun.Load() && a.alone(t) }))
	}
	if err != nil && ctx.Err() == nil {
		a.ui.Warn("bringing Claude's conversations to the session: %v", err)
	}
}

// alone says whether no other session of the project may be writing to its conversations.
func (a *app) alone(t talk) bool {
	notes, err := a.talkNotes()
	if err != nil {
		return false
	}
	for _, note := range notes {
		var other conversation.Carrier
		if note == t.note || state.ReadJSON(note, &other) == nil && other.Shared != t.carrier.Shared {
			continue
		}
		lock, err := a.state().TryLock(talkLock+noteName(note), state.Exclusive)
		if err != nil {
			return false
		}
		lock.Unlock()
	}
	return true
}

func noteName(note string) string { return strings.TrimSuffix(filepath.Base(note), ".json") }

// talkNotes returns the files of the sessions whose conversations have not come out for the last time.
func (a *app) talkNotes() ([]string, error) {
	entries, err := os.ReadDir(a.talkNotesDir())
	if err != nil && !state.Gone(err) {
		return nil, err
	}
	var notes []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			notes = append(notes, filepath.Join(a.talkNotesDir(), e.Name()))
		}
	}
	return notes, nil
}

// rounds brings out what a session has said, in case that we are killed. What has to be said about it, is said at the end.
func (t talk) rounds(ctx context.Context) {
	tick := time.NewTicker(carryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = t.a.carryOut(ctx, t.carrier)
		}
	}
}

// carryOut brings a project's conversations to the host, one claude-vm at a time.
func (a *app) carryOut(ctx context.Context, c conversation.Carrier) (conversation.Changes, error) {
	lock, err := a.state().Lock(ctx, carryLock+noteName(c.Known), state.Exclusive)
	if err != nil {
		return conversation.Changes{}, err
	}
	defer lock.Unlock()
	return c.Out(ctx)
}

// end brings out what the session has left, when its VM is gone, and tells.
func (t talk) end(ctx context.Context) {
	if t.a == nil {
		return
	}
	t.stop()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), carryTime)
	defer cancel()
	if t.a.lastOut(ctx, t.carrier, t.note, "this session") {
		t.owner.Remove()
	} else {
		t.owner.Unlock()
	}
}

// lastOut brings out what a session has left, and says whether that needs no other try.
func (a *app) lastOut(ctx context.Context, c conversation.Carrier, note, who string) bool {
	changes, err := a.carryOut(ctx, c)
	if len(changes.Memory) > 0 {
		most := min(len(changes.Memory), maxFiles)
		text := slices.Concat(lines{who + " changed what Claude remembers of this project, on this computer too:"}, sanitized(changes.Memory[:most]))
		if more := len(changes.Memory) - most; more > 0 {
			text = append(text, fmt.Sprintf("and %d more", more))
		}
		a.warnList(text)
	}
	if len(changes.Strangers) > 0 {
		a.ui.Warn("what Claude remembers of %s stays with its sessions: on this computer Claude has it in one folder with that of %s",
			ui.Sanitize(c.Main), ui.Sanitize(strings.Join(changes.Strangers, ", ")))
	}
	if err == nil {
		err = os.Remove(note)
	}
	if err != nil {
		a.ui.Warn("bringing Claude's conversations to ~/.claude (the next claude-vm command tries again): %v", err)
	}
	return err == nil
}

// recoverTalks brings out what sessions have left whose claude-vm was killed. Their VMs are gone by now.
func (a *app) recoverTalks(ctx context.Context) {
	notes, err := a.talkNotes()
	if err != nil {
		a.ui.Warn("looking for Claude's conversations of killed sessions: %v", err)
	}
	for _, note := range notes {
		lock, err := a.state().TryLock(talkLock+noteName(note), state.Exclusive)
		if err != nil {
			continue // it lives
		}
		var c conversation.Carrier
		err = state.ReadJSON(note, &c)
		switch {
		case state.Gone(err): // it has ended meanwhile
		case err != nil:
			a.ui.Warn("Claude's conversations of a killed session do not come out: %v", errors.Join(err, os.Remove(note)))
		default:
			within, cancel := context.WithTimeout(ctx, carryTime)
			a.lastOut(within, c, note, "a session whose claude-vm was killed")
			cancel()
		}
		lock.Remove()
	}
	a.forgetTalks()
}

// forgetTalks removes the locks of those who were killed before they had a note, or after it.
func (a *app) forgetTalks() {
	locks, _ := a.state().Locks()
	for _, name := range locks {
		session, ok := strings.CutPrefix(name, talkLock)
		if _, err := os.Lstat(filepath.Join(a.talkNotesDir(), session+".json")); !ok || !state.Gone(err) {
			continue
		}
		if lock, err := a.state().TryLock(name, state.Exclusive); err == nil {
			lock.Remove()
		}
	}
}
