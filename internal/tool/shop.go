package tool

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/npm"
)

// Shop is where downloads come from, and where they are kept.
type Shop struct {
	HTTP     *http.Client
	Env      []string // for npm and its settings, as NAME=value
	Home     string   // where npm's user configuration lies
	Cache    string   // created with mode 0700
	Arch     string   // of the guest, as Node.js calls it: x64 or arm64
	NodeBase string   // address of Node.js's releases; empty: the project's
	NodeKeys string   // armored OpenPGP keys that sign them; empty: the project's
	Progress fetch.Progress
}

// Good is what was downloaded for a tool: verified files in a folder of the cache.
type Good struct{ Dir, Version string }

// Goods has them by the names of the tools.
type Goods map[string]Good

// Get downloads what a tool needs from elsewhere, or finds it in the cache. It is told what it has got for others before.
func (s Shop) Get(ctx context.Context, c Choice, have Goods) (Good, error) {
	return c.Download(ctx, s, c.Version, have)
}

// maxTarball is several times what the largest package weighs, in bytes.
const maxTarball = 512 << 20

func (s Shop) registry(ctx context.Context) (npm.Registry, error) {
	return npm.Client{HTTP: s.HTTP, Env: s.Env, Home: s.Home}.Registry(ctx, "")
}

// tarball downloads one version of a package into a folder.
func (s Shop) tarball(ctx context.Context, pkg npm.Package, version, dir, name string) error {
	return pkg.Download(ctx, version, maxTarball, s.Progress, func(tarball io.Reader) error {
		return write(filepath.Join(dir, name), tarball)
	})
}

// archive downloads a file that must have a SHA-256.
func (s Shop) archive(ctx context.Context, address, sum, path string) error {
	body, size, err := fetch.Get(ctx, s.HTTP, fetch.Connect, address, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	got := sha256.New()
	if err := write(path, io.TeeReader(s.Progress.Reader(io.LimitReader(body, maxTarball), size), got)); err != nil {
		return err
	}
	if hex.EncodeToString(got.Sum(nil)) != sum {
		return fmt.Errorf("%s: %w: its SHA-256 is not the one that was signed", address, fetch.ErrIntegrity)
	}
	return nil
}

// write makes a file whose content is on disk when it returns.
func write(path string, content io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // readable for the guest's root
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Sync(), file.Close())
}

// store returns a folder of the cache, which fill has filled now or earlier. It gets its name when it is complete and on
// disk: another process and a crash never see half of it.
func (s Shop) store(name, version string, fill func(dir string) error) (Good, error) {
	good := Good{filepath.Join(s.Cache, name), version}
	if _, err := os.Stat(good.Dir); err == nil {
		return good, nil
	}
	if err := os.MkdirAll(s.Cache, 0o700); err != nil {
		return Good{}, err
	}
	draft, err := os.MkdirTemp(s.Cache, ".tool-")
	if err != nil {
		return Good{}, err
	}
	defer os.RemoveAll(draft)
	if err := fill(draft); err != nil {
		return Good{}, err
	}
	if err := os.Chmod(draft, 0o755); err != nil {
		return Good{}, err
	}
	if err := os.Rename(draft, good.Dir); err != nil {
		if _, missing := os.Stat(good.Dir); missing != nil { // or somebody else was faster
			return Good{}, fmt.Errorf("storing %s: %w", name, err)
		}
	}
	return good, nil
}
