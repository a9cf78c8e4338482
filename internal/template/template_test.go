package template

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	when := time.Now().Add(-time.Hour)
	write := func(name, content string, when time.Time) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path(name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	// inputs are made anew each time, for a case to change one of them.
	type inputs struct {
		images []lima.Image
		parts  []string
		diskGB int
	}
	fresh := func() *inputs {
		for _, name := range []string{"disk", "kernel", "other kernel", "initrd", "other initrd"} {
			write(name, "content", when)
		}
		return &inputs{
			images: []lima.Image{{
				Location: path("disk"), Arch: "x86_64", Digest: "sha256:12", Variant: "v",
				Kernel: &lima.Kernel{File: lima.File{Location: path("kernel"), Digest: "k"}, Cmdline: "quiet"},
				Initrd: &lima.File{Location: path("initrd"), Digest: "i"},
			}},
			parts:  baseParts(nil),
			diskGB: 20,
		}
	}
	of := func(in *inputs) string {
		t.Helper()
		print, err := fingerprint(in.images, in.parts, in.diskGB)
		if err != nil {
			t.Fatal(err)
		}
		return print
	}
	first := of(fresh())
	if ok, _ := regexp.MatchString(`^[0-9a-f]{64}$`, first); !ok {
		t.Errorf("%q", first)
	}
	seen := map[string]string{"the same": first}
	for name, change := range map[string]func(*inputs){
		"certificates":            func(in *inputs) { in.parts = baseParts([]string{"PEM"}) },
		"flags of its own kernel": func(in *inputs) { in.parts[slices.Index(in.parts, guest.KernelFlags)] = "quiet" },
		"size of the disk":        func(in *inputs) { in.diskGB = 19 },
		"one more image":          func(in *inputs) { in.images = append(in.images, lima.Image{Location: "https://x.invalid"}) },
		"arch":                    func(in *inputs) { in.images[0].Arch = "" },
		"digest":                  func(in *inputs) { in.images[0].Digest = "sha256:13" },
		"variant":                 func(in *inputs) { in.images[0].Variant = "" },
		"kernel":                  func(in *inputs) { in.images[0].Kernel.Location = path("other kernel") },
		"kernel's digest":         func(in *inputs) { in.images[0].Kernel.Digest = "l" },
		"kernel's arguments":      func(in *inputs) { in.images[0].Kernel.Cmdline = "" },
		"initrd":                  func(in *inputs) { in.images[0].Initrd.Location = path("other initrd") },
		"no initrd":               func(in *inputs) { in.images[0].Initrd = nil },
		"no kernel":               func(in *inputs) { in.images[0].Kernel = nil },
		"location":                func(in *inputs) { in.images[0].Location = "https://x.invalid" },
		"new content":             func(*inputs) { write("disk", "longer content", when) },
		"image built anew":        func(*inputs) { write("disk", "content", when.Add(time.Minute)) },
		"new kernel":              func(*inputs) { write("kernel", "longer content", when) },
		"kernel built anew":       func(*inputs) { write("kernel", "content", when.Add(time.Minute)) },
		"new initrd":              func(*inputs) { write("initrd", "longer content", when) },
		"initrd built anew":       func(*inputs) { write("initrd", "content", when.Add(time.Minute)) },
	} {
		in := fresh()
		change(in)
		print := of(in)
		for other, same := range seen {
			if print == same {
				t.Errorf("%q and %q have one fingerprint", name, other)
			}
		}
		seen[name] = print
	}

	for _, gone := range []string{"disk", "kernel", "initrd"} {
		in := fresh()
		if err := os.Remove(path(gone)); err != nil {
			t.Fatal(err)
		}
		if _, err := fingerprint(in.images, in.parts, in.diskGB); !errors.Is(err, lima.ErrNoImage) {
			t.Errorf("a %s that is not there: %v", gone, err)
		}
	}
}
