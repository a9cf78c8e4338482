package tool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/npm/npmtest"
)

// The fingerprints are those under "Release keys" in the README of Node.js.
func TestNodeKeysAreTheProjects(t *testing.T) {
	t.Parallel()
	published := "5BE8A3F6C8A5C01D106C0AD820B1A390B168D356"
	ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(nodeKeys))
	if err != nil || len(ring) == 0 {
		t.Fatal(ring, err)
	}
	for _, key := range ring {
		if print := fmt.Sprintf("%X", key.PrimaryKey.Fingerprint); !strings.Contains(published, print) {
			t.Errorf("%s is nobody's that may release Node.js", print)
		}
	}
}

// releaser makes a key and its public part.
func releaser(t *testing.T) (*openpgp.Entity, string) {
	t.Helper()
	key, err := openpgp.NewEntity("releaser", "", "releaser@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var public bytes.Buffer
	w, err := armor.Encode(&public, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(key.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return key, public.String()
}

const nodeIndex = `[{"version":"v26.10.0","lts":false},{"version":"v24.9.0","lts":false},{"version":"v24.20.0","lts":"Krypton"},
	{"version":"v24.11.0","lts":"Krypton"},{"version":"v22.23.3","lts":"Jod"}]`

// nodeSite serves an archive of each release as the Node project does, with hashes that a key has signed.
func nodeSite(t *testing.T, key *openpgp.Entity, spoil func(path string, body []byte) []byte) *httptest.Server {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release, file := filepath.Split(r.URL.Path)
		name := func(arch string) string { return "node-" + strings.Trim(release, "/") + "-linux-" + arch + ".tar.gz" }
		var body []byte
		switch {
		case r.URL.Path == "/index.json":
			body = []byte(nodeIndex)
		case file == "SHASUMS256.txt.asc":
			var signed bytes.Buffer
			plain, err := clearsign.Encode(&signed, key.PrivateKey, nil)
			if err != nil {
				t.Error(err)
			}
			for _, arch := range []string{"x64", "arm64"} {
				fmt.Fprintf(plain, "%x  %s\n", sha256.Sum256([]byte("archive of "+name(arch))), name(arch))
			}
			plain.Close()
			body = signed.Bytes()
		case file == name("x64"):
			body = []byte("archive of " + file)
		default:
			http.NotFound(w, r)
			return
		}
		if spoil != nil {
			body = spoil(r.URL.Path, body)
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(site.Close)
	return site
}

func TestNodeFromItsProject(t *testing.T) {
	t.Parallel()
	key, public := releaser(t)
	other, _ := releaser(t)
	replace := func(path, old, new string) func(string, []byte) []byte {
		return func(at string, body []byte) []byte {
			if strings.HasSuffix(at, path) {
				return bytes.ReplaceAll(body, []byte(old), []byte(new))
			}
			return body
		}
	}
	for name, test := range map[string]struct {
		key   *openpgp.Entity
		spoil func(path string, body []byte) []byte
		asked string
		want  string // the version; "" is an error
		err   error
		npm   bool // it came from the registry
	}{
		"long-term support":        {key: key, want: "24.20.0"},
		"a line":                   {key: key, asked: "24", want: "24.20.0"},
		"a current line":           {key: key, asked: "26", want: "26.10.0"},
		"one release":              {key: key, asked: "24.9.0", want: "24.9.0"},
		"one that only npm has":    {key: key, asked: "25", want: "25.9.0", npm: true},
		"one that nobody has":      {key: key, asked: "99", err: fetch.ErrNotFound},
		"another archive":          {key: key, spoil: replace(".tar.gz", "archive", "malware"), err: fetch.ErrIntegrity},
		"another hash":             {key: key, spoil: replace(".asc", "linux-x64", "linux-x65"), err: fetch.ErrIntegrity},
		"signed by somebody":       {key: other, want: "24.21.0", npm: true},
		"not signed":               {key: key, spoil: replace(".asc", "BEGIN PGP", "BEGIN"), want: "24.21.0", npm: true},
		"a login page":             {key: key, spoil: replace("index.json", "[{", "<html>"), want: "24.21.0", npm: true},
		"a path instead of a name": {key: key, spoil: replace("index.json", "v24.20.0", "v24/../../x"), want: "24.11.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := shopOf(t, npmtest.Tools())
			s.NodeBase, s.NodeKeys = nodeSite(t, test.key, test.spoil).URL, public
			goods, err := get(t, s, map[string]string{"node": test.asked})
			if goods["node"].Version != test.want || !errors.Is(err, test.err) {
				t.Fatalf("%q, %v; want %q, %v", goods["node"].Version, err, test.want, test.err)
			}
			if err != nil {
				if left, _ := os.ReadDir(s.Cache); len(left) > 0 {
					t.Errorf("stored: %v", left)
				}
				return
			}
			_, err = os.Stat(filepath.Join(goods["node"].Dir, "npm.tgz"))
			if (err == nil) != test.npm {
				t.Errorf("npm beside it: %v", err)
			}
		})
	}
}
