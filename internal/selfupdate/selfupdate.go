// Package selfupdate finds, verifies and installs releases of this program, and takes an update back.
//
// A release is an archive for each platform, a list of their SHA-256 sums, and a minisign signature of that list whose
// trusted comment names the version. Nothing is believed before the signature has been checked, not even which version is
// the newest: whoever answers in the server's place can keep back a release and do no more.
//
// The package knows neither flags nor the terminal, and not what the program is for.
package selfupdate

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"aead.dev/minisign"
	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/fetch"
)

// The kinds of failure.
var (
	// ErrNoKey: this build was made without a key, and so cannot tell a release from anything else.
	ErrNoKey = errors.New("this version cannot update itself")
	// ErrUnverified: signature, checksum or content of a release are not what they should be.
	ErrUnverified = errors.New("cannot be verified")
	// ErrUnreachable: the server does not answer.
	ErrUnreachable = errors.New("cannot be reached")
	// ErrNoRelease: the server does not have what was asked for.
	ErrNoRelease = errors.New("there is no such release")
)

func unverified(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnverified, fmt.Errorf(format, args...))
}

const (
	// DefaultBase is where releases are published.
	DefaultBase = "https://github.com/themouette/claude-vm/releases"

	// Program is the name of the binary in an archive.
	Program = "claude-vm"
	// Sums and Signature are the names of the files beside the archives.
	Sums      = "checksums.txt"
	Signature = Sums + ".minisig"

	// patience is how long finding a release may take. Somebody waits for it.
	patience = 8 * time.Second

	maxArchive, maxBinary = 128 << 20, 256 << 20 // bytes
)

//go:embed release.pub
var releaseKey string

// Key returns the public key in release.pub, empty as long as that has none.
func Key() string {
	_, key, _ := strings.Cut(strings.TrimSpace(releaseKey), "\n")
	return strings.TrimSpace(key)
}

// Archive returns the name of the file for a platform, given as Go names it.
func Archive(goos, goarch string) string {
	system := map[string]string{"darwin": "macos"}
	machine := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
	return fmt.Sprintf("%s-%s-%s.tar.gz", Program, cmp.Or(system[goos], goos), cmp.Or(machine[goarch], goarch))
}

// Comment is the trusted comment in the signature of a version.
func Comment(version string) string { return Program + " " + version }

// ParseVersion returns a version such as 1.2.3 or 1.3.0-rc.1, with or without a v before it, without it.
func ParseVersion(text string) (string, error) {
	version := strings.TrimPrefix(text, "v")
	if semver.Canonical("v"+version) != "v"+version {
		return "", fmt.Errorf("%q is not a version such as 1.2.3", text)
	}
	return version, nil
}

// Compare returns -1, 0 or 1 as version a is older than b, the same, or newer.
func Compare(a, b string) int { return semver.Compare("v"+a, "v"+b) }

// Source is a place that has releases, in folders as GitHub has them: Base/latest/download/FILE,
// Base/download/vVERSION/FILE, and an Atom feed of all releases at Base.atom.
type Source struct {
	HTTP *http.Client
	Base string
	Key  string // minisign public key
}

// Release is a release whose list of checksums has been verified.
type Release struct {
	Version string // without v
	sums    map[string]string
}

// Pre says whether it is a pre-release.
func (r Release) Pre() bool { return semver.Prerelease("v"+r.Version) != "" }

// Latest returns the release that is published as the latest.
func (s Source) Latest(ctx context.Context) (Release, error) {
	ctx, cancel := s.impatient(ctx)
	defer cancel()
	return s.release(ctx, "latest/download", "")
}

// Find returns the release of a version.
func (s Source) Find(ctx context.Context, version string) (Release, error) {
	ctx, cancel := s.impatient(ctx)
	defer cancel()
	return s.release(ctx, "download/v"+version, version)
}

