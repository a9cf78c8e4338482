package cli

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/login"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/ui"
)

var (
	errNotKept  = errors.New("no login is kept")
	errNoScreen = errors.New("logging in needs a terminal")
)

func (a *app) loginCommand() *cobra.Command {
	var status, forget, fromHost, yes bool
	cmd := &cobra.Command{
		Use:   "login [flags] [-- arguments for claude auth login…]",
		Short: "Log Claude in once, for all sessions of all projects",
		Long: `Log Claude in once, for all sessions of all projects.

Claude's own login runs in a VM that sees no project, and that no project has
added anything to: open the address that it shows, and paste the code. It needs
no template. The base that all templates share is built first if it is not there
and you agree. The login that this or any other session ends with is kept on
this machine, in a file that only you can read, and given to every session,
unless the environment logs Claude in.`,
		Example: `  claude-vm login                with a Claude subscription
  claude-vm login -- --console   with the Anthropic Console, paid by use
  claude-vm login --from-host    take over the login of Claude on this machine
  claude-vm login --status       whose login is kept, and how long it is good
  claude-vm login --forget`,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			store := a.logins()
			if status && forget || status && fromHost || forget && fromHost {
				return usageError{cmd.CommandPath(), errors.New("--status, --forget and --from-host exclude each other")}
			}
			if len(args) > 0 && (cmd.ArgsLenAtDash() != 0 || status || forget || fromHost) {
				return usageError{cmd.CommandPath(), errors.New("arguments for Claude's own login come after --")}
			}
			switch {
			case status:
				return a.loginStatus(store)
			case forget:
				return a.forgetLogin(ctx, store)
			case fromHost:
				return a.loginFromHost(ctx, store, yes)
			}
			return a.login(ctx, args)
		},
	}
	cmd.Flags().BoolVar(&status, "status", false, "show whose login is kept")
	cmd.Flags().BoolVar(&forget, "forget", false, "remove the kept login")
	cmd.Flags().BoolVar(&fromHost, "from-host", false, "keep the login that Claude has on this machine")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "take it over without asking")
	return cmd
}

// login opens a session for Claude's own login. It sees nothing of the project, and no project has
// had a hand in its VM.
func (a *app) login(ctx context.Context, args []string) error {
	if !isTerminal(a.Stdin) || !isTerminal(a.Stdout) {
		return errNoScreen
	}
	a.flags.allowHome, a.flags.noConversations = true, true
	p, err := a.project(ctx)
	if err != nil {
		return err
	}
	cfg, err := config.Load(a.input("")) // the user's own: nobody was asked about the project's
	if err != nil {
		return err
	}
	spec, named, err := a.loginSpec(p, cfg, append([]string{"claude", "auth", "login"}, args...))
	if err != nil {
		return err
	}
	store, err := a.machines(ctx, cfg, named...)
	if err != nil {
		return err
	}
	if spec.Template, err = a.bareLayer(ctx, store, p, cfg); err != nil {
		return err
	}
	keeper := &loginKeeper{Sync: &login.Sync{Store: a.logins(), Deliberate: true}}
	spec.Leaving = keeper.leave
	if err := a.addHome(p, claude.Login{}, nil, &spec); err != nil {
		return err
	}
	defer a.keepTerminal()()
	runner := session.Runner{Store: store, UI: a.ui}
	code, err := runner.Run(ctx, spec)
	_, lost := keeper.News()
	switch {
	case err != nil || lost != nil:
		return errors.Join(err, lost)
	case code != 0:
		return exitCode(code)
	case keeper.Held.Empty():
		return errNotKept
	}
	return a.saidKept(keeper.Store, keeper.Held)
}

// loginSpec says what a session for a login is: a command on the user's terminal, and nothing
// shared.
func (a *app) loginSpec(
	p *project.Project, cfg *config.Config, command []string,
) (spec session.Spec, named []string, err error) {
	env, named, err := a.guestEnv(p, cfg)
	if err != nil {
		return spec, nil, err
	}
	env = slices.DeleteFunc(env, func(v string) bool { return claude.HasLogin([]string{v}) })
	steps, err := a.tellNPM()
	return session.Spec{
		Shape:   session.Shape{Project: p, MountType: cfg.VM.MountType},
		Command: guest.Session{Mode: guest.Exec, Command: command, Home: lima.GuestHome, Dir: lima.GuestHome, Env: env},
		Steps:   steps,
		Label:   "claude",
		TTY:     true,
		Stdin:   a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr,
	}, named, err
}

