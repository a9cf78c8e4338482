package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// guardTime is how long putting a repository right may wait for another claude-vm, whatever has ended the session.
	guardTime = time.Minute
	// maxFiles and maxFindings are how many lines one message has. What has no line is kept with all the rest for claude-vm changes.
	maxFiles    = 10
	maxFindings = 50
)

func (a *app) guards() guard.Store {
	folder := filepath.Join(string(a.state()), "state")
	return guard.Store{
		Dir: filepath.Join(folder, "guard"), Reported: filepath.Join(folder, "changes"), Locks: a.state(), Gone: a.look().RemoveOrphan,
	}
}

// guardSite is what a guest that sees some folders may write to.
func guardSite(p *project.Project, mounts []mount.Mount) guard.Site {
	site := guard.Site{Root: p.Root, GitDirs: p.GitDirs, Main: p.Main}
	for _, m := range mounts {
		if m.Writable && m.Origin != conversations { // these go through a filter
			site.Shared = append(site.Shared, m.Host)
		}
	}
	return site
}

// userSettings asks git for the configuration that holds for its user in a project, and returns who waits for the answer. It is
// asked for once, and as early as possible: beside what else comes before a session it takes no time.
func (a *app) userSettings(ctx context.Context, p *project.Project) func() []guard.Setting {
	if a.settings == nil {
		type answer struct {
			settings []git.UserSetting
			err      error
		}
		answered := make(chan answer, 1)
		go func() {
			settings, err := a.git().UserSettings(ctx, p.Root)
			answered <- answer{settings, err}
		}()
		a.settings = sync.OnceValue(func() (settings []guard.Setting) {
			found := <-answered
			if found.err != nil && !errors.Is(found.err, git.ErrNotInstalled) && ctx.Err() == nil {
				a.ui.Warn("what your git configuration names in this project is not watched: %v", found.err)
			}
			for _, s := range found.settings {
				settings = append(settings, guard.Setting(s))
			}
			return settings
		})
	}
	return a.settings
}

// watched is the project and the folders that some VMs see, whose git data is guarded; the zero value: nobody does.
type watched struct {
	a     *app
	watch *guard.Watch
}

// watchGit notes how the project and the folders that VMs see are before any of these runs.
func (a *app) watchGit(ctx context.Context, p *project.Project, mounts []mount.Mount, mode string) (watched, error) {
	if mode == "off" {
		return watched{}, nil
	}
	site := guardSite(p, mounts)
	site.Settings = a.userSettings(ctx, p)()
	watch, earlier, err := a.guards().Begin(ctx, site, mode == "restore")
	a.reportGuard(earlier, true)
	return watched{a, watch}, err
}

// add names a VM that sees what is watched, before it runs.
func (w watched) add(vm string) error {
	if w.watch == nil {
		return nil
	}
	return w.watch.Add(vm)
}

// end puts right what the VMs have done, whatever has ended them, and tells.
func (w watched) end(ctx context.Context) {
	if w.watch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), guardTime)
	defer cancel()
	report, err := w.watch.End(ctx)
	w.a.reportGuard([]guard.Report{report}, false)
	if err != nil {
		w.a.ui.Warn("guarding git's data: %v", err)
	}
}

// recoverGuard puts right what sessions left whose claude-vm was killed.
func (a *app) recoverGuard(ctx context.Context) {
	reports, err := a.guards().Recover(ctx)
	a.reportGuard(reports, true)
	if err != nil {
		a.ui.Warn("guarding git's data: %v", err)
	}
}

// lines is text of several lines that nothing from outside has broken.
type lines []string

func (l lines) String() string { return strings.Join(l, "\n") }

// reportGuard tells what sessions did to repositories: this one, or those that ended before without anybody being told.
func (a *app) reportGuard(reports []guard.Report, killed bool) {
	for _, r := range reports {
		if r.Alive != "" {
			a.ui.Warn("a VM that sees %s may still run, so that nothing was put back yet; the next claude-vm command tries again: %s",
				ui.Sanitize(r.Root), ui.Sanitize(r.Alive))
			continue
		}
		who := "this session"
		if killed {
			who = "a session in " + ui.Sanitize(r.Root) + " whose claude-vm was killed"
		}
		all := "(claude-vm changes shows all of it)"
		if r.Session != "" {
			all = fmt.Sprintf("(claude-vm changes %s shows all of it)", ui.Sanitize(r.Session))
		}
		a.warnFindings(r, r.Findings, all, "put back what "+who+" changed in git's data, where git could run it on this computer or not show you all:",
			who+" changed git's data, and git could run this on this computer or not show you all")
		text := who + " changed files that tools on this computer run by themselves; look at them first:"
		if !slices.ContainsFunc(r.Files, func(c guard.Change) bool { return c.When != guard.Perhaps }) {
			text = who + " changed files that tools on this computer may obey; look at them first:"
		}
		a.warnList(slices.Concat(lines{text}, toldChanges(r.Files, maxFiles, all)))
		a.warnFindings(r, r.Odd, all, who+" made what is dangerous to others on this computer; it is so no longer:",
			who+" made what is dangerous to others on this computer")
		a.warnOpen(r, all, who+" made what anybody on this computer may write to:")
		for _, dir := range r.Partial {
			a.ui.Warn("%s is too large to look at all of it: there may be more in it that a session has changed and that git or other tools run", ui.Sanitize(dir))
		}
	}
}

// warnFindings shows what was found, below what is true where it was put back, or where it was not.
func (a *app) warnFindings(r guard.Report, found []guard.Finding, all, fixed, left string) {
	text := lines{fixed}
	if !r.Fixed {
		text = lines{left + ` (guard.git = "warn"):`}
	}
	text = slices.Concat(text, findings(r.Root, found[:min(len(found), maxFindings)]))
	if more := len(found) - maxFindings; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more), all)
	}
	a.warnList(text)
}

// warnOpen shows what a session left open to everybody.
func (a *app) warnOpen(r guard.Report, all, heading string) {
	text := lines{heading}
	for _, path := range r.Open[:min(len(r.Open), maxFiles)] {
		text = append(text, ui.Sanitize(shortPath(r.Root, path)))
	}
	if more := len(r.Open) - maxFiles; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more), all)
	}
	a.warnList(text)
}

// findings names what was found, each on a line.
func findings(root string, found []guard.Finding) (text lines) {
	for _, f := range found {
		line := fmt.Sprintf("%s: %s", ui.Sanitize(shortPath(root, f.Path)), ui.Sanitize(f.What))
		if f.Err != nil {
			line += fmt.Sprintf(" (NOT PUT BACK: %s)", ui.Sanitize(f.Err.Error()))
		}
		text = append(text, line)
	}
	return text
}

// warnList shows a heading and what belongs to it, if there is anything.
func (a *app) warnList(text lines) {
	if len(text) > 1 {
		a.ui.Warn("%v", text)
	}
}

// shortPath names a path as seen from a project, where it lies in it.
func shortPath(root, path string) string {
	if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
