package launch

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/login"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// loginHint is what to do about a Claude that nobody can log in.
const loginHint = "log in once with claude-vm login, or set CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY"

// sharedLogin gives a session the login that is kept for all, unless its environment has one, and
// takes it back.
type sharedLogin struct {
	session.Nop
	work     *Work
	store    instance.Store
	sync     *login.Sync // nil: the session has a login of its own
	unlikely bool        // Claude works without a terminal, and we know of no login
}

// held is what the session is given.
func (l *sharedLogin) held() claude.Login {
	if l.sync == nil {
		return claude.Login{}
	}
	return l.sync.Held
}

// Before looks for the login. Of a Claude that nobody can log in it warns; Claude says so itself,
// too, but only once its VM has booted.
func (l *sharedLogin) Before(_ context.Context, spec *session.Spec) (err error) {
	h := l.work.Host
	if claude.HasLogin(spec.Command.Env) {
		h.sayLeft(spec.Command.Env)
		return nil
	}
	kept := h.keptLogin()
	l.unlikely = kept.Empty() && !spec.TTY && runsClaude(spec.Command)
	if l.unlikely && !mayLogIn(l.work.Project, spec) {
		record, err := instance.ReadRecord(l.store.Lima, spec.Template)
		if err == nil && len(record.Disks) <= 1 { // no more than the base: nobody can have put a login there
			h.UI.Warn("there is no login for Claude, and without a terminal it cannot ask for one")
			h.UI.Hint(loginHint)
			l.unlikely = false // it has been said
		}
	}
	var credentials []byte
	if l.sync, credentials, err = h.Logins().Give(kept); err != nil {
		return err
	}
	spec.Listen = true
	if credentials != nil {
		spec.Files = append(spec.Files, guest.File{
			Path: claude.CredentialsFile, Mode: "600", Content: string(credentials),
		})
	}
	return nil
}

// Ready begins to look after the login.
func (l *sharedLogin) Ready(ctx context.Context, g session.Guest) error {
	if l.sync != nil {
		l.sync.Begin(ctx, login.Ask(g.Ask), func(ctx context.Context, line string, in io.Reader) error {
			return g.Exec(ctx, lima.Command{Line: line, Stdin: in})
		})
	}
	return nil
}

// Leaving keeps the login that the session ends with.
func (l *sharedLogin) Leaving(ctx context.Context, g session.Guest) {
	if l.sync != nil {
		l.sync.Leave(ctx, login.Ask(g.Ask))
	}
}

// After says what became of the login.
func (l *sharedLogin) After(_ context.Context, o session.Outcome) {
	if l.sync == nil {
		return
	}
	say := l.work.Host.UI
	news, err := l.sync.News()
	who := ui.Sanitize(l.sync.Held.Who())
	switch news {
	case login.First:
		say.Info("the login of %s is kept for the next sessions (claude-vm login --status)", who)
	case login.OtherAccount:
		say.Warn("sessions are logged in as %s from now on (claude-vm login --status)", who)
	case login.Anonymous:
		say.Warn("the login that the session ended with does not say whose it is, and was not kept")
		say.Hint("if it is yours, log in with: claude-vm login")
	case login.Ended:
		say.Warn("Claude's login has ended")
		say.Hint("log in again with: claude-vm login")
	case login.None, login.Renewed:
	}
	if l.unlikely && l.sync.Held.Empty() && o.Code != 0 {
		say.Hint("if Claude is not logged in: " + loginHint)
	}
	if err != nil {
		say.Warn("the login that the session ended with could not be kept: %v", err)
	}
}

// keptLogin returns the login to give to a session, empty if there is none that can be used.
func (h Host) keptLogin() claude.Login {
	kept, err := h.Logins().Read()
	switch {
	case err != nil:
		h.UI.Warn("going on without the login that was kept: %v", err)
		h.UI.Hint("make a new one with: claude-vm login")
	case kept.Usable(time.Now()):
		return kept.Login
	case !kept.Login.Empty():
		h.UI.Warn("the login of %s has ended", ui.Sanitize(kept.Login.Who()))
		h.UI.Hint("log in again with: claude-vm login")
	}
	return claude.Login{}
}

// runsClaude says whether the command asks a model something.
func runsClaude(command guest.Session) bool {
	if command.Mode != guest.Exec || command.Command[0] != "claude" {
		return false
	}
	args := command.Command[1:]
	return (len(args) == 0 || !claude.IsSubcommand(args[0])) && claude.NeedsLogin(args)
}

// mayLogIn says whether a login could come from where we do not look: a script, or the project's
// settings for Claude.
func mayLogIn(p *project.Project, spec *session.Spec) bool {
	for _, name := range []string{"settings.json", "settings.local.json"} {
		text, _ := trust.ReadFile(p.Root, filepath.Join(p.Root, ".claude", name)) // which a session can write
		if claude.MayLogIn(text) {
			return true
		}
	}
	return len(spec.Command.Scripts) > 0
}

// sayLeft names the variables of Claude's provider that lead to files of this computer: a session
// does not have these.
func (h Host) sayLeft(env []string) {
	_, files := claude.Provider(h.Env)
	files = slices.DeleteFunc(files, func(name string) bool { return proc.Getenv(env, name) != "" })
	if len(files) > 0 {
		h.UI.Warn("a session does not have the files that %s leads to, and Claude may find no login there",
			strings.Join(files, ", "))
		h.UI.Hint("give it the credentials as variables, or share the files with --mount and name them with --env")
	}
}
