// Package template builds what a session starts from: layers, which are built once and shared by all projects that want the
// same, and the template of a project, a thin copy of the topmost. It knows nothing of sessions, and of a tool only what its
// description says.
package template

import (
	"context"
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
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/tool"
	"github.com/themouette/claude-vm/internal/ui"
)

// basePackages are in every guest, for Claude and for us.
var basePackages = []string{
	"ca-certificates", "curl", "git", "openssh-server", "sudo", "less", "procps", "tmux", "jq", "ripgrep", "unzip", "xz-utils",
	"bash-completion", "iproute2", "kmod", "e2fsprogs", "sshfs", "busybox-static", "cpio",
	// What a repository needs whoever works with it, and the descriptions of terminals.
	"git-lfs", "ncurses-term",
}

const (
	// imageGB is the size of a base layer's disk: that of most templates, which then need no growing.
	imageGB = 20
	// buildGB is the memory of a VM in which something is installed, in GiB.
	buildGB = 4
	// firstBootTime is how long an image may take that has never booted; Lima gives up earlier, if it does anything at all.
	firstBootTime = 20 * time.Minute
	// maxBoot is the size in bytes of the largest kernel or initrd that is taken out of a guest.
	maxBoot = 256 << 20
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

	Tools   []tool.Choice // of the layer that projects with the same tools share
	Rebuild bool          // make the shared layers anew, even those that could be used

	// What the project adds to the layers:
	Packages  []string       // Debian packages
	Scripts   []guest.Script // run in this order, as the guest's user
	Mounts    []mount.Mount  // shared while the scripts run, and not in sessions
	MountType string         // how; as a session's, and what tools download likewise
	Foreign   bool           // the project's own files chose the image, or some of the packages
}

// custom says whether a template is more than its layer.
func (s Spec) custom() bool { return len(s.Packages)+len(s.Scripts) > 0 }

// unattended says whether copies of the template may run while no session is watched.
func (s Spec) unattended() bool { return !s.Foreign && len(s.Scripts) == 0 }

// Builder makes templates.
type Builder struct {
	instance.Store
	UI   *ui.UI
	Log  io.Writer // receives what runs in the VM prints
	Env  []string  // NAME=value for all that runs in the VM, and that the template must not keep
	Shop tool.Shop // where what tools download comes from

	Steps []string // of the preparation of what a project adds

	// Watch is told the name of each VM before it runs; nil: nobody wants to know.
	Watch func(vm string) error

	// Refused is told the places of this computer and its network that a VM has looked for and was kept from.
	Refused func(places []string)
}

// Build makes the template of a project, or makes it anew. The old one stays in use until the new one is complete.
func (b *Builder) Build(ctx context.Context, spec Spec) (instance.Entry, error) {
	name := spec.Project.TemplateName()
	done, err := b.begin(ctx, name)
	if err != nil {
		return instance.Entry{}, err
	}
	defer done()
	images, err := b.Lima.Images(ctx, spec.Image)
	if err != nil {
		return instance.Entry{}, err
	}
	parent, err := b.layers(ctx, spec, images)
	if err != nil {
		return instance.Entry{}, err
	}

	if _, err := b.Usable(name); err == nil && spec.custom() {
		b.UI.Info("building the project's part again: its packages and scripts may have changed")
	}
	record := parent.Record
	record.Kind, record.Project, record.Created = instance.Template, spec.Project.Main, time.Now().UTC()
	record.DiskGB, record.MemoryGB, record.CPUs = spec.DiskGB, spec.MemoryGB, spec.CPUs
	record.Unattended = spec.unattended()
	err = b.replace(ctx, name, func(draft string) error {
		if spec.custom() {
			return b.add(ctx, parent, draft, &record, b.customization(draft, spec))
		}
		return b.step("copying the "+title(parent), func() error { return b.Copy(ctx, parent.Name, draft, record.Machine(), record) })
	})
	return instance.Entry{Name: name, Record: record}, err
}

// begin keeps others from building a template, and from removing disks that nothing points to yet.
func (b *Builder) begin(ctx context.Context, name string) (done func(), err error) {
	ours, err := b.State.TryLock(instance.BuildLock(name), state.Exclusive)
	if errors.Is(err, state.ErrLocked) {
		return nil, fmt.Errorf("%w: %s", instance.ErrBusy, name)
	}
	if err != nil {
		return nil, err
	}
	disks, err := b.State.Lock(ctx, instance.DisksLock, state.Shared)
	if err != nil {
		ours.Unlock()
		return nil, err
	}
	return func() {
		disks.Unlock()
		ours.Remove()
	}, nil
}

