package guard

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Finding is one thing in git's data that a session changed and that git, or who uses it, could be made to run.
type Finding struct {
	Path string // absolute
	What string // added, changed, removed, what it does, or the key of a configuration
	Err  error  // why it could not be put back
}

// kept is a finding in a file: an error is its text there.
type kept struct {
	Path, What, Err string
}

// MarshalJSON writes a finding into a file.
func (f Finding) MarshalJSON() ([]byte, error) {
	k := kept{Path: f.Path, What: f.What}
	if f.Err != nil {
		k.Err = f.Err.Error()
	}
	return json.Marshal(k)
}

// UnmarshalJSON reads one.
func (f *Finding) UnmarshalJSON(text []byte) error {
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		return err
	}
	f.Path, f.What = k.Path, k.What
	if k.Err != "" {
		f.Err = errors.New(k.Err)
	}
	return nil
}

// compare finds what has changed in an area in a way that matters, and puts it back if fix says so. It knows of no symbolic
// link that leads out of the area, since all paths go through the scanner's root.
// The git directories that are looked at, here or in another area, may be led to from elsewhere.
func compare(before *Area, now *scanner, looked map[string]bool, roots []string, fix bool) []Finding {
	c := &comparison{before: now.before, dirs: map[string]bool{}, now: now, looked: looked, roots: roots, fix: fix, gone: map[string]bool{}, replaced: map[string]bool{}}
	for _, dir := range before.Dirs {
		c.dirs[dir] = true
	}
	before = c.before // with what has moved
	paths := slices.Sorted(maps.Keys(before.Nodes))
	for rel := range now.Nodes {
		if _, known := before.Nodes[rel]; !known {
			paths = append(paths, rel)
		}
	}
	slices.Sort(paths) // a folder comes before what is in it
	for _, rel := range paths {
		if !c.isReplaced(rel) {
			c.path(rel)
		}
	}
	c.putElsewhere()
	c.reveal()
	c.rights()
	c.disarmAll()
	return c.findings
}

type comparison struct {
	before   *Area
	dirs     map[string]bool // git directories that were there before
	now      *scanner
	looked   map[string]bool
	roots    []string
	fix      bool
	replaced map[string]bool // folders that were dealt with as a whole
	store    string          // how the folder is called that holds what is taken out of git directories
	gone     map[string]bool // what is no longer what it was: anything below was seen through a link
	findings []Finding
}

func (c *comparison) found(rel, what string, err error) {
	c.findings = append(c.findings, Finding{filepath.Join(c.before.Path, rel), what, err})
}

// below says whether a path is a folder or lies in it.
func below(dir, rel string) bool { return dir == "." || rel == dir || strings.HasPrefix(rel, dir+"/") }

// there returns what stands at a path.
func (c *comparison) there(rel string) (Node, bool) {
	for dir := rel; dir != "."; {
		if dir = path.Dir(dir); c.gone[dir] {
			return Node{}, false
		}
	}
	n, ok := c.now.Nodes[rel]
	return n, ok
}

func (c *comparison) path(rel string) {
	was, known := c.before.Nodes[rel]
	is, there := c.there(rel)
	if known && there && was.same(is) || !known && !there {
		return
	}
	switch base := path.Base(rel); {
	case c.unreadBefore(rel):
		// There were too many to look at all before the session.
	case there && is.Kind == Many && was.Kind == Many:
		c.found(rel, "changed", fmt.Errorf("it holds more than %d files, and is not kept", maxStrange))
	case there && is.Kind == Many:
		c.folder(rel)
	case there && is.Kind == Unread:
		c.unread(rel)
	case strings.HasPrefix(base, draft) && !known:
		_ = c.mend(func() error { return c.now.root.Remove(rel) }) // we were killed, or it is meant to look like that
	case c.is(rel, halfway...):
		if there {
			c.goOn(rel, was, is)
		}
	case c.is(rel, "config", "config.worktree", gitKraken) || slices.Contains(c.before.Configs, rel):
		c.config(rel, was, is, known, there)
	case there && is.Kind == File && c.is(rel, "HEAD"): // another branch
	case there && c.isPlain(rel, is), c.is(rel, exclude) && sameExcludes(was, is):
	case !known:
		c.added(rel, is)
	case !there && strings.EqualFold(base, ".git") && c.taken(rel):
		c.found(rel, "changed", c.mend(func() error { return c.put(rel, was) }))
	case !there && !c.stands(rel):
		// The repository that it belonged to is gone, and with it whatever could run.
	case !there:
		if was.Kind == Many || was.Kind == Other || was.Kind == Unread || was.Kind == Dir { // what nobody can make anew, nor misses
			return
		}
		c.found(rel, "removed", c.mend(func() error { return c.put(rel, was) }))
	default:
		c.found(rel, "changed", c.mend(func() error { return c.put(rel, was) }))
	}
}

