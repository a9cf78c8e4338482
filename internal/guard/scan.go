package guard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Bounds for what a guest may have left. What is beyond them is replaced as a whole or reported, never read.
const (
	maxText    = 4 << 20  // bytes of one file that are kept
	maxTotal   = 64 << 20 // bytes of all of them
	maxList    = 2000     // entries of one folder in git's data
	maxDirs    = 5000     // git directories that were not known
	maxDepth   = 100      // folders in folders that a link leads to, or around a git directory
	maxDeep    = 2100     // folders in folders: paths that are longer no program can name
	maxFiles   = 10_000   // files of each kind that tools run by themselves
	maxChanges = 20_000   // of those that a report names
	maxRead    = 64 << 20 // bytes of them that are read
	maxFollow  = 100_000  // entries of folders that a link leads to, and words of configurations
)

// Kind is what stands at a path.
type Kind string

// The kinds. Other is a device, a pipe or a socket; Large is a file that is not kept, Many a folder that is not looked at,
// Unread a git directory that is not.
const (
	File  Kind = "file"
	Link  Kind = "link"
	Dir   Kind = "dir"
	Other Kind = "other"
	Large Kind = "large"
	Many  Kind = "many"

	Unread Kind = "unread"
)

// Node is something that stands at a path. Folders are known by what is in them and have no node, unless they stand where
// a file belongs.
type Node struct {
	Kind Kind        `json:"kind"`
	Mode fs.FileMode `json:"mode,omitempty"` // permissions
	Text []byte      `json:"text,omitempty"` // of a file, or the target of a link
	Mark string      `json:"mark,omitempty"` // of a large file or folder: changes with it
}

func (n Node) same(m Node) bool {
	return n.Kind == m.Kind && n.Mode == m.Mode && string(n.Text) == string(m.Text) && n.Mark == m.Mark
}

// Area is a folder of the host that a guest can write to, as far as it concerns us.
type Area struct {
	Path    string           `json:"path"`
	Git     bool             `json:"git"`     // the folder is a git directory itself, and no working tree
	Dirs    []string         `json:"dirs"`    // git directories, relative to Path, the outer before the inner
	Nodes   map[string]Node  `json:"nodes"`   // what matters in them, relative to Path
	Named   []string         `json:"named"`   // what git takes from the project, because configurations or links say so
	Files   map[string]trace `json:"files"`   // what tools of the host run by themselves
	Short   bool             `json:"short"`   // not all of Files is noted
	AllRun  bool             `json:"all_run"` // every file is a program, so that to be one means nothing
	Partial bool             `json:"partial"` // not everything was looked at

	Configs []string               `json:"configs"` // what configurations include that lies in git's data, and need not be there
	Folders map[string]Folder      `json:"folders"` // the area, git directories, and their hooks
	Loose   map[string]fs.FileMode `json:"loose"`   // in git's data, what more may be done with it by others than with the git directory
	Open    map[string]bool        `json:"open"`    // outside of git's data, what anybody may write to
	Odd     map[string]string      `json:"odd"`     // devices, and programs that run as their owner or group, with a mark

	// Elsewhere are, for each git directory of a working tree that a guest does not see, the files in it.
	Elsewhere map[string]map[string]Node `json:"elsewhere,omitempty"`
	// Views are, for each of Dirs, what git shows of it.
	Views map[string]view `json:"views,omitempty"`
}

// scanner looks at an area. It follows no symbolic link out of it: everything goes through root.
type scanner struct {
	*Area
	root     *os.Root
	total    int
	seen     map[string]bool   // git directories
	known    map[string]bool   // those that are looked at however many there are
	deep     bool              // in a git directory
	referred map[string]bool   // Named
	follow   int               // those behind links
	words    int               // of configurations that are still looked at
	user     []Setting         // git's configuration of the user
	scripts  map[string]bool   // those that were read for what they call
	was      *Area             // what was noted before the session, at its end
	young    map[string]bool   // folders that a guest may have moved before they were looked at
	listed   map[string]int    // Files, by kind
	read     int               // bytes of them
	unlisted bool              // not all of Files is
	all      int               // files of the project
	runnable int               // those that are programs
	packages map[string]int    // programs that came into folders of installed packages
	others   map[string]bool   // the paths of other areas
	begun    time.Time         // when set, what is younger is not how it was before the session: a guest may run already
	outside  map[string]bool   // what configurations and links name that is not in the area, and whether they include it
	since    time.Time         // when the session began, if it is over
	before   *Area             // what was noted then
	places   map[string]string // of the git directories that were noted then
	asides   []string          // what earlier sessions had in git directories
	found    []repository      // that were not looked at yet
	strange  int               // bytes of strangers that are kept
	kept     int               // bytes of Elsewhere
	start    time.Time         // when the session begins
	unsure   bool              // the user's git does not mind when an inode was changed
	copies   string            // the folder beside the notes for copies of indexes
	copied   int64             // bytes in it
}

