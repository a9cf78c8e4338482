package guard

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	maxStrange = 5000     // entries of a folder that git has no hand in
	maxKept    = 16 << 20 // bytes of all files that git has no hand in
	maxNamed   = 10       // files of a new folder that are named one by one
)

// repository is a place where one may be.
type repository struct {
	rel   string
	valid bool // git takes it for one
}

// valid says whether git takes a folder for a git directory.
func valid(dir *os.Root, name string) bool {
	is := func(file string) bool { _, err := dir.Lstat(path.Join(name, file)); return err == nil }
	return is("HEAD") && (is("objects") && is("refs") || is("commondir"))
}

// repositories looks at those that were found: first at those that git takes for some, and of these
// at the nearest to the project's root. What comes after too many of them was not there before, or
// is not looked at.
func (s *scanner) repositories() {
	slices.SortStableFunc(s.found, func(a, b repository) int {
		order := func(r repository) int {
			if r.valid {
				return 0
			}
			return 1
		}
		depth := cmp.Compare(strings.Count(a.rel, "/"), strings.Count(b.rel, "/"))
		return cmp.Or(cmp.Compare(order(a), order(b)), depth, cmp.Compare(a.rel, b.rel))
	})
	for _, r := range s.found {
		switch {
		case strings.EqualFold(path.Base(r.rel), ".git"):
			s.dotGit(r.rel)
		default:
			s.gitDir(r.rel)
		}
	}
	s.found = nil
}

// data walks through all of a git directory: for strangers, for links, where git would write to a
// file of the user's, for pipes, where it would wait, and for repositories that hide there.
func (s *scanner) data(rel string) {
	if dir, err := s.root.OpenRoot(rel); err == nil {
		defer dir.Close()
		s.walkData(dir, rel, rel, 0)
	}
}

// walkData looks at one folder of a git directory.
func (s *scanner) walkData(dir *os.Root, rel, gitDir string, depth int) {
	if depth > maxDeep {
		s.unlisted = true
		return
	}
	bare := entries(dir, func(e fs.DirEntry) {
		name := path.Join(rel, e.Name())
		switch {
		case s.others[filepath.Join(s.Path, name)], strings.HasPrefix(e.Name(), draft) && s.since.IsZero():
		case e.IsDir():
			s.dataFolder(dir, e, name, gitDir, depth)
		case !e.Type().IsRegular():
			if inner := within(gitDir, name); free(inner) || judged(inner) || !s.workplace(gitDir) {
				s.keepOdd(name)
			}
		default:
			s.dataFile(e, name, gitDir)
		}
	})
	if bare {
		s.gitDir(rel)
	}
}

// keepOdd notes what is neither file nor folder.
func (s *scanner) keepOdd(name string) {
	if target, err := s.root.Readlink(name); err != nil || !emacsLock(name, target) {
		s.keep(name)
	}
}

// dataFile looks at a file of a git directory.
func (s *scanner) dataFile(e fs.DirEntry, name, gitDir string) {
	if info, err := e.Info(); err == nil {
		s.special(info, name)
		s.loosened(info, name, gitDir)
	}
	if inner := within(gitDir, name); !free(inner) && !judged(inner) && !s.otherCase(name) && !s.workplace(gitDir) {
		s.stranger(name)
	}
}

// within returns a path as seen from a folder that it lies in.
func within(dir, name string) string {
	if dir == "." {
		return name
	}
	return strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
}

// otherCase says whether a file is one that was noted under a name in small letters, as on file
// systems that do not mind.
func (s *scanner) otherCase(name string) bool {
	lower := path.Join(path.Dir(name), strings.ToLower(path.Base(name)))
	if _, noted := s.Nodes[lower]; !noted || lower == name {
		return false
	}
	a, err := s.root.Lstat(name)
	b, failed := s.root.Lstat(lower)
	return err == nil && failed == nil && os.SameFile(a, b)
}

// dataFolder looks at a folder of a git directory.
func (s *scanner) dataFolder(dir *os.Root, e fs.DirEntry, name, gitDir string, depth int) {
	if info, err := e.Info(); err == nil {
		s.loosened(info, name, gitDir)
	}
	if s.seen[name] {
		gitDir = name
	} else if strangeFolder(within(gitDir, name)) {
		if s.Nodes[name].Kind == Unread || s.worktree(name, gitDir) || s.strangeFolder(dir, e, name, gitDir) {
			return
		}
		gitDir = name
	}
	s.step(dir, e, name, toChange, func(sub *os.Root) { s.walkData(sub, name, gitDir, depth+1) })
}

