package guard

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// harmlessKeys are the keys of a repository's configuration that a session may change: none of them
// names a program, a file, or another repository, nor switches a check off. Nor do they change
// whose the user's later commits are or whether they are signed (user.*, author.*, committer.*,
// *.gpgsign), nor what of the past is thrown away (gc.*expire). They do not have git show less than
// there is either (see display). Everything else is put back, also what git or one of the many tools
// around it will only come to understand: which of those run something nobody can list. To compile
// them takes longer than some commands run.
var harmlessKeys = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(` + strings.Join([]string{
		`core\.(repositoryformatversion|bare|safecrlf|abbrev|quotepath|compression|loosecompression|sparsecheckout|sparsecheckoutcone` +
			`|commentchar|untrackedcache|preloadindex|splitindex|multipackindex|commitgraph|fscache|longpaths|whitespace|hidedotfiles)`,
		`extensions\.(objectformat|compatobjectformat|noop|preciousobjects|relativeworktrees|worktreeconfig)`,
		`branch\.\*\.(merge|rebase|description)`,
		// Names of git's own keys have no hyphen. With one they are what other tools know of a
		// branch: its parent, its pull request. The others are such too: of StGit
		// (branch.NAME.stgit.parentbranch), git-new-branch and git cl.
		`branch\.\*\.([a-z0-9]+(-[a-z0-9]+)+|parentbranch|base|dormant|gerritissue|gerritpatchset|gerritsquashhash)`,
		`git-town-branch\.\*\.(parent|branchtype)`,
		`gitflow\.\*\.(master|develop|feature|bugfix|release|hotfix|support|versiontag|base)`,
		`branch\.(autosetupmerge|autosetuprebase|sort)`,
		`remote\.\*\.(fetch|tagopt|prune|prunetags|skipdefaultupdate|skipfetchall|partialclonefilter|followremotehead|gh-resolved)`,
		`submodule\.\*\.(active|branch|fetchrecursesubmodules|shallow)`,
		`submodule\.(active|recurse|fetchjobs)`,
		`commit\.cleanup`, `tag\.sort`,
		`init\.defaultbranch`, `pull\.(rebase|ff)`, `push\.(default|autosetupremote|followtags)`,
		`fetch\.(prune|prunetags|all|parallel|writecommitgraph|recursesubmodules|showforcedupdates)`,
		`merge\.(conflictstyle|ff|renames|renamelimit|log|stat|verbosity|autostash|directoryrenames)`,
		`diff\.(algorithm|renames|renamelimit|mnemonicprefix|noprefix|indentheuristic)`,
		`rebase\.(autosquash|autostash|updaterefs|stat|missingcommitscheck|forkpoint)`,
		`rerere\.(enabled|autoupdate)`, `status\.aheadbehind`, `advice\.[a-z]+`, `column\.[a-z]+`, `feature\.manyfiles`,
		`gc\.(auto|autodetach|autopacklimit|packrefs|bigpackthreshold|writecommitgraph|cruftpacks)`,
		// What git maintenance and scalar write: which of git's own tasks there are for a
		// repository that the user registers.
		`maintenance\.(auto|autodetach|strategy)`, `maintenance\.\*\.(enabled|auto)`, `pack\.(usebitmaps|usesparse|writebitmaphashcache)`,
		`commitgraph\.(generationversion|changedpaths|maxnewfilters|readchangedpaths)`, `index\.skiphash`, `feature\.experimental`,
		`gui\.(wmstate|geometry|gcwarning|encoding|fontui|fontdiff)`, `am\.keepcr`, `fetch\.unpacklimit`, `receive\.autogc`,
		`index\.(version|threads|sparse|recordendofindexentries|recordoffsettable)`, `pack\.(threads|window|depth|compression)`,
		`lfs\.repositoryformatversion`, `lfs\.\*\.(access|locksverify)`,
	}, "|") + `)$`)
})

// display are the keys by which git shows its user less than there is: status that leaves files out,
// a diff in the colour of its background, a change of lines' ends that counts as none.
var display = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(` + strings.Join([]string{
		`core\.(filemode|ignorecase|precomposeunicode|symlinks|autocrlf|eol|bigfilethreshold|trustctime|checkstat)`,
		`(status|log|color)\.[a-z]+`, `color\.\*\.[a-z]+`, `commit\.(verbose|status)`, `submodule\.\*\.ignore`,
		`diff\.(context|interhunkcontext|colormoved|colormovedws|submodule|ignoresubmodules|relative)`,
	}, "|") + `)$`)
})

// onOff are the keys that say whether there are colours. Which ones is not for a session to say.
var onOff = regexp.MustCompile(`^color\.[a-z]+$`)

// ofFileSystem are the keys that git sets when it makes a repository: what the file system can tell
// apart. In one that was there before they hide that a file became a program, or a link.
var ofFileSystem = []string{"core.filemode", "core.ignorecase", "core.precomposeunicode", "core.symlinks"}

// idle says whether an entry names no program, though a session may not change it either.
func (e entry) idle() bool {
	return harmlessKeys().MatchString(e.pattern()) || display().MatchString(e.pattern()) || e.name == "gpgsign" ||
		slices.Contains([]string{"user", "author", "committer"}, e.section) || e.section == "gc" && strings.Contains(e.name, "expire")
}