// newScanner looks at an area, without those in it that are looked at for themselves.
func newScanner(area *Area, all []*Area) (*scanner, error) {
	root, err := os.OpenRoot(area.Path)
	if err != nil {
		return nil, err
	}
	// A guest with a folder around this one can put a link in its place.
	if target, err := filepath.EvalSymlinks(area.Path); err != nil || target != area.Path {
		root.Close()
		return nil, errors.Join(err, errors.New("it is not the folder that was shared, but a link"))
	}
	area.Nodes, area.Files = map[string]Node{}, map[string]trace{}
	area.Elsewhere, area.Views = map[string]map[string]Node{}, map[string]view{}
	area.Folders, area.Loose, area.Open, area.Odd = map[string]Folder{}, map[string]fs.FileMode{}, map[string]bool{}, map[string]string{}
	s := &scanner{Area: area, root: root, seen: map[string]bool{}, known: map[string]bool{}, follow: maxFollow, words: maxFollow,
		referred: map[string]bool{}, outside: map[string]bool{}, others: map[string]bool{}, was: &Area{}, scripts: map[string]bool{},
		young: map[string]bool{}, listed: map[string]int{}, packages: map[string]int{}}
	for _, other := range all {
		s.others[other.Path] = other.Path != area.Path
	}
	s.folder(".")
	return s, nil
}

// repository looks at the git data of the area itself.
func (s *scanner) repository() {
	if s.Git {
		s.gitDir(".")
	} else {
		s.dotGit(".git")
	}
}

// dotGit looks at a .git, which is a git directory or names one.
func (s *scanner) dotGit(rel string) {
	info, err := s.root.Lstat(rel)
	switch {
	case err != nil:
	case info.IsDir():
		s.gitDir(rel)
	default:
		s.keep(rel)
		if info, err := s.root.Stat(rel); err == nil && info.IsDir() {
			s.gitDir(rel) // a link to another place in the area
		}
	}
}

// gitDir looks at a git directory and those in it: of worktrees, of submodules, and any other.
func (s *scanner) gitDir(rel string) {
	if s.seen[rel] {
		return
	}
	if !s.known[rel] && (len(s.Dirs)-len(s.known) >= maxDirs || strings.Count(rel, "/") > maxDepth) {
		s.Nodes[rel] = Node{Kind: Unread}
		s.unlisted = true
		return
	}
	s.unlock(rel, toChange)
	s.seen[rel] = true
	s.Dirs = append(s.Dirs, rel)
	s.folder(rel)
	s.folder(path.Join(rel, "hooks"))
	s.moved(rel)
	if !s.deep {
		s.deep = true
		defer func() { s.deep = false }()
		defer s.data(rel)
	}
	for _, folder := range []string{"hooks", "info", "objects/info", "modules", "worktrees"} {
		if info, err := s.root.Lstat(path.Join(rel, folder)); err == nil && !info.IsDir() {
			s.keep(path.Join(rel, folder))
		}
	}
	for _, name := range slices.Concat(guarded, halfway) {
		s.note(path.Join(rel, name))
	}
	s.keepElsewhere(rel)
	s.view(rel)
	s.hooks(path.Join(rel, "hooks"), 0)
	for _, folder := range []string{"remotes", "branches"} { // where git kept addresses long ago, and still looks
		for _, e := range s.list(path.Join(rel, folder)) {
			s.note(path.Join(rel, folder, e.Name()))
		}
	}
	if s.since.IsZero() {
		s.named(rel)
	}
	for _, e := range s.list(path.Join(rel, "worktrees")) {
		if e.IsDir() {
			s.gitDir(path.Join(rel, "worktrees", e.Name()))
		}
	}
	s.modules(path.Join(rel, "modules"), 0)
}

