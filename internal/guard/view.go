package guard

import (
	"bufio"
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
)

// What a session leaves in git's data can make git show its user less than there is, or something
// else: git status that does not look at a file, git log with another history. Nothing of it runs,
// but who looks before a push is deceived.

// view is what is noted of a git directory, so that git shows afterwards what there is.
type view struct {
	Index    *index `json:"index,omitempty"`    // none: there was no index
	Replaced []byte `json:"replaced,omitempty"` // objects that git shows others for: lines of a reference and its value
	Graph    string `json:"graph,omitempty"`    // changes with the commit graph
	Shallow  bool   `json:"shallow,omitempty"`  // the history is cut off
}

// view notes what git shows of a repository, before a session.
func (s *scanner) view(dir string) {
	if !s.since.IsZero() {
		return
	}
	replaced, _ := s.replaced(dir)
	_, err := s.root.Lstat(path.Join(dir, shallow))
	s.Views[dir] = view{Index: s.index(dir), Replaced: replaced, Graph: s.graph(dir), Shallow: err == nil}
}

const (
	shallow     = "shallow"
	replaceRefs = "refs/replace"
	packedRefs  = "packed-refs"
	exclude     = "info/exclude"
)

// reveal has git show what there is.
func (c *comparison) reveal() {
	for _, dir := range c.now.Dirs {
		v, known := c.before.Views[dir]
		if !known && (c.dirs[dir] || c.before.Partial) || c.isReplaced(dir) {
			continue // nobody knows how it was
		}
		c.revealFiles(dir, v.Index)
		c.revealObjects(dir, string(v.Replaced))
		if c.now.graph(dir) != v.Graph {
			c.forgetGraph(dir)
		}
		if _, err := c.now.root.Lstat(path.Join(dir, shallow)); err == nil && known && !v.Shallow {
			c.found(path.Join(dir, shallow), "added: git shows no history before some commits",
				errors.New("these may have come without it; git fetch --unshallow brings it"))
		}
	}
}

// maxRefs is the size in bytes of a file with references that is read, with some millions of them.
const maxRefs = 256 << 20

// replaced returns the references by which git shows one object in the place of another, and an
// error if there may be more.
func (s *scanner) replaced(dir string) (text []byte, err error) {
	values := map[string]string{}
	err = s.packed(dir, func(line string) {
		if value, ref, ok := strings.Cut(strings.TrimSpace(line), " "+replaceRefs+"/"); ok {
			values[ref] = value
		}
	})
	top := path.Join(dir, replaceRefs)
	walked := fs.WalkDir(s.root.FS(), top, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !e.Type().IsRegular():
			return nil // what cannot be read git does not read either
		case len(values) > maxList:
			return errLarge
		}
		value, _ := readAll(s.root, name, syscall.O_NOFOLLOW)
		values[strings.TrimPrefix(name, top+"/")] = strings.TrimSpace(string(value[:min(len(value), 1<<10)]))
		return nil
	})
	var lines []string
	for ref, value := range values {
		if !strings.ContainsAny(ref, " \n") { // git knows no such name
			lines = append(lines, ref+" "+value)
		}
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n")), errors.Join(err, walked)
}

// toReadFile opens a file that can be swapped for something else at any time.
const toReadFile = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY | syscall.O_NOFOLLOW

