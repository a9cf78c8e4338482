package launch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/themouette/claude-vm/internal/conversation"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/report"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// carryEvery is how often a session's conversations come out while it lives.
	carryEvery = time.Minute
	// carryTime is how long they may take at a session's end, and bringing them out for one that
	// was killed.
	carryTime = 30 * time.Second
	// carryInTime is how long a session's command waits for the host's conversations. Where there
	// are very many, the older ones follow while it runs.
	carryInTime = 3 * time.Second
)

// The values of claude.conversations.
const (
	filtered = "filtered" // sessions and the host have the same conversations
	private  = "own"      // sessions have theirs, the host has its own
	untold   = "none"     // nothing is kept
)

// conversationMode says what becomes of a session's conversations.
func (w *Work) conversationMode() string {
	if w.Request.NoConversations {
		return untold
	}
	return w.Config.Claude.Conversations
}

// talks are the conversations of all projects with their sessions.
type talks struct {
	ui    *ui.UI
	state state.Dir
	home  string // the user's
}

func (h Host) talks() talks { return talks{h.UI, h.State(), h.Home} }

// carrier carries a project's conversations. The folder that is shared is one for all working trees
// of a repository, as Claude's memory is, and for all sessions. What sessions have among themselves
// lies in another one.
func (k talks) carrier(p *project.Project, mode string) conversation.Carrier {
	folder := filepath.Join(k.folder(), p.Name()+"_"+p.ID())
	return conversation.Carrier{
		Host: filepath.Join(k.home, ".claude"), Shared: filepath.Join(folder, mode), Root: p.Root, Main: p.Main,
		Known: filepath.Join(k.notesDir(), "known", p.Name()+"_"+p.ID()+".json"),
	}
}

// folder is where the conversations of all projects lie.
func (k talks) folder() string { return filepath.Join(string(k.state), "conversations") }

// notesDir is where the notes lie of the sessions that may still write to conversations.
func (k talks) notesDir() string {
	return filepath.Join(string(k.state), "state", "conversations")
}

// noteFile is the note of a session.
func (k talks) noteFile(name string) string { return filepath.Join(k.notesDir(), name+".json") }

const (
	// talkLock is what the locks begin with that say which sessions may still write to
	// conversations.
	talkLock = "talk-"
	// carryLock is what those begin with under which a project's conversations are carried.
	carryLock = "conversations-"
)

// conversations are a session's part in the conversations of its project.
type conversations struct {
	session.Nop
	talks   talks
	mode    string
	carrier conversation.Carrier
	note    string      // the file by which the next command brings out what a killed one has left
	owner   *state.Lock // nil: nothing travels to the host

	stop  func()        // ends what goes on beside the session
	in    chan struct{} // closed when the host's conversations are there
	begun atomic.Bool   // the session's command may write
}

// conversations returns what looks after those of the project.
func (w *Work) conversations() *conversations {
	mode := w.conversationMode()
	return &conversations{talks: w.Host.talks(), mode: mode, carrier: w.Host.talks().carrier(w.Project, mode)}
}

// prepare makes the folder that VMs see.
func (c *conversations) prepare() error {
	if c.mode == untold {
		return nil
	}
	if err := c.talks.state.Make(); err != nil {
		return err
	}
	return c.carrier.Prepare()
}

// Before has the host's conversations brought to the session, beside its boot, and the session's to
// the host.
func (c *conversations) Before(ctx context.Context, _ *session.Spec) error {
	if err := c.prepare(); err != nil || c.mode != filtered {
		return err
	}
	name := strings.ToLower(rand.Text()[:12])
	owner, err := c.talks.state.TryLock(talkLock+name, state.Exclusive)
	if err != nil {
		return err
	}
	c.note = c.talks.noteFile(name)
	if err = state.WriteJSON(c.note, c.carrier); err != nil {
		owner.Remove()
		return err
	}
	c.owner = owner
	ctx, cancel := context.WithCancel(ctx)
	in, out := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(in)
		c.carryIn(ctx)
	}()
	c.in, c.stop = in, func() { cancel(); <-in; <-out }
	go func() {
		defer close(out)
		<-in
		c.rounds(ctx)
	}()
	return nil
}

// Ready waits for the host's conversations, if they do not take long.
func (c *conversations) Ready(context.Context, session.Guest) error {
	if c.owner == nil {
		return nil
	}
	select {
	case <-c.in:
	case <-time.After(carryInTime):
	}
	c.begun.Store(true)
	return nil
}