// What we need to be allowed to look at a folder, and to put back what is in it.
const (
	toRead   fs.FileMode = 0o500
	toChange fs.FileMode = 0o700
)

// unlock lets us into a folder after a session, which can have closed it: git finds a file by its name in a folder that nobody
// can list.
func (s *scanner) unlock(rel string, need fs.FileMode) {
	if s.since.IsZero() {
		return
	}
	if info, err := s.root.Lstat(rel); err == nil && info.IsDir() && info.Mode().Perm()&need != need {
		_ = s.root.Chmod(rel, info.Mode().Perm()|toChange)
	}
}

// unlockAll lets us into all folders of a path.
func (s *scanner) unlockAll(rel string) {
	for i, c := range rel {
		if c == '/' {
			s.unlock(rel[:i], toRead)
		}
	}
}

// hooks looks at a folder of hooks. Files that end in .sample are git's own examples, which it does not run.
func (s *scanner) hooks(rel string, depth int) {
	if depth > 8 {
		s.Nodes[rel] = Node{Kind: Many}
		return
	}
	for _, e := range s.list(rel) {
		name := path.Join(rel, e.Name())
		switch {
		case e.IsDir():
			s.hooks(name, depth+1)
		case !strings.HasSuffix(e.Name(), ".sample"):
			s.note(name)
		}
	}
}

// modules looks for the git directories of submodules, whose names can have slashes in them.
func (s *scanner) modules(rel string, depth int) {
	if depth > maxDepth {
		s.unlisted = true
		return
	}
	entries := s.list(rel)
	for _, name := range []string{"HEAD", "config", "commondir", "hooks"} {
		if depth > 0 && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == name }) {
			s.gitDir(rel)
			break
		}
	}
	for _, e := range entries {
		own := s.seen[rel] && slices.Contains([]string{"hooks", "info", "logs", "modules", "objects", "refs", "worktrees", "lfs"}, e.Name())
		name := path.Join(rel, e.Name())
		if s.seen[rel] && !s.known[name] && !valid(s.root, name) {
			continue // what lies in a git directory is one only if git takes it for one
		}
		if e.IsDir() && !own {
			s.modules(name, depth+1)
		}
	}
}

// list returns the entries of a folder. Of one with too many it notes that.
func (s *scanner) list(rel string) []fs.DirEntry {
	s.unlock(rel, toChange)
	f, err := s.root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0) // a pipe would keep us waiting
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, err := f.ReadDir(maxList + 1)
	if err != nil {
		return nil
	}
	if len(entries) > maxList {
		s.Nodes[rel] = Node{Kind: Many}
		return nil
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries
}

// note keeps what stands at a path, and where the file is that a link stands for.
func (s *scanner) note(rel string) {
	if s.keep(rel); s.Nodes[rel].Kind == Link && s.since.IsZero() {
		s.refer(path.Dir(rel), string(s.Nodes[rel].Text))
	}
}

// keep keeps what stands at a path.
func (s *scanner) keep(rel string) {
	n, ok := s.look(rel)
	if ok && !s.begun.IsZero() {
		info, err := s.root.Lstat(rel)
		ok = err == nil && !changedSince(info, s.begun)
	}
	if ok {
		s.Nodes[rel] = n
	}
}

func (s *scanner) look(rel string) (Node, bool) {
	info, err := s.root.Lstat(rel)
	if err != nil {
		return Node{}, false
	}
	n := Node{Kind: Other}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		target, _ := s.root.Readlink(rel)
		return Node{Kind: Link, Text: []byte(target)}, true
	case mode.IsDir():
		n.Kind = Dir
	case mode.IsRegular():
		n.Kind, n.Mode = File, mode.Perm()
		if info.Size() <= maxText && s.total < maxTotal {
			if n.Text, err = readAll(s.root, rel, syscall.O_NOFOLLOW); err == nil {
				s.total += len(n.Text)
				return n, true
			}
		}
		n.Kind, n.Mark = Large, mark(info)
	}
	return n, true
}

