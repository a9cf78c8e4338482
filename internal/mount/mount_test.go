package mount_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/mount"
)

func TestParseSpec(t *testing.T) {
	t.Parallel()
	for spec, want := range map[string]mount.Mount{
		"/d":             {Host: "/d", Writable: true},
		"/d:ro":          {Host: "/d"},
		"/d:rw":          {Host: "/d", Writable: true},
		"/d:/vm/d":       {Host: "/d", Guest: "/vm/d", Writable: true},
		"/d:/vm/d:ro":    {Host: "/d", Guest: "/vm/d"},
		"/d:/vm/d:rw":    {Host: "/d", Guest: "/vm/d", Writable: true},
		"~":              {Host: "/home/me", Writable: true},
		"~/d:/x":         {Host: "/home/me/d", Guest: "/x", Writable: true},
		"/two words/é~:": {},
		"/d:/ro":         {Host: "/d", Guest: "/ro", Writable: true},
		"":               {},
		":":              {},
		":ro":            {},
		"/d:":            {},
		"/d::ro":         {},
		"ro":             {},
		"rel/path":       {},
		"~me/d":          {},
		"./d:ro":         {},
		"a:b:c:d":        {},
		"/a:/b:xx":       {},
		"/a:/b:RO":       {},
		"/a:/b:/c:ro":    {},
		"/a:b":           {},
		"/a:~/b":         {},
		"/a:ro:ro":       {},
	} {
		got, err := mount.ParseSpec(spec, "/home/me")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", spec, diff)
		}
		if want.Host == "" && (!errors.Is(err, mount.ErrSpec) || !strings.Contains(err.Error(), "HOST:GUEST:ro")) {
			t.Errorf("%q: got error %v", spec, err)
		}
	}
	if _, err := mount.ParseSpec("~/d", ""); err == nil {
		t.Error("a home that is not known became the root of the file system")
	}
}

func TestParseSpecProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		absolute := rapid.StringMatching(`/[^:]{0,20}`)
		want := mount.Mount{Host: absolute.Draw(t, "host"), Writable: rapid.Bool().Draw(t, "writable")}
		spec := want.Host
		if rapid.Bool().Draw(t, "elsewhere") {
			want.Guest = absolute.Draw(t, "guest")
			spec += ":" + want.Guest
		}
		if !want.Writable {
			spec += ":ro"
		}
		if got, err := mount.ParseSpec(spec, "/home/me"); err != nil || got != want {
			t.Fatalf("%q: got %+v, %v", spec, got, err)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		spec := rapid.StringMatching(`[~/:a-z.]*(:ro|:rw|:/x)?`).Draw(t, "spec")
		m, err := mount.ParseSpec(spec, "/home/me")
		if err == nil && (!filepath.IsAbs(m.Host) || m.Guest != "" && !filepath.IsAbs(m.Guest)) {
			t.Fatalf("%q: got %+v", spec, m)
		}
	})
}

