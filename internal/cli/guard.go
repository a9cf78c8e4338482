package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/guard"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/ui"
)

const (
	// guardTime is how long putting a repository right may wait for another claude-vm, whatever has ended the session.
	guardTime = time.Minute
	// maxFiles and maxFindings are how many lines one message has.
	maxFiles    = 10
	maxFindings = 50
)

func (a *app) guards() guard.Store {
	return guard.Store{Dir: filepath.Join(string(a.state()), "state", "guard"), Locks: a.state(), Gone: a.look().RemoveOrphan}
}

// guardSite is what a guest that sees some folders may write to.
func guardSite(p *project.Project, mounts []mount.Mount) guard.Site {
	site := guard.Site{Root: p.Root, GitDirs: p.GitDirs, Main: p.Main}
	for _, m := range mounts {
		switch {
		case !m.Writable:
		case m.Origin == conversations:
			site.Plain = append(site.Plain, m.Host)
		default:
			site.Shared = append(site.Shared, m.Host)
		}
	}
	return site
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
	watch, earlier, err := a.guards().Begin(ctx, guardSite(p, mounts), mode == "restore")
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
		text := lines{"put back what " + who + " changed in git's data, where git could run it on this computer:"}
		if !r.Fixed {
			text = lines{who + " changed git's data, and git could run this on this computer (guard.git = \"warn\"):"}
		}
		a.warnList(maxFindings, slices.Concat(text, findings(r.Root, r.Findings)))
		a.warnList(maxFiles, slices.Concat(lines{who + " changed files that tools on this computer run by themselves; look at them first:"}, sanitized(r.Files)))
		text = lines{"put back what " + who + " changed in a folder where Claude writes on this computer, and only files and folders belong:"}
		if !r.Fixed {
			text = lines{who + " left what is neither file nor folder where Claude writes on this computer (guard.git = \"warn\"):"}
		}
		a.warnList(maxFindings, slices.Concat(text, findings(r.Root, r.Plain)))
		text = lines{who + " made what is dangerous to others on this computer; it is so no longer:"}
		if !r.Fixed {
			text = lines{who + " made what is dangerous to others on this computer (guard.git = \"warn\"):"}
		}
		a.warnList(maxFiles, slices.Concat(text, findings(r.Root, r.Odd)))
		a.warnList(maxFiles, slices.Concat(lines{who + " made what anybody on this computer may write to:"}, opened(r.Root, r.Open)))
		for _, dir := range r.Partial {
			a.ui.Warn("%s is too large to look at all of it: there may be more in it that a session has changed and that git or other tools run", ui.Sanitize(dir))
		}
	}
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
func (a *app) warnList(most int, text lines) {
	if most++; len(text) > most { // the heading
		text = append(text[:most:most], fmt.Sprintf("and %d more", len(text)-most))
	}
	if len(text) > 1 {
		a.ui.Warn("%v", text)
	}
}

func sanitized(names []string) (clean lines) {
	for _, name := range names {
		clean = append(clean, ui.Sanitize(name))
	}
	return clean
}

// opened names paths as seen from a project.
func opened(root string, paths []string) (short lines) {
	for _, path := range paths {
		short = append(short, ui.Sanitize(shortPath(root, path)))
	}
	return short
}

// shortPath names a path as seen from a project, where it lies in it.
func shortPath(root, path string) string {
	if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
