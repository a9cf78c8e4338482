package cli

import (
	"context"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/forward"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
)

// lendAgents completes a session by the agents of the host that it may use: those that were asked for, and no others.
func (a *app) lendAgents(ctx context.Context, p *project.Project, cfg *config.Config, spec *session.Spec) error {
	if a.flags.forwardAgent {
		socket, err := forward.SSHAgent(ctx, a.Env)
		if err != nil {
			return err
		}
		inGuest := lima.GuestHome + "/" + guest.SSHAgentSocket
		spec.Sockets = append(spec.Sockets, lima.Socket{Host: socket, Guest: inGuest})
		spec.Command.Env = append(spec.Command.Env, "SSH_AUTH_SOCK="+inGuest)
	}
	gpg, err := a.findGPG(ctx, p, cfg)
	if err != nil || gpg.Socket == "" {
		return err
	}
	spec.Sockets = append(spec.Sockets, lima.Socket{Host: gpg.Socket, Guest: lima.GuestHome + "/" + guest.GPGSocket})
	spec.Steps = append(spec.Steps, guest.GPG(gpg.Keys, gpg.Fingerprints))
	return nil
}

// findGPG returns what the guest needs of the host's GnuPG, nothing if nobody asked for it.
func (a *app) findGPG(ctx context.Context, p *project.Project, cfg *config.Config) (forward.GPG, error) {
	if !cfg.Tools.GPG.Enabled {
		return forward.GPG{}, nil
	}
	key, err := a.git().SigningKey(ctx, p.Dir)
	if err != nil {
		return forward.GPG{}, err
	}
	return forward.FindGPG(ctx, a.Env, key)
}