// is says whether a path is one of some names in a git directory.
func (c *comparison) is(rel string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		dir, ok := strings.CutSuffix("/"+rel, "/"+name)
		dir = strings.TrimPrefix(dir, "/")
		if dir == "" {
			dir = "."
		}
		return ok && (c.now.seen[dir] || c.dirs[dir])
	})
}

// taken says whether something stands at a path.
func (c *comparison) taken(rel string) bool {
	_, err := c.now.root.Lstat(rel)
	return err == nil
}

// unreadBefore says whether a path lies in a git directory that was not looked at before the session.
func (c *comparison) unreadBefore(rel string) bool {
	for dir := rel; dir != "."; dir = path.Dir(dir) {
		if c.before.Nodes[dir].Kind == Unread {
			return true
		}
	}
	return false
}

// added takes something away that was not there before.
func (c *comparison) added(rel string, is Node) {
	what := "added"
	if is.Kind == Link {
		what = fmt.Sprintf("added, a symbolic link to %q", is.Text)
	}
	c.found(rel, what, c.mend(func() error {
		c.gone[rel] = true
		return c.aside(rel)
	}))
}

const unreadText = "added, and not looked at: it is too deep in folders, or one of more than %d new repositories"

// unread takes a git directory away that was not looked at, as there were too many before it. It says nothing of those that were
// too many before the session.
func (c *comparison) unread(rel string) {
	c.found(rel, fmt.Sprintf(unreadText, maxDirs), c.mend(func() error {
		c.gone[rel] = true
		return c.aside(rel)
	}))
	c.replaced[rel] = true
}

// mend carries something out if this is what was asked for.
func (c *comparison) mend(do func() error) error {
	if !c.fix {
		return nil
	}
	return do()
}

// stands says whether the git directory that a path belongs to is still there.
func (c *comparison) stands(rel string) bool {
	for dir := path.Dir(rel); ; dir = path.Dir(dir) {
		if c.dirs[dir] {
			info, err := c.now.root.Lstat(path.Join(dir, "HEAD"))
			return err == nil && info.Mode().IsRegular()
		}
		if dir == "." {
			return false // a .git file: without it there is no repository
		}
	}
}

// put makes a path what it was.
func (c *comparison) put(rel string, was Node) error {
	root := c.now.root
	c.gone[rel] = true
	if info, err := root.Lstat(rel); err == nil && (info.IsDir() || was.Kind != File) {
		if err := c.aside(rel); err != nil {
			return err
		}
	}
	switch was.Kind {
	case File:
		return write(root, rel, was.Text, was.Mode)
	case Link:
		if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
			return err
		}
		return root.Symlink(string(was.Text), rel)
	}
	return fmt.Errorf("what was there (%s) is not kept; what came in its place was taken away", was.Kind)
}

