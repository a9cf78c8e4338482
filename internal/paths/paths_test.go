package paths

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// names draws a path of a few names, some of which are the beginnings of others or lead upwards.
func names(t *rapid.T, label string) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "ab", "b", "..", ".", "..a", "é"}), 0, 5).Draw(t, label)
	return "/" + strings.Join(parts, "/")
}

// A path lies in a folder if its names begin with the folder's, whatever stands between.
func TestWithin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir, path := names(t, "dir"), names(t, "path")
		top := strings.TrimSuffix(filepath.Clean(dir), "/") + "/"
		want := strings.HasPrefix(filepath.Clean(path)+"/", top)
		rel, inside := Rel(dir, path)
		if inside != want || Within(dir, path) != want {
			t.Errorf("%s in %s: %v", path, dir, inside)
		}
		if inside && filepath.Join(dir, rel) != filepath.Clean(path) {
			t.Errorf("%s in %s is %s", path, dir, rel)
		}
	})
	if Within("/a", "a") || Within("/a", "") || Within("a", "/a/b") {
		t.Error("what is not absolute lies nowhere")
	}
}

// A folder is known by all of its names; what is not there lies where it would be made.
func TestHolds(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	at := func(name string) string { return filepath.Join(top, name) }
	err := errors.Join(
		os.MkdirAll(at("real/in"), 0o700), os.Symlink("real", at("link")), os.Mkdir(at("other"), 0o700), os.Symlink(at("other"), at("real/out")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		dir, path string
		want      bool
	}{
		{"real", "real", true},
		{"real", "real/in", true},
		{"real", "link/in", true},
		{"link", "real/in/not/there", true},
		{"real", "link", true},
		{"real/in", "link", false},
		{"real", "real/out", true},
		{"other", "real/out", true},
		{"real", "other", false},
		{"gone", "gone/in", false},
	} {
		if got := Holds(at(test.dir), at(test.path)); got != test.want {
			t.Errorf("%s in %s: %v", test.path, test.dir, got)
		}
	}
	if !Holds("/", top) || Holds(top, "/") {
		t.Error("all lies in the root, and it lies in nothing")
	}
}
