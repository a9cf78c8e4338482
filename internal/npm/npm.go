// Package npm gets packages from the registry that this machine's npm client is set up for, with the client's own
// credentials and certificates, and holds them against the hashes in the registry's metadata. It runs no package's code
// and does not know what the packages are for.
package npm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/proc"
)

// Client is the npm client of this machine, as it is set up.
type Client struct {
	HTTP *http.Client // proxies and trusted certificates are its business
	Env  []string     // NAME=value
	Home string       // where npm's user configuration lies
}

// Registry is where npm would go, and as whom.
type Registry struct {
	base   string
	npmrc  map[string]string
	client *http.Client
}

// Registry asks, in this order: a registry for the scope ("@name", or "") in the user's .npmrc, the environment, npm
// itself, and the .npmrc. npm runs in the home directory: a project's own .npmrc has no say in what is downloaded.
func (n Client) Registry(ctx context.Context, scope string) (Registry, error) {
	own, err := n.npmrc()
	if err != nil {
		return Registry{}, err
	}
	base := cmp.Or(own[scope+":registry"], n.setting("registry"))
	cafile := cmp.Or(n.setting("cafile"), own["cafile"])
	if base == "" {
		asked := n.ask(ctx)
		base, cafile = cmp.Or(asked["registry"], own["registry"]), cmp.Or(cafile, asked["cafile"])
	}
	if base == "" {
		return Registry{}, fmt.Errorf("%w: no npm registry is set up on this machine", fetch.ErrUnreachable)
	}
	client, err := trusting(n.HTTP, cafile)
	return Registry{strings.TrimSuffix(base, "/"), own, client}, err
}

var registryKey = regexp.MustCompile(`^(@[^:\s]+:)?registry$`)

// Addresses returns the registries that the user's .npmrc and the environment name, by the key that each has in an .npmrc. What
// npm falls back on, or has from other files, is not among them.
func (n Client) Addresses() (map[string]string, error) {
	own, err := n.npmrc()
	if err != nil {
		return nil, err
	}
	if registry := n.setting("registry"); registry != "" {
		own["registry"] = registry
	}
	maps.DeleteFunc(own, func(key, _ string) bool { return !registryKey.MatchString(key) })
	return own, nil
}

// setting is an npm setting from the environment.
func (n Client) setting(name string) string {
	return cmp.Or(proc.Getenv(n.Env, "NPM_CONFIG_"+strings.ToUpper(name)), proc.Getenv(n.Env, "npm_config_"+name))
}

// ask returns npm's effective settings: those are also in places that only npm knows. No npm, no settings.
func (n Client) ask(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, fetch.Connect)
	defer cancel()
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"npm", "config", "list", "--json"}, Env: n.Env, Dir: n.Home})
	var all map[string]any
	if err != nil || json.Unmarshal(out, &all) != nil {
		return nil
	}
	settings := map[string]string{}
	for _, name := range []string{"registry", "cafile"} {
		settings[name], _ = all[name].(string)
	}
	return settings
}

var reference = regexp.MustCompile(`\$\{([^}]+)\}`)

// npmrc reads the user's .npmrc.
func (n Client) npmrc() (map[string]string, error) {
	file := cmp.Or(n.setting("userconfig"), filepath.Join(n.Home, ".npmrc"))
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read npm's configuration: %w", err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		settings[strings.TrimSpace(key)] = reference.ReplaceAllStringFunc(value, func(ref string) string {
			return cmp.Or(proc.Getenv(n.Env, ref[2:len(ref)-1]), ref)
		})
	}
	return settings, nil
}

// Package is what a registry knows of a package.
type Package struct {
	Tags     map[string]string  `json:"dist-tags"`
	Versions map[string]Version `json:"versions"`

	name string
	from Registry
}

// Version is one release of a package.
type Version struct {
	Dist struct {
		Tarball   string `json:"tarball"`
		Integrity string `json:"integrity"`
	} `json:"dist"`
	Engines json.RawMessage `json:"engines"` // an object, or in old packages anything
}

