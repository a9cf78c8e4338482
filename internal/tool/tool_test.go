package tool

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/npm/npmtest"
)

// shopOf returns a shop whose npm is set up for a registry with these releases, and that does not reach the Node project.
func shopOf(t *testing.T, releases []npmtest.Release) Shop {
	t.Helper()
	registry := httptest.NewServer(npmtest.Handler(releases...))
	t.Cleanup(registry.Close)
	return Shop{
		HTTP: http.DefaultClient, Env: []string{"PATH=", "NPM_CONFIG_REGISTRY=" + registry.URL}, Home: t.TempDir(),
		Cache: filepath.Join(t.TempDir(), "cache"), Arch: "x64",
		NodeBase: "http://127.0.0.1:1",
	}
}

// A description says all that there is to say, so that nobody finds out in a VM that something is missing.
func TestEveryToolIsComplete(t *testing.T) {
	t.Parallel()
	debian := regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	var before []string
	for _, tool := range Catalogue() {
		t.Run(tool.Name, func(t *testing.T) {
			if !regexp.MustCompile(`^[a-z]+$`).MatchString(tool.Name) || slices.Contains(before, tool.Name) {
				t.Error("its name is no word of its own")
			}
			if tool.Summary == "" || strings.HasSuffix(tool.Summary, ".") {
				t.Errorf("summary %q", tool.Summary)
			}
			if len(tool.Packages) == 0 && tool.Download == nil {
				t.Error("it consists of nothing")
			}
			if tool.Pin != nil && tool.Download == nil {
				t.Error("Debian's packages have no choice of versions")
			}
			if len(tool.Checks) == 0 {
				t.Error("nothing proves that it works")
			}
			if tool.Download != nil && !strings.Contains(tool.Script, "$FILES") {
				t.Error("nobody uses what it downloads")
			}
			for _, name := range tool.Packages {
				if !debian.MatchString(name) {
					t.Errorf("package %q", name)
				}
			}
			for _, need := range tool.Needs {
				if !slices.Contains(before, need) {
					t.Errorf("%s, which it needs, does not come before it", need)
				}
			}
			for _, text := range append(slices.Clone(tool.Checks), tool.Script) {
				if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), tool.Name); err != nil {
					t.Error(err)
				}
			}
			if tool.Script != "" && !strings.Contains(tool.Script, "set -euo pipefail") {
				t.Error("its script goes on after a failure")
			}
			if regexp.MustCompile(`\b(curl|wget)\b`).MatchString(tool.Script) {
				t.Error("its script downloads something")
			}
			for _, doc := range tool.Merge {
				var members map[string]any
				if err := json.Unmarshal([]byte(doc.JSON), &members); err != nil || filepath.IsAbs(doc.Path) {
					t.Errorf("%s: %v", doc.Path, err)
				}
			}
			if _, err := json.Marshal(tool); err != nil {
				t.Errorf("it has no fingerprint: %v", err)
			}
		})
		before = append(before, tool.Name)
	}
}

func names(choices []Choice) (names []string) {
	for _, c := range choices {
		names = append(names, c.Name+c.Version)
	}
	return names
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		wanted map[string]string
		want   []string
		err    error
	}{
		{map[string]string{}, nil, nil},
		{map[string]string{"docker": "", "git": ""}, []string{"git", "docker"}, nil},
		{map[string]string{"chromium": ""}, []string{"node", "chromium"}, nil},
		{map[string]string{"chromium": "", "node": "22"}, []string{"node22", "chromium"}, nil},
		{map[string]string{"node": "22.11.0"}, []string{"node22.11.0"}, nil},
		{map[string]string{"node": "lts"}, nil, ErrVersion},
		{map[string]string{"node": "../22"}, nil, ErrVersion},
	} {
		got, err := Choose(test.wanted)
		if !slices.Equal(names(got), test.want) || !errors.Is(err, test.err) {
			t.Errorf("%v: %v, %v", test.wanted, names(got), err)
		}
	}
	all := map[string]string{}
	for _, tool := range Catalogue() {
		all[tool.Name] = ""
	}
	if got, err := Choose(all); err != nil || len(got) != len(all) {
		t.Errorf("all: %v, %v", names(got), err)
	}
}

