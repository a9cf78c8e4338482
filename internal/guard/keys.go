package guard

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// harmlessKeys are the keys of a repository's configuration that a session may change: none of them names a program, a
// file, or another repository, nor switches a check off. Everything else is put back, also what git or one of the many
// tools around it will only come to understand: which of those run something nobody can list. To compile them takes longer
// than some commands run.
var harmlessKeys = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(` + strings.Join([]string{
		`core\.(repositoryformatversion|filemode|bare|logallrefupdates|ignorecase|precomposeunicode|symlinks|autocrlf|eol|safecrlf` +
			`|abbrev|quotepath|compression|loosecompression|bigfilethreshold|sparsecheckout|sparsecheckoutcone|commentchar|untrackedcache` +
			`|preloadindex|splitindex|multipackindex|commitgraph|fscache|longpaths|whitespace|hidedotfiles|trustctime|checkstat)`,
		`extensions\.(objectformat|compatobjectformat|noop|preciousobjects|relativeworktrees|worktreeconfig)`,
		`branch\.\*\.(merge|rebase|description|gh-merge-base|vscode-merge-base|github-pr-owner-number)`,
		`branch\.(autosetupmerge|autosetuprebase|sort)`,
		`remote\.\*\.(fetch|tagopt|prune|prunetags|skipdefaultupdate|skipfetchall|partialclonefilter|followremotehead|gh-resolved)`,
		`(user|author|committer)\.(name|email|useconfigonly)`,
		`submodule\.\*\.(active|branch|ignore|fetchrecursesubmodules|shallow)`,
		`submodule\.(active|recurse|fetchjobs)`,
		`(commit|tag|push)\.gpgsign`, `commit\.(verbose|status|cleanup)`, `tag\.sort`,
		`init\.defaultbranch`, `pull\.(rebase|ff)`, `push\.(default|autosetupremote|followtags)`,
		`fetch\.(prune|prunetags|all|parallel|writecommitgraph|recursesubmodules|showforcedupdates)`,
		`merge\.(conflictstyle|ff|renames|renamelimit|log|stat|verbosity|autostash|directoryrenames)`,
		`diff\.(algorithm|renames|renamelimit|context|interhunkcontext|colormoved|colormovedws|mnemonicprefix|noprefix|submodule|indentheuristic)`,
		`rebase\.(autosquash|autostash|updaterefs|stat|missingcommitscheck|forkpoint)`,
		`rerere\.(enabled|autoupdate)`, `status\.[a-z]+`, `advice\.[a-z]+`, `color\.([a-z]+|\*\.[a-z]+)`, `column\.[a-z]+`,
		`log\.(date|decorate|follow|abbrevcommit)`, `feature\.manyfiles`,
		`gc\.(auto|autodetach|autopacklimit|pruneexpire|reflogexpire|reflogexpireunreachable|packrefs|bigpackthreshold|writecommitgraph)`,
		`index\.(version|threads|sparse|recordendofindexentries|recordoffsettable)`, `pack\.(threads|window|depth|compression)`,
		`lfs\.repositoryformatversion`, `lfs\.\*\.(access|locksverify)`,
	}, "|") + `)$`)
})

// address is that of a repository on another computer, as git itself fetches it. In one on this computer, which may lie in the
// project, git would run hooks; for others it would start a program that is not its own.
var address = regexp.MustCompile(`^((https?|ssh|git|git\+ssh|ssh\+git)://[A-Za-z0-9\[]|([A-Za-z0-9._~+][A-Za-z0-9._~+-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:([^:/]|/[^/]))`)

// judge says which entries of the configuration of a git directory are harmless, given all of it as it was and as it is. A
// submodule's names its working tree, which has to lie in one of the roots.
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
		}
		return harmlessKeys().MatchString(e.pattern())
	}
}

// inRoots says whether a path that is relative to a git directory leads into one of the roots, and not to its git data.
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