// carryIn brings the host's conversations to the sessions. What sessions have left that were killed
// comes out first.
func (c *conversations) carryIn(ctx context.Context) {
	lock, err := c.talks.state.Lock(ctx, carryLock+noteName(c.carrier.Known), state.Exclusive)
	if err == nil {
		defer lock.Unlock()
		_, err = c.carrier.Out(ctx)
		err = errors.Join(err, c.carrier.In(ctx, func() bool { return !c.begun.Load() && c.alone() }))
	}
	if err != nil && ctx.Err() == nil {
		c.talks.ui.Warn("bringing Claude's conversations to the session: %v", err)
	}
}

// alone says whether no other session of the project may be writing to its conversations.
func (c *conversations) alone() bool {
	notes, err := c.talks.notes()
	if err != nil {
		return false
	}
	for _, note := range notes {
		var other conversation.Carrier
		if note == c.note || state.ReadJSON(note, &other) == nil && other.Shared != c.carrier.Shared {
			continue
		}
		lock, err := c.talks.state.TryLock(talkLock+noteName(note), state.Exclusive)
		if err != nil {
			return false
		}
		lock.Unlock()
	}
	return true
}

func noteName(note string) string { return strings.TrimSuffix(filepath.Base(note), ".json") }

// notes returns the files of the sessions whose conversations have not come out for the last time.
func (k talks) notes() ([]string, error) {
	entries, err := os.ReadDir(k.notesDir())
	if err != nil && !state.Gone(err) {
		return nil, err
	}
	var notes []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") {
			notes = append(notes, filepath.Join(k.notesDir(), e.Name()))
		}
	}
	return notes, nil
}

// rounds brings out what a session has said, in case that we are killed. What has to be said about
// it, is said at the end.
func (c *conversations) rounds(ctx context.Context) {
	tick := time.NewTicker(carryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = c.talks.carryOut(ctx, c.carrier)
		}
	}
}

// carryOut brings a project's conversations to the host, one claude-vm at a time.
func (k talks) carryOut(ctx context.Context, c conversation.Carrier) (conversation.Changes, error) {
	lock, err := k.state.Lock(ctx, carryLock+noteName(c.Known), state.Exclusive)
	if err != nil {
		return conversation.Changes{}, err
	}
	defer lock.Unlock()
	return c.Out(ctx)
}

// After brings out what the session has left, and tells.
func (c *conversations) After(ctx context.Context, _ session.Outcome) {
	if c.owner == nil {
		return
	}
	c.stop()
	ctx, cancel := context.WithTimeout(ctx, carryTime)
	defer cancel()
	if c.talks.lastOut(ctx, c.carrier, c.note, "this session") {
		c.owner.Remove()
	} else {
		c.owner.Unlock()
	}
}

// lastOut brings out what a session has left, and says whether that needs no other try.
func (k talks) lastOut(ctx context.Context, c conversation.Carrier, note, who string) bool {
	changes, err := k.carryOut(ctx, c)
	if len(changes.Memory) > 0 {
		most := min(len(changes.Memory), report.MaxFiles)
		text := report.Lines{who + " changed what Claude remembers of this project, on this computer too:"}
		text = append(text, report.Sanitized(changes.Memory[:most])...)
		if more := len(changes.Memory) - most; more > 0 {
			text = append(text, fmt.Sprintf("and %d more", more))
		}
		k.ui.Warn("%v", text)
	}
	if len(changes.Strangers) > 0 {
		k.ui.Warn("what Claude remembers of %s stays with its sessions: on this computer Claude has it in one "+
			"folder with that of %s",
			ui.Sanitize(c.Main), ui.Sanitize(strings.Join(changes.Strangers, ", ")))
	}
	if err == nil {
		err = os.Remove(note)
	}
	if err != nil {
		k.ui.Warn("bringing Claude's conversations to ~/.claude (the next claude-vm command tries again): %v", err)
	}
	return err == nil
}

// recover brings out what sessions have left whose claude-vm was killed. Their VMs are gone by now.
func (k talks) recover(ctx context.Context) {
	notes, err := k.notes()
	if err != nil {
		k.ui.Warn("looking for Claude's conversations of killed sessions: %v", err)
	}
	for _, note := range notes {
		lock, err := k.state.TryLock(talkLock+noteName(note), state.Exclusive)
		if err != nil {
			continue // it lives
		}
		var c conversation.Carrier
		err = state.ReadJSON(note, &c)
		switch {
		case state.Gone(err): // it has ended meanwhile
		case err != nil:
			k.ui.Warn("Claude's conversations of a killed session do not come out: %v",
				errors.Join(err, os.Remove(note)))
		default:
			within, cancel := context.WithTimeout(ctx, carryTime)
			k.lastOut(within, c, note, "a session whose claude-vm was killed")
			cancel()
		}
		lock.Remove()
	}
	k.forget()
}

// forget removes the locks of those who were killed before they had a note, or after it.
func (k talks) forget() {
	_ = k.state.Forget(talkLock, k.noteFile)
}
