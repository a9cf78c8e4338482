package launch

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// claudeHome is what Claude finds in its home: its first answers, and what the user shares of their
// own.
type claudeHome struct {
	session.Nop
	work   *Work
	held   func() claude.Login // that the session is given
	shared *claude.Shared
}

// Before adds the files that Claude reads first, and looks for what the user shares.
func (c *claudeHome) Before(_ context.Context, spec *session.Spec) (err error) {
	if c.shared, err = c.work.Host.shared(c.work.Config); err != nil {
		return err
	}
	return addHome(c.work.Project, c.held(), c.shared.Settings, spec)
}

// Ready sends what is shared.
func (c *claudeHome) Ready(ctx context.Context, g session.Guest) error {
	return send(ctx, g.Exec, c.shared)
}

// shared returns what the user gives of their own ~/.claude, and says what of it stays here, unless
// that has been said.
func (h Host) shared(cfg *config.Config) (*claude.Shared, error) {
	var parts []string
	for _, item := range cfg.Claude.Share {
		parts = append(parts, item.Value)
	}
	shared, err := claude.Share(filepath.Join(h.Home, ".claude"), lima.GuestHome+"/.claude", parts)
	if err != nil || len(parts) == 0 {
		return shared, err
	}
	var said []string
	file := h.note("shared.json")
	if _ = state.ReadJSON(file, &said); slices.Equal(said, shared.Left) {
		return shared, nil
	}
	for _, left := range shared.Left {
		h.UI.Info("not shared from ~/.claude: %s", ui.Sanitize(left))
	}
	return shared, state.WriteJSON(file, shared.Left)
}

// send copies files into the guest's home.
func send(ctx context.Context, exec session.Exec, shared *claude.Shared) error {
	if shared.Empty() {
		return nil
	}
	reader, writer := io.Pipe()
	go func() {
		_, err := shared.WriteTo(writer)
		writer.CloseWithError(err)
	}()
	err := exec(ctx, lima.Command{Line: guest.Receive, Stdin: reader})
	_ = reader.Close() // if nobody has read to the end
	if err != nil {
		return fmt.Errorf("sharing ~/.claude: %w", err)
	}
	return nil
}

// addHome adds what Claude is to find in its home.
func addHome(p *project.Project, held claude.Login, settings []byte, spec *session.Spec) error {
	answers := claude.Answers{
		Dirs:            []string{spec.Command.Dir, guestPath(spec.Mounts, p.Main)},
		APIKey:          proc.Getenv(spec.Command.Env, "ANTHROPIC_API_KEY"),
		SkipPermissions: true,
		Login:           held,
	}
	account, err := claude.FirstRun(nil, answers)
	if err != nil {
		return err
	}
	settings, err = claude.Settings(settings, answers)
	if err != nil {
		return err
	}
	spec.Merge = append(spec.Merge,
		guest.File{Path: claude.StateFile, Content: string(account)},
		guest.File{Path: ".claude/settings.json", Content: string(settings)},
	)
	return nil
}
