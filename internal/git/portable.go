package git

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// portableSections are the sections of git-config(1) whose settings decide what a command does with
// a repository.
const portableSections = `advice|alias|am|apply|blame|branch|checkout|clone|color|column|commit|core|diff|fetch|` +
	`format|grep|help|i18n|index|init|log|merge|notes|pretty|pull|push|rebase|rerere|revert|stash|status|submodule|` +
	`tag|transfer|trailer|url|versionsort|worktree`

var (
	portable = regexp.MustCompile(`^(?:` + portableSections + `)\.`)
	// portableCore are those of core; the others name programs and files, or describe a file
	// system.
	portableCore = strings.Fields(`core.abbrev core.autocrlf core.bigfilethreshold core.commentchar
		core.commentstring core.compression core.eol core.logallrefupdates core.loosecompression core.notesref
		core.protecthfs core.protectntfs core.quotepath
		core.safecrlf core.warnambiguousrefs core.whitespace`)
	// named are the last parts of keys whose values are programs, files or keys, or that need one.
	named = regexp.MustCompile(`(?:command|cmd|driver|editor|external|file|filter|gpgsign|guitool|hook|hookspath|` +
		`keyid|mailmap|outputdirectory|pager|path|process|program|sign|signannotated|signed|signingkey|template|` +
		`templatedir|textconv|tool|verifysignatures|signoffby)$`)
)

// Portable returns the settings of the user and the system that mean the same in another system, in
// their order: none that names a program or a file, and no address with a secret in it.
func Portable(settings []UserSetting) (kept []Setting) {
	for _, s := range settings {
		if s.ofUser() && isPortable(s.Key, s.Value) {
			kept = append(kept, Setting{s.Key, s.Value})
		}
	}
	return kept
}

func isPortable(key, value string) bool {
	section, rest, _ := strings.Cut(key, ".")
	switch {
	case section == "core":
		return slices.Contains(portableCore, key)
	case !portable.MatchString(key), named.MatchString(key):
		return false
	case section == "alias":
		return !strings.HasPrefix(strings.TrimSpace(value), "!") // a line for a shell of the host
	case section == "url":
		base := rest[:max(0, strings.LastIndexByte(rest, '.'))]
		return !hasSecret(base) && !hasSecret(value) && !isFile(base)
	}
	return !isFile(value)
}

// isFile says whether a value is a path on this computer.
func isFile(value string) bool { return filepath.IsAbs(value) || strings.HasPrefix(value, "~") }

// hasSecret says whether an address may let somebody in. The user of ssh is no secret.
func hasSecret(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return err != nil && strings.Contains(address, "://")
	}
	_, password := u.User.Password()
	return password || u.Scheme != "ssh" && u.Scheme != "git+ssh"
}

// ofUser says whether a setting is the user's or the system's, whatever the repository says.
func (s UserSetting) ofUser() bool { return s.Scope == "system" || s.Scope == "global" }

// OfUser returns the settings of the user and the system.
func OfUser(settings []UserSetting) []UserSetting {
	return slices.DeleteFunc(slices.Clone(settings), func(s UserSetting) bool { return !s.ofUser() })
}

// OfRepository returns the settings of the repository itself.
func OfRepository(settings []UserSetting) []UserSetting {
	return slices.DeleteFunc(slices.Clone(settings), UserSetting.ofUser)
}

// Last returns the value of a key that counts, and whether there is one.
func Last(settings []UserSetting, key string) (value string, found bool) {
	for _, s := range settings {
		if s.Key == key {
			value, found = s.Value, true
		}
	}
	return value, found
}

// Filters returns the names of the filters that settings define (gitattributes(5), filter), but for
// those of git-lfs.
func Filters(settings []UserSetting) (names []string) {
	for _, s := range settings {
		rest, ok := strings.CutPrefix(s.Key, "filter.")
		if i := strings.LastIndexByte(rest, '.'); ok && i > 0 && rest[:i] != "lfs" && s.Value != "" {
			names = append(names, rest[:i])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// extensions are those of repositories that git 2.47, the guest's, knows
// (technical/repository-version).
var extensions = strings.Fields(`noop noop-v1 preciousobjects partialclone worktreeconfig objectformat
	compatobjectformat refstorage`)

// UnknownExtensions returns the extensions of a repository that the guest's git refuses to work
// with.
func UnknownExtensions(settings []UserSetting) (names []string) {
	for _, s := range OfRepository(settings) {
		if name, ok := strings.CutPrefix(s.Key, "extensions."); ok && !slices.Contains(extensions, name) {
			names = append(names, name)
		}
	}
	return names
}
