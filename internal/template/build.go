package template

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// basePackages are in every guest, for Claude and for us.
var basePackages = []string{
	"ca-certificates", "curl", "git", "openssh-server", "sudo", "less", "procps", "tmux", "jq", "ripgrep", "unzip", "xz-utils",
	"bash-completion", "iproute2", "kmod", "e2fsprogs", "sshfs", "busybox-static", "cpio",
}

const (
	// imageGB is the size of a base layer's disk: that of most templates, which then need no growing.
	imageGB = 20
	// buildGB is the memory of a VM in which something is installed, in GiB.
	buildGB = 4
	// stopTime is how long removing what is half-built may take, whatever has ended the build.
	stopTime = time.Minute
)

// Spec is what a template is to be made of.
type Spec struct {
	Project                *project.Project
	Image                  string // as the user names it
	Claude                 claude.Release
	DiskGB, MemoryGB, CPUs int
	Certificates           []string // of authorities that the guest trusts, each in PEM form

	// What the project adds to the base layer:
	Packages  []string       // Debian packages
	Scripts   []guest.Script // run in this order, as the guest's user
	Mounts    []mount.Mount  // shared while the scripts run, and not in sessions
	MountType string         // how; as a session's
}

// custom says whether a template is more than its layer.
func (s Spec) custom() bool { return len(s.Packages)+len(s.Scripts) > 0 }

// Builder makes templates.
type Builder struct {
	Store
	UI  *ui.UI
	Log io.Writer // receives what runs in the VM prints
	Env []string  // NAME=value for all that runs in the VM, and that the template must not keep

	Steps []string // of the preparation of what a project adds
}

// Build makes the template of a project, or makes it anew. The old one stays in use until the new one is complete.
func (b *Builder) Build(ctx context.Context, spec Spec) (Entry, error) {
	name := spec.Project.TemplateName()
	building, err := b.State.TryLock(name+".build", state.Exclusive)
	if errors.Is(err, state.ErrLocked) {
		return Entry{}, fmt.Errorf("%w: %s", ErrBusy, name)
	}
	if err != nil {
		return Entry{}, err
	}
	defer building.Unlock()

	images, err := b.Lima.Images(ctx, spec.Image)
	if err != nil {
		return Entry{}, err
	}
	// From here on disks may lie about that nothing points to yet.
	disks, err := b.State.Lock(ctx, disksLock, state.Shared)
	if err != nil {
		return Entry{}, err
	}
	defer disks.Unlock()
	layer, err := b.base(ctx, spec, images)
	if err != nil {
		return Entry{}, err
	}

	record := layer.Record
	record.Kind, record.Project, record.Created = Template, spec.Project.Main, time.Now().UTC()
	record.DiskGB, record.MemoryGB, record.CPUs = spec.DiskGB, spec.MemoryGB, spec.CPUs
	err = b.replace(ctx, name, func(draft string) error {
		if err := b.step("copying the base layer", func() error {
			return b.Copy(ctx, layer.Name, draft, record.Machine(), record)
		}); err != nil || !spec.custom() {
			return err
		}
		return b.customize(ctx, draft, spec, &record)
	})
	return Entry{name, record}, err
}

// step runs a part of a build where the user sees it.
func (b *Builder) step(name string, run func() error) error {
	step := b.UI.Step(name)
	defer step.Fail()
	if err := run(); err != nil {
		return err
	}
	step.Done()
	return nil
}

// ErrScript means that a setup script has failed.
var ErrScript = errors.New("a setup script failed")

// customize boots the copy of a layer and adds what the project wants.
func (b *Builder) customize(ctx context.Context, vm string, spec Spec, record *Record) error {
	machine := record.Machine()
	machine.Mounts, machine.MountType = spec.Mounts, record.ShareType(spec.MountType)
	files, lines := guest.SetupFiles(spec.Scripts, b.Env)
	if err := b.step("booting it", func() error {
		if err := b.Lima.Configure(vm, machine); err != nil {
			return err
		}
		return b.Boot(ctx, vm, machine, guest.Preparation{
			Host: "vm-setup", Grow: record.DiskGB > record.SystemGB, Outfit: guest.Outfit{Files: files, Steps: b.Steps},
		})
	}); err != nil {
		return err
	}
	record.SystemGB = record.DiskGB
	if len(spec.Packages) > 0 {
		if err := b.step("installing "+strings.Join(spec.Packages, " "), func() error {
			return b.asRoot(ctx, vm, guest.Packages(spec.Packages))
		}); err != nil {
			return err
		}
	}
	for i, script := range spec.Scripts {
		err := b.step("running "+script.Name, func() error {
			err := b.Lima.Exec(ctx, vm, lima.Command{Line: lines[i], Stdout: b.Log, Stderr: b.Log})
			if code := proc.ExitCode(err); code > 0 {
				return fmt.Errorf("%w: %s ended with code %d: %w", ErrScript, script.Name, code, err)
			}
			return err
		})
		if errors.Is(err, ErrScript) && script.Phase != nil && script.Phase.ContinueOnError {
			b.UI.Warn("%v", err)
		} else if err != nil {
			return err
		}
	}
	return b.step("stopping it", func() error {
		if err := b.Lima.Exec(ctx, vm, lima.Command{Line: guest.ForgetFiles}); err != nil {
			return err
		}
		return b.seal(ctx, vm, record)
	})
}

