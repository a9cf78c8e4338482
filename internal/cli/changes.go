package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
)

const (
	// noteTime is how long noting how a project is may take, beside a VM that boots.
	noteTime = 3 * time.Second
	// compareTime is how long a prompt may have to wait to hear what has changed.
	compareTime = time.Second
)

// account is what a person is told at the end of a session.
type account struct {
	a        *app
	begun    time.Time
	cancel   context.CancelFunc
	noted    chan struct{} // closed when snapshot is there or will never be
	snapshot *git.Snapshot
	remove   func() // what the snapshot needs
	ready    bool   // its command could begin
}

// account begins to note how the project is, if somebody is going to read what became of it in a session.
func (a *app) account(ctx context.Context, p *project.Project, spec *session.Spec) *account {
	c := &account{a: a, begun: time.Now(), cancel: func() {}, remove: func() {}, noted: make(chan struct{})}
	spec.WhenArrived(func() { c.ready = true })
	if !isTerminal(a.Stderr) || a.flags.quiet {
		close(c.noted)
		return c
	}
	ctx, c.cancel = context.WithTimeout(ctx, noteTime)
	go func() {
		defer close(c.noted)
		repository, err := a.git().Discover(ctx, p.Root)
		if err != nil {
			return
		}
		dir, remove, err := a.state().Scratch() // it gets a copy of every file that is not committed
		if err != nil {
			return
		}
		c.remove = remove
		if snapshot, err := a.git().Snapshot(ctx, repository, dir); err == nil {
			c.snapshot = snapshot
		}
	}()
	return c
}

// close forgets what was noted.
func (c *account) close() {
	c.cancel()
	<-c.noted
	c.remove()
}

// tell says how long the session took and what it has changed, whatever has ended it, and nothing of one that never began. In
// what is no repository, or too large to be looked at in this time, nobody knows the latter. What was cut off on a terminal has left
// a line there that has not ended.
func (c *account) tell(ctx context.Context, cutOff bool) {
	if !c.ready || !isTerminal(c.a.Stderr) {
		return
	}
	if cutOff && !c.a.flags.quiet {
		fmt.Fprintln(c.a.Stderr)
	}
	text := "session of " + span(time.Since(c.begun))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), compareTime)
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
	c.a.ui.Info("%s", text)
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
