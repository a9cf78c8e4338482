// Package forward knows what a guest can be lent of the host's agents, which sign for whoever reaches their sockets: the
// ssh-agent, and that of GnuPG. It owns the talk with them, and with gpg and gpgconf on the host. It must not know of VMs, nor
// how a socket gets into one.
package forward

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// patience is how long an agent may take for an answer that needs nobody's consent.
const patience = 5 * time.Second

// ask connects to a socket, sends a question unless the other side speaks first, and returns the first n bytes that come back.
func ask(ctx context.Context, socket, question string, n int) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer in %v", patience))
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if question != "" {
		_, err = io.WriteString(conn, question)
	}
	answer := make([]byte, n)
	if err == nil {
		_, err = io.ReadFull(conn, answer)
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%s: %w", socket, context.Cause(ctx))
	}
	return answer, err
}
