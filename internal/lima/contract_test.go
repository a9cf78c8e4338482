package lima

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec" // prepares what limactl is given
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/themouette/claude-vm/internal/lima/limatest"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
)

// TestMain puts the stand-in for Lima on the PATH of the tests.
func TestMain(m *testing.M) { testscript.Main(m, limatest.Commands()) }

// shortTemp returns a folder whose path is short enough for Lima's sockets.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cvm-lima-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// unique returns an instance name that nobody else on this machine has: deleting an instance ends whatever works for it.
func unique() string {
	var b [6]byte
	_, _ = rand.Read(b[:])
	return "test-" + hex.EncodeToString(b[:])
}

// fakeEnv is the environment of programs that find the stand-in first.
func fakeEnv(t *testing.T, more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "FAKE_DIR=" + t.TempDir()}, more...)
}

// realEnv is an environment in which the stand-in is not found.
func realEnv(t *testing.T) []string {
	t.Helper()
	if os.Getenv("CLAUDE_VM_TEST_REAL") == "" {
		t.Skip("set CLAUDE_VM_TEST_REAL=1 to try this with the limactl that is on PATH")
	}
	fake, err := exec.LookPath("limactl")
	if err != nil {
		t.Fatal(err)
	}
	path := strings.ReplaceAll(os.Getenv("PATH"), filepath.Dir(fake)+":", "")
	env := []string{"PATH=" + path, "HOME=" + os.Getenv("HOME")}
	if _, err := proc.Find(env, "limactl"); err != nil {
		t.Fatal(err)
	}
	return env
}

// The stand-in is worth as much as it agrees with Lima: both are held to the same contract.

func TestContractOfTheStandIn(t *testing.T) {
	t.Parallel()
	contract(t, fakeEnv(t))
}

func TestContractOfLima(t *testing.T) {
	t.Parallel()
	contract(t, realEnv(t))
}

func contract(t *testing.T, env []string) {
	dir := shortTemp(t)
	one, two, three, half := unique(), unique(), unique(), unique()
	ctx := t.Context()
	c, err := Find(ctx, filepath.Join(dir, "vm"), env)
	if err != nil {
		t.Fatal(err)
	}
	c.Log = t.Output()
	exists := func(name, file string) bool {
		_, err := os.Lstat(filepath.Join(c.Dir(name), file))
		return err == nil
	}
	refused := func(err error, reason string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
	}

	// Everything that our descriptions can say is accepted, and looked at no sooner than at the start.
	machine := Machine{
		Images: image(t, dir, env), CPUs: 1, MemoryGB: 1, DiskGB: 1, DirectBoot: true, MountType: "9p",
		Mounts: []mount.Mount{{Host: dir, Guest: dir, Writable: true}, {Host: dir + "/image", Guest: "/mnt/{{x}} 'y'"}},
	}
	if err := c.Create(ctx, one, machine); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"lima.yaml", "disk", "kernel", "initrd", "kernel.cmdline", "cloud-config.yaml"} {
		if !exists(one, file) {
			t.Errorf("create made no %s", file)
		}
	}
	if got := c.Status(one); got != Stopped {
		t.Errorf("after create: %s", got)
	}
	list := c.command("list") // as people are told to look for themselves
	list.Stdout = nil
	if out, err := proc.Output(ctx, list); err != nil || !strings.Contains(string(out), one) {
		t.Errorf("limactl list prints %q, %v", out, err)
	}
	refused(c.Create(ctx, one, machine), "already exists")
	refused(c.Create(ctx, "bad__"+one, machine), "not a valid identifier")

	// A clone is a copy.
	if err := os.WriteFile(filepath.Join(c.Dir(one), "ours"), []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(one), "x.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Clone(ctx, one, two); err != nil {
		t.Fatal(err)
	}
	if !exists(two, "disk") || !exists(two, "kernel") || !exists(two, "ours") || exists(two, "x.tmp") {
		t.Error("the clone has not the files that it should have")
	}
	refused(c.Clone(ctx, one, two), "already exists")
	refused(c.Clone(ctx, unique(), three), "not found")

	if Driver(runtime.GOOS) == "qemu" {
		sealed(t, c, one, filepath.Join(dir, "disks", "sealed"))
	}

	// An instance is its folder: it can be moved.
	if err := c.Replace(ctx, two, one); err != nil {
		t.Fatal(err)
	}
	if exists(two, "") || !exists(one, "ours") {
		t.Error("two did not take the place of one")
	}
	if err := c.Clone(ctx, one, three); err != nil {
		t.Error(err)
	}

	// Whatever is left of an instance can be deleted, and what is not there too.
	if err := os.MkdirAll(filepath.Join(c.Dir(half), "cidata"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir(three), "lima.yaml"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{one, one, half, three, unique()} {
		if err := c.Delete(ctx, name); err != nil {
			t.Errorf("deleting %s: %v", name, err)
		}
	}
	if names, err := c.Instances(); err != nil || len(names) > 0 {
		t.Errorf("left are %v, %v", names, err)
	}
}

// sealed seals an instance and copies it as templates and sessions are copied.
func sealed(t *testing.T, c *Client, one, folder string) {
	ctx := t.Context()
	template, session := unique(), unique()
	if err := c.Seal(ctx, one, folder); err != nil {
		t.Fatal(err)
	}
	for i, from := range []string{one, template} {
		to := []string{template, session}[i]
		if err := c.Clone(ctx, from, to); err != nil {
			t.Fatal(err)
		}
		if err := c.Link(to, folder); err != nil {
			t.Fatal(err)
		}
		if err := c.CheckSealed(to, folder); err != nil {
			t.Error(err)
		}
	}
	disk, err := os.ReadFile(filepath.Join(c.Dir(session), "disk"))
	if err != nil || !bytes.Contains(disk, []byte(folder+"/disk")) {
		t.Errorf("the disk of a copy does not stand on the sealed one: %v", err)
	}
	for _, part := range parts {
		if info, err := os.Stat(filepath.Join(folder, part)); err != nil || info.Mode().Perm() != 0o400 {
			t.Errorf("%s is not sealed: %v, %v", part, info, err)
		}
	}
	for _, part := range parts[1:] {
		if target, err := os.Readlink(filepath.Join(c.Dir(session), part)); err != nil || target != filepath.Join(folder, part) {
			t.Errorf("the copy of a copy has a %s of its own: %v", part, err)
		}
	}
	for _, name := range []string{template, session} {
		if err := c.Delete(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if err := c.CheckSealed(one, folder); err != nil {
		t.Errorf("deleting a copy has hurt the original: %v", err)
	}
}

// image makes an image folder of nothing.
func image(t *testing.T, dir string, env []string) []Image {
	t.Helper()
	folder := filepath.Join(dir, "image")
	files := map[string]string{"vmlinuz": "a kernel\n", "initrd.img": "an initrd\n", "cmdline": "quiet\n", "disk.qcow2": "a disk\n"}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if os.Getenv("CLAUDE_VM_TEST_REAL") != "" {
		err := proc.Run(t.Context(), proc.Cmd{Env: env, Argv: []string{"qemu-img", "create", "-q", "-f", "qcow2", filepath.Join(folder, "disk.qcow2"), "1M"}})
		if err != nil && !strings.Contains(fmt.Sprint(err), "unknown arguments") { // the stand-in's disks are text
			t.Fatal(err)
		}
	}
	images, err := (&Client{}).Images(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	return images
}
