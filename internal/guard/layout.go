package guard

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// What stands in a git directory belongs to one of three kinds. Some names are judged: they decide
// what git runs or where it looks for more, and each has a rule of its own. Some are free: git
// writes them itself, takes data or text from them, and nothing that it would run. All others are
// strangers: which tools take commands from them nobody can list, so that they stay as they were
// before the session. All names here are relative to the git directory that they belong to.

// guarded are the files that decide what git runs or where it looks for more, or what it shows,
// whatever they hold, and those of tools that are judged by what they hold.
var guarded = []string{
	"HEAD", "config", "config.worktree", "commondir", "gitdir", "info/attributes", "objects/info/alternates", "objects/info/http-alternates",
	exclude, "info/grafts", gitKraken, openCode,
}

const (
	// gitKraken is a configuration in which GitKraken and GitLens keep what they know of branches.
	gitKraken = "gk/config"
	// openCode holds the id of the project, a word.
	openCode = "opencode"
)

// freeFolders are those in which git, or a store of contents that works as its objects do, writes
// what it likes. A rebase or a series of picks is among them, whose dangerous files are judged (see
// halfway). What is in the stores of git-lfs and git-annex are contents under the names of their
// digests, and notes about these.
var freeFolders = strings.Fields(`objects refs logs reftable rr-cache rebase-merge rebase-apply sequencer lost-found NOTES_MERGE_WORKTREE
	fsmonitor--daemon subtree-cache svn/refs lfs/objects lfs/tmp lfs/incomplete lfs/logs lfs/cache
	annex/objects annex/tmp annex/othertmp annex/misctmp annex/bad annex/journal annex/transfer annex/keysdb annex/fsck`)

// ownFolders hold names of git's, and others. Those in hooks, remotes and branches are noted one by
// one.
var ownFolders = []string{"hooks", "info", "modules", "worktrees", "remotes", "branches", "lfs", "annex", "svn"}

// edited are the files that git opens an editor for.
const edited = `[A-Z]+(?:_[A-Z]+)*_(?:MSG|EDITMSG)|EDIT_DESCRIPTION|ADD_EDIT\.patch|addp-hunk-edit\.diff`

// freeFiles are the files that git writes: the index and what it is split into, refs that are no
// branches, texts for an editor and what editors leave beside these, the states of what is under
// way, and the notes of its upkeep.
var freeFiles = regexp.MustCompile(`^(?:` + strings.Join([]string{
	edited, `\.(?:` + edited + `)\.(?:s[a-w][a-z]|un~|kate-swp)`, `(?:` + edited + `)(?:~|\.bak|\.orig|\.save)`, `#(?:` + edited + `)#`,
	`index`, `index\.stash\.\d+`, `next-index-\d+`, `sharedindex\.[0-9A-Za-z_]+`, `packed-refs(?:\.new)?`, `shallow(?:_[0-9A-Za-z]{6})?`,
	`[A-Z]+(?:_[A-Z]+)*_HEAD`, `BISECT_[A-Z_]+`, `MERGE_(?:RR|MODE|AUTOSTASH)`, `AUTO_MERGE`, `NOTES_MERGE_(?:PARTIAL|REF)`,
	`GITGUI_BCK`, `gc\.(?:pid|log)`, `description`, `locked`, `fast_import_crash_\d+`, `\.gitsendemail\.[A-Za-z]+\.[0-9A-Za-z_]+`,
	`info/refs(?:_[0-9A-Za-z]{6})?`, `info/sparse-checkout`, `svn/\.metadata`, `lfs/lockcache\.db`, `annex/[a-z]+\.lck`, `annex/index`,
}, "|") + `)$`)

// sample is one of git's examples of hooks, which it does not run.
var sample = regexp.MustCompile(`^hooks/[^/]+\.sample$`)

// free says whether git writes a file itself that nothing runs. What ends in .lock git writes
// first, and then renames it.
func free(name string) bool {
	base := strings.TrimSuffix(name, ".lock")
	switch {
	case judged(name):
		return false
	case freeFiles.MatchString(base), sample.MatchString(name), base != name && slices.Contains(guarded, base):
		return true
	}
	return slices.ContainsFunc(freeFolders, func(folder string) bool { return strings.HasPrefix(name, folder+"/") })
}

// judged says whether a file is noted for what it holds.
func judged(name string) bool {
	switch top, rest, _ := strings.Cut(name, "/"); top {
	case "hooks":
		return rest != "" && !sample.MatchString(name)
	case "remotes", "branches":
		return rest != "" && !strings.Contains(rest, "/")
	}
	return slices.Contains(guarded, name) || slices.Contains(halfway, name)
}

// strangeFolder says whether git has no hand in a folder, nor in anything that is in it.
func strangeFolder(name string) bool {
	within := func(folder string) bool { return below(folder, name) }
	switch {
	case slices.Contains(ownFolders, name), slices.ContainsFunc(freeFolders, within):
		return false
	case within("hooks"), within("modules"):
		return false
	}
	return true
}

// emacsLock is what Emacs writes beside a file that is being edited: a link that leads nowhere and
// says who does it.
func emacsLock(name, target string) bool {
	base, ok := strings.CutPrefix(path.Base(name), ".#")
	return ok && freeFiles.MatchString(base) && strings.Contains(target, "@") && !strings.Contains(target, "/")
}

// oneWord is what the file of openCode holds.
var oneWord = regexp.MustCompile(`^[0-9A-Za-z_-]{1,100}\n?$`)
