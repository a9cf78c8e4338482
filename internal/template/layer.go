package template

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/tool"
)

// layer is what projects share: a VM that was prepared once, stopped and sealed, for others to stand on.
type layer struct {
	says   string          // base, tools or claude
	print  string          // the fingerprint of all that goes into it
	why    string          // there is none that could be used
	record instance.Record // as the building begins
	build  func(ctx context.Context, draft string, record *instance.Record) error
}

// addition is what makes a new instance out of the copy of a sealed one.
type addition struct {
	mounts    []mount.Mount // folders of the host that are shared meanwhile
	mountType string
	prepare   guest.Preparation
	steps     []step
}

// step is a part of an addition that the user sees.
type step struct {
	name   string
	run    func(ctx context.Context, record *instance.Record) error
	goesOn bool // if what it runs fails
}

func (l layer) name() string { return instance.NewName(instance.Layer, l.says, l.print[:8]) }

// title is what people call a layer.
func title(e instance.Entry) string {
	if instance.KindOf(e.Name) == instance.Template {
		return "template"
	}
	says := strings.Split(e.Name, "_")[1]
	return map[string]string{"base": "base layer", "tools": "tools layer", "claude": "layer with Claude Code " + e.Claude}[says]
}

// since says whether an instance was made after a moment. One from the future was made before the clock was set back.
func since(r instance.Record, moment time.Time) bool {
	return r.Created.After(moment) && !r.Created.After(time.Now())
}

// digest names a value that can be written as JSON.
func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// baseLayer says what the base is that a template stands on.
func (b *Builder) baseLayer(spec Spec, images []lima.Image) (layer, error) {
	diskGB := min(spec.DiskGB, imageGB)
	print, err := fingerprint(images, baseParts(spec.Certificates), diskGB)
	return layer{says: "base", print: print, why: "there is none of this image and these packages",
		record: instance.Record{
			Claude: spec.Claude.Version, Images: images, CPUs: b.Lima.Accel.DefaultCPUs(),
			DiskGB: diskGB, SystemGB: diskGB, MemoryGB: buildGB,
		},
		build: func(ctx context.Context, draft string, record *instance.Record) error {
			return b.buildBase(ctx, draft, spec, record)
		},
	}, err
}

// FindBase returns the newest layer with Claude Code, and nothing else, on the base that a template
// of spec would stand on: nothing in it is of any project. There is none: instance.ErrNone.
func (b *Builder) FindBase(ctx context.Context, spec Spec) (instance.Entry, error) {
	images, err := b.Lima.Images(ctx, spec.Image)
	if err != nil {
		return instance.Entry{}, err
	}
	base, err := b.baseLayer(spec, images)
	if err != nil {
		return instance.Entry{}, err
	}
	record, err := b.Usable(base.name())
	if err == nil && record.Layer != base.print {
		err = instance.ErrNone
	}
	if err != nil {
		return instance.Entry{}, err
	}
	layers, err := b.List(instance.Layer)
	newest := instance.Entry{Name: base.name(), Record: record}
	for _, l := range layers {
		next := len(l.Disks) == len(record.Disks)+1 && slices.Equal(l.Disks[:len(record.Disks)], record.Disks)
		if !next || len(l.Tools) > 0 || !l.Created.After(newest.Created) {
			continue
		}
		if _, err := b.Usable(l.Name); err == nil {
			newest = l
		}
	}
	return newest, err
}

// BuildBase returns the layer with the base and a release of Claude Code, and builds what of it is
// not there.
func (b *Builder) BuildBase(ctx context.Context, spec Spec) (instance.Entry, error) {
	disks, err := b.State.Lock(ctx, instance.DisksLock, state.Shared)
	if err != nil {
		return instance.Entry{}, err
	}
	defer disks.Unlock()
	images, err := b.Lima.Images(ctx, spec.Image)
	if err != nil {
		return instance.Entry{}, err
	}
	spec.Tools = nil
	return b.layers(ctx, spec, images)
}

// layers returns the layer that a template is a copy of. Below it lie, from the bottom: the base,
// with the release of Claude Code that was current when it was built; the tools; the release that
// is wanted, if it is another one. So a new release costs one short layer, and the tools are built
// once for all projects that want the same ones.
func (b *Builder) layers(ctx context.Context, spec Spec, images []lima.Image) (instance.Entry, error) {
	began := time.Now()
	base, err := b.baseLayer(spec, images)
	if err != nil {
		return instance.Entry{}, err
	}
	goods, err := b.fetchTools(ctx, spec, base.print)
	if err != nil {
		return instance.Entry{}, err
	}
	top, err := b.layer(ctx, base, spec.Rebuild, began)
	if err == nil && len(spec.Tools) > 0 {
		top, err = b.layer(ctx, b.toolsLayer(top, spec.Tools, goods, spec.MountType), spec.Rebuild, began)
	}
	if err == nil && top.Claude != spec.Claude.Version {
		top, err = b.layer(ctx, b.claudeLayer(top, spec), spec.Rebuild, began)
	}
	return top, err
}

