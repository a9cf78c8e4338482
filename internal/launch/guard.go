package launch

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/report"
	"github.com/themouette/claude-vm/internal/session"
)

// guardTime is how long putting a repository right may wait for another claude-vm, whatever has
// ended the session.
const guardTime = time.Minute

// Guards returns what is known of the git data that sessions may change.
func (h Host) Guards() guard.Store {
	return guard.Store{
		Dir: h.note("guard"), Reported: h.note("changes"), Locks: h.State(), Gone: h.Look().RemoveOrphan,
	}
}

// guardSite is what a guest that sees some folders may write to.
func guardSite(p *project.Project, mounts []mount.Mount) guard.Site {
	site := guard.Site{Root: p.Root, GitDirs: p.GitDirs, Main: p.Main}
	for _, m := range mounts {
		if m.Writable && m.Role != mount.Conversations { // these go through a filter
			site.Shared = append(site.Shared, m.Host)
		}
	}
	return site
}

// gitSettings asks git for the configuration that holds in the project, and returns who waits for
// the answer. It is asked for once, and as early as possible: beside what else comes before a
// session it takes no time.
func (w *Work) gitSettings(ctx context.Context) func() []git.UserSetting {
	if w.settings != nil {
		return w.settings
	}
	type answer struct {
		settings []git.UserSetting
		err      error
	}
	answered := make(chan answer, 1)
	go func() {
		settings, err := w.Host.Git().Settings(ctx, w.Project.Root)
		answered <- answer{settings, err}
	}()
	w.settings = sync.OnceValue(func() []git.UserSetting {
		found := <-answered
		if found.err != nil && !errors.Is(found.err, git.ErrNotInstalled) && ctx.Err() == nil {
			w.Host.UI.Warn("what your git configuration says for this project does not count: %v", found.err)
		}
		return found.settings
	})
	return w.settings
}

// repoGuard guards the git data of the project and of the folders that VMs see.
type repoGuard struct {
	session.Nop
	work  *Work
	watch *guard.Watch // nil: nobody guards it
}

// Before notes how all of it is.
func (g *repoGuard) Before(ctx context.Context, spec *session.Spec) error {
	return g.begin(ctx, spec.Mounts)
}

func (g *repoGuard) begin(ctx context.Context, mounts []mount.Mount) error {
	mode := g.work.Config.Guard.Git
	if mode == "off" {
		return nil
	}
	site := guardSite(g.work.Project, mounts)
	for _, s := range git.OfUser(g.work.gitSettings(ctx)()) {
		site.Settings = append(site.Settings, guard.Setting{File: s.File, Key: s.Key, Value: s.Value})
	}
	watch, earlier, err := g.work.Host.Guards().Begin(ctx, site, mode == "restore")
	g.watch = watch
	g.work.Host.tellGuard(earlier, true)
	return err
}

// Named names a VM that sees what is guarded.
func (g *repoGuard) Named(vm string) error {
	if g.watch == nil {
		return nil
	}
	return g.watch.Add(vm)
}

// After puts right what the VMs have done, and tells.
func (g *repoGuard) After(ctx context.Context, _ session.Outcome) { g.end(ctx) }

func (g *repoGuard) end(ctx context.Context) {
	if g.watch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardTime)
	defer cancel()
	report, err := g.watch.End(ctx)
	g.work.Host.tellGuard([]guard.Report{report}, false)
	if err != nil {
		g.work.Host.UI.Warn("guarding git's data: %v", err)
	}
}

// recoverGuard puts right what sessions left whose claude-vm was killed.
func (h Host) recoverGuard(ctx context.Context) {
	reports, err := h.Guards().Recover(ctx)
	h.tellGuard(reports, true)
	if err != nil {
		h.UI.Warn("guarding git's data: %v", err)
	}
}

// tellGuard tells what sessions did to repositories: this one, or those that ended before without
// anybody being told.
func (h Host) tellGuard(reports []guard.Report, killed bool) {
	for _, r := range reports {
		for _, text := range report.Warnings(r, killed) {
			h.UI.Warn("%v", text)
		}
	}
}
