package guard

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/state"
)

// isPlain says whether something is as git makes it, be it new or changed: the files that lead from
// one git directory or working tree to another, where both sides agree.
func (c *comparison) isPlain(rel string, n Node) bool {
	if n.Kind != File {
		return false
	}
	text := strings.TrimRight(string(n.Text), "\r\n")
	switch dir := path.Dir(rel); {
	case c.is(rel, "commondir"):
		return isWorktree(dir) && text == "../.."
	case c.is(rel, "gitdir"):
		return isWorktree(dir) && c.isWorktreeOf(dir, text)
	case c.is(rel, openCode):
		return n.Mode&0o111 == 0 && oneWord.Match(n.Text)
	case c.is(rel, "objects/info/alternates"):
		return c.borrows(path.Dir(dir), text)
	case strings.EqualFold(path.Base(rel), ".git"):
		target, ok := strings.CutPrefix(text, "gitdir: ")
		return ok && c.leadsBack(rel, target)
	}
	return false
}

func isWorktree(gitDir string) bool { return path.Base(path.Dir(gitDir)) == "worktrees" }

// resolve returns where a path leads that is relative to a folder of the area. The last part need
// not be there.
func (c *comparison) resolve(dir, name string) (string, bool) {
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.before.Path, dir) + string(filepath.Separator) + name
	}
	real, err := filepath.EvalSymlinks(filepath.Dir(name))
	return filepath.Join(real, filepath.Base(name)), err == nil
}

// leadsBack says whether the git directory that a .git file names is one that names the file's
// folder in turn: as that of a linked working tree, of a submodule, or as a new one that names
// none. Any other would have paths of the user's configuration mean another folder.
func (c *comparison) leadsBack(rel, target string) bool {
	gitDir, ok := c.resolve(path.Dir(rel), target)
	if ok {
		if real, err := filepath.EvalSymlinks(gitDir); err == nil {
			gitDir = real
		}
	}
	if !ok || !c.looked[gitDir] {
		return false
	}
	root, err := os.OpenRoot(gitDir)
	if err != nil {
		return false
	}
	defer root.Close()
	here := filepath.Join(c.before.Path, path.Dir(rel))
	if isWorktree(gitDir) {
		text, _ := readAll(root, "gitdir", 0)
		return samePath(gitDir, strings.TrimRight(string(text), "\r\n"), filepath.Join(here, path.Base(rel)))
	}
	text, _ := readAll(root, "config", 0)
	entries, err := parseConfig(text)
	worktrees := valuesOf(entries, "core.worktree")
	if err != nil || len(worktrees) == 0 {
		known, err := filepath.Rel(c.before.Path, gitDir)
		return err == nil && filepath.IsLocal(known) && !c.dirs[known]
	}
	return samePath(gitDir, worktrees[len(worktrees)-1], here)
}

// samePath says whether a path that is relative to a folder is another one.
func samePath(from, value, path string) bool {
	if value == "" {
		return false
	}
	if !filepath.IsAbs(value) {
		value = from + string(filepath.Separator) + value
	}
	a, err := filepath.EvalSymlinks(value)
	b, failed := filepath.EvalSymlinks(path)
	return err == nil && failed == nil && a == b
}

// valuesOf returns the values of a key.
func valuesOf(entries []entry, key string) (values []string) {
	for _, e := range entries {
		if e.comment == "" && e.key() == key {
			values = append(values, e.value)
		}
	}
	return values
}

// isWorktreeOf says whether a linked working tree is where its git directory says: a file there
// names it in turn. A new one may also lie where only the guest could see it; git prunes such.
func (c *comparison) isWorktreeOf(gitDir, text string) bool {
	file, ok := c.resolve(gitDir, text)
	if !ok || !c.shared(file) {
		return !c.dirs[gitDir]
	}
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return false
	}
	defer root.Close()
	if info, err := root.Lstat(filepath.Base(file)); err != nil || !info.Mode().IsRegular() {
		return state.Gone(err) && !c.dirs[gitDir]
	}
	back, _ := readAll(root, filepath.Base(file), 0)
	target, ok := strings.CutPrefix(strings.TrimRight(string(back), "\r\n"), "gitdir: ")
	return ok && samePath(filepath.Dir(file), target, filepath.Join(c.before.Path, gitDir))
}

// shared says whether a path lies in what the guest could write to.
func (c *comparison) shared(name string) bool {
	return slices.ContainsFunc(c.roots, func(root string) bool { return root != "" && inside(root, name) })
}

// borrows says whether a new repository takes objects from others, all of which were looked at.
func (c *comparison) borrows(objects, text string) bool {
	if c.dirs[path.Dir(objects)] {
		return false
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		from, ok := c.resolve(objects, line)
		if !ok || filepath.Base(from) != "objects" || !c.looked[filepath.Dir(from)] {
			return false
		}
	}
	return true
}

// judge says which entries of a configuration are harmless. The working tree of a git directory
// that was there before stays where it is, but for a submodule's, which git moves together with the
// file that leads back.
func (c *comparison) judge(dir, rel string, was, is []byte) func(entry) bool {
	harmless := judge(dir, c.roots, was, is)
	gitDir := path.Dir(rel)
	if !c.dirs[gitDir] {
		return func(e entry) bool {
			return harmless(e) || c.is(rel, "config") && slices.Contains(ofFileSystem, e.key())
		}
	}
	if c.submoduleMoved(gitDir, was, is) {
		return harmless
	}
	return func(e entry) bool { return e.key() != "core.worktree" && harmless(e) }
}

// submoduleMoved says whether the working tree that a submodule's git directory names is as git
// makes it: one that leads back, or none when there is none any more.
func (c *comparison) submoduleMoved(gitDir string, was, is []byte) bool {
	if !slices.Contains(strings.Split(path.Dir(gitDir), "/"), "modules") {
		return false
	}
	values := func(text []byte) []string {
		entries, _ := parseConfig(text)
		return valuesOf(entries, "core.worktree")
	}
	before, now := values(was), values(is)
	switch {
	case slices.Equal(before, now):
		return false // nothing to judge
	case len(now) == 1:
		tree, ok := c.resolve(gitDir, now[0])
		rel, err := filepath.Rel(c.before.Path, tree)
		n := c.now.Nodes[path.Join(rel, ".git")]
		target, named := strings.CutPrefix(strings.TrimRight(string(n.Text), "\r\n"), "gitdir: ")
		return ok && err == nil && n.Kind == File && named && samePath(tree, target, filepath.Join(c.before.Path, gitDir))
	case len(now) == 0 && len(before) > 0:
		tree, ok := c.resolve(gitDir, before[0])
		_, err := os.Lstat(filepath.Join(tree, ".git"))
		return !ok || state.Gone(err)
	}
	return false
}