// seal stops an instance and makes its disk one that others can stand on.
func (b *Builder) seal(ctx context.Context, vm string, record *Record) error {
	if err := b.Lima.Stop(ctx, vm); err != nil {
		return err
	}
	disk := record.Layer[:16] + "-" + Random()
	record.Disks = append(record.Disks, disk)
	if err := b.Lima.Seal(ctx, vm, filepath.Join(b.State.Disks(), disk)); err != nil {
		return err
	}
	if err := b.Lima.Configure(vm, record.Machine()); err != nil {
		return err
	}
	return WriteRecord(b.Lima, vm, *record)
}

// Machine returns the lean instance that a record describes, with nothing shared.
func (r Record) Machine() lima.Machine {
	return lima.Machine{Images: r.Images, CPUs: r.CPUs, MemoryGB: r.MemoryGB, DiskGB: r.DiskGB, DirectBoot: staticNet()}
}

// replace makes an instance under a name of its own and gives it the name that it is meant for when it is complete. If
// that fails the draft is removed, and what had the name before keeps it.
func (b *Builder) replace(ctx context.Context, name string, build func(draft string) error) (err error) {
	draft := NewName(Building, "new", Random())
	owner, err := b.State.TryLock(draft, state.Exclusive)
	if err != nil {
		return err
	}
	defer owner.Remove()
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
			defer cancel()
			err = errors.Join(err, b.Lima.Delete(ctx, draft))
		}
	}()
	if err := build(draft); err != nil {
		return err
	}
	lock, err := b.State.Lock(ctx, name, state.Exclusive) // waits for sessions that are copying the old one
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return b.Lima.Replace(ctx, draft, name)
}

// base returns the base layer for a spec, and builds it if there is none.
func (b *Builder) base(ctx context.Context, spec Spec, images []lima.Image) (Entry, error) {
	diskGB := min(spec.DiskGB, imageGB)
	print, err := fingerprint(spec, images, diskGB)
	if err != nil {
		return Entry{}, err
	}
	name := NewName(Layer, "base", print[:8])
	lock, err := b.State.TryLock(name+".build", state.Exclusive)
	if errors.Is(err, state.ErrLocked) {
		step := b.UI.Step("waiting for another claude-vm to build the base layer")
		defer step.Fail()
		if lock, err = b.State.Lock(ctx, name+".build", state.Exclusive); err == nil {
			step.Done()
		}
	}
	if err != nil {
		return Entry{}, err
	}
	defer lock.Unlock()
	if record, err := b.usable(name); err == nil && record.Layer == print {
		return Entry{name, record}, nil
	}

	record := Record{
		Kind: Layer, Created: time.Now().UTC(), Layer: print, Claude: spec.Claude.Version, Home: lima.GuestHome,
		DiskGB: diskGB, SystemGB: diskGB, MemoryGB: buildGB, CPUs: b.Lima.Accel.DefaultCPUs(), Images: images,
	}
	err = b.replace(ctx, name, func(draft string) error { return b.buildBase(ctx, draft, spec, &record) })
	return Entry{name, record}, err
}