// get downloads for the tools of some names.
func get(t *testing.T, s Shop, wanted map[string]string) (Goods, error) {
	t.Helper()
	choices, err := Choose(wanted)
	if err != nil {
		t.Fatal(err)
	}
	goods := Goods{}
	for _, c := range choices {
		if c.Download != nil {
			if goods[c.Name], err = s.Get(t.Context(), c, goods); err != nil {
				return goods, err
			}
		}
	}
	return goods, nil
}

func TestNodeVersions(t *testing.T) {
	t.Parallel()
	s := shopOf(t, npmtest.Tools())
	for _, test := range []struct {
		asked, want string
		err         error
	}{
		{"", "24.21.0", nil}, // 25 never had long-term support, and 26 says that it has none yet
		{"22", "22.23.3", nil},
		{"22.2", "22.2.0", nil},
		{"24.9.0", "24.9.0", nil},
		{"26", "26.10.0", nil},
		{"2", "", fetch.ErrNotFound},
		{"27", "", fetch.ErrNotFound}, // a release candidate is no release
		{"99", "", fetch.ErrNotFound},
	} {
		goods, err := get(t, s, map[string]string{"node": test.asked})
		if goods["node"].Version != test.want || !errors.Is(err, test.err) {
			t.Errorf("%q: %q, %v; want %q", test.asked, goods["node"].Version, err, test.want)
		}
		if test.err != nil {
			continue
		}
		for _, file := range []string{"node.tgz", "npm.tgz"} {
			if info, err := os.Stat(filepath.Join(goods["node"].Dir, file)); err != nil || info.Size() == 0 {
				t.Errorf("%q: %v", test.asked, err)
			}
		}
	}
	left, _ := filepath.Glob(filepath.Join(s.Cache, ".tool-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestNpmFitsNode(t *testing.T) {
	t.Parallel()
	s := shopOf(t, npmtest.Tools())
	registry, err := s.registry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := registry.Package(t.Context(), "npm")
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]string{"24.21.0": "11.6.0", "22.2.0": "10.9.0", "18.20.8": "10.9.0", "16.0.0": ""} {
		if got := npmFor(pkg, node); got != want {
			t.Errorf("Node.js %s: npm %q, want %q", node, got, want)
		}
	}
}

func TestChromiumsServerNeedsItsNode(t *testing.T) {
	t.Parallel()
	s := shopOf(t, npmtest.Tools())
	goods, err := get(t, s, map[string]string{"chromium": ""})
	if err != nil || goods["chromium"].Version != "1.11.0" || goods["node"].Version != "24.21.0" {
		t.Errorf("%v, %v", goods, err)
	}
	if _, err := get(t, s, map[string]string{"chromium": "", "node": "18"}); !errors.Is(err, ErrVersion) || !strings.Contains(fmt.Sprint(err), "18.20.8") {
		t.Errorf("with Node.js 18: %v", err)
	}
}

// What is damaged on its way is not stored, and does not keep the next attempt from success.
func TestNothingUnverifiedIsStored(t *testing.T) {
	t.Parallel()
	good := npmtest.Handler(npmtest.Tools()...)
	spoilt := true
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spoilt && strings.HasSuffix(r.URL.Path, ".tgz") {
			_, _ = w.Write([]byte("something else"))
			return
		}
		good.ServeHTTP(w, r)
	}))
	defer registry.Close()
	s := shopOf(t, nil)
	s.Env = []string{"PATH=", "NPM_CONFIG_REGISTRY=" + registry.URL}
	if _, err := get(t, s, map[string]string{"node": "22"}); !errors.Is(err, fetch.ErrIntegrity) {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(s.Cache); len(left) > 0 {
		t.Errorf("stored: %v", left)
	}
	spoilt = false
	goods, err := get(t, s, map[string]string{"node": "22"})
	if err != nil {
		t.Fatal(err)
	}
	registry.CloseClientConnections()
	spoilt = true // a second time it comes out of the cache
	again, err := get(t, s, map[string]string{"node": "22"})
	if err != nil || again["node"] != goods["node"] {
		t.Errorf("%v, %v", again, err)
	}
}
