package guard

import (
	"crypto/sha256"
	"encoding/hex"
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
	maxText   = 4 << 20   // bytes of one file that are kept
	maxTotal  = 64 << 20  // bytes of all of them
	maxList   = 2000      // entries of one folder in git's data
	maxDirs   = 5000      // git directories
	maxDepth  = 100       // folders in folders
	maxFiles  = 10_000    // files of each occasion on which they run by themselves
	maxRead   = 256 << 20 // bytes of them that are read
	maxFollow = 100_000   // entries of folders that a link leads to, and words of configurations
)

// Kind is what stands at a path.
type Kind string

// The kinds. Other is a device, a pipe or a socket; Large is a file that is not kept, Many a folder that is not looked at.
const (
	File  Kind = "file"
	Link  Kind = "link"
	Dir   Kind = "dir"
	Other Kind = "other"
	Large Kind = "large"
	Many  Kind = "many"
)

// Node is something that stands at a path. Folders are known by what is in them and have no node, unless they stand where
// a file belongs.
type Node struct {
	Kind Kind        `json:"kind"`
	Mode fs.FileMode `json:"mode,omitempty"` // permissions
	Text []byte      `json:"text,omitempty"` // of a file, or the target of a link
	Mark string      `json:"mark,omitempty"` // of a large file: changes with it
}

func (n Node) same(m Node) bool {
	return n.Kind == m.Kind && n.Mode == m.Mode && string(n.Text) == string(m.Text) && n.Mark == m.Mark
}

// Area is a folder of the host that a guest can write to, as far as it concerns us.
type Area struct {
	Path    string            `json:"path"`
	Git     bool              `json:"git"`     // the folder is a git directory itself, and no working tree
	Plain   bool              `json:"plain"`   // only files and folders belong there
	Dirs    []string          `json:"dirs"`    // git directories, relative to Path, the outer before the inner
	Nodes   map[string]Node   `json:"nodes"`   // what matters in them, relative to Path
	Named   []string          `json:"named"`   // what git takes from the project, because configurations or links say so
	Files   map[string]string `json:"files"`   // what tools of the host run by themselves, with a digest
	Partial bool              `json:"partial"` // not everything was looked at
	// Elsewhere are, for each git directory of a working tree that a guest does not see, the files in it.
	Elsewhere map[string]map[string]Node `json:"elsewhere,omitempty"`
}

