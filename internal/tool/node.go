package tool

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/npm"
)

//go:embed node.sh
var nodeScript string

func node() Tool {
	return Tool{
		Name: "node", Summary: "Node.js, the current LTS line, with npm",
		Script:   nodeScript,
		Checks:   []string{"node --version", "npm --version", "npx --version"},
		Download: downloadNode,
		Pin: func(version string) error {
			if !nodeVersion.MatchString(version) {
				return errors.New(`it must be a major version such as "22", or a full one such as "22.11.0"`)
			}
			return nil
		},
	}
}

var nodeVersion = regexp.MustCompile(`^[0-9]+(\.[0-9]+(\.[0-9]+)?)?$`)

// downloadNode takes Node.js from where its project offers it or, if that is out of reach, from the registry. What fails
// an integrity check is final: the other source does not stand in for it.
func downloadNode(ctx context.Context, s Shop, version string, _ Goods) (Good, error) {
	good, err := nodeFromProject(ctx, s, version)
	if err == nil || ctx.Err() != nil || errors.Is(err, fetch.ErrIntegrity) {
		return good, err
	}
	good, registryErr := nodeFromRegistry(ctx, s, version)
	if registryErr != nil {
		return good, errors.Join(err, registryErr)
	}
	return good, nil
}

// nodeBase is where the Node project offers its releases: index.json lists them and says which have long-term support;
// each has archives with npm in them, and their hashes in a file that one of the releasers has signed.
const nodeBase = "https://nodejs.org/dist"

// nodeKeys are keys of Node's releasers, from https://github.com/nodejs/release-keys, in one armored block. The README of
// Node.js prints their fingerprints, and a test holds these copies against them. What another of them has signed comes from
// the registry.
//
//go:embed node-keys.asc
var nodeKeys string

func nodeFromProject(ctx context.Context, s Shop, version string) (Good, error) {
	base := cmp.Or(s.NodeBase, nodeBase)
	text, err := fetch.GetAll(ctx, s.HTTP, fetch.QuickConnect, base+"/index.json", nil, 16<<20)
	if err != nil {
		return Good{}, err
	}
	var releases []struct {
		Version string
		LTS     any // a name, or false
	}
	if err := json.Unmarshal(text, &releases); err != nil {
		return Good{}, fmt.Errorf("%s/index.json: %w: %w", base, fetch.ErrUnreachable, err)
	}
	chosen := ""
	for _, r := range releases {
		v := strings.TrimPrefix(r.Version, "v")
		_, lts := r.LTS.(string)
		if (version == "" && lts || version == v || version != "" && strings.HasPrefix(v, version+".")) && semver.Compare("v"+v, "v"+chosen) > 0 {
			chosen = v
		}
	}
	if chosen == "" || semver.Canonical("v"+chosen) != "v"+chosen {
		return Good{}, fmt.Errorf("%s: %w: no %s", base, fetch.ErrNotFound, nodeWanted(version))
	}
	return s.store("node-"+chosen+"-"+s.Arch, chosen, func(dir string) error {
		at := base + "/v" + chosen + "/"
		signed, err := fetch.GetAll(ctx, s.HTTP, fetch.QuickConnect, at+"SHASUMS256.txt.asc", nil, 1<<20)
		if err != nil {
			return err
		}
		sums, err := fetch.Signed(cmp.Or(s.NodeKeys, nodeKeys), signed)
		if err != nil {
			return fmt.Errorf("%sSHASUMS256.txt.asc: %w", at, err)
		}
		file := "node-v" + chosen + "-linux-" + s.Arch + ".tar.gz"
		for line := range strings.Lines(string(sums)) {
			if words := strings.Fields(line); len(words) == 2 && words[1] == file {
				return s.archive(ctx, at+file, words[0], filepath.Join(dir, "node.tgz"))
			}
		}
		return fmt.Errorf("%sSHASUMS256.txt.asc: %w: it has no %s", at, fetch.ErrNotFound, file)
	})
}

