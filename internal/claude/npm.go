package claude

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
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
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// npm is the source "npm": the registry that this machine's npm client is set up for. The package of a platform holds the
// same native binary as the release channel; that of Node's launcher, mainPackage, has the channel names.
type npm struct{ *Fetcher }

const mainPackage = "@anthropic-ai/claude-code"

// packument is the part of a package's metadata that npm itself installs from.
type packument struct {
	Tags     map[string]string `json:"dist-tags"`
	Versions map[string]struct {
		Dist struct {
			Tarball   string `json:"tarball"`
			Integrity string `json:"integrity"`
		} `json:"dist"`
	} `json:"versions"`
}

func (npm) name() string { return "npm" }

func (n npm) find(ctx context.Context, version, arch string) (candidate, error) {
	reg, err := n.registry(ctx)
	if err != nil {
		return candidate{}, err
	}
	pkg := mainPackage + "-linux-" + arch
	p, err := reg.packument(ctx, pkg)
	if err != nil {
		return candidate{}, err
	}
	if !isVersion(version) {
		tag := version
		if version = p.Tags[tag]; version == "" {
			whole, err := reg.packument(ctx, mainPackage)
			if err != nil {
				return candidate{}, err
			}
			version = whole.Tags[tag]
		}
		if !isVersion(version) {
			return candidate{}, fmt.Errorf("%s at %s: %w: no release is tagged %s", pkg, reg.base, ErrNotFound, tag)
		}
	}
	v, ok := p.Versions[version]
	if !ok {
		return candidate{}, fmt.Errorf("%s at %s: %w: no version %s", pkg, reg.base, ErrNotFound, version)
	}
	return candidate{version, func(ctx context.Context, w io.Writer) error {
		want, err := integrity(v.Dist.Integrity)
		if err != nil {
			return fmt.Errorf("%s %s at %s: %w", pkg, version, reg.base, err)
		}
		body, size, err := get(ctx, reg.client, connect, v.Dist.Tarball, reg.header(v.Dist.Tarball))
		if err != nil {
			return err
		}
		defer body.Close()
		sum := sha512.New()
		source := &reporting{Reader: io.LimitReader(body, maxBinary), total: size, report: n.Progress}
		stream := io.TeeReader(source, sum)
		err = unpack(stream, w)
		if err == nil {
			_, err = io.Copy(io.Discard, stream) // the hash is that of the whole file
		}
		if err == nil && !bytes.Equal(sum.Sum(nil), want) {
			err = fmt.Errorf("%w: its SHA-512 is not the one in the metadata", ErrIntegrity)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", v.Dist.Tarball, err)
		}
		return nil
	}}, nil
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
	return nil, fmt.Errorf("%w: the metadata has no SHA-512", ErrIntegrity)
}

// unpack writes the one file that is wanted from a package. No other entry is looked at, whatever its name.
func unpack(tarball io.Reader, w io.Writer) error {
	unzipped, err := gzip.NewReader(tarball)
	if err != nil {
		return damaged(err)
	}
	archive := tar.NewReader(io.LimitReader(unzipped, 2*maxBinary))
	found := false
	for {
		entry, err := archive.Next()
		if err == io.EOF && found {
			return nil
		}
		if err == io.EOF {
			return fmt.Errorf("%w: the package has no file package/claude", ErrIntegrity)
		}
		if err != nil {
			return damaged(err)
		}
		if entry.Name != "package/claude" {
			continue
		}
		if found || entry.Typeflag != tar.TypeReg || entry.Size > maxBinary {
			return fmt.Errorf("%w: package/claude is there twice, not a regular file, or too large", ErrIntegrity)
		}
		found = true
		if _, err := io.Copy(w, archive); err != nil {
			return damaged(err)
		}
	}
}

// damaged marks an error of a decoder, and leaves those of the connection, of a cancellation and of our disk as they are.
func damaged(err error) error {
	_, disk := errors.AsType[*fs.PathError](err)
	if disk || errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrIntegrity, err)
}

// registry is where npm would go, and as whom.
type registry struct {
	base   string
	npmrc  map[string]string
	client *http.Client
}

// registry asks, in this order: a registry for Anthropic's scope in the user's .npmrc, the environment, npm itself, and
// the .npmrc. npm runs in the home directory: a project's own .npmrc has no say in what is downloaded.
func (n npm) registry(ctx context.Context) (registry, error) {
	own, err := n.npmrc()
	if err != nil {
		return registry{}, err
	}
	base := cmp.Or(own["@anthropic-ai:registry"], n.setting("registry"))
	cafile := cmp.Or(n.setting("cafile"), own["cafile"])
	if base == "" {
		asked := n.ask(ctx)
		base, cafile = cmp.Or(asked["registry"], own["registry"]), cmp.Or(cafile, asked["cafile"])
	}
	if base == "" {
		return registry{}, fmt.Errorf("%w: no npm registry is set up on this machine", ErrUnreachable)
	}
	client, err := trusting(n.HTTP, cafile)
	return registry{strings.TrimSuffix(base, "/"), own, client}, err
}

// setting is an npm setting from the environment.
func (n npm) setting(name string) string {
	return cmp.Or(proc.Getenv(n.Env, "NPM_CONFIG_"+strings.ToUpper(name)), proc.Getenv(n.Env, "npm_config_"+name))
}

// ask returns npm's effective settings: those are also in places that only npm knows. No npm, no settings.
func (n npm) ask(ctx context.Context) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, connect)
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
func (n npm) npmrc() (map[string]string, error) {
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

func (r registry) packument(ctx context.Context, name string) (p packument, err error) {
	address := r.base + "/" + strings.Replace(name, "/", "%2f", 1)
	header := r.header(address)
	header.Set("Accept", "application/vnd.npm.install-v1+json, application/json;q=0.8")
	data, err := getAll(ctx, r.client, connect, address, header, 64<<20)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, fmt.Errorf("%s: %w: the answer is not npm metadata: %w", address, ErrUnreachable, err)
	}
	return p, nil
}

// header carries the credentials that .npmrc has for an address: those of the longest path that holds it.
func (r registry) header(address string) http.Header {
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
