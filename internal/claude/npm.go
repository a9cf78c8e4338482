package claude

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/npm"
)

// registry is the source "npm". The package of a platform holds the same native binary as the release channel; that of
// Node's launcher, mainPackage, has the channel names.
type registry struct{ *Fetcher }

const mainPackage = "@anthropic-ai/claude-code"

func (registry) name() string { return "npm" }

func (r registry) find(ctx context.Context, version, arch string) (candidate, error) {
	reg, err := npm.Client{HTTP: r.HTTP, Env: r.Env, Home: r.Home}.Registry(ctx, "@anthropic-ai")
	if err != nil {
		return candidate{}, err
	}
	pkg, err := reg.Package(ctx, mainPackage+"-linux-"+arch)
	if err != nil {
		return candidate{}, err
	}
	if !isVersion(version) {
		tag := version
		if version = pkg.Tags[tag]; version == "" {
			whole, err := reg.Package(ctx, mainPackage)
			if err != nil {
				return candidate{}, err
			}
			version = whole.Tags[tag]
		}
		if !isVersion(version) {
			return candidate{}, fmt.Errorf("%s: %w: no release is tagged %s", pkg, fetch.ErrNotFound, tag)
		}
	}
	if _, ok := pkg.Versions[version]; !ok {
		return candidate{}, fmt.Errorf("%s: %w: no version %s", pkg, fetch.ErrNotFound, version)
	}
	return candidate{version, func(ctx context.Context, w io.Writer) error {
		return pkg.Download(ctx, version, maxBinary, r.Progress, func(tarball io.Reader) error { return unpack(tarball, w) })
	}}, nil
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
			return fmt.Errorf("%w: the package has no file package/claude", fetch.ErrIntegrity)
		}
		if err != nil {
			return damaged(err)
		}
		if entry.Name != "package/claude" {
			continue
		}
		if found || entry.Typeflag != tar.TypeReg || entry.Size > maxBinary {
			return fmt.Errorf("%w: package/claude is there twice, not a regular file, or too large", fetch.ErrIntegrity)
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
	if disk || errors.Is(err, fetch.ErrUnreachable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", fetch.ErrIntegrity, err)
}