// Newest returns the newest release of all, pre-releases among them.
func (s Source) Newest(ctx context.Context) (Release, error) {
	ctx, cancel := s.impatient(ctx)
	defer cancel()
	text, err := s.get(ctx, s.base()+".atom", 1<<20)
	if err != nil {
		return Release{}, err
	}
	var feed struct {
		Entries []struct {
			Link struct {
				Href string `xml:"href,attr"`
			} `xml:"link"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal(text, &feed); err != nil {
		return Release{}, fmt.Errorf("%s.atom %w: %w", s.base(), ErrUnreachable, err)
	}
	var versions []string
	for _, entry := range feed.Entries {
		if version, err := ParseVersion(path.Base(entry.Link.Href)); err == nil {
			versions = append(versions, version)
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return Compare(b, a) })
	for _, version := range versions {
		release, err := s.release(ctx, "download/v"+version, version)
		if !errors.Is(err, ErrNoRelease) { // a tag without files is passed over
			return release, err
		}
	}
	return Release{}, fmt.Errorf("%s: %w", s.base(), ErrNoRelease)
}

func (s Source) base() string { return strings.TrimSuffix(s.Base, "/") }

// host is what messages call the server.
func (s Source) host() string {
	if parsed, err := url.Parse(s.Base); err == nil && parsed.Host != "" {
		return parsed.Host
	}
	return s.Base
}

// release reads and verifies the list of checksums in a folder. A version that is wanted must be the one.
func (s Source) release(ctx context.Context, folder, wanted string) (Release, error) {
	var key minisign.PublicKey
	if s.Key == "" {
		return Release{}, ErrNoKey
	}
	if err := key.UnmarshalText([]byte(s.Key)); err != nil {
		return Release{}, fmt.Errorf("reading the key of releases: %w", err)
	}
	address := s.base() + "/" + folder + "/"
	sums, err := s.get(ctx, address+Sums, 1<<16)
	if err != nil {
		return Release{}, err
	}
	text, err := s.get(ctx, address+Signature, 1<<12)
	if errors.Is(err, ErrNoRelease) {
		return Release{}, unverified("%s is not signed", address+Sums)
	}
	if err != nil {
		return Release{}, err
	}
	var signature minisign.Signature
	if err := signature.UnmarshalText(text); err != nil || !minisign.Verify(key, sums, text) {
		return Release{}, unverified("%s is not signed by claude-vm's release key", address+Sums)
	}
	named, _ := strings.CutPrefix(signature.TrustedComment, Comment(""))
	version, err := ParseVersion(named)
	if err != nil || wanted != "" && version != wanted { // another release, rightly signed
		return Release{}, unverified("%s is the signature of %q", address+Signature, signature.TrustedComment)
	}
	release := Release{version, map[string]string{}}
	for line := range strings.Lines(string(sums)) {
		if sum, name, ok := strings.Cut(strings.TrimSpace(line), "  "); ok {
			release.sums[name] = sum
		}
	}
	return release, nil
}

// Fetch writes the binary of a release for a platform, given as Go names it. What it has written before an error is not
// to be used.
func (s Source) Fetch(ctx context.Context, r Release, goos, goarch string, progress fetch.Progress, w io.Writer) error {
	name := Archive(goos, goarch)
	sum, ok := r.sums[name]
	if !ok {
		return fmt.Errorf("%w: version %s has no %s", ErrNoRelease, r.Version, name)
	}
	address := fmt.Sprintf("%s/download/v%s/%s", s.base(), r.Version, name)
	body, size, err := fetch.Get(ctx, s.HTTP, fetch.Connect, address, nil)
	if err != nil {
		return s.explain(err)
	}
	defer body.Close()
	archive, err := io.ReadAll(io.LimitReader(progress.Reader(body, size), maxArchive))
	if err != nil {
		return s.explain(err)
	}
	if got := sha256.Sum256(archive); hex.EncodeToString(got[:]) != sum {
		return unverified("%s: SHA-256 %x, the signed list says %s", address, got, sum)
	}
	if err := extract(archive, w); err != nil {
		return unverified("%s: %w", address, err)
	}
	return nil
}

// extract writes the one file that is called Program. The rest of the archive is for people who unpack it themselves.
func extract(archive []byte, w io.Writer) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return err
	}
	found := false
	for files := tar.NewReader(io.LimitReader(unzipped, 2*maxBinary)); ; {
		file, err := files.Next()
		switch {
		case err == io.EOF && found:
			return nil
		case err == io.EOF:
			return errors.New("it has no " + Program)
		case err != nil:
			return err
		case file.Name != Program:
			continue
		case file.Typeflag != tar.TypeReg || found || file.Size > maxBinary:
			return fmt.Errorf("its %s is not one file of at most %d bytes", Program, maxBinary)
		}
		found = true
		if _, err := io.Copy(w, files); err != nil {
			return err
		}
	}
}

func (s Source) get(ctx context.Context, address string, limit int64) ([]byte, error) {
	data, err := fetch.GetAll(ctx, s.HTTP, fetch.QuickConnect, address, nil, limit)
	return data, s.explain(err)
}

// explain makes failures to fetch something those of an update, for which other advice holds.
func (s Source) explain(err error) error {
	switch {
	case errors.Is(err, fetch.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNoRelease, err)
	case errors.Is(err, fetch.ErrUnreachable):
		if _, ok := errors.AsType[*net.OpError](err); ok { // no network, or nobody there: that is all there is to say
			return fmt.Errorf("%s %w", s.host(), ErrUnreachable)
		}
		return fmt.Errorf("%s %w: %w", s.host(), ErrUnreachable, err)
	}
	return err
}

// impatient returns a context that ends when finding a release takes too long.
func (s Source) impatient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s %w: no answer within %v", s.host(), ErrUnreachable, patience))
}
