package session

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
)

// say connects to a door, says something and waits until the other side has closed.
func say(t testing.TB, door, what string) {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: door, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, what) // nobody may want to hear all of it
	_ = conn.CloseWrite()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after %.100q: %d bytes, %v", what, n, err)
	}
}

// Whatever is said at a door, only what is a request reaches the owner, and the next visitor is heard.
func FuzzDoor(f *testing.F) {
	door := filepath.Join(f.TempDir(), "door")
	asked, closeDoor, err := listen(door)
	if err != nil {
		f.Fatal(err)
	}
	defer closeDoor()
	for _, seed := range []string{
		`{"discard":true}`, `{"claim":"x"}`, `{"discard":1}`, `{"DISCARD":true,"discard":false}`, `{`, ``, `null`, `[]`, "\x00", `{"claim":"` + strings.Repeat("x", maxRequest) + `"}`,
		strings.Repeat("[", 20000), `{"claim":"\ud800"}`, `{"discard":true} {"claim":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		hear := func(said string) (heard *request) {
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				say(t, door, said)
			}()
			select {
			case v := <-asked:
				heard = &v.request
				v.conn.Close()
				<-answered
			case <-answered:
			}
			return heard
		}
		want := &request{}
		if json.NewDecoder(bytes.NewReader(said[:min(len(said), maxRequest)])).Decode(want) != nil {
			want = nil
		}
		if diff := cmp.Diff(want, hear(string(said))); diff != "" {
			t.Errorf("%q: %s", said, diff)
		}
		if diff := cmp.Diff(&request{Discard: true}, hear(`{"discard":true}`)); diff != "" {
			t.Errorf("after %q: %s", said, diff)
		}
	})
}

// Who says nothing, or too much, does not keep the others waiting, and only the word for it ends a session.
func TestSessionsDoor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := &Runner{Store: instance.Store{Lima: &lima.Client{Home: dir}}}
	if err := os.Mkdir(r.Lima.Dir("x"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	v := &vm{r: r, name: "x"}
	if err := v.openDoor(stop); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Dial("unix", r.door("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, what := range []string{"", "{}", `{"claim":"x"}`, `{"discard":false}`, strings.Repeat(" ", 1<<20) + `{"discard":true}`} {
		say(t, r.door("x"), what)
	}
	if ctx.Err() != nil {
		t.Error("the session was ended")
	}
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("who says nothing gets %v", err)
	}
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		say(t, r.door("x"), `{"discard":true}`)
	}()
	<-ctx.Done()
	if !errors.Is(context.Cause(ctx), ErrStopped) {
		t.Errorf("ended by %v", context.Cause(ctx))
	}
	v.gone()
	<-asked
}