// address is that of a repository on another computer, as git itself fetches it. In one on this
// computer, which may lie in the project, git would run hooks; for others it would start a program
// that is not its own. All of it is matched, as ssh hands a user's name and a host's to programs of
// its configuration.
var address = regexp.MustCompile(`^(` + strings.Join([]string{
	`(https?|ssh|git|git\+ssh|ssh\+git)://(` + userName + `(:[A-Za-z0-9._~%!*+,=-]*)?@)?` +
		`(` + hostName + `|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9.-]+)?\])(:[0-9]{0,5})?([/?][^\x00-\x1f\x7f]*)?`,
	`(` + userName + `@)?` + hostName + `:([^:/\x00-\x1f\x7f]|/[^/\x00-\x1f\x7f])[^\x00-\x1f\x7f]*`, // as scp writes it
}, "|") + `)$`)

const (
	userName = `[A-Za-z0-9._~%+][A-Za-z0-9._~%+-]*`
	hostName = `[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9._])?`
)

// judge says which entries of the configuration of a git directory are harmless, given all of it as
// it was and as it is. A submodule's names its working tree, which has to lie in one of the roots.
func judge(gitDir string, roots []string, was, is []byte) func(entry) bool {
	remotes := map[string]bool{".": true}
	old, _ := parseConfig(was)
	now, _ := parseConfig(is)
	for i, e := range append(old[:len(old):len(old)], now...) {
		if e.pattern() == "remote.*.url" && (i < len(old) || address.MatchString(e.value)) {
			remotes[e.sub] = true
		}
	}
	return func(e entry) bool {
		switch e.pattern() {
		case "remote.*.url", "remote.*.pushurl", "submodule.*.url":
			return address.MatchString(e.value)
		case "branch.*.remote", "branch.*.pushremote", "remote.pushdefault": // what is no remote's name is an address
			return remotes[e.value] || address.MatchString(e.value)
		case "submodule.*.update":
			return slices.Contains([]string{"checkout", "rebase", "merge", "none"}, e.value)
		case "extensions.refstorage":
			return e.value == "files" || e.value == "reftable"
		case "core.worktree":
			return e.value != "" && inRoots(gitDir, e.value, roots)
		case "core.logallrefupdates": // without it, what a branch was before is written down no longer
			return slices.Contains([]string{"true", "always", "1", "yes", "on"}, strings.ToLower(e.value)) || !e.hasValue
		case "core.autocrlf": // what scalar sets: lines' ends are shown as they are
			return e.value == "false"
		case "log.excludedecoration": // what git maintenance sets
			return e.value == "refs/prefetch/*" || e.value == "refs/prefetch/"
		}
		if onOff.MatchString(e.pattern()) {
			return slices.Contains([]string{"true", "false", "auto", "always", "never", "1", "0"}, e.value)
		}
		return harmlessKeys().MatchString(e.pattern())
	}
}

// namesRemote says whether an entry holds the name of a remote. A value that is none git takes for
// an address, by which it may start a program or go to a repository on this computer.
func (e entry) namesRemote() bool {
	return slices.Contains([]string{"branch.*.remote", "branch.*.pushremote", "remote.pushdefault"}, e.pattern())
}

// dangling returns those entries that name a remote which a configuration gives no address.
func dangling(entries []entry) func(entry) bool {
	remotes := map[string]bool{".": true, "": true}
	for _, e := range entries {
		if e.pattern() == "remote.*.url" && e.value != "" {
			remotes[e.sub] = true
		}
	}
	return func(e entry) bool { return e.namesRemote() && !remotes[e.value] && !address.MatchString(e.value) }
}

// settle judges the result: a name that is that of a remote no longer goes, or becomes what it was.
// It returns the configuration and the keys that this concerns. One that named no remote before
// either stays.
func settle(before, after []byte) (settled []byte, keys []string) {
	old, failed := parseConfig(before)
	now, err := parseConfig(after)
	if failed != nil || err != nil {
		return after, nil
	}
	dangled, dangles := dangling(old), dangling(now)
	known := func(e entry) bool {
		return slices.ContainsFunc(old, func(o entry) bool { return o.key() == e.key() && o.value == e.value && dangled(o) })
	}
	var kept []entry
	for _, e := range now {
		if !dangles(e) || known(e) {
			kept = append(kept, e)
		} else if !slices.Contains(keys, e.key()) {
			keys = append(keys, e.key())
		}
	}
	for _, e := range old {
		left := slices.ContainsFunc(kept, func(k entry) bool { return k.key() == e.key() && k.comment == "" })
		if e.comment == "" && slices.Contains(keys, e.key()) && !left && !dangles(e) {
			kept = append(kept, e)
		}
	}
	if len(keys) == 0 {
		return after, nil
	}
	return writeConfig(kept), keys
}

// inRoots says whether a path that is relative to a git directory leads into one of the roots, and
// not to its git data.
func inRoots(gitDir, path string, roots []string) bool {
	if !filepath.IsAbs(path) {
		path = gitDir + string(filepath.Separator) + path
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	path = filepath.Clean(path)
	for _, root := range roots {
		rel, err := filepath.Rel(root, path)
		if err == nil && filepath.IsLocal(rel) && rel != "." && !slices.Contains(strings.Split(rel, string(filepath.Separator)), ".git") {
			return true
		}
	}
	return false
}
