package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/login"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// loginHint is what to do about a Claude that nobody can log in.
const loginHint = "log in once with claude-vm login, or set CLAUDE_CODE_OAUTH_TOKEN or ANTHROPIC_API_KEY"

// addUser makes a session the user's own: their git identity, their login, and what they share of their Claude. The function
// that it returns is for the end, when the terminal is ours again.
func (a *app) addUser(ctx context.Context, store instance.Store, p *project.Project, cfg *config.Config, spec *session.Spec) (tell func(code int), err error) {
	if err := a.addGit(ctx, p, cfg, spec); err != nil {
		return nil, err
	}
	keeper, err := a.addLogin(ctx, store, p, spec)
	if err != nil {
		return nil, err
	}
	shared, err := a.shared(cfg)
	if err != nil {
		return nil, err
	}
	spec.Arrived = func(ctx context.Context, exec session.Exec) error {
		if keeper != nil {
			defer keeper.Begin(ctx, exec.Ask, func(ctx context.Context, line string, in io.Reader) error {
				return exec(ctx, lima.Command{Line: line, Stdin: in})
			})
		}
		return send(ctx, exec, shared)
	}
	tell = func(int) {}
	var held claude.Login
	if keeper != nil {
		spec.Leaving, held = keeper.leave, keeper.Held
		tell = func(code int) { a.tellLogin(keeper, code) }
	}
	return tell, a.addHome(p, held, shared.Settings, spec)
}

// addLogin returns what looks after the login of a session whose environment has none, else nil. Of a Claude that nobody
// can log in it warns; Claude says so itself, too, but only once its VM has booted.
func (a *app) addLogin(ctx context.Context, store instance.Store, p *project.Project, spec *session.Spec) (*loginKeeper, error) {
	if claude.HasLogin(spec.Command.Env) {
		return nil, nil
	}
	kept := a.keptLogin()
	unlikely := kept.Empty() && !spec.TTY && runsClaude(spec.Command)
	if unlikely && !mayLogIn(p, spec) {
		record, err := instance.ReadRecord(store.Lima, spec.Template)
		if err == nil && len(record.Disks) <= 1 { // no more than the base: nobody can have put a login there
			a.ui.Warn("there is no login for Claude, and without a terminal it cannot ask for one")
			a.ui.Hint(loginHint)
			unlikely = false // it has been said
		}
	}
	sync, _, err := a.logins().Give(kept)
	return &loginKeeper{sync, unlikely}, err
}

// loginKeeper is the login of one session.
type loginKeeper struct {
	*login.Sync
	unlikely bool // Claude works without a terminal, and we know of no login
}

func (k loginKeeper) leave(ctx context.Context, ask session.Ask) { k.Leave(ctx, login.Ask(ask)) }

func (a *app) logins() login.Store { return login.Store{Dir: a.state()} }

// tellLogin says what became of the login of a session whose command ended with a code.
func (a *app) tellLogin(k *loginKeeper, code int) {
	news, err := k.News()
	who := ui.Sanitize(k.Held.Who())
	switch news {
	case login.First:
		a.ui.Info("the login of %s is kept for the next sessions (claude-vm login --status)", who)
	case login.OtherAccount:
		a.ui.Warn("sessions are logged in as %s from now on (claude-vm login --status)", who)
	case login.Anonymous:
		a.ui.Warn("the login that the session ended with does not say whose it is, and was not kept")
		a.ui.Hint("if it is yours, log in with: claude-vm login")
	case login.Ended:
		a.ui.Warn("Claude's login has ended")
		a.ui.Hint("log in again with: claude-vm login")
	case login.None, login.Renewed:
	}
	if k.unlikely && k.Held.Empty() && code != 0 {
		a.ui.Hint("if Claude is not logged in: " + loginHint)
	}
	if err != nil {
		a.ui.Warn("the login that the session ended with could not be kept: %v", err)
	}
}

// shared returns what the user gives of their own ~/.claude, and says what of it stays here, unless that has been said.
func (a *app) shared(cfg *config.Config) (*claude.Shared, error) {
	var parts []string
	for _, item := range cfg.Claude.Share {
		parts = append(parts, item.Value)
	}
	shared, err := claude.Share(filepath.Join(a.Home, ".claude"), lima.GuestHome+"/.claude", parts)
	if err != nil || len(parts) == 0 {
		return shared, err
	}
	var said []string
	file := filepath.Join(string(a.state()), "state", "shared.json")
	if _ = state.ReadJSON(file, &said); slices.Equal(said, shared.Left) {
		return shared, nil
	}
	for _, left := range shared.Left {
		a.ui.Info("not shared from ~/.claude: %s", ui.Sanitize(left))
	}
	return shared, state.WriteJSON(file, shared.Left)
}

// send copies files into the guest's home.
func send(ctx context.Context, exec session.Exec, shared *claude.Shared) error {
	if shared.Empty() {
		return nil
	}
	reader, writer := io.Pipe()
	go func() {
		_, err := shared.WriteTo(writer)
		writer.CloseWithError(err)
	}()
	err := exec(ctx, lima.Command{Line: guest.Receive, Stdin: reader})
	_ = reader.Close() // if nobody has read to the end
	if err != nil {
		return fmt.Errorf("sharing ~/.claude: %w", err)
	}
	return nil
}

