package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"
)

// Folder is what is noted of a folder besides what is in it.
type Folder struct {
	Place string      `json:"place"` // which folder it is, whatever its name
	Mode  fs.FileMode `json:"mode"`  // permissions
	Lists lists       `json:"lists"` // of who else may do what
}

// place says which file or folder something is, whatever its name.
func place(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	}
	return ""
}

// folder notes a folder.
func (s *scanner) folder(rel string) {
	f, err := s.root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() && s.early(info) {
		s.Folders[rel] = Folder{place(info), info.Mode().Perm(), listsOf(f)}
	}
}

var errExchanged = errors.New("it is not the folder that was shared")

// scanAgain opens an area that was looked at before the session, and no other folder that has come
// in its place.
func scanAgain(area *Area, all []*Area, copies string) (*scanner, error) {
	noted := area.Folders["."].Place
	if err := unlockArea(area.Path, noted); err != nil {
		return nil, err
	}
	s, err := newScanner(&Area{Path: area.Path, Git: area.Git}, all)
	if err != nil {
		return nil, err
	}
	if s.copies = copies; noted != "" && s.Folders["."].Place != noted {
		s.root.Close()
		return nil, errExchanged
	}
	return s, nil
}

// moved takes over what was noted of a git directory that has another name now, as after git
// submodule absorbgitdirs.
func (s *scanner) moved(rel string) {
	if s.before == nil || s.known[rel] {
		return
	}
	old, ok := s.places[s.Folders[rel].Place]
	if !ok || below(old, rel) {
		return
	}
	if info, err := s.root.Lstat(old); err == nil && info.IsDir() {
		return // another one stands there, and there it is put back
	}
	take(s.before.Nodes, old, rel)
	take(s.before.Folders, old, rel)
	take(s.before.Loose, old, rel)
	take(s.before.Views, old, rel)
}

// take has what is noted of a folder and what is in it hold for another one too.
func take[V any](noted map[string]V, old, now string) {
	for name, v := range maps.Clone(noted) {
		if below(old, name) {
			noted[path.Join(now, within(old, name))] = v
		}
	}
}

// remember has an area that was noted before the session at hand, with a copy of its notes that can
// be added to.
func (s *scanner) remember(before *Area) {
	s.before = before.copied()
	s.places = map[string]string{}
	for _, dir := range before.Dirs {
		if s.known[dir] = true; dir != "." && before.Folders[dir].Place != "" {
			s.places[before.Folders[dir].Place] = dir
		}
	}
}

// copied is an area whose notes can be added to.
func (a Area) copied() *Area {
	a.Nodes, a.Folders, a.Loose = maps.Clone(a.Nodes), maps.Clone(a.Folders), maps.Clone(a.Loose)
	a.Views = maps.Clone(a.Views)
	return &a
}

// inherit takes over what another session has noted of who may write to what, and of programs that
// run as their owner: known returns the path in their area, if they have looked at what is there.
func (a *Area) inherit(theirs *Area, known func(string) (string, bool)) {
	if theirs.Folders == nil {
		return
	}
	instead(a.Folders, theirs.Folders, known)
	instead(a.Loose, theirs.Loose, known)
	instead(a.Open, theirs.Open, known)
	instead(a.Odd, theirs.Odd, known)
}

// strange says whether what was noted at a path is something that git has no hand in. An earlier
// release did not note that.
func (a *Area) strange(rel string) bool {
	for dir := rel; dir != "."; {
		if dir = path.Dir(dir); slices.Contains(a.Dirs, dir) {
			return !judged(within(dir, rel)) && !free(within(dir, rel))
		}
	}
	return false
}

func instead[V any](ours, theirs map[string]V, known func(string) (string, bool)) {
	for rel := range ours {
		their, ok := known(rel)
		if v, noted := theirs[their]; noted {
			ours[rel] = v
		} else if ok && rel != "." {
			delete(ours, rel)
		}
	}
}

// others are the permissions by which somebody else may write.
const others fs.FileMode = 0o022

// loosened notes what others may do with something in a git directory that they may not do with the
// git directory.
func (s *scanner) loosened(info fs.FileInfo, name, gitDir string) {
	if info.Mode()&fs.ModeSymlink != 0 {
		return
	}
	if _, noted := s.Folders[name]; noted {
		return // it is looked at for itself
	}
	if more := info.Mode().Perm() & others &^ s.usual(gitDir); more != 0 && s.early(info) {
		s.Loose[name] = more
	}
}

// usual are the permissions to write that others had to a git directory before the session, or to
// the area if it is new.
func (s *scanner) usual(gitDir string) fs.FileMode {
	noted := s.Area
	if s.before != nil {
		noted = s.before
	}
	f, known := noted.Folders[gitDir]
	if !known {
		f = noted.Folders["."]
	}
	return f.Mode & others
}

