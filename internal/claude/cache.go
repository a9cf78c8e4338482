package claude

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

const (
	// maxBinary is more than twice what a release weighs, in bytes.
	maxBinary = 1 << 30
	binary    = "claude"
	record    = "release.json"
	partial   = ".claude-"
	// abandoned is the age at which the remains of a killed download are swept.
	abandoned = 24 * time.Hour
)

// candidate is a version that a source has.
type candidate struct {
	version string
	// download writes the binary and fails if it is not the one that the source had promised.
	download func(ctx context.Context, w io.Writer) error
}

// Cached lists the complete releases in a cache for an architecture, the newest first. A cache that does not exist is empty.
func Cached(cache, arch string) ([]Release, error) {
	arch, err := releaseArch(arch)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(cache)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the cache of Claude Code: %w", err)
	}
	var releases []Release
	for _, entry := range entries {
		r, ok := load(filepath.Join(cache, entry.Name()))
		if ok && r.Arch == arch {
			releases = append(releases, r)
		}
	}
	slices.SortFunc(releases, func(a, b Release) int { return semver.Compare("v"+b.Version, "v"+a.Version) })
	return releases, nil
}

func (r Release) folder() string { return "claude-" + r.Version + "-" + r.Arch }

func (f *Fetcher) load(version, arch string) (Release, bool) {
	return load(filepath.Join(f.Cache, Release{Version: version, Arch: arch}.folder()))
}

// load reads one folder of the cache; anything incomplete or misplaced counts as not there.
func load(dir string) (r Release, ok bool) {
	data, err := os.ReadFile(filepath.Join(dir, record))
	if err != nil || json.Unmarshal(data, &r) != nil || r.folder() != filepath.Base(dir) || !isVersion(r.Version) {
		return Release{}, false
	}
	r.Path = filepath.Join(dir, binary)
	info, err := os.Lstat(r.Path)
	return r, err == nil && info.Mode().IsRegular() && info.Size() == r.Size
}

// install downloads next to the place and moves a folder that is complete and on disk: a reader of the cache, another
// process that fetches the same, and a crash never see half a release.
func (f *Fetcher) install(ctx context.Context, found candidate, r Release) (Release, error) {
	if err := os.MkdirAll(f.Cache, 0o700); err != nil {
		return Release{}, fmt.Errorf("create the cache of Claude Code: %w", err)
	}
	f.sweep()
	tmp, err := os.MkdirTemp(f.Cache, partial)
	if err != nil {
		return Release{}, fmt.Errorf("download Claude Code %s: %w", r.Version, err)
	}
	defer os.RemoveAll(tmp)
	sum := sha256.New()
	size, err := create(filepath.Join(tmp, binary), 0o755, func(w io.Writer) error {
		return found.download(ctx, io.MultiWriter(w, sum))
	})
	if err != nil {
		return Release{}, fmt.Errorf("download Claude Code %s: %w", r.Version, err)
	}
	r.Size, r.Digest = size, hex.EncodeToString(sum.Sum(nil))
	_, err = create(filepath.Join(tmp, record), 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(r) })
	if err != nil {
		return Release{}, fmt.Errorf("download Claude Code %s: %w", r.Version, err)
	}
	target := filepath.Join(f.Cache, r.folder())
	if err := os.Rename(tmp, target); err != nil {
		if other, ok := f.load(r.Version, r.Arch); ok {
			return other, nil // someone else was faster
		}
		if err := errors.Join(os.RemoveAll(target), os.Rename(tmp, target)); err != nil {
			return Release{}, fmt.Errorf("store Claude Code %s: %w", r.Version, err)
		}
	}
	r.Path = filepath.Join(target, binary)
	return r, nil
}

// create makes a file whose content and mode are on disk when it returns.
func create(path string, mode fs.FileMode, write func(io.Writer) error) (size int64, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := write(file); err != nil {
		return 0, err
	}
	if err := errors.Join(file.Chmod(mode), file.Sync()); err != nil { // the mode above is subject to the umask
		return 0, err
	}
	return file.Seek(0, io.SeekCurrent)
}

func (f *Fetcher) sweep() {
	entries, _ := os.ReadDir(f.Cache) // what cannot be read is not swept
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && strings.HasPrefix(entry.Name(), partial) && time.Since(info.ModTime()) > abandoned {
			os.RemoveAll(filepath.Join(f.Cache, entry.Name()))
		}
	}
}