// addHome adds what Claude is to find in its home.
func (a *app) addHome(p *project.Project, held claude.Login, settings []byte, spec *session.Spec) error {
	answers := claude.Answers{
		Dirs:            []string{spec.Command.Dir, guestPath(spec.Mounts, p.Main)},
		APIKey:          proc.Getenv(spec.Command.Env, "ANTHROPIC_API_KEY"),
		SkipPermissions: true,
		Login:           held,
	}
	account, err := claude.FirstRun(nil, answers)
	if err != nil {
		return err
	}
	settings, err = claude.Settings(settings, answers)
	if err != nil {
		return err
	}
	spec.Merge = append(spec.Merge,
		guest.File{Path: claude.StateFile, Content: string(account)},
		guest.File{Path: ".claude/settings.json", Content: string(settings)},
	)
	credentials, err := held.Credentials()
	if err != nil || credentials == nil {
		return err
	}
	spec.Files = append(spec.Files, guest.File{Path: claude.CredentialsFile, Mode: "600", Content: string(credentials)})
	return nil
}

// gitConfig is where git in the guest reads the user's configuration before ~/.gitconfig, so that what a template has there
// stays and counts.
const gitConfig = ".config/git/config"

// addGit lets commits that are made in the guest carry the user's name, if there is one: git says itself what it misses. And it
// keeps git from tidying up what it has of working trees that the guest does not see.
func (a *app) addGit(ctx context.Context, p *project.Project, cfg *config.Config, spec *session.Spec) error {
	id, err := a.git().Identity(ctx, p.Dir)
	if err != nil {
		return err
	}
	settings := []git.Setting{
		{Key: "user.name", Value: id.Name}, {Key: "user.email", Value: id.Email},
		{Key: "gc.worktreePruneExpire", Value: "never"}, // it does not see the working trees that are added while it runs
	}
	if cfg.Tools.Git.Enabled || cfg.Tools.GPG.Enabled {
		settings = append(settings, a.signing(id, cfg, a.flags.forwardAgent)...)
	}
	settings = slices.DeleteFunc(settings, func(s git.Setting) bool { return s.Value == "" })
	spec.Files = append(spec.Files, guest.File{Path: gitConfig, Mode: "644", Content: git.File(settings)})
	return nil
}

// signing returns the settings by which the guest signs as the host does. It is not told to sign what it cannot: every
// commit would fail.
func (a *app) signing(id git.Identity, cfg *config.Config, sshAgent bool) []git.Setting {
	settings := []git.Setting{{Key: "gpg.format", Value: id.Format}}
	var obstacle string
	if id.Format == "ssh" {
		key, err := sshKey(id.SigningKey, a.Home)
		switch {
		case err != nil:
			obstacle = fmt.Sprintf("user.signingkey: %v", err)
		case !sshAgent:
			obstacle = "the VM has no ssh-agent: -A lends it yours"
		}
		id.SigningKey = key
	} else if !cfg.Tools.GPG.Enabled {
		obstacle = "the VM has no gpg-agent: tools.gpg lends it yours"
	}
	settings = append(settings, git.Setting{Key: "user.signingkey", Value: id.SigningKey})
	if !id.SignCommits && !id.SignTags {
		return settings
	}
	if obstacle != "" {
		a.ui.Warn("commits in the VM will not be signed: %s", obstacle)
		return settings
	}
	for key, on := range map[string]bool{"commit.gpgsign": id.SignCommits, "tag.gpgsign": id.SignTags} {
		if on {
			settings = append(settings, git.Setting{Key: key, Value: "true"})
		}
	}
	return settings
}

// sshKey returns a signing key as git takes it without a file: the public key itself. The private one is not looked at.
func sshKey(configured, home string) (string, error) {
	switch {
	case configured == "":
		return "", errors.New("is not set")
	case strings.HasPrefix(configured, "key::"), strings.HasPrefix(configured, "ssh-"):
		return configured, nil
	}
	path := configured
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, rest)
	}
	if filepath.Ext(path) != ".pub" {
		path += ".pub"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 || !strings.Contains(fields[0], "-") {
		return "", fmt.Errorf("%s is not a public key", path)
	}
	return "key::" + fields[0] + " " + fields[1], nil
}

// keptLogin returns the login to give to a session, empty if there is none that can be used.
func (a *app) keptLogin() claude.Login {
	kept, err := a.logins().Read()
	switch {
	case err != nil:
		a.ui.Warn("going on without the login that was kept: %v", err)
		a.ui.Hint("make a new one with: claude-vm login")
	case kept.Usable(time.Now()):
		return kept.Login
	case !kept.Login.Empty():
		a.ui.Warn("the login of %s has ended", ui.Sanitize(kept.Login.Who()))
		a.ui.Hint("log in again with: claude-vm login")
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

// mayLogIn says whether a login could come from where we do not look: a script, or the project's settings for Claude.
func mayLogIn(p *project.Project, spec *session.Spec) bool {
	return len(spec.Command.Scripts) > 0 || slices.ContainsFunc([]string{"settings.json", "settings.local.json"}, func(name string) bool {
		text, _ := trust.ReadFile(p.Root, filepath.Join(p.Root, ".claude", name)) // which a session can write
		return claude.MayLogIn(text)
	})
}