var errLarge = errors.New("too large")

// readAll reads a file of at most maxText bytes that can be swapped for something else at any time.
func readAll(root *os.Root, rel string, flag int) ([]byte, error) {
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY|flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errLarge)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(text) > maxText {
		err = errLarge
	}
	return text, err
}

// mark changes whenever a file does: a guest cannot set the time of the last change of an inode.
func mark(info fs.FileInfo) string {
	text := fmt.Sprint(info.Size(), " ", info.ModTime().UnixNano())
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		text += fmt.Sprint(" ", st.Ino, " ", changeTime(st).UnixNano())
	}
	return text
}

// tree walks through a working tree: for the repositories in it, and for what tools of the host run by themselves.
func (s *scanner) tree() {
	if !s.Git { // as a part of it, its data was walked through
		s.walk(s.root, ".", 0, work)
		s.repositories()
	}
}

// ground is what a folder that is walked through belongs to.
type ground int

const (
	work    ground = iota // the project
	foreign               // other people's projects in it
	cache                 // what tools make anew
)

// entries hands over what is in a folder, and says whether it looks like a git directory.
func entries(dir *os.Root, do func(fs.DirEntry)) (repository bool) {
	f, err := dir.Open(".")
	if err != nil {
		return false
	}
	defer f.Close()
	has := map[string]bool{}
	for {
		list, err := f.ReadDir(1000)
		if err != nil || len(list) == 0 {
			return has["head"] && (has["objects"] && has["refs"] || has["commondir"])
		}
		for _, e := range list {
			switch lower := strings.ToLower(e.Name()); lower { // on some file systems .GIT is the same
			case "head", "objects", "refs", "commondir":
				has[lower] = true
			}
			do(e)
		}
	}
}

// walk looks at one folder. Each has a root of its own, so that deep trees cost no more than flat ones. It takes as long as
// there is something: a repository in the last of any number of folders runs something as one in the first does.
func (s *scanner) walk(dir *os.Root, rel string, depth int, on ground) {
	if depth > maxDeep {
		s.unlisted = true
		return
	}
	bare := entries(dir, func(e fs.DirEntry) {
		name := path.Join(rel, e.Name())
		other := s.others[filepath.Join(s.Path, name)]
		if strings.EqualFold(e.Name(), ".git") && !other {
			if s.found = append(s.found, repository{rel: name, valid: !e.IsDir() || valid(dir, e.Name())}); e.IsDir() {
				return
			}
		}
		switch {
		case e.IsDir() && other:
		case e.IsDir():
			s.enter(dir, e, name, depth, on)
		default:
			s.file(e, name, on)
		}
	})
	if bare {
		s.found = append(s.found, repository{rel, true}) // git takes it for one when somebody is in it
	}
}

// enter walks through a folder in another.
func (s *scanner) enter(dir *os.Root, e fs.DirEntry, name string, depth int, on ground) {
	on = groundOf(on, e.Name())
	if info, err := e.Info(); err == nil {
		s.opened(info, name)
		s.arrived(info, name)
	}
	s.step(dir, e, name, toRead, func(sub *os.Root) { s.walk(sub, name, depth+1, on) })
}

// step goes into a folder in another, which a session can have closed.
func (s *scanner) step(dir *os.Root, e fs.DirEntry, name string, need fs.FileMode, do func(*os.Root)) {
	if info, err := e.Info(); err == nil && info.Mode().Perm()&need != need && !s.since.IsZero() {
		_ = dir.Chmod(e.Name(), info.Mode().Perm()|toChange)
	}
	sub, err := dir.OpenRoot(e.Name())
	if err != nil {
		s.unlisted = s.unlisted || errors.Is(err, syscall.EMFILE)
		return
	}
	defer sub.Close()
	do(sub)
}

// file looks at what is no folder in a working tree.
func (s *scanner) file(e fs.DirEntry, name string, on ground) {
	if info, err := e.Info(); err == nil {
		s.special(info, name)
		s.opened(info, name)
	}
	s.consider(e, name, on)
}

// changedSince says whether an inode has changed, which a guest cannot hide.
func changedSince(info fs.FileInfo, when time.Time) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && !changeTime(st).Before(when)
}
