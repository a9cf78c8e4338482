package forward

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

var (
	// ErrNoGPG means that GnuPG is not installed on the host.
	ErrNoGPG = errors.New("GnuPG is not installed")
	// ErrNoGPGAgent means that GnuPG's agent cannot be started, or does not offer the restricted socket.
	ErrNoGPGAgent = errors.New("GnuPG's agent cannot be lent")
	// ErrNoGPGKey means that there is no secret key on the host to sign with.
	ErrNoGPGKey = errors.New("there is no GnuPG key to sign with")
)

// GPG is what a guest needs to sign with keys that stay on the host.
type GPG struct {
	// Socket is the one that the agent calls its extra socket: whoever reaches it can use the secret keys, and can neither
	// export nor change nor remove them.
	Socket       string
	Keys         string   // the public keys, armored
	Fingerprints []string // theirs
}

// FindGPG starts the host's agent unless it runs, and returns what a guest needs of it. Of the keys it takes the one that
// signingKey names, as git's user.signingkey does, or all that have a secret part if it names none of them.
func FindGPG(ctx context.Context, env []string, signingKey string) (g GPG, err error) {
	for _, program := range []string{"gpg", "gpgconf"} {
		if _, err := proc.Find(env, program); err != nil {
			return g, fmt.Errorf("%w: there is no %s on PATH", ErrNoGPG, program)
		}
	}
	run := func(argv ...string) (string, error) {
		out, err := proc.Output(ctx, proc.Cmd{Argv: argv, Env: env})
		return string(out), err
	}
	// An agent that is about to end still takes a connection: gpgconf then sees no need to start another.
	for range launches {
		if g.Socket, err = launch(ctx, run); err == nil {
			break
		}
	}
	if err != nil {
		return g, fmt.Errorf("%w: %w", ErrNoGPGAgent, err)
	}

	list := []string{"gpg", "--batch", "--no-tty", "--with-colons", "--list-secret-keys", "--"}
	if signingKey != "" {
		if keys, err := run(append(list, signingKey)...); err == nil {
			g.Fingerprints = fingerprints(keys)
		}
	}
	if len(g.Fingerprints) == 0 {
		keys, err := run(list...)
		if err != nil {
			return g, fmt.Errorf("%w: %w", ErrNoGPGKey, err)
		}
		if g.Fingerprints = fingerprints(keys); len(g.Fingerprints) == 0 {
			return g, ErrNoGPGKey
		}
	}
	// What others have signed, and pictures, no signature needs.
	export := []string{"gpg", "--batch", "--no-tty", "--armor", "--export-options", "export-minimal,no-export-attributes", "--export", "--"}
	if g.Keys, err = run(append(export, g.Fingerprints...)...); err != nil {
		return g, fmt.Errorf("exporting GnuPG's public keys: %w", err)
	}
	return g, nil
}

// launches is how often the agent is started before it is given up.
const launches = 3

// launch starts the agent unless it runs, and returns its extra socket, on which it answers.
func launch(ctx context.Context, run func(argv ...string) (string, error)) (socket string, err error) {
	if _, err := run("gpgconf", "--launch", "gpg-agent"); err != nil {
		return "", err
	}
	socket, err = run("gpgconf", "--list-dirs", "agent-extra-socket")
	if err != nil {
		return "", err
	}
	socket = strings.TrimSuffix(socket, "\n")
	greeting, err := ask(ctx, socket, "", len("OK"))
	if err == nil && string(greeting) != "OK" {
		err = fmt.Errorf("it begins with %q", greeting)
	}
	if err != nil {
		return "", fmt.Errorf("it does not answer on its extra socket: %w", err)
	}
	return socket, nil
}

// fingerprints returns those of the primary keys in a listing of gpg --with-colons: the tenth field of the first line of the
// kind fpr after that of the key.
func fingerprints(listing string) (found []string) {
	primary := false
	for line := range strings.Lines(listing) {
		switch fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] {
		case "sec":
			primary = true
		case "fpr":
			if primary && len(fields) > 9 {
				found = append(found, fields[9])
			}
			primary = false
		}
	}
	return found
}
