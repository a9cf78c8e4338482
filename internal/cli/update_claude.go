package cli

import (
	"context"

	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/template"
)

// updateClaude puts the release of Claude Code that the configuration asks for into this project's template.
func (a *app) updateClaude(ctx context.Context) error {
	p, cfg, err := a.here(ctx)
	if err != nil {
		return err
	}
	if _, err := a.agreed(ctx, p, cfg); err != nil {
		return err
	}
	store, err := a.machines(ctx, cfg)
	if err != nil {
		return err
	}
	record, lock, err := store.Find(ctx, p.TemplateName())
	if err != nil {
		return err
	}
	lock.Unlock()
	entry, err := a.build(ctx, store, cfg, sessionGB, func(b *template.Builder, release claude.Release) (instance.Entry, error) {
		if release.Version == record.Claude {
			return instance.Entry{Name: p.TemplateName(), Record: record}, nil
		}
		return b.Refresh(ctx, p.TemplateName(), release)
	})
	if err != nil {
		return err
	}
	return a.print("template %s has Claude Code %s\n", entry.Name, entry.Claude)
}

// sayOldClaude says that a template has another release of Claude Code than the one that is wanted, as far as that can be
// told without asking the network: a version that the configuration names, or a newer one that another setup has fetched.
func (a *app) sayOldClaude(cfg *config.Config, record instance.Record) {
	wanted := cfg.Claude.Version
	if !semver.IsValid("v" + wanted) {
		releases, err := claude.Cached(a.state().Cache(), lima.Arch())
		if err != nil || len(releases) == 0 || semver.Compare("v"+releases[0].Version, "v"+record.Claude) < 0 {
			return
		}
		wanted = releases[0].Version
	}
	if wanted != record.Claude {
		a.ui.Warn("this template has Claude Code %s, and not %s", record.Claude, wanted)
		a.ui.Hint("claude-vm update --claude changes that, and nothing else")
	}
}