// bareLayer returns the layer that has Claude Code and nothing of any project. Without one it
// builds it, if the user wants that.
func (a *app) bareLayer(ctx context.Context, store instance.Store, p *project.Project, cfg *config.Config) (string, error) {
	asked, err := a.review(p, cfg)
	if err != nil {
		return "", err
	}
	spec := template.Spec{Image: cfg.VM.Image, DiskGB: cfg.VM.Disk, MountType: cfg.VM.MountType}
	if spec.Certificates, err = certificates(cfg, asked); err != nil {
		return "", err
	}
	found, err := (&template.Builder{Store: store, UI: a.ui}).FindBase(ctx, spec)
	if err == nil || !errors.Is(err, instance.ErrNone) {
		return found.Name, err
	}
	if !a.flags.autoSetup {
		const question = "The base that all templates share, which the login runs in, is not there yet. Build it now?"
		yes, err := a.ui.Confirm(ctx, question, true)
		if err != nil {
			return "", err
		}
		if !yes {
			return "", errNotKept
		}
	}
	found, err = a.build(ctx, store, cfg, buildGB, func(b *template.Builder, release claude.Release) (instance.Entry, error) {
		spec.Claude = release
		return b.BuildBase(ctx, spec)
	})
	return found.Name, err
}

func (a *app) saidKept(store login.Store, kept claude.Login) error {
	return a.print("the login of %s is kept in %s, and every session is given it\n", ui.Sanitize(kept.Who()), ui.Sanitize(store.Path()))
}

// loginFromHost keeps the login of the Claude on this machine, if the user says so.
func (a *app) loginFromHost(ctx context.Context, store login.Store, yes bool) error {
	found, source, err := claude.HostLogin(ctx, a.Env, a.Home, time.Now())
	if err != nil {
		return err
	}
	if !yes {
		a.ui.Info("Claude here and in the VMs will share one login. Where it is renewed first, the other may have to log in again.")
		agreed, err := a.ui.Confirm(ctx, "Give the login of "+ui.Sanitize(found.Who())+" ("+ui.Sanitize(source)+") to all VMs?", false)
		if err != nil {
			return err
		}
		if !agreed {
			return errNotKept
		}
	}
	if _, err := store.Offer(ctx, claude.Login{}, found, true, time.Now()); err != nil {
		return err
	}
	return a.saidKept(store, found)
}

func (a *app) loginStatus(store login.Store) error {
	kept, err := store.Read()
	if err != nil {
		return err
	}
	if kept.Login.Empty() {
		return errNotKept
	}
	until := "does not expire"
	now := time.Now()
	if t := kept.Login.Tokens; !kept.Usable(now) {
		until = "ended; log in again with: claude-vm login"
	} else if t != nil && t.ExpiresAt != 0 {
		until = "good until " + when(t.ExpiresAt)
		if t.ExpiresAt < now.UnixMilli() {
			until = "expired " + when(t.ExpiresAt)
		}
		if t.RefreshToken != "" {
			until += "; Claude renews it"
			if t.RefreshTokenExpiresAt != 0 {
				until += " until " + when(t.RefreshTokenExpiresAt)
			}
		}
	}
	rows := [][2]string{{"account", kept.Login.Who()}}
	if t := kept.Login.Tokens; t != nil && t.SubscriptionType != "" {
		rows = append(rows, [2]string{"plan", t.SubscriptionType})
	}
	rows = append(rows, [2]string{"login", until}, [2]string{"kept", store.Path() + ", since " + kept.Kept.Local().Format(time.DateTime)})
	for _, name := range claude.LoginVariables() {
		if proc.Getenv(a.Env, name) != "" {
			rows = append(rows, [2]string{"but", name + " is set here, and counts instead"})
			break
		}
	}
	for _, row := range rows {
		err = cmp.Or(err, a.print("%-8s %s\n", row[0], ui.Sanitize(row[1])))
	}
	return err
}

func when(ms int64) string { return time.UnixMilli(ms).Format(time.DateTime) }

func (a *app) forgetLogin(ctx context.Context, store login.Store) error {
	was, err := store.Forget(ctx)
	if err != nil {
		return err
	}
	if !was {
		return a.print("%v\n", errNotKept)
	}
	return a.print("the login is forgotten here; sessions that run still have it\n")
}
