package guard

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
)

// occasion is when tools of a host run what a file says, or are told by it what to run, without having been told to look at it.
type occasion int

const (
	never     occasion = iota
	onCommand          // when they are asked for something else
	atOnce             // when somebody opens its folder, or has a prompt there
)

// Names that tools look for, in small letters: on some file systems others mean the same.
var (
	fileNames = occasions(`.envrc .mise.toml mise.toml .tool-versions .rtx.toml .mcp.json .devcontainer.json .exrc .nvimrc .nvim.lua .vimrc .dir-locals.el
		claude.md claude.local.md agents.md gemini.md`,
		`.npmrc .yarnrc .yarnrc.yml .pnpmfile.cjs package.json makefile gnumakefile justfile .justfile rakefile taskfile.yml taskfile.yaml
		conftest.py sitecustomize.py setup.py pyproject.toml pyvenv.cfg build.rs rust-toolchain rust-toolchain.toml flake.nix .bazelrc
		.pre-commit-config.yaml lefthook.yml .lefthook.yml lefthook.yaml .lefthook.yaml .gdbinit .lldbinit .gitattributes .gitmodules .gitconfig .gitlab-ci.yml`)
	folderNames = occasions(`.vscode .idea .fleet .zed .cursor .devcontainer .claude .gemini .codex .mise`, `.husky .githooks .cargo .mvn .circleci`)
	pathEnds    = []string{"/.hg/hgrc", "/.hg/hgrc-not-shared", "/.hg/sharedpath", "/.jj/repo", "/.jj/repo/config.toml"} // at once
)

func occasions(soon, later string) map[string]occasion {
	names := map[string]occasion{}
	for _, name := range strings.Fields(soon) {
		names[name] = atOnce
	}
	for _, name := range strings.Fields(later) {
		names[name] = onCommand
	}
	return names
}

// runsByItself says when some tool of a host runs by itself what the file at a path says.
func runsByItself(rel string) occasion {
	rel = strings.ToLower(rel)
	dir, base := path.Split(rel)
	in := strings.Split(dir, "/")
	when := fileNames[base]
	for _, folder := range in {
		when = max(when, folderNames[folder])
	}
	switch {
	case path.Ext(base) == ".code-workspace", slices.ContainsFunc(pathEnds, func(end string) bool { return strings.HasSuffix("/"+rel, end) }):
		return atOnce
	case strings.HasPrefix(base, "eslint.config."), slices.Contains(in, ".github") && (slices.Contains(in, "workflows") || slices.Contains(in, "actions")):
		return max(when, onCommand)
	}
	return when
}

// holds says when files in a folder of that name run by themselves because of it.
func holds(rel string) occasion {
	return max(runsByItself(rel+"/workflows/x"), runsByItself(rel+"/hgrc"), runsByItself(rel+"/repo"))
}

// soonest says when what stands at a path may run, be it a file or a link to a folder.
func soonest(rel string) occasion { return max(runsByItself(rel), holds(rel)) }

// inOrder returns paths by how soon they run, then by how near they are to the project's root: nobody's folders in front push
// aside what matters.
func inOrder(when map[string]occasion) []string {
	return slices.SortedFunc(maps.Keys(when), func(a, b string) int {
		return cmp.Or(cmp.Compare(when[b], when[a]), cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
	})
}
