package cli

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/ui"
)

type loginOptions struct {
	launch.Request
	status, forget, fromHost, yes bool
}

func newLoginCommand(s *shared) *cobra.Command {
	var opts loginOptions
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
			if opts.status && opts.forget || opts.status && opts.fromHost || opts.forget && opts.fromHost {
				return usageError(cmd.CommandPath(),
					errors.New("--status, --forget and --from-host exclude each other"))
			}
			if len(args) > 0 && (cmd.ArgsLenAtDash() != 0 || opts.status || opts.forget || opts.fromHost) {
				return usageError(cmd.CommandPath(), errors.New("arguments for Claude's own login come after --"))
			}
			return runLogin(cmd.Context(), s.host(), opts, args)
		},
	}
	addConfigFlags(cmd.Flags(), &opts.Request)
	addEnvFlags(cmd.Flags(), &opts.Request)
	addAutoSetupFlag(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVar(&opts.status, "status", false, "show whose login is kept")
	cmd.Flags().BoolVar(&opts.forget, "forget", false, "remove the kept login")
	cmd.Flags().BoolVar(&opts.fromHost, "from-host", false, "keep the login that Claude has on this machine")
	cmd.Flags().BoolVarP(&opts.yes, "yes", "y", false, "take it over without asking")
	return cmd
}

func runLogin(ctx context.Context, h launch.Host, opts loginOptions, args []string) error {
	switch {
	case opts.status:
		return loginStatus(h)
	case opts.forget:
		return forgetLogin(ctx, h)
	case opts.fromHost:
		return loginFromHost(ctx, h, opts.yes)
	}
	kept, code, err := h.Login(ctx, opts.Request, args)
	if err := ended(code, err); err != nil {
		return err
	}
	return saidKept(h, kept)
}

func saidKept(h launch.Host, kept claude.Login) error {
	return printf(h, "the login of %s is kept in %s, and every session is given it\n", ui.Sanitize(kept.Who()),
		ui.Sanitize(h.Logins().Path()))
}

// loginFromHost keeps the login of the Claude on this machine, if the user says so.
func loginFromHost(ctx context.Context, h launch.Host, yes bool) error {
	found, source, err := claude.HostLogin(ctx, h.Env, h.Home, time.Now())
	if err != nil {
		return err
	}
	if !yes {
		h.UI.Info("Claude here and in the VMs will share one login. Where it is renewed first, the other may have " +
			"to log in again.")
		agreed, err := h.UI.Confirm(ctx, "Give the login of "+ui.Sanitize(found.Who())+" "+
			"("+ui.Sanitize(source)+") to all VMs?", false)
		if err != nil {
			return err
		}
		if !agreed {
			return launch.ErrNotKept
		}
	}
	if _, err := h.Logins().Offer(ctx, claude.Login{}, found, true, time.Now()); err != nil {
		return err
	}
	return saidKept(h, found)
}

func loginStatus(h launch.Host) error {
	kept, err := h.Logins().Read()
	if err != nil {
		return err
	}
	if kept.Login.Empty() {
		return launch.ErrNotKept
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
	rows = append(rows, [2]string{"login", until},
		[2]string{"kept", h.Logins().Path() + ", since " + kept.Kept.Local().Format(time.DateTime)})
	for _, name := range claude.LoginVariables() {
		if h.Getenv(name) != "" {
			rows = append(rows, [2]string{"but", name + " is set here, and counts instead"})
			break
		}
	}
	for _, row := range rows {
		err = cmp.Or(err, printf(h, "%-8s %s\n", row[0], ui.Sanitize(row[1])))
	}
	return err
}

func when(ms int64) string { return time.UnixMilli(ms).Format(time.DateTime) }

func forgetLogin(ctx context.Context, h launch.Host) error {
	was, err := h.Logins().Forget(ctx)
	if err != nil {
		return err
	}
	if !was {
		return printf(h, "%v\n", launch.ErrNotKept)
	}
	return printf(h, "the login is forgotten here; sessions that run still have it\n")
}