// Refresh puts another release of Claude Code into a template, and leaves the rest of it as it is.
func (b *Builder) Refresh(ctx context.Context, name string, release claude.Release) (instance.Entry, error) {
	done, err := b.begin(ctx, name)
	if err != nil {
		return instance.Entry{}, err
	}
	defer done()
	record, err := b.Usable(name)
	if err != nil {
		return instance.Entry{}, err
	}
	old := instance.Entry{Name: name, Record: record}
	record.Claude, record.Created = release.Version, time.Now().UTC()
	err = b.replace(ctx, name, func(draft string) error { return b.add(ctx, old, draft, &record, b.release(old, draft, release)) })
	return instance.Entry{Name: name, Record: record}, err
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

// customization is what a project adds to its layers.
func (b *Builder) customization(vm string, spec Spec) addition {
	files, lines := guest.SetupFiles(spec.Scripts, b.Env)
	a := addition{mounts: spec.Mounts, mountType: spec.MountType, prepare: guest.Preparation{Outfit: guest.Outfit{Files: files, Steps: b.Steps}}}
	if len(spec.Packages) > 0 {
		a.steps = append(a.steps, step{"installing " + strings.Join(spec.Packages, " "), func(ctx context.Context, _ *instance.Record) error {
			return b.asRoot(ctx, vm, guest.Packages(spec.Packages, true))
		}, false})
	}
	for i, script := range spec.Scripts {
		a.steps = append(a.steps, step{"running " + script.Name, func(ctx context.Context, _ *instance.Record) error {
			err := b.Lima.Exec(ctx, vm, lima.Command{Line: lines[i], Stdout: b.Log, Stderr: b.Log})
			if failed, ok := errors.AsType[*proc.Error](err); ok && failed.Code > 0 { // how it was run is nobody's concern
				return fmt.Errorf("%w: %s ended with code %d\n%s", ErrScript, script.Name, failed.Code, failed.Stderr)
			}
			return err
		}, script.Phase != nil && script.Phase.ContinueOnError})
	}
	return a
}

// seal stops an instance and makes its disk one that others can stand on.
func (b *Builder) seal(ctx context.Context, vm string, record *instance.Record) error {
	if err := b.asRoot(ctx, vm, guest.Seal()); err != nil {
		return err
	}
	if err := b.Lima.Stop(ctx, vm); err != nil {
		return err
	}
	disk := record.Layer[:16] + "-" + instance.Random()
	record.Disks = append(record.Disks, disk)
	if err := b.Lima.Seal(ctx, vm, filepath.Join(b.State.Disks(), disk)); err != nil {
		return err
	}
	if err := b.Lima.Configure(vm, record.Machine()); err != nil {
		return err
	}
	return instance.WriteRecord(b.Lima, vm, *record)
}

// replace makes an instance under a name of its own and gives it the name that it is meant for when it is complete. If
// that fails the draft is removed, and what had the name before keeps it.
func (b *Builder) replace(ctx context.Context, name string, build func(draft string) error) (err error) {
	draft := instance.NewName(instance.Building, "new", instance.Random())
	owner, err := b.State.Lock(ctx, draft, state.Exclusive)
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
	if b.Watch != nil {
		if err := b.Watch(draft); err != nil {
			return err
		}
	}
	building, done := context.WithCancel(ctx)
	go b.Tend(building, b.UI, draft)
	err = build(draft)
	done()
	b.Refused(b.Lima.Refused(draft))
	if err != nil {
		return err
	}
	lock, err := b.State.Lock(ctx, name, state.Exclusive) // waits for sessions that are copying the old one
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return b.Lima.Replace(ctx, draft, name)
}

// fingerprint names everything that goes into a base layer: with the same inputs the same layer serves. The release of
// Claude Code is not one of them: a newer one goes into a layer of its own.
func fingerprint(images []lima.Image, parts []string, diskGB int) (string, error) {
	inputs := struct {
		Images                   []lima.Image
		Files                    []string
		Parts                    []string
		Arch, Driver, User, Home string
		UID, DiskGB              int
	}{
		Images: images, Parts: parts,
		Arch: lima.Arch(), Driver: lima.Driver(runtime.GOOS), User: lima.GuestUser, Home: lima.GuestHome, UID: lima.GuestUID(), DiskGB: diskGB,
	}
	for _, image := range images {
		files := []string{image.Location}
		if image.Kernel != nil {
			files = append(files, image.Kernel.Location)
		}
		if image.Initrd != nil {
			files = append(files, image.Initrd.Location)
		}
		for _, file := range files {
			if remote(file) {
				continue // named by a digest, or renewed under its name: a rebuild is asked for
			}
			info, err := os.Stat(file)
			if err != nil {
				return "", fmt.Errorf("%w: %w", lima.ErrNoImage, err)
			}
			inputs.Files = append(inputs.Files, fmt.Sprint(info.Size(), info.ModTime().UnixNano()))
		}
	}
	return digest(inputs), nil
}

// baseParts is what we put into a base layer.
func baseParts(certificates []string) []string {
	return []string{guest.Base(basePackages, certificates, need9p()), guest.InstallClaude("", ""), guest.Lean(instance.StaticNet()), guest.Seal(), guest.KernelFlags}
}

// remote says whether a file of an image is not on this machine, unless Lima has downloaded it earlier.
func remote(location string) bool { return strings.Contains(location, "://") }

// shareForBuild is how the VM of a base layer sees the release. Guests that do not know it say so.
func shareForBuild() string {
	if lima.AppleVirtiofs() {
		return "virtiofs"
	}
	return "9p"
}

// need9p says whether folders are shared over 9p: by QEMU, and it is the only one that keeps the guest to them.
func need9p() bool { return !lima.AppleVirtiofs() }

// buildBase makes the base layer. Its steps, read from top to bottom, are what the layer is.
func (b *Builder) buildBase(ctx context.Context, vm string, spec Spec, record *instance.Record) error {
	steps := []struct {
		name string
		run  func() error
	}{
		{"creating a VM from " + spec.Image, func() error {
			if remote(record.Images[0].Location) {
				b.UI.Detail("Lima downloads the image unless it has it") // how far it is, it says to a terminal alone
			}
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
			ctx, cancel := context.WithTimeoutCause(ctx, firstBootTime, fmt.Errorf("nothing was heard of it for %v", firstBootTime))
			defer cancel()
			return booting.AwaitSSH(ctx, guest.Ready) // an image of our own says when; for others limactl does
		}},
		{"installing base packages", func() error { return b.asRoot(ctx, vm, guest.Base(basePackages, spec.Certificates, need9p())) }},
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

// asRoot runs a script as root in a VM. The step that is going on shows how far apt is, a failure the end of what was printed.
func (b *Builder) asRoot(ctx context.Context, vm, script string) error {
	out := guest.AptProgress(b.Log, b.UI.Detail)
	defer out.Close()
	return b.saidAsRoot(ctx, vm, script, out)
}

// saidAsRoot is asRoot with what the script prints on its standard output.
func (b *Builder) saidAsRoot(ctx context.Context, vm, script string, out io.Writer) error {
	return b.Lima.Exec(ctx, vm, lima.Command{
		Line: "sudo bash -s", Stdin: strings.NewReader(guest.Export(b.Env) + script), Stdout: out, Stderr: b.Log,
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
func (b *Builder) makeLean(ctx context.Context, vm string, record *instance.Record) error {
	if err := b.asRoot(ctx, vm, guest.Lean(instance.StaticNet())); err != nil {
		return err
	}
	shares := proc.Limited{Most: 1 << 16}
	if err := b.Lima.Exec(ctx, vm, lima.Command{Line: guest.ListShares, Stdout: &shares}); err != nil {
		return err
	}
	record.Shares = strings.Fields(shares.String())
	if !instance.StaticNet() {
		return nil
	}
	for part, file := range map[string]string{"kernel": guest.KernelFile, "initrd": guest.InitrdFile} {
		content := proc.Limited{Most: maxBoot}
		if err := b.Lima.Exec(ctx, vm, lima.Command{Line: "cat " + file, Stdout: &content}); err != nil {
			return err
		}
		if err := b.Lima.SetBoot(vm, part, content.Bytes()); err != nil {
			return err
		}
	}
	return b.Lima.SetBoot(vm, "kernel.cmdline", []byte(guest.KernelFlags))
}
