package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/themouette/claude-vm/test/fakeapi"
)

// TestAgentsAndNetwork is a project whose commits are signed, at a company whose network has a proxy and a certificate
// authority of its own.
func TestAgentsAndNetwork(t *testing.T) {
	shared := real(t)
	for _, program := range []string{"gpg", "gpgconf", "ssh-agent", "ssh-add", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "cvm-e2e-") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := *shared
	w.project = filepath.Join(dir, "signed")
	gnupg := filepath.Join(dir, "gnupg")
	for _, folder := range []string{w.project, gnupg} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	authority := newAuthority(t)
	proxy := newProxy(t)
	w.env = append(w.env[:len(w.env):len(w.env)], "GNUPGHOME="+gnupg, "SSH_AUTH_SOCK="+filepath.Join(dir, "ssh-agent"),
		"HTTP_PROXY=http://"+proxy.Listener.Addr().String(),
		"ANTHROPIC_BASE_URL="+authority.serve(t, fakeapi.Handler(fakeapi.Script{})))
	host := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = w.project, w.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for name, content := range map[string]string{
		"ca.pem": authority.pem, ".claude-vm.toml": "[tools]\ngpg = true\n[vm]\nca_certificates = [\"ca.pem\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(w.project, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host("git", "init", "-q")
	host("git", "config", "user.name", "Ann")
	host("git", "config", "user.email", "t@example.invalid")
	host("gpg", "--batch", "--passphrase", "", "--quick-generate-key", "Ann <t@example.invalid>", "ed25519", "sign")
	t.Cleanup(func() { host("gpgconf", "--kill", "all") })
	key := strings.Split(host("gpg", "--with-colons", "--list-secret-keys"), "fpr:::::::::")[1][:40]

	host("gpgconf", "--kill", "gpg-agent") // sessions start it
	agent := exec.Command("ssh-agent", "-D", "-a", filepath.Join(dir, "ssh-agent"))
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	})
	await(t, "the ssh-agent", func() bool {
		_, err := os.Stat(filepath.Join(dir, "ssh-agent"))
		return err == nil
	})
	host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "the-test-key", "-f", filepath.Join(dir, "id"))
	host("ssh-add", "-q", filepath.Join(dir, "id"))

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	for _, command := range [][]string{{"trust", "--yes"}, {"setup"}} {
		if out, err := w.command(ctx, command...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() { _ = w.command(context.Background(), "clean").Run() })
	if !proxy.passed("/dists/") {
		t.Error("apt has not used the proxy")
	}

	guest := func(script string, flags ...string) string {
		t.Helper()
		r := w.run(t, "", append(flags, "shell", "set -e\n"+script)...)
		if r.code != 0 {
			t.Errorf("code %d", r.code)
		}
		return r.out
	}
	expect := func(out string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in %q", want, out)
			}
		}
	}
	sign := "git commit -q --allow-empty -S" + key + " -m signed"
	expect(guest(sign+`
		if gpg --batch --export-secret-keys >secret; then echo exported; fi
		echo "secret: $(stat -c %s secret) bytes, $(ls ~/.gnupg/private-keys-v1.d 2>/dev/null | wc -l) keys"
		ssh-add -l
		ssh-add -L >>~/.ssh/authorized_keys
		git ls-remote "ssh://localhost$PWD" HEAD
		curl -sS http://only.the.proxy.knows.invalid/hello
		sudo sh -c 'curl -sS http://only.the.proxy.knows.invalid/root'
	`, "-A"), "secret: 0 bytes, 0 keys\n", "the-test-key (ED25519)", "\tHEAD\n", "proxy: /hello", "proxy: /root")
	expect(host("git", "verify-commit", "--raw", "HEAD"), "GOODSIG", key)

	host("gpgconf", "--kill", "gpg-agent")
	expect(guest(sign+`
		ssh-add -l || echo no agent
		curl -sS "$ANTHROPIC_BASE_URL" >/dev/null && echo trusted
		claude -p "say: over TLS"
	`), "no agent", "trusted", "over TLS")
	expect(host("git", "verify-commit", "--raw", "HEAD"), "GOODSIG", key)
	w.gone(t)
}

// authority is a certificate authority that nobody knows.
type authority struct {
	pem  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the company"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return authority{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert, key}
}

// serve offers a handler over TLS and returns the address by which a guest knows it.
func (a authority) serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"host.lima.internal"}, NotAfter: a.cert.NotAfter,
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return fmt.Sprintf("https://host.lima.internal:%d", server.Listener.Addr().(*net.TCPAddr).Port)
}

// proxy is one for plain HTTP. What is asked of hosts that cannot exist it answers itself.
type proxy struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{}
	transport := &http.Transport{DisableCompression: true}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.seen = append(p.seen, r.URL.Path)
		p.mu.Unlock()
		if strings.HasSuffix(r.URL.Hostname(), ".invalid") {
			fmt.Fprintln(w, "proxy:", r.URL.Path)
			return
		}
		r.Header.Del("Proxy-Connection")
		answer, err := transport.RoundTrip(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(p.Close)
	return p
}

// passed says whether something was asked for whose path has a part.
func (p *proxy) passed(part string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Contains(strings.Join(p.seen, "\n"), part)
}
