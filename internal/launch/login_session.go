package launch

import (
	"context"
	"errors"
	"slices"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/login"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/template"
)

var (
	// ErrNotKept means that there is no login to give to sessions.
	ErrNotKept = errors.New("no login is kept")
	// ErrNoScreen means that nobody could log in.
	ErrNoScreen = errors.New("logging in needs a terminal")
)

// Login opens a session for Claude's own login, and returns the login that is kept. The session
// sees nothing of the project, and no project has had a hand in its VM. A code other than 0 is that
// of Claude, which has said why.
func (h Host) Login(ctx context.Context, req Request, args []string) (kept claude.Login, code int, err error) {
	if !h.interactive() {
		return kept, 0, ErrNoScreen
	}
	req.AllowHome, req.NoConversations = true, true
	w := &Work{Host: h, Request: req}
	if w.Project, err = h.Project(ctx, req); err != nil {
		return kept, 0, err
	}
	if w.Config, err = h.OwnConfig(req); err != nil { // the user's own: nobody was asked about the project's
		return kept, 0, err
	}
	spec, named, err := w.loginSpec(append([]string{"claude", "auth", "login"}, args...))
	if err != nil {
		return kept, 0, err
	}
	reach, err := h.reach(w.Config, named)
	if err != nil {
		return kept, 0, err
	}
	store, err := h.machines(ctx, w.Config, reach)
	if err != nil {
		return kept, 0, err
	}
	if spec.Template, err = w.bareLayer(ctx, store); err != nil {
		return kept, 0, err
	}
	if err := addHome(w.Project, claude.Login{}, nil, &spec); err != nil {
		return kept, 0, err
	}
	made := &madeLogin{sync: &login.Sync{Store: h.Logins(), Deliberate: true}}
	runner := session.Runner{Store: store, UI: h.UI}
	code, err = runner.Run(ctx, spec,
		made, &terminal{host: h}, session.Clock{}, &session.DiskWatch{Runner: runner}, refused{ui: h.UI},
	)
	_, lost := made.sync.News()
	switch {
	case err != nil || lost != nil:
		return kept, 0, errors.Join(err, lost)
	case code == 0 && made.sync.Held.Empty():
		return kept, 0, ErrNotKept
	}
	return made.sync.Held, code, nil
}

// madeLogin keeps the login that a session was opened for.
type madeLogin struct {
	session.Nop
	sync *login.Sync
}

// Before has the guest listen.
func (m *madeLogin) Before(_ context.Context, spec *session.Spec) error {
	spec.Listen = true
	return nil
}

// Leaving keeps the login.
func (m *madeLogin) Leaving(ctx context.Context, g session.Guest) {
	m.sync.Leave(ctx, login.Ask(g.Ask))
}

// loginSpec says what a session for a login is: a command on the user's terminal, and nothing
// shared.
func (w *Work) loginSpec(command []string) (spec session.Spec, named []string, err error) {
	env, named, err := w.env()
	if err != nil {
		return spec, nil, err
	}
	env = slices.DeleteFunc(env, func(v string) bool { return claude.HasLogin([]string{v}) })
	steps, err := w.Host.tellNPM()
	return session.Spec{
		Shape:   session.Shape{Project: w.Project, MountType: w.Config.VM.MountType},
		Command: guest.Session{Mode: guest.Exec, Command: command, Home: lima.GuestHome, Dir: lima.GuestHome, Env: env},
		Steps:   steps,
		Label:   "claude",
		TTY:     true,
		Stdin:   w.Host.Stdin, Stdout: w.Host.Stdout, Stderr: w.Host.Stderr,
	}, named, err
}

// bareLayer returns the layer that has Claude Code and nothing of any project. Without one it
// builds it, if the user wants that.
func (w *Work) bareLayer(ctx context.Context, store instance.Store) (string, error) {
	h, cfg := w.Host, w.Config
	asked, err := w.Review()
	if err != nil {
		return "", err
	}
	spec := template.Spec{Image: cfg.VM.Image, DiskGB: cfg.VM.Disk, MountType: cfg.VM.MountType}
	if spec.Certificates, err = certificates(cfg, asked); err != nil {
		return "", err
	}
	found, err := (&template.Builder{Store: store, UI: h.UI}).FindBase(ctx, spec)
	if err == nil || !errors.Is(err, instance.ErrNone) {
		return found.Name, err
	}
	if !w.Request.AutoSetup {
		const question = "The base that all templates share, which the login runs in, is not there yet. Build it now?"
		yes, err := h.UI.Confirm(ctx, question, true)
		if err != nil {
			return "", err
		}
		if !yes {
			return "", ErrNotKept
		}
	}
	found, err = h.build(ctx, store, cfg, BuildGB,
		func(b *template.Builder, release claude.Release) (instance.Entry, error) {
			spec.Claude = release
			return b.BuildBase(ctx, spec)
		})
	return found.Name, err
}
