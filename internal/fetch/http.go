// Package fetch gets files over HTTP for the rooms that install what others have made: it tells an unreachable source from
// one that lacks a file and from one that breaks its promise, and it checks signatures. It knows no source.
package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgp "github.com/ProtonMail/go-crypto/openpgp/errors"
)

// The kinds of failure. When several sources were tried, an error can be more than one of them.
var (
	// ErrUnreachable: the source did not answer, broke off, answered nonsense, or is not set up on this machine.
	ErrUnreachable = errors.New("unreachable")
	// ErrIntegrity: what arrived is not what the source had promised, or it came without a promise.
	ErrIntegrity = errors.New("integrity check failed")
	// ErrNotFound: the source answered and does not have what was asked for.
	ErrNotFound = errors.New("not found")
)

// How long to wait for a connection.
const (
	Connect = 15 * time.Second
	// QuickConnect bounds what a host that is cut off from a source loses before the next one is tried.
	QuickConnect = 3 * time.Second
)

// stall is how long a server that is connected may keep silent.
const stall = time.Minute

var errSilent = errors.New("no answer in time")

// Get asks for an address and returns the body of a good answer and its length, -1 if unknown. The limit is for the
// connection alone: how long a download takes is the caller's business, as long as something arrives.
func Get(ctx context.Context, client *http.Client, limit time.Duration, address string, header http.Header) (io.ReadCloser, int64, error) {
	inner, cancel := context.WithCancelCause(ctx)
	body := &watched{outer: ctx, inner: inner, cancel: cancel, timer: time.AfterFunc(limit, func() { cancel(errSilent) })}
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { body.timer.Reset(stall) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(inner, trace), http.MethodGet, address, nil)
	if err != nil {
		body.stop()
		return nil, 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		defer body.stop()
		return nil, 0, body.explain(err)
	}
	body.ReadCloser = resp.Body
	if resp.StatusCode == http.StatusOK {
		return body, resp.ContentLength, nil
	}
	defer body.Close()
	kind := ErrUnreachable
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		kind = ErrNotFound
	}
	return nil, 0, fmt.Errorf("%s: %w: %s", address, kind, resp.Status)
}

// GetAll returns a body of at most limit bytes.
func GetAll(ctx context.Context, client *http.Client, connect time.Duration, address string, header http.Header, limit int64) ([]byte, error) {
	body, _, err := Get(ctx, client, connect, address, header)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: %w: an answer of more than %d bytes", address, ErrUnreachable, limit)
	}
	return data, err
}

// watched is a body whose read errors tell the caller's own cancellation from a connection that broke or fell silent.
type watched struct {
	io.ReadCloser
	outer, inner context.Context
	cancel       context.CancelCauseFunc
	timer        *time.Timer
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.timer.Reset(stall)
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *watched) Close() error {
	defer b.stop()
	return b.ReadCloser.Close()
}

func (b *watched) stop() {
	b.timer.Stop()
	b.cancel(nil)
}

func (b *watched) explain(err error) error {
	if b.outer.Err() != nil {
		return context.Cause(b.outer)
	}
	if cause := context.Cause(b.inner); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// Progress is told how many bytes have come over the wire, of how many; total is -1 if unknown. It may be nil.
type Progress func(done, total int64)

// Reader returns a reader that reports what is read from it.
func (p Progress) Reader(r io.Reader, total int64) io.Reader {
	return &reporting{Reader: r, total: total, report: p}
}

type reporting struct {
	io.Reader
	done, total int64
	report      Progress
}

func (r *reporting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.done += int64(n)
	if n > 0 && r.report != nil {
		r.report(r.done, r.total)
	}
	return n, err
}

// Verify checks a detached OpenPGP signature, armored or not, against armored keys.
func Verify(keys string, data, signature []byte) error {
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(keys))
	if err != nil {
		return fmt.Errorf("read the signing key: %w", err)
	}
	check := openpgp.CheckDetachedSignature
	if bytes.HasPrefix(signature, []byte("-----BEGIN")) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	_, err = check(ring, bytes.NewReader(data), bytes.NewReader(signature), nil)
	return err
}

// Signed returns what an OpenPGP cleartext signature signs. One that is not by any of the armored keys is ErrUnreachable:
// who signs may have changed, and another source may do.
func Signed(keys string, message []byte) ([]byte, error) {
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(keys))
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	block, _ := clearsign.Decode(message)
	if block == nil {
		return nil, fmt.Errorf("%w: it is not signed", ErrUnreachable)
	}
	_, err = block.VerifySignature(ring, nil)
	if errors.Is(err, pgp.ErrUnknownIssuer) || errors.Is(err, pgp.ErrKeyExpired) {
		return nil, fmt.Errorf("%w: no key that signs it is known here, and valid", ErrUnreachable)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrIntegrity, err)
	}
	return block.Plaintext, nil
}
