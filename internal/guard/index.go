package guard

import (
	"cmp"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // git's names of objects
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/gitindex"
)

// index is what is noted of the index of a working tree. An entry there says how its file was when
// git compared it. As long as the file's size and times are these, git does not look into it, so
// that a forged entry hides a change as well as the bits do that are made for it.
//
// What an index says that has not changed is believed: the time of an inode's last change, which is
// a part of it, is not for a guest to set. Of one that has changed those entries are believed that
// are what they were. For all others git compares the files once more.
type index struct {
	Mark string `json:"mark,omitempty"` // of the files that it lies in; empty: it is looked through in any case
	Copy string `json:"copy,omitempty"` // of it, beside the notes; empty: nobody knows what was in it
	Sure int64  `json:"sure,omitempty"` // in seconds: an entry of a file that is not older may be too early
}

const (
	maxIndex   = 128 << 20 // bytes of an index that is looked through, with a million files
	maxCopied  = 256 << 20 // bytes of all that are copied
	indexName  = "index"
	sharedName = "sharedindex." // and a checksum: the rest of a split index
)

// index notes the index of a git directory, or nothing if there is none.
func (s *scanner) index(dir string) *index {
	info, err := s.root.Lstat(path.Join(dir, indexName))
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if !s.early(info) {
		return &index{}
	}
	noted := &index{Mark: s.indexMark(dir, info), Copy: s.copyIndex(dir)}
	noted.Sure = min(info.ModTime().Unix(), s.start.Unix())
	if s.unsure || isUnsure(s.lastValue(dir, trustCtime), s.lastValue(dir, checkStat)) {
		noted.Mark, noted.Sure = "", 0
	}
	if changedSince(info, s.start.Truncate(time.Second)) {
		noted.Mark = "" // git counts in seconds, and a session can begin within the same
	}
	return noted
}

// By these settings git does not mind when an inode was changed, and so believes what a session can
// set.
const (
	trustCtime = "core.trustctime"
	checkStat  = "core.checkstat"
)

func isUnsure(trust, check string) bool {
	return trust != "" && !isTrue(trust) || check == "minimal"
}

// unsure says whether the user has set one of them.
func unsure(user []Setting) bool {
	return slices.ContainsFunc(user, func(s Setting) bool {
		switch value := strings.ToLower(s.Value); strings.ToLower(s.Key) {
		case trustCtime:
			return isUnsure(cmp.Or(value, "true"), "")
		case checkStat:
			return isUnsure("", value)
		}
		return false
	})
}

// indexMark changes whenever an index does, or the files that hold the rest of it.
func (s *scanner) indexMark(dir string, info fs.FileInfo) string {
	text := mark(info)
	for _, name := range s.sharedIndexes(dir) {
		if info, err := s.root.Lstat(path.Join(dir, name)); err == nil {
			text += " " + name + " " + mark(info)
		}
	}
	return text
}

// sharedIndexes returns the files that hold the rest of a split index.
func (s *scanner) sharedIndexes(dir string) []string {
	names := slices.DeleteFunc(s.listing(dir), func(name string) bool { return !strings.HasPrefix(name, sharedName) })
	slices.Sort(names)
	return names
}

// copyIndex keeps an index as it is beside the notes, and returns the name there, or nothing if
// that did not work. Nobody looks at what is in it before a session has changed it.
func (s *scanner) copyIndex(dir string) string {
	names := append([]string{indexName}, s.sharedIndexes(dir)...)
	to := strings.ToLower(rand.Text()[:12])
	for _, name := range names {
		n, err := s.copyFile(path.Join(dir, name), filepath.Join(s.copies, to, name))
		if s.copied += n; err != nil {
			_ = os.RemoveAll(filepath.Join(s.copies, to)) // of a disk that is full for one
			return ""
		}
	}
	return to
}

