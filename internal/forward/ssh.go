package forward

import (
	"context"
	"errors"
	"fmt"

	"github.com/themouette/claude-vm/internal/proc"
)

// ErrNoSSHAgent means that there is no ssh-agent to lend, or none that answers.
var ErrNoSSHAgent = errors.New("there is no ssh-agent to forward")

// The messages of the agent protocol (draft-ietf-sshm-ssh-agent) that ask for the list of keys and bring it, each behind the
// length of what follows.
const (
	requestIdentities = "\x00\x00\x00\x01\x0b"
	identitiesAnswer  = 12
)

// SSHAgent returns the socket that SSH_AUTH_SOCK names, and makes sure that an ssh-agent answers there. One that does not
// would let every use of ssh in the guest wait or fail without a reason.
func SSHAgent(ctx context.Context, env []string) (socket string, err error) {
	path := proc.Getenv(env, "SSH_AUTH_SOCK")
	if path == "" {
		return "", fmt.Errorf("%w: SSH_AUTH_SOCK is not set", ErrNoSSHAgent)
	}
	answer, err := ask(ctx, path, requestIdentities, len(requestIdentities))
	if err != nil {
		return "", fmt.Errorf("%w: SSH_AUTH_SOCK names a socket where none answers: %w", ErrNoSSHAgent, err)
	}
	if answer[len(answer)-1] != identitiesAnswer {
		return "", fmt.Errorf("%w: what answers on %s is something else", ErrNoSSHAgent, path)
	}
	return path, nil
}