// tree makes directories (and files, for names that end in "!") and returns the place they are in.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if file, ok := strings.CutSuffix(name, "!"); ok {
			err = os.WriteFile(filepath.Join(root, file), nil, 0o600)
		} else {
			err = os.MkdirAll(filepath.Join(root, name), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestResolve(t *testing.T) {
	t.Parallel()
	root := tree(t, "p/sub", "p-x", "data", "file!", "it's \"a\" \\ b #c: [d] {{e}}", "ünï")
	if err := os.Symlink("p", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(root, "p/sub-link")); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(root, name) }
	project := mount.Mount{Host: at("p"), Guest: at("p"), Writable: true, Origin: "the project"}
	odd := at("it's \"a\" \\ b #c: [d] {{e}}")

	type layers = [][]mount.Mount
	for _, test := range []struct {
		name   string
		layers layers // the first one is the base
		want   []mount.Mount
		err    string
	}{
		{name: "nothing"},
		{
			name:   "the layers add up",
			layers: layers{{project}, {{Host: at("p-x")}}, {{Host: at("data"), Guest: "/vm/d", Writable: true}}, {{Host: at("ünï")}}},
			want: []mount.Mount{
				project, {Host: at("p-x"), Guest: at("p-x")}, {Host: at("ünï"), Guest: at("ünï")}, {Host: at("data"), Guest: "/vm/d", Writable: true},
			},
		},
		{
			name:   "the nearer layer wins",
			layers: layers{nil, {{Host: at("data"), Writable: true}}, {{Host: at("data"), Guest: "/vm/a"}}, {{Host: at("data"), Guest: "/vm/b", Writable: true}}},
			want:   []mount.Mount{{Host: at("data"), Guest: "/vm/b", Writable: true}},
		},
		{
			name:   "a read-only project",
			layers: layers{{project}, {{Host: at("p"), Origin: "--mount"}}},
			want:   []mount.Mount{{Host: at("p"), Guest: at("p"), Origin: "--mount"}},
		},
		{
			name:   "a read-only project through a symbolic link stays where it was",
			layers: layers{{project}, {{Host: at("link")}}},
			want:   []mount.Mount{{Host: at("p"), Guest: at("p")}},
		},
		{
			name:   "a symbolic link is followed on the host alone",
			layers: layers{nil, {{Host: at("link/../data"), Guest: "/vm/d/"}, {Host: at("link")}}},
			want:   []mount.Mount{{Host: at("p"), Guest: at("link")}, {Host: at("data"), Guest: "/vm/d"}},
		},
		{
			name:   "duplicates are one",
			layers: layers{{project, project}, {{Host: at("data")}, {Host: at("data") + "/", Writable: true}}},
			want:   []mount.Mount{{Host: at("data"), Guest: at("data"), Writable: true}, project},
		},
		{
			name:   "one directory at two places",
			layers: layers{nil, {{Host: at("data"), Guest: "/vm/b"}, {Host: at("data"), Guest: "/vm/a"}}},
			want:   []mount.Mount{{Host: at("data"), Guest: "/vm/a"}, {Host: at("data"), Guest: "/vm/b"}},
		},
		{
			name:   "parents come first",
			layers: layers{nil, {{Host: at("p/sub")}, {Host: at("p-x")}, project, {Host: root, Writable: true}}},
			want: []mount.Mount{
				{Host: root, Guest: root, Writable: true}, project, {Host: at("p-x"), Guest: at("p-x")}, {Host: at("p/sub"), Guest: at("p/sub")},
			},
		},
		{
			name:   "another directory over one of the project's",
			layers: layers{{project}, {{Host: at("data"), Guest: at("p/sub")}}},
			want:   []mount.Mount{project, {Host: at("data"), Guest: at("p/sub")}},
		},
		{
			name:   "characters that can be carried",
			layers: layers{nil, {{Host: odd}}},
			want:   []mount.Mount{{Host: odd, Guest: odd}},
		},
		{name: "one guest path", layers: layers{{project}, {{Host: at("data"), Guest: at("p"), Origin: "--mount"}}}, err: at("p") + `" (the project) and "` + at("data") + ":" + at("p") + `:ro" (--mount) have one guest path`},
		{name: "no mount point", layers: layers{{project}, {{Host: at("data"), Guest: at("p/new")}}}, err: "where new is not a directory"},
		{name: "a link as mount point", layers: layers{{project}, {{Host: at("data"), Guest: at("p/sub-link")}}}, err: "where sub-link is not a directory"},
		{name: "a file as mount point", layers: layers{{{Host: root}}, {{Host: at("data"), Guest: at("file")}}}, err: "where file is not a directory"},
		{name: "a file", layers: layers{nil, {{Host: at("file"), Origin: "x.toml:3"}}}, err: "(x.toml:3): the host path is not a directory"},
		{name: "nothing there", layers: layers{nil, {{Host: at("nope")}}}, err: "there is no folder " + at("nope")},
		{name: "relative host", layers: layers{nil, {{Host: "p"}}}, err: "the host path is not absolute"},
		{name: "no host", layers: layers{nil, {{Guest: "/vm/d"}}}, err: "the host path is not absolute"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.layers = append(test.layers, nil)
			got, err := mount.Resolve(test.layers[0], test.layers[1:]...)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got error %v, want %q", err, test.err)
			}
		})
	}
}

func TestResolveGuestPaths(t *testing.T) {
	t.Parallel()
	root := tree(t)
	for guest, ok := range map[string]bool{
		"/tmp/x": true, "/mnt/x": true, "/vm/x": true, "/home/lima.linux/x": true, "/home/me": true, "/opt/x": true, "/data": true, "/data/": true,
		"/usr/local/share/x": true, "/var/www": true, "/procedure": true, "/run/media/me/disk": true, "/a b/'\"\\": true,
		"/": false, "//": false, "/proc": false, "/proc/": false, "/sys/x": false, "/dev": false, "/run/x": false, "/etc": false, "/etc/ssh": false,
		"/usr": false, "/usr/bin": false, "/usr/local": false, "/bin": false, "/boot/x": false, "/lib": false, "/lib64": false, "/home": false,
		"/home/lima.linux": false, "/home/lima.linux/.ssh": false, "/tmp": false, "/var": false, "/var/log/x": false, "/root": false, "/mnt": false,
		"relative": false, "/vm/../etc": false, "/vm//x": false, "/vm/./x": false, "/vm/x,y": true, "/vm/x\ny": true, "/vm/\xff": true,
	} {
		got, err := mount.Resolve(nil, []mount.Mount{{Host: root, Guest: guest}})
		if (err == nil) != ok {
			t.Errorf("%q: got %+v, %v", guest, got, err)
		}
	}
}

// Whatever byte a name can hold, its directory can be mounted.
func TestResolveOddNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a,b", "a\nb", "a\tb", "a\x7f", "a\xff", "{{a}}", "a'b\"c"} {
		dir := filepath.Join(tree(t), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Logf("%q: %v", name, err) // macOS takes nothing but UTF-8
			continue
		}
		got, err := mount.Resolve(nil, []mount.Mount{{Host: dir}})
		if err != nil || len(got) != 1 || got[0].Host != dir || got[0].Guest != dir {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
}