// workplace says whether a folder that looks like a git directory is one in which people work: the
// project itself, where working trees lie in a bare repository, or any that has no HEAD as git
// wants it. What git does not know there is not put back.
func (s *scanner) workplace(gitDir string) bool {
	if s.Git || inDotGit(gitDir) || s.isInner(gitDir) {
		return false
	}
	text, err := readAll(s.root, path.Join(gitDir, "HEAD"), 0)
	return gitDir == "." || err != nil || !headText.Match(text)
}

// isInner says whether a folder lies where a git directory keeps those of its worktrees and submodules.
func (s *scanner) isInner(gitDir string) bool {
	for dir := gitDir; dir != "."; {
		dir = path.Dir(dir)
		if inner := within(dir, gitDir); s.seen[dir] && (below("worktrees", inner) || below("modules", inner)) {
			return true
		}
	}
	return false
}

// headText is what git wants in a HEAD.
var headText = regexp.MustCompile(`^(ref:\s*refs/|[0-9a-f]{40})`)

// inDotGit says whether a path is a .git, or lies in one.
func inDotGit(rel string) bool {
	return slices.ContainsFunc(strings.Split(rel, "/"), func(part string) bool { return strings.EqualFold(part, ".git") })
}

// worktree says whether a folder in a bare repository is a working tree, or as good as one: it is
// no part of git's data.
func (s *scanner) worktree(name, gitDir string) bool {
	if s.Git || inDotGit(gitDir) {
		return false
	}
	info, err := s.root.Lstat(path.Join(name, ".git"))
	return s.workplace(gitDir) || err == nil && info.Mode().IsRegular()
}

// stranger notes a file that git has no hand in. After a session only those are read that were
// there before.
func (s *scanner) stranger(name string) {
	if s.before != nil {
		if s.before.Folders == nil { // an earlier release did not note them
			return
		}
		if _, known := s.before.Nodes[name]; !known {
			s.Nodes[name] = Node{Kind: File}
			return
		}
	}
	if _, noted := s.Nodes[name]; noted {
		return
	}
	read := s.total
	if s.strange >= maxKept {
		s.total = maxTotal // it is known by its mark
	}
	s.keep(name)
	if s.strange < maxKept {
		s.strange += s.total - read
	}
	s.total = read
}

// strangeFolder notes a folder that git has no hand in. It says whether that is done: one that was
// a repository before the session, or is one when it begins, is looked at as one.
func (s *scanner) strangeFolder(dir *os.Root, e fs.DirEntry, name, gitDir string) bool {
	if s.before == nil && valid(s.root, name) || s.known[name] {
		s.gitDir(name)
		return !s.seen[name]
	}
	if isAside(within(gitDir, name)) {
		s.asides = append(s.asides, name)
		return true
	}
	c := collected{sum: sha256.New(), gitDir: gitDir}
	s.collect(dir, e, name, 0, &c)
	mark := hex.EncodeToString(c.sum.Sum(nil)[:16])
	switch {
	case s.before != nil && s.before.Folders == nil: // an earlier release did not note them
	case c.over, s.before != nil && s.before.Nodes[name].Kind == Many:
		s.Nodes[name] = Node{Kind: Many, Mark: mark}
	case s.before != nil && len(c.files) > maxNamed && !s.holdsKnown(name):
		s.Nodes[name] = Node{Kind: Dir}
	default:
		for _, file := range c.files {
			s.stranger(file)
		}
	}
	return true
}

// holdsKnown says whether something in a folder was noted before the session.
func (s *scanner) holdsKnown(folder string) bool {
	for name := range s.before.Nodes {
		if strings.HasPrefix(name, folder+"/") {
			return true
		}
	}
	return false
}

// collected is what a folder holds that git has no hand in.
type collected struct {
	gitDir string
	files  []string
	over   bool      // there are too many
	sum    hash.Hash // changes with any of them
}

// collect goes through such a folder. What is neither file nor folder it notes.
func (s *scanner) collect(dir *os.Root, e fs.DirEntry, name string, depth int, c *collected) {
	if depth > maxDeep {
		c.over, s.unlisted = true, true
		return
	}
	s.step(dir, e, name, toChange, func(sub *os.Root) {
		var list []fs.DirEntry
		entries(sub, func(e fs.DirEntry) { list = append(list, e) })
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range list {
			name := path.Join(name, e.Name())
			info, err := e.Info()
			if err != nil {
				continue
			}
			s.loosened(info, name, c.gitDir)
			if e.IsDir() {
				s.collect(sub, e, name, depth+1, c)
				continue
			}
			s.special(info, name)
			c.sum.Write([]byte(name + "\x00" + mark(info) + "\x00"))
			switch {
			case !e.Type().IsRegular():
				s.keepOdd(name)
			case judged(within(c.gitDir, name)): // it was noted for what it holds
			case len(c.files) < maxStrange:
				c.files = append(c.files, name)
			default:
				c.over = true
			}
		}
	})
}
