package launch

import (
	"context"

	"github.com/themouette/claude-vm/internal/forward"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/session"
)

// agents lends a session the agents of the host that it may use: those that were asked for, and no
// others.
type agents struct {
	session.Nop
	ssh string // the ssh-agent's socket; empty: none is lent
	gpg forward.GPG
}

// findAgents looks for them, and whether they answer.
func (w *Work) findAgents(ctx context.Context) (a agents, err error) {
	if w.Request.ForwardAgent {
		if a.ssh, err = forward.SSHAgent(ctx, w.Host.Env); err != nil {
			return a, err
		}
	}
	a.gpg, err = w.findGPG(ctx)
	return a, err
}

// findGPG returns what the guest needs of the host's GnuPG, nothing if nobody asked for it.
func (w *Work) findGPG(ctx context.Context) (forward.GPG, error) {
	if !w.Config.Tools.GPG.Enabled {
		return forward.GPG{}, nil
	}
	key, err := w.Host.Git().SigningKey(ctx, w.Project.Dir)
	if err != nil {
		return forward.GPG{}, err
	}
	return forward.FindGPG(ctx, w.Host.Env, key)
}

// Before adds the sockets.
func (a agents) Before(_ context.Context, spec *session.Spec) error {
	if a.ssh != "" {
		inGuest := lima.GuestHome + "/" + guest.SSHAgentSocket
		spec.Sockets = append(spec.Sockets, lima.Socket{Host: a.ssh, Guest: inGuest})
		spec.Command.Env = append(spec.Command.Env, "SSH_AUTH_SOCK="+inGuest)
	}
	if a.gpg.Socket != "" {
		spec.Sockets = append(spec.Sockets, lima.Socket{
			Host: a.gpg.Socket, Guest: lima.GuestHome + "/" + guest.GPGSocket,
		})
		spec.Steps = append(spec.Steps, guest.GPG(a.gpg.Keys, a.gpg.Fingerprints))
	}
	return nil
}
