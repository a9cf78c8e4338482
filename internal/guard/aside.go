package guard

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
)

// asideName is how the folders begin in which what a session has put into a git directory is kept:
// the user may have asked for it. They lie in the git directory, so that nothing is copied, and no
// tool looks for anything there.
const asideName = "from-session-"

// aside takes something out of the way. Files and folders may hold work and are kept; pipes,
// devices and links hold none. What stands in a git directory moves into a folder of its own there,
// under the path that it had; a git directory, and all that lies elsewhere, gets another name.
func (c *comparison) aside(rel string) error {
	root := c.now.root
	info, err := root.Lstat(rel)
	if err != nil {
		return err
	}
	if !info.IsDir() && !info.Mode().IsRegular() || info.Size() == 0 && info.Mode().IsRegular() {
		return root.Remove(rel)
	}
	if info.IsDir() {
		c.replaced[rel] = true
	}
	if c.store == "" {
		c.store = asideName + strings.ToLower(rand.Text()[:8])
	}
	dir := c.gitDirOf(rel)
	if dir == rel {
		return c.rename(rel, rel+"."+c.store)
	}
	target := path.Join(dir, c.store, within(dir, rel))
	if err = root.MkdirAll(path.Dir(target), 0o700); err == nil {
		err = c.rename(rel, target)
	}
	if full(err) || errors.Is(err, syscall.EXDEV) {
		err = c.rename(rel, rel+"."+c.store)
	}
	if err == nil {
		c.prune(path.Dir(rel), dir)
	}
	return err
}

// isAside says whether a folder of a git directory is one for what is taken out of it.
func isAside(name string) bool {
	rest, ok := strings.CutPrefix(name, asideName)
	return ok && len(rest) == 8 && !strings.Contains(rest, "/")
}

// rename moves something. Nothing in it is a repository any more.
func (c *comparison) rename(old, now string) error {
	if head.MatchString(path.Base(old)) && c.gitDirOf(old) != old {
		now += armless
	}
	if err := c.now.root.Rename(old, now); err != nil {
		return err
	}
	sub, err := c.now.root.OpenRoot(now)
	if err != nil {
		return nil // it is a file, or nobody can look into it
	}
	defer sub.Close()
	return disarm(sub, 0)
}

// head is what git needs to take a folder for a repository, or what it takes for one. Whoever looks
// at what was taken away may have a prompt there that asks git.
var head = regexp.MustCompile(`(?i)^(HEAD|\.git)$`)

const armless = ".kept"

// disarm has git take no folder in a folder for a repository.
func disarm(dir *os.Root, depth int) (err error) {
	if depth > maxDeep {
		return nil
	}
	var heads, folders []string
	entries(dir, func(e fs.DirEntry) {
		name := e.Name()
		if head.MatchString(name) {
			heads = append(heads, name)
			name += armless
		}
		if e.IsDir() {
			folders = append(folders, name)
		}
	})
	for _, name := range heads {
		err = errors.Join(err, dir.Rename(name, name+armless))
	}
	for _, name := range folders {
		if sub, failed := dir.OpenRoot(name); failed == nil {
			err = errors.Join(err, disarm(sub, depth+1))
			sub.Close()
		}
	}
	return err
}

// disarmAll sees that what earlier sessions had in git directories is still what came of it.
func (c *comparison) disarmAll() {
	for _, name := range c.now.asides {
		_ = c.mend(func() error {
			sub, err := c.now.root.OpenRoot(name)
			if err != nil {
				return err
			}
			defer sub.Close()
			return disarm(sub, 0)
		})
	}
}

// prune removes the folders that git has no hand in and that became empty.
func (c *comparison) prune(dir, gitDir string) {
	for dir != gitDir && dir != "." && !c.now.seen[dir] && strangeFolder(within(gitDir, dir)) {
		if c.now.root.Remove(dir) != nil {
			return
		}
		dir = path.Dir(dir)
	}
}
