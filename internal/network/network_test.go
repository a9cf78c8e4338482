package network

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/wall"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	const always = "localhost,127.0.0.1,::1,host.lima.internal,192.168.5.2"
	for name, tt := range map[string]struct{ env, want []string }{
		"none": {[]string{"NO_PROXY=x", "HOME=/root", "HTTP_PROXY="}, nil},
		"all": {
			[]string{"HTTP_PROXY=http://p:1", "https_proxy=http://u:p%40w@p:2", "ALL_PROXY=socks5h://p:3"},
			[]string{
				"http_proxy=http://p:1", "HTTP_PROXY=http://p:1", "https_proxy=http://u:p%40w@p:2", "HTTPS_PROXY=http://u:p%40w@p:2",
				"all_proxy=socks5h://p:3", "ALL_PROXY=socks5h://p:3", "no_proxy=" + always, "NO_PROXY=" + always,
			},
		},
		"small letters count": {
			[]string{"HTTP_PROXY=http://capital:1", "http_proxy=http://small:1", "no_proxy= .corp, localhost,", "NO_PROXY=other"},
			[]string{
				"http_proxy=http://small:1", "HTTP_PROXY=http://small:1",
				"no_proxy=.corp,localhost,127.0.0.1,::1,host.lima.internal,192.168.5.2", "NO_PROXY=.corp,localhost,127.0.0.1,::1,host.lima.internal,192.168.5.2",
			},
		},
		"nothing through it": {
			[]string{"http_proxy=p:1", "NO_PROXY=*"},
			[]string{"http_proxy=p:1", "HTTP_PROXY=p:1", "no_proxy=*", "NO_PROXY=*"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, Proxies(tt.env)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProxyOfTheHost(t *testing.T) {
	t.Parallel()
	for proxy, want := range map[string]string{
		"http://127.0.0.1:3128":             "http://192.168.5.2:3128",
		"http://127.8.9.10:3128/":           "http://192.168.5.2:3128/",
		"http://LocalHost":                  "http://192.168.5.2",
		"localhost:8080":                    "192.168.5.2:8080",
		"http://[::1]:3128/x":               "http://192.168.5.2:3128/x",
		"http://0.0.0.0:1":                  "http://192.168.5.2:1",
		"http://a@b:127.0.0.1@localhost:1/": "http://a@b:127.0.0.1@192.168.5.2:1/",
		"http://localhost@proxy:1":          "http://localhost@proxy:1",
		"http://localhost.corp:1":           "http://localhost.corp:1",
		"http://[::1":                       "http://192.168.5.2",
		"socks5h://10.0.0.1:1/127.0.0.1":    "socks5h://10.0.0.1:1/127.0.0.1",
		"":                                  "",
	} {
		if got := fromGuest(proxy); got != want {
			t.Errorf("%q becomes %q, want %q", proxy, got, want)
		}
	}
}

// Only the host of an address changes, and only if it is the loopback.
func TestProxyKeepsTheRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.SampledFrom([]string{"localhost", "127.0.0.1", "[::1]", "proxy.corp", "10.1.2.3", "[fe80::1]"}).Draw(t, "host")
		u := url.URL{
			Scheme: rapid.SampledFrom([]string{"http", "https", "socks5"}).Draw(t, "scheme"),
			Host:   host + rapid.SampledFrom([]string{"", ":1", ":65535"}).Draw(t, "port"),
			Path:   rapid.SampledFrom([]string{"", "/", "/localhost:1"}).Draw(t, "path"),
		}
		if rapid.Bool().Draw(t, "user") {
			u.User = url.UserPassword(rapid.String().Draw(t, "name"), rapid.String().Draw(t, "password"))
		}
		got, err := url.Parse(fromGuest(u.String()))
		if err != nil {
			t.Fatal(err)
		}
		if wasLocal := loopback(u.Hostname()); wasLocal != (got.Hostname() == wall.HostAddress) || !wasLocal && got.Hostname() != u.Hostname() {
			t.Errorf("%s becomes %s", &u, got)
		}
		got.Host, u.Host = got.Port(), u.Port()
		if got.String() != u.String() {
			t.Errorf("the rest of %s becomes %s", &u, got)
		}
	})
}

func certificate(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	a, b := certificate(t, "a"), certificate(t, "b")
	for name, tt := range map[string]struct {
		content string
		want    []string
		problem string
	}{
		"one":           {a, []string{a}, ""},
		"a bundle":      {"# Company root\n" + a + "\nand another\n" + b + a, []string{a, b}, ""},
		"empty":         {"", nil, "none in PEM form"},
		"text":          {"hello", nil, "none in PEM form"},
		"a private key": {a + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", nil, `"PRIVATE KEY"`},
		"garbage":       {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", nil, "x509"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Certificates([]string{path}, os.ReadFile)
			if tt.problem == "" && err != nil || tt.problem != "" && (!errors.Is(err, ErrCertificates) || !strings.Contains(err.Error(), tt.problem)) {
				t.Errorf("error %v, want %q", err, tt.problem)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	missing := filepath.Join(t.TempDir(), "nothing.pem")
	if _, err := Certificates([]string{missing}, os.ReadFile); !errors.Is(err, ErrCertificates) || !strings.Contains(err.Error(), missing) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestRegistries(t *testing.T) {
	t.Parallel()
	got := Registries(map[string]string{
		"registry": "https://ann:s3cret@npm.corp/all/?token=s3cret#s3cret", "@own:registry": "http://localhost:4873/",
		"@a:registry": "file:///etc", "@b:registry": "", "@c:registry": "::", "@d:registry": "https://${NONE}/", "@e:registry": "npm.corp",
	})
	if diff := cmp.Diff([]string{"@own:registry=http://192.168.5.2:4873/", "registry=https://npm.corp/all/"}, got); diff != "" {
		t.Error(diff)
	}
}

// A proxy on the internet leads to the internet. Of any other one it is said that it may lead
// elsewhere, and no password.
func TestWays(t *testing.T) {
	t.Parallel()
	for proxy, want := range map[string]string{
		"http://ann:s3cret@127.0.0.1:3128":   "localhost:3128",
		"http://[::1]:3128/":                 "localhost:3128",
		"localhost:8080":                     "localhost:8080",
		"socks5h://10.0.0.1:1080":            "10.0.0.1:1080",
		"http://ann:s3cret@proxy.corp:8080/": "proxy.corp:8080",
		"http://[fd00::1]:1":                 "[fd00::1]:1",
		"proxy":                              "proxy",
		"http://1.1.1.1:80":                  "",
		"http://[2606:4700::1]:80":           "",
	} {
		if got := strings.Join(Ways(Proxies([]string{"HTTPS_PROXY=" + proxy, "NO_PROXY=10.1.1.1"})), " "); got != want {
			t.Errorf("%q: %q, want %q", proxy, got, want)
		}
	}
}
