package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec" // a real gpg and a real ssh-agent, where there are any
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// shortTemp returns a folder whose path leaves room for the name of a socket.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cvm-forward-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// answering returns the path of a socket on which every connection gets an answer.
func answering(t *testing.T, answer string) string {
	t.Helper()
	path := filepath.Join(shortTemp(t), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, len(requestIdentities)))
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return path
}

func TestSSHAgent(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for name, tt := range map[string]struct{ socket, want string }{
		"no variable":    {"", "SSH_AUTH_SOCK is not set"},
		"no socket":      {none, none},
		"no agent":       {os.Args[0], os.Args[0]},
		"empty":          {answering(t, "\x00\x00\x00\x05\x0c\x00\x00\x00\x00"), ""},
		"something else": {answering(t, "HTTP/1.1 400"), "something else"},
		"silent":         {answering(t, ""), "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			socket, err := SSHAgent(t.Context(), []string{"SSH_AUTH_SOCK=" + tt.socket})
			switch {
			case tt.want == "" && err == nil && socket == tt.socket:
			case tt.want == "", !errors.Is(err, ErrNoSSHAgent), !strings.Contains(err.Error(), tt.want):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// One that takes connections and says nothing must not hold us up.
func TestAgentThatHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(shortTemp(t), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	begin := time.Now()
	_, err = SSHAgent(t.Context(), []string{"SSH_AUTH_SOCK=" + path})
	if !errors.Is(err, ErrNoSSHAgent) || !strings.Contains(err.Error(), "no answer in") || time.Since(begin) > 2*patience {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// Whatever stands between them, each secret key has one fingerprint, and those of subkeys do not count.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hex := rapid.StringMatching(`[0-9A-F]{40}`)
		noise := rapid.SampledFrom([]string{"", "grp:::::::::AA:", "uid:u::::1::2::fpr:::sec:::::", "tru::1:2:3", "fpr"})
		var listing strings.Builder
		line := func(fields ...string) { listing.WriteString(strings.Join(fields, ":") + "\n") }
		var want []string
		for range rapid.IntRange(0, 4).Draw(t, "keys") {
			line("sec", "u", "255", "22", "0123456789ABCDEF", "", "", "u", "", "", "scESC")
			print := hex.Draw(t, "fingerprint")
			want = append(want, print)
			line("fpr", "", "", "", "", "", "", "", "", print, "")
			line(noise.Draw(t, "noise"))
			for range rapid.IntRange(0, 2).Draw(t, "subkeys") {
				line("ssb", "u", "255", "18", "0123456789ABCDEF")
				line("fpr", "", "", "", "", "", "", "", "", hex.Draw(t, "of a subkey"), "")
			}
		}
		if diff := cmp.Diff(want, fingerprints(listing.String())); diff != "" {
			t.Errorf("%s\nof\n%s", diff, &listing)
		}
	})
}

// TestFindGPG uses the real programs, in a home of their own.
func TestFindGPG(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("gpgconf"); err != nil {
		t.Skip("GnuPG is not installed")
	}
	dir := shortTemp(t)
	env := append(os.Environ(), "GNUPGHOME="+dir, "HOME="+dir)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, err.(*exec.ExitError).Stderr)
		}
		return string(out)
	}
	t.Cleanup(func() {
		cmd := exec.Command("gpgconf", "--kill", "all")
		cmd.Env = env
		_ = cmd.Run()
	})

	if _, err := FindGPG(t.Context(), env, ""); !errors.Is(err, ErrNoGPGKey) {
		t.Errorf("without a key: %v", err)
	}
	for _, name := range []string{"ann", "bob"} {
		run("gpg", "--batch", "--passphrase", "", "--quick-generate-key", name+"@example.org", "ed25519", "sign")
	}
	for signing, keys := range map[string]int{"": 2, "ann@example.org": 1, "nobody@example.org": 2, "--version": 2} {
		run("gpgconf", "--kill", "gpg-agent") // it is started again
		g, err := FindGPG(t.Context(), env, signing)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.TrimSpace(run("gpgconf", "--list-dirs", "agent-extra-socket")); g.Socket != want {
			t.Errorf("socket %s, want %s", g.Socket, want)
		}
		if len(g.Fingerprints) != keys || strings.Count(g.Keys, "BEGIN PGP PUBLIC KEY BLOCK") != 1 || strings.Contains(g.Keys, "PRIVATE") {
			t.Errorf("signing with %q: %d keys: %s", signing, len(g.Fingerprints), g.Keys)
		}
	}

	run("sh", "-c", "gpgconf --kill gpg-agent; echo extra-socket none >$GNUPGHOME/gpg-agent.conf")
	if _, err := FindGPG(t.Context(), env, ""); !errors.Is(err, ErrNoGPGAgent) {
		t.Errorf("without the restricted socket: %v", err)
	}
}
