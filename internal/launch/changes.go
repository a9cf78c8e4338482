package launch

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// noteTime is how long noting how a project is may take, beside a VM that boots.
	noteTime = 3 * time.Second
	// compareTime is how long a prompt may have to wait to hear what has changed.
	compareTime = time.Second
)

// changes tells a person at the end of a session how long it took and what it has changed.
type changes struct {
	session.Nop
	host Host
	root string // the project

	begun    time.Time
	cancel   context.CancelFunc
	noted    chan struct{} // closed when snapshot is there or will never be
	snapshot *git.Snapshot
	remove   func() // what the snapshot needs
}

// Before begins to note how the project is, if somebody is going to read what became of it in a
// session.
func (c *changes) Before(ctx context.Context, _ *session.Spec) error {
	c.begun, c.cancel, c.remove, c.noted = time.Now(), func() {}, func() {}, make(chan struct{})
	if !IsTerminal(c.host.Stderr) || c.host.Quiet {
		close(c.noted)
		return nil
	}
	ctx, c.cancel = context.WithTimeout(ctx, noteTime)
	go func() {
		defer close(c.noted)
		c.note(ctx)
	}()
	return nil
}

// note takes the snapshot.
func (c *changes) note(ctx context.Context) {
	repository, err := c.host.Git().Discover(ctx, c.root)
	if err != nil {
		return
	}
	dir, remove, err := c.host.State().Scratch() // it gets a copy of every file that is not committed
	if err != nil {
		return
	}
	c.remove = remove
	if snapshot, err := c.host.Git().Snapshot(ctx, repository, dir); err == nil {
		c.snapshot = snapshot
	}
}

// After tells, and forgets what was noted.
func (c *changes) After(ctx context.Context, o session.Outcome) {
	c.tell(ctx, o)
	c.cancel()
	<-c.noted
	c.remove()
}

// tell says how long the session took and what it has changed, whatever has ended it, and nothing
// of one that never began. In what is no repository, or too large to be looked at in this time,
// nobody knows the latter.
func (c *changes) tell(ctx context.Context, o session.Outcome) {
	if !o.Began || !IsTerminal(c.host.Stderr) {
		return
	}
	if o.Err != nil && c.host.interactive() && !c.host.Quiet {
		fmt.Fprintln(c.host.Stderr) // what was cut off has left a line on the terminal that has not ended
	}
	text := "session of " + ui.Span(time.Since(c.begun))
	ctx, cancel := context.WithTimeout(ctx, compareTime)
	defer cancel()
	select {
	case <-ctx.Done():
	case <-c.noted:
		if c.snapshot == nil {
			break
		}
		if changes, err := c.snapshot.Changes(ctx); err == nil {
			text += ": " + sayChanges(changes)
		}
	}
	c.host.UI.Info("%s", text)
}

func sayChanges(c git.Changes) string {
	if c == (git.Changes{}) {
		return "no file changed"
	}
	count := func(n int, what string) string {
		if n != 1 {
			what += "s"
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	parts := []string{count(c.Files, "file") + " changed"}
	if c.Insertions > 0 {
		parts = append(parts, count(c.Insertions, "insertion"))
	}
	if c.Deletions > 0 {
		parts = append(parts, count(c.Deletions, "deletion"))
	}
	return strings.Join(parts, ", ")
}