// folder puts back a folder in which there is more than anybody wants to look at: at once, however much it is.
func (c *comparison) folder(rel string) {
	err := c.mend(func() error {
		if err := c.aside(rel); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(c.before.Nodes)) {
			if n := c.before.Nodes[name]; strings.HasPrefix(name, rel+"/") && n.Kind != Many {
				if err := c.put(name, n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	c.replaced[rel] = true
	c.found(rel, fmt.Sprintf("holds more than %d entries", maxList), err)
}

// config puts back those keys of a configuration that matter. One that cannot be read is put back as a whole.
func (c *comparison) config(rel string, was, is Node, known, there bool) {
	if known && was.Kind != File || there && is.Kind != File {
		c.replace(rel, was, known, there)
		return
	}
	if !there && !c.stands(rel) {
		return
	}
	if !there && c.is(rel, "config") { // git never does that
		c.replace(rel, was, known, there)
		return
	}
	dir := filepath.Join(c.before.Path, path.Dir(rel))
	merged, keys, err := mergeConfig(was.Text, is.Text, c.judge(dir, rel, was.Text, is.Text))
	if err != nil {
		c.replace(rel, was, known, there)
		return
	}
	text := is.Text
	if len(keys) > 0 {
		text = merged
	}
	if settled, names := settle(was.Text, text); len(names) > 0 {
		merged = settled
		keys = append(keys, slices.DeleteFunc(names, func(key string) bool { return slices.Contains(keys, key) })...)
	}
	mode := fs.FileMode(0o644)
	if known {
		mode = was.Mode
	}
	if known && there && is.Mode&^was.Mode&others != 0 && len(keys) == 0 {
		merged, keys = is.Text, []string{"others may write to it"}
	}
	if len(keys) == 0 {
		return
	}
	err = c.mend(func() error { return write(c.now.root, rel, merged, mode) })
	for _, key := range keys {
		c.found(rel, key, err)
	}
}

// replace puts a configuration back as a whole, or removes one that was not there.
func (c *comparison) replace(rel string, was Node, known, there bool) {
	if !known {
		c.found(rel, "added, and not readable", c.mend(func() error { return c.aside(rel) }))
		return
	}
	what := "not readable"
	if !there {
		what = "removed"
	}
	c.found(rel, what, c.mend(func() error { return c.put(rel, was) }))
}

// tame has a program no longer run as its owner, and removes a device, if fix says so.
func (s *scanner) tame(rel string, fix bool) Finding {
	f := Finding{Path: filepath.Join(s.Path, rel), What: "a device"}
	info, err := s.root.Lstat(rel)
	regular := err == nil && info.Mode().IsRegular()
	if regular {
		f.What = "a program that runs as its owner"
	}
	switch {
	case !fix:
	case regular:
		f.Err = s.root.Chmod(rel, info.Mode().Perm())
	default:
		f.Err = s.root.RemoveAll(rel)
	}
	return f
}

// write replaces a file in one step, whatever stands there: a link is replaced and not followed. If the disk is full, what a
// session has put there goes all the same, and may leave the room that is needed.
func write(root *os.Root, rel string, text []byte, mode fs.FileMode) error {
	err := replaceFile(root, rel, text, mode)
	if !full(err) {
		return err
	}
	if err := root.Remove(rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err = replaceFile(root, rel, text, mode); full(err) {
		return fmt.Errorf("it is taken away; what was there comes back when there is room: %w", err)
	}
	return err
}

// full says whether something failed for want of room.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func replaceFile(root *os.Root, rel string, text []byte, mode fs.FileMode) error {
	if err := root.MkdirAll(path.Dir(rel), 0o755); err != nil {
		return err
	}
	sweep(root, path.Dir(rel))
	temp := path.Join(path.Dir(rel), draft+strings.ToLower(rand.Text()[:8]))
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if chmod := f.Chmod(mode); err == nil {
		err = chmod
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = root.Rename(temp, rel)
	}
	if err != nil {
		_ = root.Remove(temp)
	}
	return err
}

// draft is how the files begin that are to take the place of others.
const draft = ".claude-vm-draft-"

// sweep removes the drafts in a folder that were left when we were killed. Whoever writes has the gate: none of them is in use.
func sweep(root *os.Root, dir string) {
	folder, err := root.Open(dir)
	if err != nil {
		return
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(maxList)
	for _, name := range names {
		if strings.HasPrefix(name, draft) {
			_ = root.Remove(path.Join(dir, name))
		}
	}
}
