package lima

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/mount"
)

var update = flag.Bool("update", false, "write the descriptions that are made now to testdata")

// What Lima is told is compared as a whole: a word more or less can open a port or share a folder.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	machines := map[string]Machine{
		"plain": {
			Images: []Image{{Location: "https://images.invalid/a.qcow2", Arch: "x86_64", Digest: "sha512:12"}},
			CPUs:   4, MemoryGB: 8, DiskGB: 20, MountType: "9p",
		},
		"full": {
			Images: []Image{{
				Location: "/images/disk.qcow2", Arch: "x86_64",
				Kernel: &Kernel{File: File{Location: "/images/vmlinuz"}, Cmdline: "root=/dev/vda"}, Initrd: &File{Location: "/images/initrd.img"},
			}},
			CPUs: 1, MemoryGB: 64, DiskGB: 1000, MountType: "9p", DirectBoot: true,
			Mounts: []mount.Mount{
				{Host: "/w/my-proj", Guest: "/w/my-proj", Writable: true},
				{Host: `/w/it's "a" {{.Dir}} #\`, Guest: "/data: x"},
			},
		},
	}
	for name, machine := range machines {
		for _, host := range []string{"linux/amd64", "linux/arm64", "darwin/arm64", "darwin/amd64"} {
			goos, goarch, _ := strings.Cut(host, "/")
			file := filepath.Join("testdata", fmt.Sprintf("%s-%s-%s.yaml", name, goos, goarch))
			doc := machine.document(goos, goarch)
			doc.Arch, doc.User.UID = "ARCH", 1234 // of this host, and of whoever runs the test
			got, err := yaml.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s: %s", file, diff)
			}
		}
	}
}

// The tags are those that MountTag in pkg/limayaml of Lima 2.2.0 makes of the same two paths.
func TestMountTag(t *testing.T) {
	t.Parallel()
	for tag, m := range map[string]mount.Mount{
		"lima-43b303caa0045354": {Host: "/w/my-proj", Guest: "/w/my-proj", Writable: true},
		"lima-078ca405c484cbc7": {Host: "/home/ann/it's {{x}}", Guest: "/data"},
	} {
		if got := MountTag(m); got != tag {
			t.Errorf("%+v: %s, want %s", m, got, tag)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		m := mount.Mount{Host: rapid.String().Draw(t, "host"), Guest: rapid.String().Draw(t, "guest")}
		want := fmt.Sprintf("lima-%x", sha256.Sum256([]byte(m.Host+":"+m.Guest)))[:len("lima-")+16]
		if got := MountTag(m); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	})
}

func TestMountOptions(t *testing.T) {
	t.Parallel()
	for want, of := range map[string]struct {
		kind     string
		writable bool
	}{
		"rw,trans=virtio,version=9p2000.L,msize=131072,cache=mmap": {"9p", true},
		"ro,trans=virtio,version=9p2000.L,msize=131072,cache=mmap": {"9p", false},
		"rw": {"virtiofs", true},
		"ro": {"virtiofs", false},
	} {
		if got := MountOptions(of.kind, mount.Mount{Writable: of.writable}); got != want {
			t.Errorf("%+v: %s", of, got)
		}
	}
}

// Lima reads a path as a template of text/template.
func TestAnyPathSurvivesLimasTemplates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("{}-. \"`/x")))).Draw(t, "path")
		parsed, err := template.New("").Parse(literal(path))
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		if err := parsed.Execute(&got, map[string]string{"Dir": "wrong"}); err != nil || got.String() != path {
			t.Fatalf("%q became %q, %v", path, got.String(), err)
		}
	})
}

// And it reads it in YAML.
func TestAnyMountSurvivesYAML(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringOf(rapid.RuneFrom([]rune("/a: \"'\\#-|>&*!%@`[]{},\u00e9\u6f22\U0001f600\u0085\u2028~"))).Draw(t, "path")
		var doc document
		if err := yaml.Unmarshal(Machine{Mounts: []mount.Mount{{Host: path, Guest: path}}}.yaml(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Mounts[0].Location != literal(path) || doc.Mounts[0].MountPoint != literal(path) {
			t.Fatalf("%q became %+v", path, doc.Mounts[0])
		}
	})
}