func nodeWanted(version string) string {
	if version == "" {
		return "release with long-term support"
	}
	return "version " + version
}

// nodeFromRegistry takes Node.js and npm from the registry, which has what the Node project releases, repacked.
func nodeFromRegistry(ctx context.Context, s Shop, version string) (Good, error) {
	registry, err := s.registry(ctx)
	if err != nil {
		return Good{}, err
	}
	pkg, err := registry.Package(ctx, "node-linux-"+s.Arch)
	if err != nil {
		return Good{}, err
	}
	tools, err := registry.Package(ctx, "npm")
	if err != nil {
		return Good{}, err
	}
	for _, release := range nodeReleases(pkg, version) {
		manager := npmFor(tools, release)
		if manager == "" {
			return Good{}, fmt.Errorf("%s: %w: no version runs on Node.js %s", tools, fetch.ErrNotFound, release)
		}
		good, err := s.store("node-"+release+"-"+s.Arch, release, func(dir string) error {
			if err := s.tarball(ctx, tools, manager, dir, "npm.tgz"); err != nil {
				return err
			}
			return s.tarball(ctx, pkg, release, dir, "node.tgz")
		})
		if err != nil || version != "" {
			return good, err
		}
		if lts, err := isLTS(filepath.Join(good.Dir, "node.tgz")); err != nil || lts {
			return good, err
		}
	}
	return Good{}, fmt.Errorf("%s: %w: no %s", pkg, fetch.ErrNotFound, nodeWanted(version))
}

// nodeReleases returns what may be meant by a version, the likeliest first: the newest release that it is the beginning
// of. Without one it is the newest release of each line that can have long-term support.
func nodeReleases(pkg npm.Package, version string) []string {
	newest := map[string]string{} // of each line
	for v := range pkg.Versions {
		if semver.Prerelease("v"+v) != "" || version != "" && v != version && !strings.HasPrefix(v, version+".") {
			continue
		}
		line := ""
		if version == "" {
			line, _, _ = strings.Cut(v, ".")
			if n, err := strconv.Atoi(line); err != nil || n < 27 && n%2 == 1 { // the odd ones never had it, up to 25
				continue
			}
		}
		if newest[line] == "" || semver.Compare("v"+v, "v"+newest[line]) > 0 {
			newest[line] = v
		}
	}
	var releases []string
	for _, v := range newest {
		releases = append(releases, v)
	}
	slices.SortFunc(releases, func(a, b string) int { return semver.Compare("v"+b, "v"+a) })
	return releases
}

// npmFor returns the newest npm that says it runs on a version of Node.js.
func npmFor(pkg npm.Package, node string) (newest string) {
	for v, release := range pkg.Versions {
		if semver.Prerelease("v"+v) == "" && npm.Satisfies(node, release.Node()) && (newest == "" || semver.Compare("v"+v, "v"+newest) > 0) {
			newest = v
		}
	}
	return newest
}

// ltsMark is what a release of a line in long-term support says of itself in node_version.h. The registry does not say it.
var ltsMark = regexp.MustCompile(`(?m)^#define NODE_VERSION_IS_LTS ([01])$`)

func isLTS(tarball string) (bool, error) {
	file, err := os.Open(tarball)
	if err != nil {
		return false, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return false, fmt.Errorf("%s: %w", tarball, err)
	}
	archive := tar.NewReader(unzipped)
	for {
		entry, err := archive.Next()
		if err != nil {
			return false, fmt.Errorf("%s: looking for node_version.h: %w", tarball, err)
		}
		if !strings.HasSuffix(entry.Name, "/include/node/node_version.h") {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(archive, 1<<20))
		if err != nil {
			return false, fmt.Errorf("%s: %w", tarball, err)
		}
		mark := ltsMark.FindSubmatch(text)
		if mark == nil {
			return false, fmt.Errorf("%s: node_version.h does not say whether the release is one with long-term support", tarball)
		}
		return mark[1][0] == '1', nil
	}
}