// packed hands over the lines of the file in which git keeps many references.
func (s *scanner) packed(dir string, do func(line string)) error {
	f, err := s.root.OpenFile(path.Join(dir, packedRefs), toReadFile, 0)
	if err != nil {
		return nil // git does not read it either
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxRefs {
		return errors.Join(err, errLarge)
	}
	lines := bufio.NewReaderSize(io.LimitReader(f, maxRefs), 1<<16)
	for err == nil {
		var line string
		if line, err = lines.ReadString('\n'); line != "" {
			do(line)
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// revealObjects puts back which objects are shown for others, if any is that was not before.
func (c *comparison) revealObjects(dir, was string) {
	is, err := c.now.replaced(dir)
	old := strings.Split(was, "\n")
	var added []string
	for line := range strings.SplitSeq(string(is), "\n") {
		if ref, _, ok := strings.Cut(line, " "); ok && !slices.Contains(old, line) {
			added = append(added, ref)
		}
	}
	rel := path.Join(dir, replaceRefs)
	switch {
	case len(added) > 0:
		c.found(rel, "git showed other objects in the place of "+some(added), c.mend(func() error {
			return errors.Join(err, c.putReplaced(dir, old))
		}))
	case err != nil && len(old) <= maxList: // before there were not too many
		c.found(rel, "git may show other objects in the place of some", err)
	}
}

func (c *comparison) putReplaced(dir string, was []string) error {
	if err := c.now.root.RemoveAll(path.Join(dir, replaceRefs)); err != nil {
		return err
	}
	rel := path.Join(dir, packedRefs)
	err := c.locked(rel, func() error {
		var kept strings.Builder
		found, drop := false, false
		err := c.now.packed(dir, func(line string) {
			peeled := strings.HasPrefix(line, "^") // what the tag of the line before is of
			if drop = strings.Contains(line, " "+replaceRefs+"/") || peeled && drop; drop {
				found = true
			} else {
				kept.WriteString(line)
			}
		})
		if err != nil || !found {
			return err
		}
		return write(c.now.root, rel, []byte(kept.String()), 0o644)
	})
	for _, line := range was {
		if ref, value, ok := strings.Cut(line, " "); ok {
			err = errors.Join(err, write(c.now.root, path.Join(dir, replaceRefs, ref), []byte(value+"\n"), 0o644))
		}
	}
	return err
}

// locked changes a file of git's while no git writes to it. A lock that is there is mostly that of
// a git that ended with its VM, and does not keep us from it: the file is exchanged as a whole.
func (c *comparison) locked(rel string, do func() error) error {
	lock := rel + ".lock"
	f, err := c.now.root.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
		defer func() { _ = c.now.root.Remove(lock) }()
	}
	return do()
}

// graphs are where git notes the parents and the trees of commits once more, to be quicker. It
// believes what stands there.
var graphs = []string{"objects/info/commit-graph", "objects/info/commit-graphs"}

// graph returns what changes with the commit graph.
func (s *scanner) graph(dir string) (marks string) {
	for _, name := range graphs {
		names := []string{name}
		for _, inner := range s.listing(path.Join(dir, name)) {
			names = append(names, path.Join(name, inner))
		}
		slices.Sort(names)
		for _, name := range names {
			if info, err := s.root.Lstat(path.Join(dir, name)); err == nil && !info.IsDir() {
				marks += name + " " + mark(info) + "\n"
			}
		}
	}
	return marks
}

// forgetGraph removes a commit graph that a session has written, as git gc does. Nothing is said:
// git makes it anew, and does without it.
func (c *comparison) forgetGraph(dir string) {
	err := c.mend(func() error {
		root := c.now.root
		return errors.Join(root.RemoveAll(path.Join(dir, graphs[0])), root.RemoveAll(path.Join(dir, graphs[1])))
	})
	if err != nil {
		c.found(path.Join(dir, graphs[0]), "git may show another history", err)
	}
}

// sameExcludes says whether a file excludes what it did before. It may have come or gone if it
// excludes nothing, as the one that git makes.
func sameExcludes(was, is Node) bool {
	lines := func(n Node) []string {
		return slices.DeleteFunc(strings.Split(string(n.Text), "\n"), func(line string) bool {
			return strings.TrimSpace(line) == "" || line[0] == '#'
		})
	}
	plain := func(n Node) bool { return n.Kind == File || n.Kind == "" }
	return plain(was) && plain(is) && slices.Equal(lines(was), lines(is))
}

// common returns the git directory that a linked worktree's belongs to, and any other itself.
func common(dir string) string {
	if isWorktree(dir) {
		return path.Dir(path.Dir(dir))
	}
	return dir
}

// lastValue returns the last value of a key that a git directory's own configuration has, in small
// letters.
func (s *scanner) lastValue(dir, key string) (value string) {
	files := []string{path.Join(common(dir), "config")}
	if key != worktreeConfig && isTrue(s.lastValue(dir, worktreeConfig)) {
		files = append(files, path.Join(dir, "config.worktree"))
	}
	for _, rel := range files {
		text, _ := readAll(s.root, rel, syscall.O_NOFOLLOW)
		entries, _ := parseConfig(text)
		for _, e := range entries {
			if e.comment == "" && e.key() == key {
				if value = strings.ToLower(e.value); !e.hasValue {
					value = "true"
				}
			}
		}
	}
	return value
}

const worktreeConfig = "extensions.worktreeconfig"

// isTrue says whether git takes a value for a yes.
func isTrue(value string) bool { return slices.Contains([]string{"true", "yes", "on", "1"}, value) }

// workTree returns the working tree of a git directory, or nothing if it does not say.
func (s *scanner) workTree(dir string) string {
	if isWorktree(dir) {
		return s.linkedTree(dir)
	}
	own := filepath.Join(s.Path, dir)
	text, _ := readAll(s.root, path.Join(dir, "config"), syscall.O_NOFOLLOW)
	entries, _ := parseConfig(text)
	if names := valuesOf(entries, "core.worktree"); len(names) > 0 {
		return absolute(own, names[len(names)-1])
	}
	if filepath.Base(own) == ".git" {
		return filepath.Dir(own)
	}
	return ""
}

// some names a few of many things.
func some(names []string) string {
	const most = 3
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	text := strings.Join(quoted, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
