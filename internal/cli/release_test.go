package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/themouette/claude-vm/internal/cli"
	"github.com/themouette/claude-vm/internal/selfupdate"
)

// installed is this program as if it were a release, if the script says that it is one.
func installed(p cli.Process) cli.Process {
	p.Executable, p.ReleaseKey = os.Getenv("INSTALLED"), os.Getenv("RELEASE_KEY")
	cli.SetVersion(os.Getenv("VERSION"))
	return p
}

// releases VERSION… serves releases at $CLAUDE_VM_RELEASES, the last one as the latest, signed with the key that
// $RELEASE_KEY then is. Flags in front spoil all of them.
func releases(ts *testscript.TestScript, _ bool, args []string) {
	var how spoiled
	flags := flag.NewFlagSet("releases", flag.ContinueOnError)
	flags.BoolVar(&how.unsigned, "unsigned", false, "without a signature")
	flags.BoolVar(&how.stranger, "stranger", false, "signed with another key")
	flags.BoolVar(&how.corrupted, "corrupted", false, "the archives are not those of the checksums")
	flags.BoolVar(&how.truncated, "truncated", false, "the archives break off")
	flags.BoolVar(&how.older, "older", false, "the signed list is that of version 0.9.0")
	flags.BoolVar(&how.linked, "linked", false, "the program in the archive is a link")
	flags.BoolVar(&how.broken, "broken", false, "the program does not run")
	ts.Check(flags.Parse(args))
	public, private, err := minisign.GenerateKey(rand.Reader)
	ts.Check(err)
	files := map[string][]byte{}
	feed := ""
	for _, version := range flags.Args() {
		for name, content := range how.release(ts, version, private) {
			files["/download/v"+version+"/"+name] = content
			files["/latest/download/"+name] = content
		}
		feed += `<entry><link rel="alternate" href="https://example.org/releases/tag/v` + version + `"/></entry>`
	}
	files[".atom"] = []byte(`<feed xmlns="http://www.w3.org/2005/Atom">` + feed + `<entry><link href="/tag/v9.0.0"/></entry></feed>`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[strings.TrimPrefix(r.URL.Path, "/releases")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	}))
	ts.Defer(server.Close)
	ts.Setenv("CLAUDE_VM_RELEASES", server.URL+"/releases")
	ts.Setenv("RELEASE_KEY", public.String())
}

var keyLine = regexp.MustCompile(`(?m)^release_key=".*"$`)

// installer makes $WORK/install.sh, which is ours with the key of the releases that are served.
func installer(ts *testscript.TestScript, _ bool, _ []string) {
	text, err := os.ReadFile(root + "/install.sh")
	ts.Check(err)
	text = keyLine.ReplaceAll(text, []byte(`release_key="`+ts.Getenv("RELEASE_KEY")+`"`))
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "install.sh"), text, 0o700))
}

// The installer and the program believe in the same key.
func TestInstallerKey(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(root + "/install.sh")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(keyLine.Find(text)), fmt.Sprintf("release_key=%q", selfupdate.Key()); got != want {
		t.Errorf("install.sh has %s, want %s", got, want)
	}
}

type spoiled struct{ unsigned, stranger, corrupted, truncated, older, linked, broken bool }

// release makes the files of a release for this host.
func (how spoiled) release(ts *testscript.TestScript, version string, key minisign.PrivateKey) map[string][]byte {
	program := "#!/bin/sh\necho claude-vm " + version + "\n"
	if how.broken {
		program = "#!/bin/sh\nexit 3\n"
	}
	var archive bytes.Buffer
	zipped := gzip.NewWriter(&archive)
	files := tar.NewWriter(zipped)
	for _, file := range []*tar.Header{{Name: "LICENSE-MIT"}, {Name: selfupdate.Program}, {Name: "completions/claude-vm.bash"}, {Name: "man/claude-vm.1"}} {
		file.Mode, file.Size, file.Typeflag = 0o755, int64(len(program)), tar.TypeReg
		if how.linked && file.Name == selfupdate.Program {
			file.Typeflag, file.Linkname, file.Size = tar.TypeSymlink, "/bin/true", 0
		}
		ts.Check(files.WriteHeader(file))
		if file.Size > 0 {
			_, err := files.Write([]byte(program))
			ts.Check(err)
		}
	}
	ts.Check(errors.Join(files.Close(), zipped.Close()))
	name := selfupdate.Archive(runtime.GOOS, runtime.GOARCH)
	sums := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(archive.Bytes()), name)
	if how.stranger {
		var err error
		_, key, err = minisign.GenerateKey(rand.Reader)
		ts.Check(err)
	}
	if how.older {
		version = "0.9.0"
	}
	release := map[string][]byte{
		name:                 archive.Bytes(),
		selfupdate.Sums:      sums,
		selfupdate.Signature: minisign.SignWithComments(key, sums, selfupdate.Comment(version), "for a test"),
	}
	if how.unsigned {
		delete(release, selfupdate.Signature)
	}
	if how.truncated {
		release[name] = archive.Bytes()[:archive.Len()/2]
	}
	if how.corrupted {
		spoilt := slices.Clone(archive.Bytes())
		spoilt[len(spoilt)/2] ^= 1
		release[name] = spoilt
	}
	return release
}

// verifySignature stands in for minisign as install.sh uses it: minisign -V -Q -P KEY -m FILE.
func verifySignature() {
	flags := flag.NewFlagSet("minisign", flag.ExitOnError)
	_, _ = flags.Bool("V", false, "verify"), flags.Bool("Q", false, "print the trusted comment alone")
	public, file := flags.String("P", "", "the key"), flags.String("m", "", "the file")
	_ = flags.Parse(os.Args[1:])
	var key minisign.PublicKey
	var signature minisign.Signature
	message, err := os.ReadFile(*file)
	text, signatureErr := os.ReadFile(*file + ".minisig")
	if err := errors.Join(err, signatureErr, key.UnmarshalText([]byte(*public)), signature.UnmarshalText(text)); err != nil || !minisign.Verify(key, message, text) {
		fmt.Fprintln(os.Stderr, "Signature verification failed")
		os.Exit(1)
	}
	fmt.Println(signature.TrustedComment)
}
