// Package launch is what happens around a session: it makes a plan of a request, the configuration
// and what the user agreed to, makes sure that there is a template, and runs the session with all
// that lives beside it. It reads no command line, and speaks to the user through ui alone.
package launch

import (
	"context"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
)

// sessionGB is what must be free for a session to begin. A guest whose disk cannot grow stands
// still.
const sessionGB = 1

// Session is a session that could begin.
type Session struct {
	Work  *Work
	Plan  Plan
	Store instance.Store
	Last  bool // no VM is prepared for another one

	asked  *trust.Review
	agents agents
}

// Run runs a command in a VM of the project that we are in, and returns its exit code.
func (h Host) Run(ctx context.Context, req Request, command Command) (code int, err error) {
	s, err := h.Prepare(ctx, req, command)
	if err != nil {
		return 0, err
	}
	return s.Run(ctx)
}

// Prepare looks at all that a session depends on before it has a VM.
func (h Host) Prepare(ctx context.Context, req Request, command Command) (*Session, error) {
	w, err := h.Open(ctx, req)
	if err != nil {
		return nil, err
	}
	w.gitSettings(ctx)
	s := &Session{Work: w}
	if s.asked, err = w.Agreed(ctx); err != nil {
		return nil, err
	}
	if s.Plan, err = w.Plan(s.asked, command); err != nil {
		return nil, err
	}
	if s.agents, err = w.findAgents(ctx); err != nil {
		return nil, err
	}
	s.Store, err = h.machines(ctx, w.Config, s.Plan.Reach)
	return s, err
}

// Run runs the session.
func (s *Session) Run(ctx context.Context) (code int, err error) {
	w := s.Work
	if err := w.Host.NeedSpace(sessionGB); err != nil {
		return 0, err
	}
	if err := s.EnsureTemplate(ctx); err != nil {
		return 0, err
	}
	runner := s.Runner()
	return runner.Run(ctx, s.Plan.Spec, s.beside(runner)...)
}

// EnsureTemplate builds the template if there is none and the user wants that.
func (s *Session) EnsureTemplate(ctx context.Context) error {
	return s.Work.ensureTemplate(ctx, s.Store, s.asked)
}

// RunGuarded runs the session with what keeps the host safe and its VM alive, and nothing that is
// for a user.
func (s *Session) RunGuarded(ctx context.Context) (code int, err error) {
	if err := s.Work.conversations().prepare(); err != nil {
		return 0, err
	}
	runner := session.Runner{Store: s.Store, UI: s.Work.Host.UI}
	return runner.Run(ctx, s.Plan.Spec,
		&repoGuard{work: s.Work}, session.Clock{}, &session.DiskWatch{Runner: runner}, refused{ui: runner.UI},
	)
}

// Runner returns what runs the session.
func (s *Session) Runner() session.Runner { return s.Work.Host.runner(s.Store, s.Work.Config) }

// beside is all that lives beside a session. At its end it is read from the bottom to the top: the
// terminal comes back first, and git's data is put right last, when nothing else writes to it.
func (s *Session) beside(runner session.Runner) []session.Attachment {
	w := s.Work
	login := &sharedLogin{work: w, store: s.Store}
	all := []session.Attachment{
		&repoGuard{work: w},
		w.conversations(),
		&changes{host: w.Host, root: w.Project.Root},
		gitHome{work: w},
		s.agents,
		login,
		&claudeHome{work: w, held: login.held},
		&updates{host: w.Host, wanted: w.Config.Update.Check},
		&terminal{host: w.Host},
		session.Clock{},
		&session.DiskWatch{Runner: runner},
		refused{ui: w.Host.UI},
	}
	if !s.Last {
		all = append(all, &session.NextVM{Runner: runner})
	}
	return all
}

// Attach runs a command, or without one a shell, in a session that runs.
func (h Host) Attach(ctx context.Context, name string, command []string) (code int, err error) {
	if err := h.CheckSSH(); err != nil {
		return 0, err
	}
	if isLine(command) {
		command = []string{"bash", "-c", command[0]}
	}
	defer h.KeepTerminal()()
	runner := session.Runner{Store: *h.Look(), UI: h.UI}
	return runner.Join(ctx, name, session.Joining{
		Command: command, TTY: h.interactive(), Stdin: h.Stdin, Stdout: h.Stdout, Stderr: h.Stderr,
	})
}