// early says whether something counts as having been there before the session.
func (s *scanner) early(info fs.FileInfo) bool {
	return s.begun.IsZero() || !changedSince(info, s.begun)
}

// special notes devices and programs that run as their owner.
func (s *scanner) special(info fs.FileInfo, rel string) {
	mode := info.Mode()
	if mode&fs.ModeSymlink != 0 || !s.early(info) {
		return
	}
	if mode&fs.ModeDevice != 0 || mode.IsRegular() && mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		s.Odd[rel] = mark(info)
	}
}

// opened notes what anybody may write to.
func (s *scanner) opened(info fs.FileInfo, rel string) {
	mode := info.Mode()
	anybody := (mode.IsRegular() || mode.IsDir()) && mode&0o002 != 0 && mode&fs.ModeSticky == 0
	if anybody && len(s.Open) <= maxFiles && s.early(info) {
		s.Open[rel] = true
	}
}

// news returns the devices and programs that were not there before the session, and what anybody
// may write to since. Where not all of these were noted, those count that are younger than the
// session.
func (s *scanner) news() (odd, open []string) {
	complete := s.before.Odd != nil && !s.before.Partial
	for rel, mark := range s.Odd {
		info, err := s.root.Lstat(rel)
		if s.before.Odd[rel] != mark && (complete || err == nil && changedSince(info, s.since)) {
			odd = append(odd, rel)
		}
	}
	if !complete || len(s.before.Open) > maxFiles {
		return odd, nil
	}
	for rel := range s.Open {
		if !s.before.Open[rel] {
			open = append(open, filepath.Join(s.Path, rel))
		}
	}
	slices.Sort(open)
	return odd, open
}

// rights takes away what others may write to since the session: of git directories, the hooks and
// the area each for itself, and of all that is in git directories.
func (c *comparison) rights() {
	if c.before.Folders == nil {
		return
	}
	for _, rel := range slices.Sorted(maps.Keys(c.now.Folders)) {
		if is, was := c.now.Folders[rel], c.wasFolder(rel); !c.isReplaced(rel) {
			c.folderRights(rel, was, is)
		}
	}
	within := map[string][]string{}
	for rel, mode := range c.now.Loose {
		if mode&^c.before.Loose[rel] != 0 && !c.isReplaced(rel) {
			dir := c.gitDirOf(rel)
			within[dir] = append(within[dir], rel)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(within)) {
		err := c.mend(func() (err error) {
			for _, rel := range within[dir] {
				if info, failed := c.now.root.Lstat(rel); failed == nil && info.Mode()&fs.ModeSymlink == 0 {
					more := c.now.Loose[rel] &^ c.before.Loose[rel]
					err = errors.Join(err, c.now.root.Chmod(rel, info.Mode().Perm()&^more))
				}
			}
			return err
		})
		c.found(dir, fmt.Sprintf("others may write to %d of the files and folders in it", len(within[dir])), err)
	}
}

// wasFolder returns what was noted of a folder. One that is new has the rights that the area had.
func (c *comparison) wasFolder(rel string) Folder {
	if was, known := c.before.Folders[rel]; known {
		return was
	}
	return Folder{Mode: c.before.Folders["."].Mode, Lists: c.now.inherited(rel)}
}

func (c *comparison) folderRights(rel string, was, is Folder) {
	root := c.now.root
	info, err := root.Lstat(rel)
	if err != nil || !info.IsDir() || place(info) != is.Place {
		return // it is put back, or gone
	}
	if !is.Lists.same(was.Lists) {
		c.found(rel, "others may do more with it (by an access control list)", c.mend(func() error {
			f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			return was.Lists.put(f)
		}))
	}
	if info, err = root.Lstat(rel); err != nil {
		return
	}
	if more := is.Mode & others &^ was.Mode; more != 0 {
		c.found(rel, "others may write to it", c.mend(func() error { return root.Chmod(rel, info.Mode().Perm()&^more) }))
	}
}

// isReplaced says whether a path lies in a folder that was dealt with as a whole.
func (c *comparison) isReplaced(rel string) bool {
	for dir := rel; dir != "."; dir = path.Dir(dir) {
		if c.replaced[dir] {
			return true
		}
	}
	return false
}

// gitDirOf returns the outermost git directory that a path lies in.
func (c *comparison) gitDirOf(rel string) string {
	if c.now.seen["."] {
		return "."
	}
	for i := range rel {
		if rel[i] == '/' && c.now.seen[rel[:i]] {
			return rel[:i]
		}
	}
	return rel
}