// layer returns a shared layer, and builds it if there is none that can be used or if it is to be made anew. Of several
// processes that want the same one, one builds it and the others wait.
func (b *Builder) layer(ctx context.Context, l layer, rebuild bool, began time.Time) (instance.Entry, error) {
	l.record.Kind, l.record.Layer = instance.Layer, l.print
	entry := instance.Entry{Name: l.name(), Record: l.record}
	lock, err := b.State.TryLock(instance.BuildLock(entry.Name), state.Exclusive)
	if errors.Is(err, state.ErrLocked) {
		err = b.step("waiting for another claude-vm to build the "+title(entry), func() (err error) {
			lock, err = b.State.Lock(ctx, instance.BuildLock(entry.Name), state.Exclusive)
			return err
		})
	}
	if err != nil {
		return entry, err
	}
	defer lock.Unlock()
	record, err := b.Usable(entry.Name)
	switch {
	case err == nil && record.Layer == l.print && !(rebuild && !since(record, began)):
		entry.Record = record
		b.UI.Info("using the %s of %s", title(entry), record.Created.Local().Format("2 January 2006, 15:04"))
		return entry, nil
	case err == nil && record.Layer == l.print:
		l.why = "as you asked"
	case err != nil && !errors.Is(err, instance.ErrNone):
		l.why = err.Error()
	}
	b.UI.Info("building the %s: %s", title(entry), l.why)
	entry.Created = time.Now().UTC()
	err = b.replace(ctx, entry.Name, func(draft string) error { return l.build(ctx, draft, &entry.Record) })
	return entry, err
}

// on returns a layer that adds something to another one. The fingerprint covers the parent's.
func (b *Builder) on(parent instance.Entry, says, print, why string, add func(draft string) addition) layer {
	return layer{says: says, print: print, why: why, record: parent.Record,
		build: func(ctx context.Context, draft string, record *instance.Record) error {
			return b.add(ctx, parent, draft, record, add(draft))
		},
	}
}

// add makes draft a copy of a sealed instance, boots it, adds to it and seals it in its turn.
func (b *Builder) add(ctx context.Context, parent instance.Entry, draft string, record *instance.Record, a addition) error {
	machine := record.Machine()
	if machine.Mounts = a.mounts; len(a.mounts) > 0 {
		var err error
		if machine.MountType, err = record.ShareType(a.mountType); err != nil {
			return err
		}
	}
	a.prepare.Host, a.prepare.Grow = "vm-setup", record.DiskGB > record.SystemGB
	record.SystemGB = record.DiskGB
	record.Disks = slices.Clip(record.Disks) // each of several children appends a disk of its own
	if err := b.step("booting a copy of the "+title(parent), func() error {
		if err := b.Copy(ctx, parent.Name, draft, machine, *record); err != nil {
			return err
		}
		return b.Boot(ctx, draft, machine, a.prepare)
	}); err != nil {
		return err
	}
	for _, s := range a.steps {
		err := b.step(s.name, func() error { return s.run(ctx, record) })
		if errors.Is(err, ErrScript) && s.goesOn {
			b.UI.Warn("%v", err)
		} else if err != nil {
			return err
		}
	}
	return b.step("stopping it", func() error {
		if err := b.Lima.Exec(ctx, draft, lima.Command{Line: guest.ForgetFiles}); err != nil {
			return err
		}
		return b.seal(ctx, draft, record)
	})
}

// claudeLayer puts the wanted release of Claude Code on a layer with another one. It belongs to that very disk: if the
// layer is made anew, so is this one.
func (b *Builder) claudeLayer(parent instance.Entry, spec Spec) layer {
	print := digest([]string{parent.Own(), guest.InstallClaude("", ""), spec.Claude.Digest})
	why := fmt.Sprintf("the %s has Claude Code %s", title(parent), parent.Claude)
	l := b.on(parent, "claude", print, why, func(draft string) addition { return b.release(parent, draft, spec.Claude) })
	l.record.Claude = spec.Claude.Version
	return l
}

// release is another release of Claude Code in the place of the one that is there.
func (b *Builder) release(parent instance.Entry, draft string, release claude.Release) addition {
	a := addition{mountType: "auto", steps: []step{
		{"installing Claude Code " + release.Version, func(ctx context.Context, _ *instance.Record) error {
			return b.installClaude(ctx, draft, release)
		}, false},
	}}
	if _, err := parent.ShareType(a.mountType); err == nil { // otherwise it goes over ssh
		a.mounts = []mount.Mount{releaseMount(release)}
	}
	return a
}