func (s *scanner) copyFile(rel, to string) (int64, error) {
	from, size, err := s.openIndex(rel)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	if s.copied+size > maxCopied || s.copies == "" {
		return 0, errLarge
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return 0, err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyN(f, from, size) // a file system that can shares the blocks
	return n, errors.Join(err, f.Close())
}

// openIndex opens a file of an index.
func (s *scanner) openIndex(rel string) (*os.File, int64, error) {
	f, err := s.root.OpenFile(rel, toReadFile, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxIndex {
		f.Close()
		return nil, 0, errors.Join(err, errLarge)
	}
	return f, info.Size(), nil
}

// parseIndex reads an index, given how its files are read.
func (s *scanner) parseIndex(dir string, read func(name string) ([]byte, error)) (*gitindex.Index, error) {
	text, err := read(indexName)
	if err != nil {
		return nil, err
	}
	size := sha1.Size
	if s.lastValue(dir, "extensions.objectformat") == "sha256" {
		size = sha256.Size
	}
	return gitindex.Parse(text, size, func(sum string) ([]byte, error) { return read(sharedName + sum) })
}

// readIndex reads the index of a git directory as it is.
func (s *scanner) readIndex(dir string) (*gitindex.Index, error) {
	return s.parseIndex(dir, func(name string) ([]byte, error) {
		f, size, err := s.openIndex(path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		text := make([]byte, size)
		_, err = io.ReadFull(f, text)
		return text, err
	})
}

// oldIndex reads the index of a git directory as it was.
func (s *scanner) oldIndex(dir string, was *index) (*gitindex.Index, error) {
	if was == nil { // there was none
		return &gitindex.Index{}, nil
	}
	if was.Copy == "" || !filepath.IsLocal(was.Copy) {
		return nil, errors.New("it was not kept")
	}
	return s.parseIndex(dir, func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(s.copies, was.Copy, name))
	})
}

// revealFiles has git look again at the files of an index that a session has changed.
func (c *comparison) revealFiles(dir string, was *index) {
	rel := path.Join(dir, indexName)
	info, err := c.now.root.Lstat(rel)
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	if was != nil && was.Mark != "" && was.Mark == c.now.indexMark(dir, info) {
		return
	}
	sparse := isTrue(c.now.lastValue(dir, "core.sparsecheckout"))
	r := revealer{tree: c.now.workTree(dir), sparse: sparse, absent: map[string]bool{}}
	work := func() error {
		x, err := c.now.readIndex(dir)
		if err != nil {
			return fmt.Errorf("it cannot be read: %w", err)
		}
		old, err := c.now.oldIndex(dir, was)
		if r.unknown = err; err != nil {
			old = &gitindex.Index{}
		}
		x.KeepTrees(old)
		r.reveal(x, old, was)
		return c.mend(func() error { return write(c.now.root, rel, x.Text(), info.Mode().Perm()) })
	}
	if c.fix {
		err = c.locked(rel, work)
	} else {
		err = work()
	}
	switch {
	case len(r.hidden) > 0:
		c.found(rel, "git did not show changes of "+some(r.hidden), err)
	case err != nil:
		c.found(rel, "git may not show changes", err)
	}
	if len(r.doubtful) > 0 {
		err := fmt.Errorf("how it was before the session nobody knows: %w", r.unknown)
		c.found(rel, "git does not show changes of "+some(r.doubtful), err)
	}
	if len(r.folders) > 0 {
		err := errors.New("git sparse-checkout disable does that")
		c.found(rel, "git does not show changes in "+some(r.folders), err)
	}
}

// revealer takes out of an index what keeps git from looking at files.
type revealer struct {
	tree   string          // the working tree
	sparse bool            // git leaves files out of it, of which git status tells
	absent map[string]bool // whether folders of it are not there

	unknown  error    // why nobody knows how the index was
	hidden   []string // files that git shows again
	doubtful []string // files that the user may have hidden
	folders  []string // folders that are hidden as a whole
}

// reveal goes through an index and what it was side by side.
func (r *revealer) reveal(x, old *gitindex.Index, was *index) {
	sure := int64(0)
	if was != nil {
		sure = was.Sure
	}
	before := old.Entries
	for _, e := range x.Entries {
		for len(before) > 0 && before[0].Compare(e) < 0 {
			before = before[1:]
		}
		bits, there := gitindex.Bits(0), len(before) > 0 && before[0].Compare(e) == 0
		if there {
			bits = before[0].Bits()
		}
		if !there || e.Youngest() >= sure || !before[0].Same(e) {
			e.Look()
		}
		if more := e.Bits() &^ bits; more != 0 {
			r.entry(e, more)
		}
	}
}

// entry takes bits away that an entry did not have.
func (r *revealer) entry(e gitindex.Entry, more gitindex.Bits) {
	name := string(e.Name)
	if more&gitindex.SkipWorktree != 0 && r.sparse && (e.Folder() || !r.present(name)) {
		more &^= gitindex.SkipWorktree
	}
	switch {
	case more == 0:
	case r.unknown != nil:
		r.doubtful = append(r.doubtful, name)
	case e.Folder(): // git knows no such entry without the bit
		r.folders = append(r.folders, name)
	default:
		e.Clear(more)
		r.hidden = append(r.hidden, name)
	}
}

// present says whether a file is in the working tree, or may be.
func (r *revealer) present(name string) bool {
	if r.tree == "" || !filepath.IsLocal(name) {
		return true
	}
	for i := range name {
		if name[i] == '/' && r.isAbsent(name[:i]) {
			return false
		}
	}
	_, err := os.Lstat(filepath.Join(r.tree, name))
	return !errors.Is(err, fs.ErrNotExist)
}

func (r *revealer) isAbsent(dir string) bool {
	absent, known := r.absent[dir]
	if !known {
		info, err := os.Lstat(filepath.Join(r.tree, dir))
		absent = errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir()
		r.absent[dir] = absent
	}
	return absent
}

// inheritViews takes over what another session that is running has noted of what git shows.
func (s *scanner) inheritViews(theirs *Area, copies string, known func(string) (string, bool)) {
	for dir := range s.Views {
		their, ok := known(dir)
		v, noted := theirs.Views[their]
		switch {
		case noted && ok:
			s.Views[dir] = v.taken(copies, s.copies)
		case ok && theirs.Views != nil:
			s.Views[dir] = view{} // it is newer than that session
		}
	}
}

// taken returns a view of other notes, with the copy that belongs to it.
func (v view) taken(from, to string) view {
	if v.Index == nil || v.Index.Copy == "" || !filepath.IsLocal(v.Index.Copy) {
		return v
	}
	taken := *v.Index
	entries, err := os.ReadDir(filepath.Join(from, taken.Copy))
	dir := filepath.Join(to, taken.Copy)
	err = errors.Join(err, os.MkdirAll(dir, 0o700))
	for _, e := range entries {
		linked := os.Link(filepath.Join(from, taken.Copy, e.Name()), filepath.Join(dir, e.Name()))
		if !errors.Is(linked, fs.ErrExist) {
			err = errors.Join(err, linked)
		}
	}
	if err != nil {
		taken.Copy = ""
	}
	v.Index = &taken
	return v
}
