// Release builds what a release of claude-vm consists of: an archive for each platform, the list of their checksums, the
// signature of that list if there is a key, and a Homebrew formula. It publishes nothing. The same source gives the same
// bytes, whoever builds it with the same Go.
package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"aead.dev/minisign"
	"github.com/spf13/cobra/doc"

	"github.com/themouette/claude-vm/internal/cli"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/selfupdate"
)

func main() {
	var b build
	flag.StringVar(&b.version, "version", "", "`version` of the release, such as 1.2.3")
	flag.StringVar(&b.out, "out", "dist", "`folder` to write to, which is emptied first")
	keyFile := flag.String("key", "", "minisign secret key `file` to sign with; MINISIGN_PASSWORD is its password")
	unsigned := flag.Bool("unsigned", false, "do without a key")
	flag.Parse()
	b.source, b.env, b.platforms, b.log = ".", os.Environ(), platforms(), os.Stdout
	ctx, stop := cli.Signals()
	defer stop()
	if err := prepareAndRun(ctx, &b, *keyFile, *unsigned); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func prepareAndRun(ctx context.Context, b *build, keyFile string, unsigned bool) (err error) {
	if b.version, err = selfupdate.ParseVersion(b.version); err != nil {
		return fmt.Errorf("-version: %w", err)
	}
	if keyFile == "" && !unsigned {
		return errors.New("there is no key to sign with: give its file with -key (RELEASE_KEY=FILE), or say that it is not to be signed with -unsigned (UNSIGNED=1)")
	}
	if keyFile != "" {
		key, err := minisign.PrivateKeyFromFile(proc.Getenv(b.env, "MINISIGN_PASSWORD"), keyFile)
		if err != nil {
			return fmt.Errorf("reading %s: %w", keyFile, err)
		}
		if public := key.Public().(minisign.PublicKey); public.String() != selfupdate.Key() {
			return fmt.Errorf("the public key of %s is %s, which is not the one in internal/selfupdate/release.pub", keyFile, public)
		}
		b.key = &key
	}
	if b.time, err = commitTime(ctx, b.env); err != nil {
		return err
	}
	return b.run(ctx)
}

// commitTime is the time of everything in a release.
func commitTime(ctx context.Context, env []string) (time.Time, error) {
	text := proc.Getenv(env, "SOURCE_DATE_EPOCH")
	if text == "" {
		out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"git", "log", "-1", "--format=%ct"}, Env: env})
		if err != nil {
			return time.Time{}, err
		}
		text = strings.TrimSpace(string(out))
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

type platform struct{ os, arch string }

func platforms() []platform {
	return []platform{{"darwin", "amd64"}, {"darwin", "arm64"}, {"linux", "amd64"}, {"linux", "arm64"}}
}

// build is one run.
type build struct {
	source, out, version string
	env                  []string
	time                 time.Time
	platforms            []platform
	key                  *minisign.PrivateKey // nil: no signature
	log                  io.Writer            // gets the name of each file that is made
}

func (b *build) run(ctx context.Context) error {
	if err := errors.Join(os.RemoveAll(b.out), os.MkdirAll(b.out, 0o755)); err != nil {
		return err
	}
	files, err := b.documents()
	if err != nil {
		return err
	}
	sums := map[string]string{}
	for _, p := range b.platforms {
		program, err := b.compile(ctx, p)
		if err != nil {
			return err
		}
		files[selfupdate.Program] = program
		archive, err := b.archive(files)
		if err != nil {
			return err
		}
		name := selfupdate.Archive(p.os, p.arch)
		sums[name] = fmt.Sprintf("%x", sha256.Sum256(archive))
		if err := b.write(name, archive); err != nil {
			return err
		}
	}
	var list bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(&list, "%s  %s\n", sums[name], name) // as sha256sum --check reads it
	}
	if err := b.write(selfupdate.Sums, list.Bytes()); err != nil {
		return err
	}
	if b.key != nil {
		comment := selfupdate.Comment(b.version)
		if err := b.write(selfupdate.Signature, minisign.SignWithComments(*b.key, list.Bytes(), comment, comment)); err != nil {
			return err
		}
	}
	return b.formula(sums)
}

func (b *build) write(name string, content []byte) error {
	path := filepath.Join(b.out, name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		return err
	}
	_, err := fmt.Fprintln(b.log, path)
	return err
}

// compile returns the program for a platform.
func (b *build) compile(ctx context.Context, p platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "claude-vm-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, selfupdate.Program)
	err = proc.Run(ctx, proc.Cmd{
		Argv: []string{
			cmp.Or(proc.Getenv(b.env, "GO"), "go"), "build", "-trimpath", "-buildvcs=auto",
			"-ldflags", "-s -w -buildid= -X github.com/themouette/claude-vm/internal/cli.version=" + b.version,
			"-o", program, "./cmd/claude-vm",
		},
		Dir: b.source,
		Env: append(slices.Clone(b.env), "CGO_ENABLED=0", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0"),
	})
	if err != nil {
		return nil, err
	}
	return os.ReadFile(program)
}

// documents returns what an archive holds beside the program.
func (b *build) documents() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range []string{"LICENSE-APACHE", "LICENSE-MIT", "README.md"} {
		content, err := os.ReadFile(filepath.Join(b.source, name))
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	root := cli.Command()
	for name, generate := range map[string]func(io.Writer) error{
		"claude-vm.bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_claude-vm":     root.GenZshCompletion,
		"claude-vm.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		var out bytes.Buffer
		if err := generate(&out); err != nil {
			return nil, err
		}
		files["completions/"+name] = out.Bytes()
	}
	dir, err := os.MkdirTemp("", "claude-vm-man-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	root.DisableAutoGenTag = true
	header := doc.GenManHeader{Section: "1", Date: &b.time, Source: "claude-vm " + b.version, Manual: "claude-vm"}
	if err := doc.GenManTree(root, &header, dir); err != nil {
		return nil, err
	}
	pages, err := os.ReadDir(dir)
	variables, readErr := os.ReadFile(filepath.Join(b.source, "docs", "configuration.md"))
	err = errors.Join(err, readErr)
	for _, page := range pages {
		content, readErr := os.ReadFile(filepath.Join(dir, page.Name()))
		err = errors.Join(err, readErr)
		files["man/"+page.Name()] = manual(content, string(variables))
	}
	return files, err
}

// archive packs files in the order of their names, all of the same time and of nobody.
func (b *build) archive(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(files[name])), Mode: 0o644, ModTime: b.time, Format: tar.FormatUSTAR}
		if name == selfupdate.Program {
			header.Mode = 0o755
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), zipped.Close())
	return out.Bytes(), err
}

//go:embed formula.rb.tmpl
var formula string

// formula writes what a Homebrew tap needs.
func (b *build) formula(sums map[string]string) error {
	parsed, err := template.New("formula").Parse(formula)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	err = parsed.Execute(&out, map[string]any{
		"Version": b.version, "Base": selfupdate.DefaultBase, "Sums": sums,
	})
	if err != nil {
		return err
	}
	return b.write("claude-vm.rb", out.Bytes())
}
