package guard

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A guest sees the git data of all working trees of a repository, and not the trees that are elsewhere. Git data without a tree
// is left over for git, which removes it with what is staged there. In a session git is kept from that; what is removed all the
// same is put back from what is kept here.

const (
	maxTreeFile  = 1 << 20 // bytes of a file of such a tree's git data that are kept
	maxTreeFiles = 8 << 20 // bytes of all of them
	maxTreeList  = 500     // entries of one tree's git data that are looked at
)

// keepElsewhere keeps the git data of a linked worktree that the guest does not see, before a session.
func (s *scanner) keepElsewhere(dir string) {
	tree := s.linkedTree(dir)
	if tree == "" || !s.since.IsZero() || inside(s.Path, tree) {
		return
	}
	for other := range s.others {
		if inside(other, tree) {
			return
		}
	}
	kept, left := map[string]Node{}, maxTreeList
	_ = fs.WalkDir(s.root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		if left--; left < 0 {
			return fs.SkipAll
		}
		if err != nil || !e.Type().IsRegular() || strings.HasSuffix(name, ".lock") {
			return nil
		}
		info, err := e.Info()
		if err != nil || !s.begun.IsZero() && changedSince(info, s.begun) || info.Size() > maxTreeFile || s.kept+int(info.Size()) > maxTreeFiles {
			return nil
		}
		if text, err := readAll(s.root, name, syscall.O_NOFOLLOW); err == nil && len(text) <= maxTreeFile {
			s.kept += len(text)
			kept[strings.TrimPrefix(name, dir+"/")] = Node{Kind: File, Mode: info.Mode().Perm(), Text: text}
		}
		return nil
	})
	if len(kept) > 0 {
		s.Elsewhere[dir] = kept
	}
}

// linkedTree returns where the git data of a linked worktree says that the tree is, and nothing for other git data.
func (s *scanner) linkedTree(dir string) string {
	if path.Base(path.Dir(dir)) != "worktrees" {
		return ""
	}
	text, err := readAll(s.root, path.Join(dir, "gitdir"), syscall.O_NOFOLLOW)
	file := strings.TrimRight(string(text), "\r\n")
	if err != nil || path.Base(file) != ".git" {
		return ""
	}
	return filepath.Dir(absolute(filepath.Join(s.Path, dir), file))
}

// absolute returns a path that counts from a folder.
func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}

// putElsewhere puts back the git data of working trees that the guest did not see, if it is gone and they are still there.
func (c *comparison) putElsewhere() {
	for _, dir := range slices.Sorted(maps.Keys(c.before.Elsewhere)) {
		kept := c.before.Elsewhere[dir]
		own := filepath.Join(c.before.Path, dir)
		_, err := c.now.root.Lstat(path.Join(dir, "HEAD"))
		common, gone := c.now.root.Lstat(path.Join(dir, "../../HEAD"))
		if gone != nil || !common.Mode().IsRegular() {
			continue // the repository as a whole is no longer there
		}
		if !errors.Is(err, fs.ErrNotExist) || !leadsTo(absolute(own, strings.TrimRight(string(kept["gitdir"].Text), "\r\n")), own) {
			continue
		}
		c.found(dir, "removed, the git data of a working tree that is elsewhere", c.mend(func() error { return c.restore(dir, kept) }))
	}
}

func (c *comparison) restore(dir string, kept map[string]Node) error {
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		rel := path.Join(dir, name)
		if _, err := c.now.root.Lstat(rel); err == nil {
			continue
		}
		if err := write(c.now.root, rel, kept[name].Text, kept[name].Mode); err != nil {
			return err
		}
	}
	if _, kept := kept["index"]; !kept {
		return errors.New("all but its index, which was too large to be kept: git reset makes a new one")
	}
	return nil
}

// leadsTo says whether a .git file on the host names a git directory, of which the last folders may be gone.
func leadsTo(file, gitDir string) bool {
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return false
	}
	defer root.Close()
	text, err := readAll(root, filepath.Base(file), syscall.O_NOFOLLOW)
	target, ok := strings.CutPrefix(strings.TrimRight(string(text), "\r\n"), "gitdir: ")
	if err != nil || !ok {
		return false
	}
	target = absolute(filepath.Dir(file), target)
	if repository, err := filepath.EvalSymlinks(filepath.Dir(filepath.Dir(target))); err == nil {
		target = filepath.Join(repository, filepath.Base(filepath.Dir(target)), filepath.Base(target))
	}
	return target == gitDir
}