// fingerprint names everything that goes into a base layer: with the same inputs the same layer serves.
func fingerprint(spec Spec, images []lima.Image, diskGB int) (string, error) {
	inputs := struct {
		Images                           []lima.Image
		Files                            []string
		Scripts                          []string
		Claude, Arch, Driver, User, Home string
		UID, DiskGB                      int
	}{
		Images: images, Scripts: []string{guest.Base(basePackages, spec.Certificates), guest.InstallClaude("", ""), guest.Lean(staticNet())}, Claude: spec.Claude.Digest,
		Arch: lima.Arch(), Driver: lima.Driver(runtime.GOOS), User: lima.GuestUser, Home: lima.GuestHome, UID: lima.GuestUID(), DiskGB: diskGB,
	}
	for _, image := range images {
		if strings.Contains(image.Location, "://") {
			continue // named by a digest, or renewed under its name: a rebuild is asked for
		}
		info, err := os.Stat(image.Location)
		if err != nil {
			return "", fmt.Errorf("%w: %w", lima.ErrNoImage, err)
		}
		inputs.Files = append(inputs.Files, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// shareForBuild is how the VM of a base layer sees the release. Guests that do not know it say so.
func shareForBuild() string {
	if lima.AppleVirtiofs() {
		return "virtiofs"
	}
	return "9p"
}

// staticNet says whether the guest's addresses are known beforehand.
func staticNet() bool { return lima.Driver(runtime.GOOS) == "qemu" }

// buildBase makes the base layer. Its steps, read from top to bottom, are what the layer is.
func (b *Builder) buildBase(ctx context.Context, vm string, spec Spec, record *Record) error {
	steps := []struct {
		name string
		run  func() error
	}{
		{"creating a VM from " + spec.Image, func() error {
			machine := record.Machine()
			machine.DirectBoot = record.Images[0].Kernel != nil
			machine.Mounts, machine.MountType = []mount.Mount{releaseMount(spec.Claude)}, shareForBuild()
			return b.Lima.Create(ctx, vm, machine)
		}},
		{"booting it for the first time", func() error {
			booting, err := b.Lima.Start(ctx, vm)
			if err != nil {
				return err
			}
			return booting.AwaitSSH(ctx, guest.Ready) // an image of our own says when; for others limactl does
		}},
		{"installing base packages", func() error { return b.asRoot(ctx, vm, guest.Base(basePackages, spec.Certificates)) }},
		{"installing Claude Code " + spec.Claude.Version, func() error { return b.installClaude(ctx, vm, spec.Claude) }},
		{"making its next boots short", func() error { return b.makeLean(ctx, vm, record) }},
		{"stopping it", func() error { return b.seal(ctx, vm, record) }},
	}
	for _, s := range steps {
		if err := b.step(s.name, s.run); err != nil {
			return err
		}
	}
	return nil
}

// asRoot runs a script as root in a VM. A failure shows the end of what it printed.
func (b *Builder) asRoot(ctx context.Context, vm, script string) error {
	return b.Lima.Exec(ctx, vm, lima.Command{
		Line: "sudo bash -s", Stdin: strings.NewReader(guest.Export(b.Env) + script), Stdout: b.Log, Stderr: b.Log,
	})
}

// releaseMount is the folder of a release as the VM that it is installed in sees it.
func releaseMount(release claude.Release) mount.Mount {
	return mount.Mount{Host: filepath.Dir(release.Path), Guest: "/mnt/claude-vm-release"}
}

// installClaude copies Claude Code out of a shared folder or, where the guest's kernel knows none, sends it over ssh. That
// takes five times as long without hardware help.
func (b *Builder) installClaude(ctx context.Context, vm string, release claude.Release) error {
	shared := releaseMount(release)
	err := b.asRoot(ctx, vm, guest.InstallClaude(lima.MountTag(shared), shared.Guest))
	if proc.ExitCode(err) != guest.CannotShare {
		return err
	}
	binary, err := os.Open(release.Path)
	if err != nil {
		return err
	}
	defer binary.Close()
	return b.Lima.Exec(ctx, vm, lima.Command{
		Line:  "sudo install -m 755 /dev/stdin /usr/local/bin/claude && claude --version",
		Stdin: binary, Stdout: b.Log, Stderr: b.Log,
	})
}

// makeLean prepares the guest for short boots. Under QEMU its kernel is then loaded directly, without a boot loader.
func (b *Builder) makeLean(ctx context.Context, vm string, record *Record) error {
	if err := b.asRoot(ctx, vm, guest.Lean(staticNet())); err != nil {
		return err
	}
	var shares bytes.Buffer
	if err := b.Lima.Exec(ctx, vm, lima.Command{Line: guest.ListShares, Stdout: &shares}); err != nil {
		return err
	}
	record.Shares = strings.Fields(shares.String())
	if !staticNet() {
		return nil
	}
	for part, file := range map[string]string{"kernel": guest.KernelFile, "initrd": guest.InitrdFile} {
		var content bytes.Buffer
		if err := b.Lima.Exec(ctx, vm, lima.Command{Line: "cat " + file, Stdout: &content}); err != nil {
			return err
		}
		if err := b.Lima.SetBoot(vm, part, content.Bytes()); err != nil {
			return err
		}
	}
	return b.Lima.SetBoot(vm, "kernel.cmdline", []byte(guest.KernelFlags))
}

// Plain makes an instance of a template's image in Lima's ordinary way, boots and stops it once, and hands its name and a
// free one for copies to measure. Both are removed afterwards.
func (s *Store) Plain(ctx context.Context, r Record, measure func(original, copy string) error) (err error) {
	var names []string
	for range 2 {
		name := NewName(Building, "plain", Random())
		owner, err := s.State.TryLock(name, state.Exclusive)
		if err != nil {
			return err
		}
		defer owner.Remove()
		names = append(names, name)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		for _, name := range names {
			err = errors.Join(err, s.Lima.Delete(ctx, name))
		}
	}()
	machine := r.Machine()
	machine.DirectBoot = r.Images[0].Kernel != nil
	if err := s.Lima.Create(ctx, names[0], machine); err != nil {
		return err
	}
	if err := s.Lima.StartPlain(ctx, names[0]); err != nil {
		return err
	}
	if err := s.Lima.StopPlain(ctx, names[0]); err != nil {
		return err
	}
	return measure(names[0], names[1])
}
