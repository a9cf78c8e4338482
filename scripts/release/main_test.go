package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec" // the program that was built is run
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/selfupdate"
)

const root = "../.."

// copySource makes a copy of what the program is built from.
func copySource(t *testing.T, dir string) {
	t.Helper()
	for _, file := range []string{"go.mod", "go.sum", "README.md", "LICENSE-MIT", "LICENSE-APACHE", "docs/configuration.md"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"cmd", "internal"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
}

// A page of the manual says all that the help does, and nothing of defaults that there are not.
func TestManual(t *testing.T) {
	t.Parallel()
	files, err := (&build{source: root, version: "1.2.3"}).documents()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"man/claude-vm.1", "man/claude-vm-setup.1", "man/claude-vm-config-show.1"} {
		page := string(files[name])
		for _, want := range []string{
			"\n.SH EXIT STATUS\n.TP\n\\fB0\\fP\nsuccess;", "\n.TP\n\\fB69\\fP\nthis machine lacks something: Lima, QEMU, ssh, git, an agent to forward, disk space, a guest image\n",
			"\n.SH ENVIRONMENT\n.TP\n\\fBCLAUDE_VM_HOME\\fP\nWhere ", "\\fBHTTP_PROXY, HTTPS_PROXY, NO_PROXY\\fP", "\n.SH SEE ALSO",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		for _, bad := range []string{`=""`, "=[]", "[=", "`"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s", name, bad)
			}
		}
	}
	if page := string(files["man/claude-vm-gc.1"]); !strings.Contains(page, "\\fB--unused-for\\fP=30\n") {
		t.Error("a default is missing")
	}
}

// Without a key there is a release only for those who say so, and each file is named.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	b := build{source: root, out: filepath.Join(t.TempDir(), "dist"), version: "1.2.3", env: append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000"), log: &log}
	err := prepareAndRun(t.Context(), &b, "", false)
	if _, made := os.Stat(b.out); err == nil || !strings.Contains(err.Error(), "no key to sign with") || made == nil {
		t.Errorf("got %v", err)
	}
	if err := prepareAndRun(t.Context(), &b, "", true); err != nil {
		t.Error(err)
	}
	if want := b.out + "/checksums.txt\n" + b.out + "/claude-vm.rb\n"; log.String() != want {
		t.Errorf("it says %q, want %q", log.String(), want)
	}
}

// Two builds, in two places, are the same byte for byte, and hold a program of the version.
func TestReproducible(t *testing.T) {
	t.Parallel()
	if os.Getenv("CLAUDE_VM_TEST_REAL") == "" {
		t.Skip("takes half a minute; CLAUDE_VM_TEST_REAL=1 runs it")
	}
	_, key, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var results [2]map[string]string
	for i, place := range []string{"here", "or/in/quite/another/folder"} {
		dir := filepath.Join(t.TempDir(), place)
		copySource(t, dir)
		b := build{
			source: dir, out: filepath.Join(dir, "dist"), version: "1.2.3", env: os.Environ(), key: &key,
			time: time.Unix(1700000000, 0).UTC(), platforms: []platform{{runtime.GOOS, runtime.GOARCH}}, log: io.Discard,
		}
		if err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		results[i] = read(t, b.out)
	}
	for name, content := range results[0] {
		if content != results[1][name] {
			t.Errorf("%s is another one in another place", name)
		}
	}
	archive := selfupdate.Archive(runtime.GOOS, runtime.GOARCH)
	want := []string{selfupdate.Sums, selfupdate.Signature, archive, "claude-vm.rb"}
	got := slices.Sorted(maps.Keys(results[0]))
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	inside := unpack(t, results[0][archive])
	for _, name := range []string{"LICENSE-MIT", "man/claude-vm.1", "man/claude-vm-setup.1", "completions/_claude-vm", "completions/claude-vm.bash", "completions/claude-vm.fish"} {
		if inside[name] == "" {
			t.Errorf("the archive has no %s", name)
		}
	}
	program := filepath.Join(t.TempDir(), "claude-vm")
	if err := os.WriteFile(program, []byte(inside[selfupdate.Program]), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil || string(out) != "claude-vm 1.2.3\n" {
		t.Errorf("the program says %q, %v", out, err)
	}
	if !strings.Contains(results[0]["claude-vm.rb"], "/download/v1.2.3/claude-vm-macos-aarch64.tar.gz") {
		t.Errorf("the formula is\n%s", results[0]["claude-vm.rb"])
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unpack(t *testing.T, archive string) map[string]string {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader([]byte(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(unzipped); ; {
		header, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = string(content)
	}
}
