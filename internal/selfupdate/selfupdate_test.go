package selfupdate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aead.dev/minisign"
	"pgregory.net/rapid"
)

func TestArchive(t *testing.T) {
	t.Parallel()
	for want, platform := range map[string][2]string{
		"claude-vm-linux-x86_64.tar.gz":  {"linux", "amd64"},
		"claude-vm-linux-aarch64.tar.gz": {"linux", "arm64"},
		"claude-vm-macos-x86_64.tar.gz":  {"darwin", "amd64"},
		"claude-vm-macos-aarch64.tar.gz": {"darwin", "arm64"},
	} {
		if got := Archive(platform[0], platform[1]); got != want {
			t.Errorf("%v: %s, want %s", platform, got, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1.2.3": "1.2.3", "v1.2.3": "1.2.3", "1.3.0-rc.1": "1.3.0-rc.1",
		"": "", "1.2": "", "latest": "", "vv1.2.3": "", "1.2.3/../../x": "", "01.2.3": "", "1.2.3+build": "",
	} {
		if got, err := ParseVersion(text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// What release.pub has is a key or nothing, but nothing in between.
func TestKey(t *testing.T) {
	t.Parallel()
	var key minisign.PublicKey
	if text := Key(); text != "" && key.UnmarshalText([]byte(text)) != nil {
		t.Errorf("release.pub has %q, which is no key", text)
	}
}

// silent is a server that takes the question and says nothing.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestNobodyWaitsLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		source := Source{HTTP: &http.Client{Transport: silent{}}, Base: "http://example.org", Key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"}
		_, err := source.Latest(t.Context())
		if !errors.Is(err, ErrUnreachable) || time.Since(begin) > 10*time.Second || !strings.HasPrefix(err.Error(), "example.org cannot be reached") {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func archive(t *testing.T, files ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, file := range files {
		if file.Typeflag == tar.TypeReg {
			file.Size = int64(len("program"))
		}
		if err := w.WriteHeader(&file); err != nil {
			t.Fatal(err)
		}
		if file.Size > 0 {
			w.Write([]byte("program"))
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestExtract(t *testing.T) {
	t.Parallel()
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755} }
	good := archive(t, file("LICENSE-MIT"), file(Program), file("man/claude-vm.1"))
	for name, test := range map[string]struct {
		archive []byte
		ok      bool
	}{
		"good":           {good, true},
		"not there":      {archive(t, file("LICENSE-MIT")), false},
		"twice":          {archive(t, file(Program), file(Program)), false},
		"elsewhere":      {archive(t, file("../"+Program), file("bin/"+Program)), false},
		"a link":         {archive(t, tar.Header{Name: Program, Typeflag: tar.TypeSymlink, Linkname: "/bin/sh"}), false},
		"a hard link":    {archive(t, file("x"), tar.Header{Name: Program, Typeflag: tar.TypeLink, Linkname: "x"}), false},
		"a folder":       {archive(t, tar.Header{Name: Program, Typeflag: tar.TypeDir}), false},
		"broken off":     {good[:len(good)/2], false},
		"not an archive": {[]byte("<html>"), false},
	} {
		var out bytes.Buffer
		if err := extract(test.archive, &out); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		} else if test.ok && out.String() != "program" {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}

// shelf is a server that has files at paths.
type shelf map[string][]byte

func (s shelf) RoundTrip(r *http.Request) (*http.Response, error) {
	content, ok := s[r.URL.Path]
	code := http.StatusOK
	if !ok {
		code = http.StatusNotFound
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(bytes.NewReader(content)), ContentLength: int64(len(content)), Request: r}, nil
}

// Whatever byte of a release is another one: it is refused, or what is installed is what was released.
func TestAnyChangeIsSeen(t *testing.T) {
	t.Parallel()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	const folder = "/releases/download/v1.2.3/"
	name := Archive("linux", "amd64")
	content := archive(t, tar.Header{Name: Program, Typeflag: tar.TypeReg, Mode: 0o755})
	sums := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(content), name)
	good := shelf{
		folder + name: content, folder + Sums: sums,
		folder + Signature: minisign.SignWithComments(private, sums, Comment("1.2.3"), "for a test"),
	}
	files := slices.Sorted(maps.Keys(good))
	install := func(files shelf) (string, error) {
		source := Source{HTTP: &http.Client{Transport: files}, Base: "http://example.org/releases/", Key: public.String()}
		release, err := source.Find(t.Context(), "1.2.3")
		if err != nil {
			return "", err
		}
		var program bytes.Buffer
		err = source.Fetch(t.Context(), release, "linux", "amd64", nil, &program)
		return program.String(), err
	}
	if program, err := install(good); program != "program" || err != nil {
		t.Fatalf("%q, %v", program, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(files).Draw(t, "file")
		spoilt := slices.Clone(good[path])
		spoilt[rapid.IntRange(0, len(spoilt)-1).Draw(t, "at")] ^= rapid.ByteRange(1, 255).Draw(t, "change")
		changed := maps.Clone(good)
		changed[path] = spoilt
		program, err := install(changed)
		if err == nil && program != "program" || err != nil && !errors.Is(err, ErrUnverified) {
			t.Fatalf("%q, %v", program, err)
		}
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	write := func(content string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, writeErr := io.WriteString(w, content)
			return errors.Join(writeErr, err)
		}
	}
	well := func(string) error { return nil }
	b := Binary(filepath.Join(t.TempDir(), "program"))
	want := func(content string, files int) {
		t.Helper()
		text, err := os.ReadFile(string(b))
		entries, _ := os.ReadDir(b.dir())
		info, statErr := os.Stat(string(b))
		if err != nil || statErr != nil || string(text) != content || len(entries) != files || info.Mode().Perm() != 0o711 {
			t.Fatalf("%q in %v, %v, want %q in one of %d files", text, info.Mode(), errors.Join(err, statErr), content, files)
		}
	}
	if err := os.WriteFile(string(b), []byte("one"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir(), ".claude-vm-new-123"), nil, 0o600); err != nil { // of one that was killed
		t.Fatal(err)
	}
	if err := b.Replace(write("two", failed), well); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	want("one", 1)
	if err := b.Replace(write("two", nil), func(path string) error {
		if text, err := os.ReadFile(path); err != nil || string(text) != "two" {
			t.Errorf("what is tried is %q, %v", text, err)
		}
		return failed
	}); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	want("one", 1)
	if err := b.Rollback(); !errors.Is(err, ErrNoPrevious) {
		t.Fatal(err)
	}
	for _, content := range []string{"two", "three"} {
		if err := b.Replace(write(content, nil), well); err != nil {
			t.Fatal(err)
		}
		want(content, 2)
	}
	if err := b.Rollback(); err != nil {
		t.Fatal(err)
	}
	want("two", 1)
}
