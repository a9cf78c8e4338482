package launch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/paths"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// Where git in the guest reads what is the user's. It reads gitConfig before ~/.gitconfig, so that
// what a template has there stays and counts.
const (
	gitConfig     = ".config/git/config"
	gitIgnore     = ".config/git/ignore"
	gitAttributes = ".config/git/attributes"
	gitTemplate   = ".config/git/commit-template"
)

// gitHome has git in the guest do what git does here: commits carry the user's name, what the user
// ignores is ignored, and what decides how a command works is set. What cannot be brought is named.
// It also keeps git from tidying up what it has of working trees that the guest does not see.
type gitHome struct {
	session.Nop
	work *Work
}

// Before adds git's configuration, and says what is missing.
func (g gitHome) Before(ctx context.Context, spec *session.Spec) error {
	w := g.work
	all := w.gitSettings(ctx)()
	id := git.Identify(all)
	settings := append(git.Portable(all), []git.Setting{
		{Key: "user.name", Value: id.Name}, {Key: "user.email", Value: id.Email},
		// It does not see the working trees that are added while it runs.
		{Key: "gc.worktreePruneExpire", Value: "never"},
	}...)
	if w.Config.Tools.Git.Enabled || w.Config.Tools.GPG.Enabled {
		settings = append(settings, w.Host.signing(id, w.Config, w.Request.ForwardAgent)...)
	}
	files, ok := w.Host.gitFiles(all)
	spec.Files = append(spec.Files, files...)
	if ok {
		settings = append(settings, git.Setting{Key: "commit.template", Value: "~/" + gitTemplate})
	}
	settings = slices.DeleteFunc(settings, func(s git.Setting) bool { return s.Value == "" })
	spec.Files = append(spec.Files, guest.File{Path: gitConfig, Mode: "644", Content: git.File(settings)})
	spec.Command.Env = g.override(spec.Command.Env, all, id)
	w.sayMissing(ctx, all)
	w.sayBorrowed(spec.Mounts)
	return nil
}

// maxGitFile is the largest file of the user's that git in the guest gets, in bytes.
const maxGitFile = 1 << 20

// gitFiles returns the files that the user's configuration names and that decide what a commit
// contains, and whether one of them is a template for messages. Those that the repository's own
// configuration names are not looked at: whoever worked in a VM may have written it.
func (h Host) gitFiles(all []git.UserSetting) (files []guest.File, template bool) {
	user := git.OfUser(all)
	base := cmp.Or(proc.Getenv(h.Env, "XDG_CONFIG_HOME"), filepath.Join(h.Home, ".config"))
	for _, file := range []struct{ key, usual, to string }{
		{"core.excludesfile", filepath.Join(base, "git/ignore"), gitIgnore},
		{"core.attributesfile", filepath.Join(base, "git/attributes"), gitAttributes},
		{"commit.template", "", gitTemplate},
	} {
		path, named := git.Last(user, file.key)
		if path = fromHome(h.Home, path); !named {
			path = file.usual
		}
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && (!info.Mode().IsRegular() || info.Size() > maxGitFile) {
			err = errors.New("it is no file, or too large")
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(path)
		}
		if err == nil && bytes.ContainsRune(text, 0) {
			err = errors.New("it holds a NUL byte")
		}
		switch {
		case err == nil:
			files = append(files, guest.File{Path: file.to, Mode: "644", Content: string(text)})
			template = template || file.to == gitTemplate
		case named && !errors.Is(err, fs.ErrNotExist):
			h.UI.Warn("git in the VM goes without %s, %s: %v", file.key, path, err)
		}
	}
	return files, template
}

// override returns the environment with what takes the place of settings of the repository that
// would make commands fail where the user's programs are not.
func (g gitHome) override(env []string, all []git.UserSetting, id git.Identity) []string {
	w := g.work
	own := git.OfRepository(all)
	var settings []git.Setting
	format := id.Format
	if value, ok := git.Last(own, "gpg.format"); ok {
		format = value
	}
	key, program, signs := "gpg.program", "gpg", w.Config.Tools.GPG.Enabled
	if format == "ssh" {
		key, program, signs = "gpg.ssh.program", "ssh-keygen", w.Request.ForwardAgent
	}
	for _, what := range []string{"commit.gpgsign", "tag.gpgsign"} {
		if value, ok := git.Last(own, what); ok && git.IsTrue(value) && !signs {
			w.Host.UI.Warn("commits in the VM will not be signed, though the repository's own configuration says %s: "+
				"the VM has no agent for that", what)
			settings = append(settings, git.Setting{Key: what, Value: "false"})
		}
	}
	if value, ok := git.Last(own, key); ok && value != program {
		settings = append(settings, git.Setting{Key: key, Value: program})
	}
	if len(settings) == 0 {
		return env
	}
	first, _ := strconv.Atoi(proc.Getenv(env, "GIT_CONFIG_COUNT")) // the user may have some
	for i, s := range settings {
		n := strconv.Itoa(first + i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+s.Key, "GIT_CONFIG_VALUE_"+n+"="+s.Value)
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", first+len(settings)))
}

// sayMissing names what git in the guest does otherwise than here, or not at all.
func (w *Work) sayMissing(ctx context.Context, all []git.UserSetting) {
	warn := w.Host.UI.Warn
	for _, name := range git.UnknownExtensions(all) {
		warn("git in the VM is older than this repository's extension %s, and refuses to work with it",
			ui.Sanitize(name))
	}
	ignore, _ := git.Last(git.OfRepository(all), "core.excludesfile")
	if filepath.IsAbs(ignore) && !trust.InProject(w.Project.Root, ignore) {
		warn("git in the VM does not ignore what %s says, which the repository's own configuration names",
			ui.Sanitize(ignore))
	}
	names := git.Filters(all)
	files, err := w.Host.Git().Filtered(ctx, w.Project.Root, names)
	if err != nil || len(files) == 0 {
		return
	}
	shown := files[:min(len(files), 3)]
	more := ""
	if len(files) > len(shown) {
		more = fmt.Sprintf(" and %d more", len(files)-len(shown))
	}
	warn("the VM has no program for git's filter %s: what it commits of %s%s is not filtered",
		ui.Sanitize(strings.Join(names, ", ")), ui.Sanitize(strings.Join(shown, ", ")), more)
}

// sayBorrowed names the folders of objects that the repository borrows from and that the guest does
// not see: git there cannot read its own commits. They are not shared without a word, since a session
// may have named another repository's.
func (w *Work) sayBorrowed(mounts []mount.Mount) {
	for _, dir := range append([]string{filepath.Join(w.Project.Root, ".git")}, w.Project.GitDirs...) {
		for _, objects := range project.Borrowed(dir) {
			seen := slices.ContainsFunc(mounts, func(m mount.Mount) bool {
				return m.Host == m.Guest && paths.Within(m.Host, objects)
			})
			if !seen {
				w.Host.UI.Warn("git in the VM does not see %s, where this repository has a part of its objects",
					ui.Sanitize(objects))
				w.Host.UI.Hint("share it with --mount %s", ui.Sanitize(objects+":"+objects+":ro"))
			}
		}
	}
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
	path := fromHome(home, configured)
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
