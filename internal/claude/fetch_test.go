package claude

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/fetch"
)

const version = "2.1.330"

var program = []byte("\x7fELF, or so it says")

// signer makes a key as Anthropic's is: signing with its primary.
func signer(t *testing.T) (*openpgp.Entity, string) {
	t.Helper()
	key, err := openpgp.NewEntity("release", "", "release@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
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

func sign(t *testing.T, key *openpgp.Entity, data []byte) []byte {
	t.Helper()
	var signature bytes.Buffer
	if err := openpgp.DetachSign(&signature, key, bytes.NewReader(data), nil); err != nil {
		t.Fatal(err)
	}
	return signature.Bytes()
}

// site is a web server: what it has at a path, in full. A body for which a length is declared may be shorter.
type site struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   map[string][]byte
	declared map[string]int
	moved    map[string]string
	asked    []string
	auth     map[string]string
}

func newSite(t *testing.T) *site {
	s := &site{bodies: map[string][]byte{}, declared: map[string]int{}, moved: map[string]string{}, auth: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		at := r.URL.EscapedPath()
		s.asked = append(s.asked, at)
		s.auth[at] = r.Header.Get("Authorization")
		if to, ok := s.moved[at]; ok {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		body, ok := s.bodies[at]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if n, ok := s.declared[at]; ok {
			w.Header().Set("Content-Length", fmt.Sprint(n))
		}
		w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s
}

// channelSite serves one release as Anthropic does, signed with the key.
func channelSite(t *testing.T, key *openpgp.Entity) *site {
	t.Helper()
	s := newSite(t)
	s.bodies["/latest"] = []byte(version + "\n")
	s.bodies["/"+version+"/linux-x64/claude"] = program
	sum := sha256.Sum256(program)
	s.promise(t, key, version, hex.EncodeToString(sum[:]), len(program))
	return s
}

func (s *site) promise(t *testing.T, key *openpgp.Entity, v, checksum string, size int) {
	t.Helper()
	m, err := json.Marshal(map[string]any{"version": v, "platforms": map[string]any{
		"linux-x64": map[string]any{"binary": "claude", "checksum": checksum, "size": size},
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.bodies["/"+version+"/manifest.json"], s.bodies["/"+version+"/manifest.json.sig"] = m, sign(t, key, m)
}

const (
	packagePath = "/@anthropic-ai%2fclaude-code-linux-x64"
	tarballPath = "/tarballs/claude.tgz"
)

// npmSite serves one release as a registry does.
func npmSite(t *testing.T, tarball []byte) *site {
	t.Helper()
	s := newSite(t)
	sum := sha512.Sum512(tarball)
	s.bodies[tarballPath] = tarball
	s.publish(t, "sha512-"+base64.StdEncoding.EncodeToString(sum[:]))
	return s
}

func (s *site) publish(t *testing.T, integrity string) {
	t.Helper()
	p, err := json.Marshal(map[string]any{
		"dist-tags": map[string]string{"latest": version},
		"versions": map[string]any{version: map[string]any{
			"dist": map[string]string{"tarball": s.URL + tarballPath, "integrity": integrity},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.bodies[packagePath] = p
}

func tarball(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for _, entry := range entries {
		if entry.Typeflag == 0 {
			entry.Typeflag, entry.Mode, entry.Size = tar.TypeReg, 0o755, int64(len(program))
		}
		if err := archive.WriteHeader(&entry); err != nil {
			t.Fatal(err)
		}
		if entry.Size > 0 {
			archive.Write(program)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func goodTarball(t *testing.T) []byte {
	return tarball(t, tar.Header{Name: "package/package.json"}, tar.Header{Name: "package/claude"}, tar.Header{Name: "package/README.md"})
}

func fetcher(t *testing.T, channel, registry string) *Fetcher {
	f := &Fetcher{HTTP: &http.Client{}, Home: t.TempDir(), Cache: filepath.Join(t.TempDir(), "cache"), ReleaseBase: channel}
	f.Env = []string{"PATH=/nonexistent"}
	if registry != "" {
		f.Env = append(f.Env, "npm_config_registry="+registry)
	}
	return f
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	s := httptest.NewServer(nil)
	s.Close()
	return s.URL
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("left behind: %s", entry.Name())
	}
}

func wantGood(t *testing.T, f *Fetcher, got Release, from string) {
	t.Helper()
	sum := sha256.Sum256(program)
	want := Release{
		Version: version, Arch: "x64", Source: from, Digest: hex.EncodeToString(sum[:]), Size: int64(len(program)),
		Path: filepath.Join(f.Cache, "claude-"+version+"-x64", "claude"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if data, err := os.ReadFile(got.Path); err != nil || !bytes.Equal(data, program) {
		t.Errorf("the binary is %q, %v", data, err)
	}
	for path, mode := range map[string]os.FileMode{got.Path: 0o755, f.Cache: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %o", path, info.Mode(), err, mode)
		}
	}
	entries, err := os.ReadDir(f.Cache)
	if err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v, %v", entries, err)
	}
}

func TestFetchFromTheReleaseChannel(t *testing.T) {
	t.Parallel()
	key, public := signer(t)
	f := fetcher(t, channelSite(t, key).URL+"/", "")
	f.ReleaseKey = public
	var done, total int64
	f.Progress = func(d, n int64) { done, total = d, n }
	got, err := f.Fetch(t.Context(), "latest", "release", "x86_64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "release")
	if size := int64(len(program)); done != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d", done, total, size)
	}
}

func TestFetchFromNpm(t *testing.T) {
	t.Parallel()
	f := fetcher(t, "", npmSite(t, goodTarball(t)).URL+"/")
	got, err := f.Fetch(t.Context(), version, "npm", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
}

func TestReleaseChannelFailures(t *testing.T) {
	t.Parallel()
	key, public := signer(t)
	other, _ := signer(t)
	sum := sha256.Sum256(program)
	good, binaryPath := hex.EncodeToString(sum[:]), "/"+version+"/linux-x64/claude"
	tests := map[string]struct {
		spoil func(*site)
		want  error
	}{
		"wrong checksum":     {func(s *site) { s.bodies[binaryPath] = bytes.ToUpper(program) }, fetch.ErrIntegrity},
		"too short":          {func(s *site) { s.bodies[binaryPath] = program[1:] }, fetch.ErrIntegrity},
		"too long":           {func(s *site) { s.bodies[binaryPath] = append(program[:len(program):len(program)], 'x') }, fetch.ErrIntegrity},
		"broken off":         {func(s *site) { s.declared[binaryPath] = len(program) + 1 }, fetch.ErrUnreachable},
		"no binary":          {func(s *site) { delete(s.bodies, binaryPath) }, fetch.ErrNotFound},
		"no manifest":        {func(s *site) { delete(s.bodies, "/"+version+"/manifest.json") }, fetch.ErrNotFound},
		"unsigned":           {func(s *site) { delete(s.bodies, "/"+version+"/manifest.json.sig") }, fetch.ErrNotFound},
		"signed by another":  {func(s *site) { s.promise(t, other, version, good, len(program)) }, fetch.ErrIntegrity},
		"changed manifest":   {func(s *site) { s.bodies["/"+version+"/manifest.json"] = []byte("{}") }, fetch.ErrIntegrity},
		"another's manifest": {func(s *site) { s.promise(t, key, "2.1.329", good, len(program)) }, fetch.ErrIntegrity},
		"absurd size":        {func(s *site) { s.promise(t, key, version, good, maxBinary+1) }, fetch.ErrIntegrity},
		"login page":         {func(s *site) { s.bodies["/latest"] = []byte("<html>Welcome to the hotel") }, fetch.ErrUnreachable},
		"endless answer":     {func(s *site) { s.bodies["/latest"] = make([]byte, 1<<20) }, fetch.ErrUnreachable},
		"path as version":    {func(s *site) { s.bodies["/latest"] = []byte("../../evil") }, fetch.ErrUnreachable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := channelSite(t, key)
			test.spoil(s)
			f := fetcher(t, s.URL, "")
			f.ReleaseKey = public
			if _, err := f.Fetch(t.Context(), "latest", "release", "x64"); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			wantEmpty(t, f.Cache)
		})
	}
	t.Run("other platform", func(t *testing.T) {
		f := fetcher(t, channelSite(t, key).URL, "")
		f.ReleaseKey = public
		if _, err := f.Fetch(t.Context(), "latest", "release", "arm64"); !errors.Is(err, fetch.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestNpmFailures(t *testing.T) {
	t.Parallel()
	claude := tar.Header{Name: "package/claude"}
	link := tar.Header{Name: "package/claude", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}
	tests := map[string]struct {
		tarball []byte
		spoil   func(*site)
		want    error
	}{
		"wrong hash":      {spoil: func(s *site) { s.bodies[tarballPath] = tarball(t, claude) }, want: fetch.ErrIntegrity},
		"garbage":         {spoil: func(s *site) { s.bodies[tarballPath] = program }, want: fetch.ErrIntegrity},
		"no integrity":    {spoil: func(s *site) { s.publish(t, "") }, want: fetch.ErrIntegrity},
		"only a SHA-1":    {spoil: func(s *site) { s.publish(t, "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=") }, want: fetch.ErrIntegrity},
		"short":           {spoil: func(s *site) { s.bodies[tarballPath] = s.bodies[tarballPath][:40] }, want: fetch.ErrIntegrity},
		"broken off":      {spoil: func(s *site) { s.declared[tarballPath] = len(s.bodies[tarballPath]) + 1 }, want: fetch.ErrUnreachable},
		"no tarball":      {spoil: func(s *site) { delete(s.bodies, tarballPath) }, want: fetch.ErrNotFound},
		"no package":      {spoil: func(s *site) { delete(s.bodies, packagePath) }, want: fetch.ErrNotFound},
		"no such version": {spoil: func(s *site) { s.bodies[packagePath] = []byte(`{"dist-tags":{"latest":"9.9.9"}}`) }, want: fetch.ErrNotFound},
		"not JSON":        {spoil: func(s *site) { s.bodies[packagePath] = []byte("<html>") }, want: fetch.ErrUnreachable},
		"without claude":  {tarball: tarball(t, tar.Header{Name: "package/README.md"}, tar.Header{Name: "claude"}), want: fetch.ErrIntegrity},
		"a link":          {tarball: tarball(t, link), want: fetch.ErrIntegrity},
		"twice":           {tarball: tarball(t, claude, claude), want: fetch.ErrIntegrity},
		"a link after it": {tarball: tarball(t, claude, link), want: fetch.ErrIntegrity},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.tarball == nil {
				test.tarball = goodTarball(t)
			}
			s := npmSite(t, test.tarball)
			if test.spoil != nil {
				test.spoil(s)
			}
			f := fetcher(t, "", s.URL)
			if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			wantEmpty(t, f.Cache)
		})
	}
}

func TestOtherEntriesOfATarballAreNeverWritten(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	f := fetcher(t, "", npmSite(t, tarball(t,
		tar.Header{Name: "../../evil"}, tar.Header{Name: outside}, tar.Header{Name: "package/../../evil"},
		tar.Header{Name: "package", Typeflag: tar.TypeSymlink, Linkname: "/tmp"},
		tar.Header{Name: "package/claude"}, tar.Header{Name: "package/claude/x"},
	)).URL)
	got, err := f.Fetch(t.Context(), "latest", "npm", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
	if _, err := os.Lstat(outside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was written", outside)
	}
}

func TestRedirectsAreFollowed(t *testing.T) {
	t.Parallel()
	key, public := signer(t)
	real, front := channelSite(t, key), newSite(t)
	for at := range real.bodies {
		front.moved[at] = real.URL + at
	}
	f := fetcher(t, front.URL, "")
	f.ReleaseKey = public
	got, err := f.Fetch(t.Context(), "latest", "release", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "release")
}

func TestAutoFallsBackToNpm(t *testing.T) {
	t.Parallel()
	f := fetcher(t, closed(t), npmSite(t, goodTarball(t)).URL)
	got, err := f.Fetch(t.Context(), "latest", "auto", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
}

func TestAutoTellsBothFailures(t *testing.T) {
	t.Parallel()
	channel, registry := closed(t), newSite(t).URL
	_, err := fetcher(t, channel, registry).Fetch(t.Context(), "latest", "auto", "x64")
	if !errors.Is(err, fetch.ErrUnreachable) || !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"release: ", channel, "npm: ", registry} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v does not mention %q", err, want)
		}
	}
}

func TestAutoStopsAtAFailedIntegrityCheck(t *testing.T) {
	t.Parallel()
	key, public := signer(t)
	channel, registry := channelSite(t, key), npmSite(t, goodTarball(t))
	channel.bodies["/"+version+"/linux-x64/claude"] = bytes.ToUpper(program)
	f := fetcher(t, channel.URL, registry.URL)
	f.ReleaseKey = public
	if _, err := f.Fetch(t.Context(), "latest", "auto", "x64"); !errors.Is(err, fetch.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
	if len(registry.asked) > 0 {
		t.Errorf("the registry was asked for %v", registry.asked)
	}
}

func TestAFullVersionInTheCacheNeedsNoNetwork(t *testing.T) {
	t.Parallel()
	s := npmSite(t, goodTarball(t))
	f := fetcher(t, "", s.URL)
	first, err := f.Fetch(t.Context(), version, "npm", "x64")
	if err != nil {
		t.Fatal(err)
	}
	f.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked for %s", r.URL)
		return nil, errors.New("no network")
	})}
	second, err := f.Fetch(t.Context(), version, "auto", "x64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Error(diff)
	}
}

func TestAChannelThatIsCachedCostsOneRequest(t *testing.T) {
	t.Parallel()
	s := npmSite(t, goodTarball(t))
	f := fetcher(t, "", s.URL)
	for range 2 {
		if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{packagePath, tarballPath, packagePath}, s.asked); diff != "" {
		t.Error(diff)
	}
}

func TestAChannelFallsBackToTheNewestCached(t *testing.T) {
	t.Parallel()
	f := fetcher(t, closed(t), "")
	for _, v := range []string{"2.1.9", "2.1.10", "2.1.10-rc.1"} {
		store(t, f.Cache, v, "x64")
	}
	store(t, f.Cache, "3.0.0", "arm64")
	got, err := f.Fetch(t.Context(), "stable", "auto", "x64")
	if err != nil || got.Version != "2.1.10" || !strings.Contains(got.Note, "no npm registry") {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := f.Fetch(t.Context(), "2.1.11", "auto", "x64"); !errors.Is(err, fetch.ErrUnreachable) {
		t.Errorf("a full version that is not cached: %v", err)
	}
}

// store puts a release into a cache without a source.
func store(t *testing.T, cache, v, arch string) Release {
	t.Helper()
	f := &Fetcher{Cache: cache}
	r, err := f.install(t.Context(), candidate{v, func(_ context.Context, w io.Writer) error {
		_, err := w.Write(program)
		return err
	}}, Release{Version: v, Arch: arch, Source: "npm"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDamagedCacheIsRepaired(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(Release) error{
		"truncated":  func(r Release) error { return os.Truncate(r.Path, 1) },
		"no record":  func(r Release) error { return os.Remove(filepath.Join(filepath.Dir(r.Path), record)) },
		"a link":     func(r Release) error { return errors.Join(os.Remove(r.Path), os.Symlink("/bin/sh", r.Path)) },
		"bad record": func(r Release) error { return os.Truncate(filepath.Join(filepath.Dir(r.Path), record), 5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fetcher(t, "", npmSite(t, goodTarball(t)).URL)
			if err := damage(store(t, f.Cache, version, "x64")); err != nil {
				t.Fatal(err)
			}
			got, err := f.Fetch(t.Context(), version, "npm", "x64")
			if err != nil {
				t.Fatal(err)
			}
			wantGood(t, f, got, "npm")
		})
	}
}

func TestConcurrentFetches(t *testing.T) {
	t.Parallel()
	f := fetcher(t, "", npmSite(t, goodTarball(t)).URL)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := f.Fetch(t.Context(), version, "npm", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
}

func TestCancellationLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != tarballPath {
			fmt.Fprintf(w, `{"versions":{%q:{"dist":{"tarball":"http://%s%s","integrity":"sha512-%s"}}}}`, version, r.Host, tarballPath,
				base64.StdEncoding.EncodeToString(make([]byte, sha512.Size)))
			return
		}
		w.Write(goodTarball(t)[:20])
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	f := fetcher(t, "", s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.Progress = func(int64, int64) { cancel() }
	_, err := f.Fetch(ctx, version, "npm", "x64")
	if !errors.Is(err, context.Canceled) || errors.Is(err, fetch.ErrUnreachable) || errors.Is(err, fetch.ErrIntegrity) {
		t.Errorf("got %v", err)
	}
	wantEmpty(t, f.Cache)
}

func TestRemainsOfAKilledDownloadAreSwept(t *testing.T) {
	t.Parallel()
	f := fetcher(t, "", npmSite(t, goodTarball(t)).URL)
	old := filepath.Join(f.Cache, partial+"1")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(old, past, past); err != nil {
		t.Fatal(err)
	}
	got, err := f.Fetch(t.Context(), "latest", "npm", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAHostThatNobodyAnswersForCostsThreeSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fetcher(t, "http://channel.test", "http://registry.test")
		f.HTTP = &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "channel.test" {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return nil, errors.New("refused")
		})}
		begin := time.Now()
		_, err := f.Fetch(t.Context(), "latest", "auto", "x64")
		if !errors.Is(err, fetch.ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != fetch.QuickConnect {
			t.Errorf("took %v", took)
		}
	})
}

func TestWhatIsAskedForMustMakeSense(t *testing.T) {
	t.Parallel()
	f := fetcher(t, closed(t), "")
	for _, args := range [][3]string{
		{"2.1", "auto", "x64"},
		{"v2.1.330", "auto", "x64"},
		{"../../evil", "auto", "x64"},
		{"", "auto", "x64"},
		{"latest", "pypi", "x64"},
		{"latest", "auto", "riscv64"},
	} {
		if r, err := f.Fetch(t.Context(), args[0], args[1], args[2]); err == nil {
			t.Errorf("%q gave %+v", args, r)
		}
	}
}

func TestTheReleaseKeyIsAnthropics(t *testing.T) {
	t.Parallel()
	keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(releaseKey))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	if got := fmt.Sprintf("%X", keys[0].PrimaryKey.Fingerprint); got != "31DDDE24DDFAB679F42D7BD2BAA929FF1A7ECACE" {
		t.Errorf("fingerprint %s", got)
	}
	if _, ok := keys[0].SigningKey(time.Now()); !ok {
		t.Error("the key cannot sign today")
	}
}