// toolsPrint is the fingerprint of the tools on a base layer. What a tool downloads counts as it was asked for: the layer
// of a tool without a version stays what it is until it is made anew, as with Debian's packages.
func toolsPrint(base string, tools []tool.Choice) string {
	return digest([]any{base, guest.Packages(nil, false), guest.Tool("", "", "", nil), guest.CheckTool("", nil), tools})
}

// fetchTools gets what the tools need from outside, if their layer has to be built: whatever is wrong with that is known
// before anything is begun.
func (b *Builder) fetchTools(ctx context.Context, spec Spec, base string) (tool.Goods, error) {
	if len(spec.Tools) == 0 {
		return nil, nil
	}
	if _, err := b.Usable(layer{says: "tools", print: toolsPrint(base, spec.Tools)}.name()); err == nil && !spec.Rebuild {
		return nil, nil
	}
	goods := tool.Goods{}
	for _, t := range spec.Tools {
		if t.Download == nil {
			continue
		}
		step := b.UI.Step("getting " + t.Name)
		shop := b.Shop
		shop.Progress = step.Progress
		var err error
		if goods[t.Name], err = shop.Get(ctx, t, goods); err != nil {
			step.Fail()
			return nil, fmt.Errorf("getting %s: %w", t.Name, err)
		}
		step.Done()
	}
	return goods, nil
}

// toolsLayer puts tools on the base layer: all their packages in one transaction, then each tool's own part, then the
// proof that it works.
func (b *Builder) toolsLayer(base instance.Entry, tools []tool.Choice, goods tool.Goods, mountType string) layer {
	var names, packages []string
	var merge []guest.File
	var mounts []mount.Mount
	for _, t := range tools {
		names = append(names, t.Name)
		packages = append(packages, t.Packages...)
		for _, doc := range t.Merge {
			merge = append(merge, guest.File{Path: doc.Path, Content: doc.JSON})
		}
		if goods[t.Name].Dir != "" {
			mounts = append(mounts, mount.Mount{Host: goods[t.Name].Dir, Guest: toolFiles + t.Name})
		}
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	list := strings.Join(names, ", ")
	l := b.on(base, "tools", toolsPrint(base.Layer, tools), "there is none with "+list, func(draft string) addition {
		var steps []step
		if len(packages) > 0 {
			steps = append(steps, step{"installing the packages of " + blame(tools, nil), func(ctx context.Context, _ *instance.Record) error {
				if err := b.asRoot(ctx, draft, guest.Packages(packages, false)); err != nil {
					return fmt.Errorf("installing the packages of %s: %w", blame(tools, err), err)
				}
				return nil
			}, false})
		}
		for _, t := range tools {
			steps = append(steps, step{"setting up " + t.Name, func(ctx context.Context, record *instance.Record) error {
				version, err := b.setUp(ctx, draft, t, goods[t.Name])
				if err != nil {
					return fmt.Errorf("setting up %s: %w", t.Name, err)
				}
				record.Tools[t.Name] = version
				return nil
			}, false})
		}
		return addition{mounts: mounts, mountType: mountType, prepare: guest.Preparation{Outfit: guest.Outfit{Merge: merge}}, steps: steps}
	})
	l.record.Tools = map[string]string{}
	maps.Copy(l.record.Tools, base.Tools)
	return l
}

// toolFiles is where the guest sees what was downloaded for a tool, while its layer is built.
const toolFiles = "/mnt/claude-vm-tool-"

var versionNumber = regexp.MustCompile(`\d+(\.\d+)+`)

// setUp does what packages cannot do for a tool, and returns the version that it turned out to be.
func (b *Builder) setUp(ctx context.Context, vm string, t tool.Choice, goods tool.Good) (version string, err error) {
	files := ""
	if goods.Dir != "" {
		files = toolFiles + t.Name
	}
	if t.Script != "" || len(t.Units) > 0 || files != "" {
		if err := b.asRoot(ctx, vm, guest.Tool(t.Name, t.Script, files, t.Units)); err != nil {
			return "", err
		}
	}
	said := proc.Limited{Most: 1 << 16}
	err = b.saidAsRoot(ctx, vm, guest.CheckTool(t.Name, t.Checks), &said)
	return versionNumber.FindString(said.String()), err
}

// blame names the tools whose packages an error of apt speaks of, or all that have any if that cannot be told.
func blame(tools []tool.Choice, failure error) string {
	var all, guilty []string
	for _, t := range tools {
		if len(t.Packages) == 0 {
			continue
		}
		all = append(all, t.Name)
		if slices.ContainsFunc(t.Packages, func(name string) bool {
			return failure != nil && regexp.MustCompile(`(?m)[Pp]ackage '?`+regexp.QuoteMeta(name)+`('| |$)`).MatchString(failure.Error())
		}) {
			guilty = append(guilty, t.Name)
		}
	}
	if len(guilty) == 0 {
		guilty = all
	}
	return strings.Join(guilty, ", ")
}
