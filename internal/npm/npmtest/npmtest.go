// Package npmtest is a stand-in for an npm registry, for tests of what downloads from one.
package npmtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// Release is one version of a package.
type Release struct {
	Name, Version string
	Node          string            // the range of engines.node
	Files         map[string]string // below package/
}

// Handler serves releases as a registry does. The last one of each package is its latest.
func Handler(releases ...Release) http.Handler {
	mux := http.NewServeMux()
	tags := map[string]string{}
	versions := map[string]map[string]any{}
	for _, r := range releases {
		packed := pack(r.Files)
		sum := sha512.Sum512(packed)
		at := "/" + r.Name + "/-/" + r.Version + ".tgz"
		mux.HandleFunc(at, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(packed) })
		if versions[r.Name] == nil {
			versions[r.Name] = map[string]any{}
		}
		versions[r.Name][r.Version] = map[string]any{
			"engines": map[string]string{"node": r.Node},
			"dist":    map[string]string{"tarball": at, "integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])},
		}
		tags[r.Name] = r.Version
	}
	for name := range versions {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			text, err := json.Marshal(map[string]any{"dist-tags": map[string]string{"latest": tags[name]}, "versions": versions[name]})
			if err != nil {
				panic(err)
			}
			_, _ = w.Write(bytes.ReplaceAll(text, []byte(`"tarball":"/`), []byte(`"tarball":"http://`+r.Host+`/`)))
		})
	}
	return mux
}

func pack(files map[string]string) []byte {
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for name, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: "package/" + name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			panic(err)
		}
		if _, err := strings.NewReader(content).WriteTo(archive); err != nil {
			panic(err)
		}
	}
	if err := archive.Close(); err != nil {
		panic(err)
	}
	if err := zipped.Close(); err != nil {
		panic(err)
	}
	return packed.Bytes()
}

// Tools are releases of the packages that tools are made from: Node.js 22 and 24 with long-term support, 25 and 26
// without.
func Tools() []Release {
	header := func(lts string) map[string]string {
		return map[string]string{"bin/node": "the binary", "include/node/node_version.h": "#define NODE_VERSION_IS_LTS " + lts + "\n"}
	}
	releases := []Release{
		{Name: "npm", Version: "10.9.0", Node: "^18.17.0 || >=20.5.0", Files: map[string]string{"bin/npm-cli.js": ""}},
		{Name: "npm", Version: "11.6.0", Node: "^20.17.0 || >=22.9.0", Files: map[string]string{"bin/npm-cli.js": ""}},
		{Name: "npm", Version: "12.0.0-pre.1", Files: map[string]string{}},
		{Name: "chrome-devtools-mcp", Version: "1.11.0", Node: "^20.19.0 || ^22.12.0 || >=23", Files: map[string]string{"package.json": "{}"}},
	}
	for _, arch := range []string{"x64", "arm64"} {
		for _, r := range [][2]string{{"18.20.8", "1"}, {"22.2.0", "0"}, {"22.23.3", "1"}, {"24.9.0", "0"}, {"24.21.0", "1"}, {"25.9.0", "0"}, {"26.10.0", "0"}, {"27.0.0-rc.1", "0"}} {
			releases = append(releases, Release{Name: "node-linux-" + arch, Version: r[0], Files: header(r[1])})
		}
	}
	return releases
}