// String names the package and where it comes from.
func (p Package) String() string { return p.name + " at " + p.from.base }

// Node returns the range of Node.js versions that a release says it runs on; empty: it does not say.
func (v Version) Node() string {
	var engines struct{ Node string }
	_ = json.Unmarshal(v.Engines, &engines)
	return engines.Node
}

// Package asks for the part of a package's metadata that npm itself installs from.
func (r Registry) Package(ctx context.Context, name string) (Package, error) {
	p := Package{name: name, from: r}
	address := r.base + "/" + strings.Replace(name, "/", "%2f", 1)
	header := r.header(address)
	header.Set("Accept", "application/vnd.npm.install-v1+json, application/json;q=0.8")
	data, err := fetch.GetAll(ctx, r.client, fetch.Connect, address, header, 64<<20)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%s: %w: the answer is not npm metadata: %w", address, fetch.ErrUnreachable, err)
	}
	return p, nil
}

// Download hands the tarball of a version, of at most limit bytes, to a consumer. The error says whether it was the one
// that the metadata promises: what the consumer has made of it counts only if there is none.
func (p Package) Download(ctx context.Context, version string, limit int64, progress fetch.Progress, consume func(tarball io.Reader) error) error {
	dist := p.Versions[version].Dist
	want, err := integrity(dist.Integrity)
	if err != nil {
		return fmt.Errorf("%s, version %s: %w", p, version, err)
	}
	body, size, err := fetch.Get(ctx, p.from.client, fetch.Connect, dist.Tarball, p.from.header(dist.Tarball))
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha512.New()
	stream := io.TeeReader(progress.Reader(io.LimitReader(body, limit), size), sum)
	err = consume(stream)
	if err == nil {
		_, err = io.Copy(io.Discard, stream) // the hash is that of the whole file
	}
	if err == nil && !bytes.Equal(sum.Sum(nil), want) {
		err = fmt.Errorf("%w: its SHA-512 is not the one in the metadata", fetch.ErrIntegrity)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", dist.Tarball, err)
	}
	return nil
}

// integrity returns the SHA-512 of a subresource integrity string.
func integrity(sri string) ([]byte, error) {
	for _, token := range strings.Fields(sri) {
		if encoded, ok := strings.CutPrefix(token, "sha512-"); ok {
			encoded, _, _ = strings.Cut(encoded, "?")
			if sum, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(sum) == sha512.Size {
				return sum, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: the metadata has no SHA-512", fetch.ErrIntegrity)
}

// header carries the credentials that .npmrc has for an address: those of the longest path that holds it.
func (r Registry) header(address string) http.Header {
	header := http.Header{}
	u, err := url.Parse(address)
	if err != nil {
		return header
	}
	for at := path.Join(u.Host, u.Path); at != "." && at != "/"; at = path.Dir(at) {
		for _, prefix := range []string{"//" + at + "/:", "//" + at + ":"} {
			if token := r.npmrc[prefix+"_authToken"]; token != "" {
				header.Set("Authorization", "Bearer "+token)
				return header
			}
			if basic := r.npmrc[prefix+"_auth"]; basic != "" {
				header.Set("Authorization", "Basic "+basic)
				return header
			}
		}
	}
	return header
}

// trusting returns a client that also trusts the certificates of npm's cafile.
func trusting(client *http.Client, cafile string) (*http.Client, error) {
	if cafile == "" {
		return client, nil
	}
	certificates, err := os.ReadFile(cafile)
	if err != nil {
		return nil, fmt.Errorf("read npm's cafile: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("read the system's certificates: %w", err)
	}
	pool.AppendCertsFromPEM(certificates)
	base := client.Transport
	if base == nil {
		base = http.DefaultTransport
	}
	transport, ok := base.(*http.Transport)
	if !ok {
		return client, nil // a caller's own transport has its own trust
	}
	transport = transport.Clone()
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{}
	}
	transport.TLSClientConfig.RootCAs = pool
	copied := *client
	copied.Transport = transport
	return &copied, nil
}