// scanner looks at an area. It follows no symbolic link out of it: everything goes through root.
type scanner struct {
	*Area
	root     *os.Root
	total    int
	seen     map[string]bool  // git directories
	known    map[string]bool  // those that are looked at however many there are
	deep     bool             // in a git directory
	limit    int              // entries that are still looked at
	referred map[string]bool  // Named
	outside  map[string]bool  // what configurations and links name that is not in the area
	follow   int              // those behind links
	words    int              // of configurations that are still looked at
	listed   map[occasion]int // Files
	read     int              // bytes of them
	unlisted bool             // not all of Files is
	others   map[string]bool  // the paths of other areas
	begun    time.Time        // when set, what is younger is not how it was before the session: a guest may run already
	since    time.Time        // when set, special files that are younger are noted
	kept     int              // bytes of Elsewhere
	odd      map[string]bool  // those: devices, and programs that run as their owner or group
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
	area.Nodes, area.Files, area.Elsewhere = map[string]Node{}, map[string]string{}, map[string]map[string]Node{}
	s := &scanner{Area: area, root: root, seen: map[string]bool{}, known: map[string]bool{}, limit: maxTree, follow: maxFollow, words: maxFollow, referred: map[string]bool{},
		outside: map[string]bool{}, listed: map[occasion]int{}, odd: map[string]bool{}, others: map[string]bool{}}
	for _, other := range all {
		s.others[other.Path] = other.Path != area.Path
	}
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

// guarded are the files of a git directory that decide what git runs, or where it looks for more.
var guarded = []string{"HEAD", "config", "config.worktree", "commondir", "gitdir", "info/attributes", "objects/info/alternates", "objects/info/http-alternates"}

// gitDir looks at a git directory and those in it: of worktrees, of submodules, and any other.
func (s *scanner) gitDir(rel string) {
	if s.seen[rel] {
		return
	}
	if !s.known[rel] && (len(s.Dirs) >= maxDirs || strings.Count(rel, "/") > maxDepth) {
		s.Partial = true
		return
	}
	s.unlock(rel, toChange)
	s.seen[rel] = true
	s.Dirs = append(s.Dirs, rel)
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

// digestAll digests a file, or the files of a folder, also where a link leads to it. Links in it to other folders are not
// followed, so that nothing goes in circles.
func (s *scanner) digestAll(rel string, depth int) {
	s.unlock(rel, toRead)
	info, err := s.root.Lstat(rel)
	if err != nil {
		return
	}
	if !info.IsDir() {
		if s.digest(rel); depth > 0 {
			return
		}
	}
	f, err := s.root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return // it is no folder
	}
	defer f.Close()
	names, _ := f.Readdirnames(s.follow + 1)
	if s.follow -= len(names); s.follow < 0 || depth > maxDepth {
		s.follow, s.unlisted = max(s.follow, 0), true
		return
	}
	for _, name := range names {
		s.digestAll(path.Join(rel, name), depth+1)
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
	if depth > 16 {
		s.Partial = true
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
		if e.IsDir() && !own {
			s.modules(path.Join(rel, e.Name()), depth+1)
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
	switch {
	case s.Plain:
		s.walk(s.root, ".", 0, plain)
	case !s.Git: // as a part of it, its data was walked through
		s.walk(s.root, ".", 0, work)
	}
}

// data walks through all of a git directory: for links, where git would write to a file of the user's, for pipes, where it
// would wait, and for repositories that hide there.
func (s *scanner) data(rel string) {
	if dir, err := s.root.OpenRoot(rel); err == nil {
		defer dir.Close()
		s.walk(dir, rel, 0, gitData)
	}
}

// ground is what a folder that is walked through belongs to.
type ground int

const (
	work    ground = iota // the project
	foreign               // other people's projects in it
	plain                 // a folder of a program that writes there
	gitData
)

// maxTree is how many entries of an area are looked at.
const maxTree = 1_000_000

// walk looks at one folder. Each has a root of its own, so that deep trees cost no more than flat ones.
func (s *scanner) walk(dir *os.Root, rel string, depth int, on ground) {
	if depth > maxDepth {
		s.Partial = true
		return
	}
	f, err := dir.Open(".")
	if err != nil {
		return
	}
	defer f.Close()
	has := map[string]bool{}
	for {
		entries, err := f.ReadDir(1000)
		if err != nil || len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if s.limit--; s.limit < 0 {
				s.Partial = true
				return
			}
			name, below := path.Join(rel, e.Name()), on
			lower := strings.ToLower(e.Name()) // on some file systems .GIT is the same
			switch lower {
			case "head", "objects", "refs", "commondir":
				has[lower] = true
			}
			if on != gitData && lower == ".git" && !s.others[filepath.Join(s.Path, name)] {
				if s.dotGit(name); e.IsDir() {
					continue
				}
			}
			if on >= plain && !e.IsDir() && !e.Type().IsRegular() {
				s.keep(name)
				continue
			}
			if e.IsDir() && s.others[filepath.Join(s.Path, name)] {
				continue
			}
			if e.IsDir() {
				if on == work && slices.Contains(installed, e.Name()) {
					below = foreign
				}
				need := toRead
				if on >= plain {
					need = toChange
				}
				if info, err := e.Info(); err == nil && info.Mode().Perm()&need != need && !s.since.IsZero() {
					_ = dir.Chmod(e.Name(), info.Mode().Perm()|toChange)
				}
				if sub, err := dir.OpenRoot(e.Name()); err == nil {
					s.walk(sub, name, depth+1, below)
					sub.Close()
				}
				continue
			}
			s.special(e, name)
			switch {
			case on != work:
			case e.Type()&fs.ModeSymlink != 0 && holds(name) != never:
				s.digestAll(name, 0)
			case runsByItself(name) != never:
				s.digest(name)
			}
		}
	}
	if has["head"] && (has["objects"] && has["refs"] || has["commondir"]) {
		s.gitDir(rel) // a bare repository: git takes it for one when somebody is in it
	}
}

// installed are folders full of other people's projects, whose files nobody can look at one by one.
var installed = []string{"node_modules", "vendor", ".venv", "venv", "site-packages", "target"}

// special notes devices and programs that run as their owner.
func (s *scanner) special(e fs.DirEntry, rel string) {
	if s.since.IsZero() {
		return
	}
	info, err := e.Info()
	if err != nil {
		return
	}
	if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeDevice) != 0 && changedSince(info, s.since) {
		s.odd[rel] = true
	}
}

// changedSince says whether an inode has changed, which a guest cannot hide.
func changedSince(info fs.FileInfo, when time.Time) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && !changeTime(st).Before(when)
}

// digest notes what a file is that runs by itself, and what a link leads to.
func (s *scanner) digest(rel string) {
	when := soonest(rel)
	if s.listed[when]++; s.listed[when] > maxFiles {
		s.unlisted = true
		return
	}
	info, err := s.root.Lstat(rel)
	if err != nil {
		return
	}
	is, link := mark(info), ""
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := s.root.Readlink(rel)
		is, link = "", "link "+target
	}
	if s.read >= maxRead {
		s.unlisted = true
	} else if text, err := readAll(s.root, rel, 0); err == nil {
		s.read += len(text)
		sum := sha256.Sum256(text)
		is = hex.EncodeToString(sum[:8])
	}
	s.Files[rel] = link + is
}
