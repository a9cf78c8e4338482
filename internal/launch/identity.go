package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/session"
)

// gitConfig is where git in the guest reads the user's configuration before ~/.gitconfig, so that
// what a template has there stays and counts.
const gitConfig = ".config/git/config"

// gitIdentity lets commits that are made in the guest carry the user's name, if there is one: git
// says itself what it misses. And it keeps git from tidying up what it has of working trees that
// the guest does not see.
type gitIdentity struct {
	session.Nop
	work *Work
}

// Before adds git's configuration.
func (g gitIdentity) Before(ctx context.Context, spec *session.Spec) error {
	w := g.work
	id, err := w.Host.Git().Identity(ctx, w.Project.Dir)
	if err != nil {
		return err
	}
	settings := []git.Setting{
		{Key: "user.name", Value: id.Name}, {Key: "user.email", Value: id.Email},
		// it does not see the working trees that are added while it runs
		{Key: "gc.worktreePruneExpire", Value: "never"},
	}
	if w.Config.Tools.Git.Enabled || w.Config.Tools.GPG.Enabled {
		settings = append(settings, w.Host.signing(id, w.Config, w.Request.ForwardAgent)...)
	}
	settings = slices.DeleteFunc(settings, func(s git.Setting) bool { return s.Value == "" })
	spec.Files = append(spec.Files, guest.File{Path: gitConfig, Mode: "644", Content: git.File(settings)})
	return nil
}

// signing returns the settings by which the guest signs as the host does. It is not told to sign
// what it cannot: every commit would fail.
func (h Host) signing(id git.Identity, cfg *config.Config, sshAgent bool) []git.Setting {
	settings := []git.Setting{{Key: "gpg.format", Value: id.Format}}
	var obstacle string
	if id.Format == "ssh" {
		key, err := sshKey(id.SigningKey, h.Home)
		switch {
		case err != nil:
			obstacle = fmt.Sprintf("user.signingkey: %v", err)
		case !sshAgent:
			obstacle = "the VM has no ssh-agent: -A lends it yours"
		}
		id.SigningKey = key
	} else if !cfg.Tools.GPG.Enabled {
		obstacle = "the VM has no gpg-agent: tools.gpg lends it yours"
	}
	settings = append(settings, git.Setting{Key: "user.signingkey", Value: id.SigningKey})
	if !id.SignCommits && !id.SignTags {
		return settings
	}
	if obstacle != "" {
		h.UI.Warn("commits in the VM will not be signed: %s", obstacle)
		return settings
	}
	for key, on := range map[string]bool{"commit.gpgsign": id.SignCommits, "tag.gpgsign": id.SignTags} {
		if on {
			settings = append(settings, git.Setting{Key: key, Value: "true"})
		}
	}
	return settings
}

// sshKey returns a signing key as git takes it without a file: the public key itself. The private
// one is not looked at.
func sshKey(configured, home string) (string, error) {
	switch {
	case configured == "":
		return "", errors.New("is not set")
	case strings.HasPrefix(configured, "key::"), strings.HasPrefix(configured, "ssh-"):
		return configured, nil
	}
	path := configured
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		path = filepath.Join(home, rest)
	}
	if filepath.Ext(path) != ".pub" {
		path += ".pub"
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 || !strings.Contains(fields[0], "-") {
		return "", fmt.Errorf("%s is not a public key", path)
	}
	return "key::" + fields[0] + " " + fields[1], nil
}
