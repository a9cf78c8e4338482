// Package claude knows Claude Code itself, seen from the host: where a release comes from and how it is verified, what a
// fresh home must already answer for it to start without questions, where it keeps conversations and a login. It knows
// nothing of virtual machines; it hands out files and their contents.
package claude

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/fetch"
)

// Release is a verified Claude Code binary on this machine.
type Release struct {
	Version string `json:"version"`
	Arch    string `json:"arch"`   // x64 or arm64
	Source  string `json:"source"` // where it was fetched from: release or npm
	Digest  string `json:"sha256"` // of the binary, in hexadecimal
	Size    int64  `json:"size"`   // of the binary, in bytes

	Path string `json:"-"` // the binary
	Note string `json:"-"` // not empty: why this is only the newest that was at hand
}

// Fetcher gets releases into a cache.
type Fetcher struct {
	HTTP        *http.Client // proxies and trusted certificates are its business
	Env         []string     // for npm and its settings, as NAME=value
	Home        string       // where npm's user configuration lies
	Cache       string       // created with mode 0700
	ReleaseBase string       // address of the release channel; empty: Anthropic's
	ReleaseKey  string       // armored OpenPGP key that signs its manifests; empty: Anthropic's
	Progress    fetch.Progress
}

type source interface {
	name() string
	// find resolves a channel or a full version.
	find(ctx context.Context, version, arch string) (candidate, error)
}

// Fetch returns a release for the architecture x64 or arm64 (or as Lima and Go name them), from the cache if it is there.
//
// The version is latest, stable or a full one; the source release, npm, or auto for one after the other. A full version
// that is cached needs no network. A channel costs one small request, and if that fails the newest cached release is
// returned with a note. A failed integrity check is final: no other source or release stands in for it.
func (f *Fetcher) Fetch(ctx context.Context, version, from, arch string) (Release, error) {
	arch, err := releaseArch(arch)
	if err != nil {
		return Release{}, err
	}
	if version != "latest" && version != "stable" && !isVersion(version) {
		return Release{}, fmt.Errorf("claude version %q: want latest, stable or a version such as 2.1.330", version)
	}
	if r, ok := f.load(version, arch); ok {
		return r, nil
	}
	var sources []source
	switch from {
	case "auto":
		sources = []source{channel{f, fetch.QuickConnect}, registry{f}}
	case "release":
		sources = []source{channel{f, fetch.Connect}}
	case "npm":
		sources = []source{registry{f}}
	default:
		return Release{}, fmt.Errorf("claude source %q: want auto, release or npm", from)
	}
	var failures []error
	for _, src := range sources {
		r, err := f.fetch(ctx, src, version, arch)
		if err == nil {
			return r, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", src.name(), err))
		if ctx.Err() != nil || errors.Is(err, fetch.ErrIntegrity) {
			break
		}
	}
	err = fmt.Errorf("fetch Claude Code %s for %s: %w", version, arch, errors.Join(failures...))
	if isVersion(version) || ctx.Err() != nil || errors.Is(err, fetch.ErrIntegrity) {
		return Release{}, err
	}
	cached, cacheErr := Cached(f.Cache, arch)
	if cacheErr != nil || len(cached) == 0 {
		return Release{}, errors.Join(err, cacheErr)
	}
	cached[0].Note = err.Error()
	return cached[0], nil
}

func (f *Fetcher) fetch(ctx context.Context, src source, version, arch string) (Release, error) {
	found, err := src.find(ctx, version, arch)
	if err != nil {
		return Release{}, err
	}
	if r, ok := f.load(found.version, arch); ok {
		return r, nil
	}
	return f.install(ctx, found, Release{Version: found.version, Arch: arch, Source: src.name()})
}

func releaseArch(arch string) (string, error) {
	switch arch {
	case "x64", "x86_64", "amd64":
		return "x64", nil
	case "arm64", "aarch64":
		return "arm64", nil
	}
	return "", fmt.Errorf("claude for %q: want x64 or arm64", arch)
}

// isVersion accepts full versions only. Whatever passes is also safe as a part of a path and of a URL.
func isVersion(version string) bool {
	return version != "" && semver.Canonical("v"+version) == "v"+version
}
