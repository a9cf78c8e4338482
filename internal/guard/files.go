package guard

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Change is a file that a session changed and that tools of the host run by themselves, or may.
type Change struct {
	Path string `json:"path"` // relative to the project if it lies there
	What string `json:"what"` // added, changed, removed, or that it became a program
	When string `json:"when"` // it runs: one of AtOnce, OnCommand, Perhaps
	Kind string `json:"kind"` // what it is, or the pattern that its name fits
	Many int    `json:"many"` // the path is a folder's, with so many of them; 0: it is the file
	rank int
}

// What a Change says of when a file runs.
const (
	AtOnce    = "at once"
	OnCommand = "on command"
	Perhaps   = "perhaps"
)

// What a Change says of what became of a file. New in a folder of installed packages are also those
// that were changed there.
const (
	Added    = "added"
	Changed  = "changed"
	Removed  = "removed"
	Runnable = "made a program"
	Program  = "a new program"
)

// trace is what is kept of a file that tools run by themselves.
type trace struct {
	Mark  string `json:"mark"`            // changes with the file and with what it leads to
	Sum   string `json:"sum,omitempty"`   // a digest of the text; empty: nobody has read it
	Link  string `json:"link,omitempty"`  // where a link leads
	Runs  bool   `json:"runs,omitempty"`  // it is a program
	Young bool   `json:"young,omitempty"` // a guest may have changed it before it was noted

	late bool // it has changed since the session began
}

// same says whether a file is what it was. What has the same mark was not touched; what has another
// one can still say the same.
func (t trace) same(now trace) bool {
	switch {
	case t.Young:
		return false
	case t.Mark == now.Mark:
		return true
	}
	return t.Sum != "" && t.Sum == now.Sum && t.Link == now.Link && t.Runs == now.Runs
}

// consider looks at a file of the project, or a link, and keeps a trace of it if tools may run it
// by themselves.
func (s *scanner) consider(e fs.DirEntry, rel string, on ground) {
	if on > foreign || on == foreign && s.since.IsZero() { // nothing is noted of these: to look at them would take time
		return
	}
	info, err := e.Info()
	if err != nil {
		return
	}
	if on == foreign {
		s.unpacked(info, rel)
		return
	}
	_, known := s.was.Files[rel]
	link := e.Type()&fs.ModeSymlink != 0
	if info.Mode().IsRegular() {
		if s.all++; isProgram(info) {
			s.runnable++
		}
	}
	switch {
	case link && holds(rel).when != never:
		s.digestAll(rel, 0)
	case known, byName(rel).when != never, isProgram(info) && !s.was.AllRun, link && s.leadsToProgram(rel):
		s.digest(rel)
	}
}

func isProgram(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// fewFiles are too few to tell from them whether a file system knows of programs.
const fewFiles = 20

// noted completes the notes of an area's files. Where every file is a program, as on file systems
// that do not know which are, that is no reason to look at one.
func (s *scanner) noted() {
	s.Short = s.unlisted
	if s.AllRun = s.all >= fewFiles && s.all == s.runnable; !s.AllRun {
		return
	}
	maps.DeleteFunc(s.Files, func(rel string, t trace) bool {
		return t.Runs && byName(rel).when == never && !s.isNamed(rel)
	})
}

// isNamed says whether git or a script takes a file from the area.
func (a *Area) isNamed(rel string) bool {
	return slices.ContainsFunc(a.Named, func(name string) bool { return below(name, rel) })
}

// leadsToProgram says whether a link stands for a program, or for what is not in the area: nobody
// looks there.
func (s *scanner) leadsToProgram(rel string) bool {
	info, err := s.root.Stat(rel)
	if err != nil {
		target, _ := s.root.Readlink(rel)
		return filepath.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(rel), target))
	}
	return isProgram(info) && !s.was.AllRun
}

// unpacked counts the programs that came into a folder of installed packages. It needs no note of
// those that were there: a guest cannot make a file look older than it is.
func (s *scanner) unpacked(info fs.FileInfo, rel string) {
	if s.since.IsZero() || !isProgram(info) || s.was.AllRun || !changedSince(info, s.since) {
		return
	}
	top := ""
	for name := range strings.SplitSeq(rel, "/") {
		if top = path.Join(top, name); isInstalled(name) {
			break
		}
	}
	s.packages[top]++
}

// arrived notes that a folder is younger than the session before it was looked at: what lies in it
// may have been somewhere else.
func (s *scanner) arrived(info fs.FileInfo, rel string) {
	if !s.begun.IsZero() && changedSince(info, s.begun) {
		s.young[rel] = true
	}
}

// hasArrived says whether a folder of a path is one of those.
func (s *scanner) hasArrived(rel string) bool {
	for dir := path.Dir(rel); dir != "." && len(s.young) > 0; dir = path.Dir(dir) {
		if s.young[dir] {
			return true
		}
	}
	return false
}

// digest keeps the trace of a file, or of a link and what it leads to. Those that were there before
// count as often as need be, and so do those at the top of the area, which matter most. Of the others
// of one kind only so many do that nobody can fill the memory, nor hide those of another kind.
func (s *scanner) digest(rel string) {
	was, known := s.was.Files[rel]
	if _, done := s.Files[rel]; done {
		return
	}
	if kind := byName(rel).kind; !known && strings.Contains(rel, "/") {
		if s.listed[kind]++; s.listed[kind] > maxFiles {
			s.unlisted = true
			return
		}
	}
	info, err := s.root.Lstat(rel)
	if err != nil || info.IsDir() {
		return
	}
	t := trace{Mark: mark(info), Runs: isProgram(info)}
	t.late = !s.since.IsZero() && changedSince(info, s.since)
	if info.Mode()&fs.ModeSymlink != 0 {
		t.Link, _ = s.root.Readlink(rel)
		if target, err := s.root.Stat(rel); err == nil && !target.IsDir() {
			t.Mark += " " + mark(target)
			t.Runs = isProgram(target)
		}
	}
	t.Young = !s.begun.IsZero() && (changedSince(info, s.begun) || s.hasArrived(rel))
	switch {
	case known && was.Mark == t.Mark:
		t.Sum = was.Sum
	case known && was.Sum == "": // there is nothing to compare it with
	case s.since.IsZero() || known:
		t.Sum = s.sum(rel)
	}
	s.Files[rel] = t
	if path.Base(rel) == ".envrc" && s.since.IsZero() { // who has allowed it has allowed what it calls
		s.script(rel, path.Dir(rel), 1)
	}
}

// sum returns a digest of a file's text, or nothing of one that is too large.
func (s *scanner) sum(rel string) string {
	if s.read >= maxRead {
		return ""
	}
	text, err := readAll(s.root, rel, 0)
	if err != nil {
		return ""
	}
	s.read += len(text)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// digestAll digests a file, or the files of a folder, also where a link leads to it. Links in it to
// other folders are not followed, so that nothing goes in circles.
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

// changes returns what became of the files of an area that tools run by themselves, both ways: to
// remove the file that forbids something is to allow it.
func (s *scanner) changes(name func(rel string) string) (found []Change) {
	before := s.was
	for rel := range before.Files {
		if _, there := s.Files[rel]; !there {
			s.digest(rel) // it is behind what was not walked through
		}
	}
	incomplete := before.Partial || before.Short
	for _, rel := range slices.Sorted(maps.Keys(s.Files)) {
		was, known := before.Files[rel]
		is := s.Files[rel]
		if _, guarded := s.Nodes[rel]; guarded || known && was.same(is) || !known && incomplete && !is.late {
			continue
		}
		what := Changed
		switch {
		case !known:
			what = Added
		case is.Runs && !was.Runs && was.Sum == is.Sum && !was.Young:
			what = Runnable
		}
		found = append(found, s.change(rel, name(rel), what, is.Runs || was.Runs))
	}
	for _, rel := range slices.Sorted(maps.Keys(before.Files)) {
		_, there := s.Files[rel]
		if _, guarded := before.Nodes[rel]; !there && !guarded {
			found = append(found, s.change(rel, name(rel), Removed, before.Files[rel].Runs))
		}
	}
	for top, n := range s.packages {
		found = append(found, Change{Path: name(top), What: Added, When: Perhaps, Kind: programs, Many: n, rank: worst})
	}
	return found
}

// change says what a change is one of.
func (s *scanner) change(rel, name, what string, runs bool) Change {
	r := byName(rel)
	if holder := holds(rel); holder.when > r.when {
		r = holder
	}
	switch {
	case s.was.isNamed(rel):
		r = rule{atOnce, gitsOwn, 0}
	case r.when == never && runs:
		r = rule{perhaps, programs, worst}
	case r.when == never:
		r = rule{perhaps, links, worst}
	}
	if what == Added && r.kind == programs {
		what = Program // it may have been there, as something else
	}
	when := map[occasion]string{atOnce: AtOnce, onCommand: OnCommand, perhaps: Perhaps}[r.when]
	return Change{Path: name, What: what, When: when, Kind: r.kind, rank: r.rank}
}

// bounded returns changes in order, and as many as can be kept. It says whether these are all.
func bounded(found []Change) (first []Change, all bool) {
	sortChanges(found)
	return found[:min(len(found), maxChanges)], len(found) <= maxChanges
}

// sortChanges puts them in the order in which somebody should look at them: by how soon they run,
// what was there before in front of what is new, by how often their name is obeyed, and by how near
// they are to the project's root.
func sortChanges(found []Change) {
	soon := map[string]int{AtOnce: 0, OnCommand: 1, Perhaps: 2}
	isNew := func(c Change) int {
		if c.What == Added || c.What == Program {
			return 1
		}
		return 0
	}
	slices.SortFunc(found, func(a, b Change) int {
		return cmp.Or(
			cmp.Compare(soon[a.When], soon[b.When]), cmp.Compare(isNew(a), isNew(b)), cmp.Compare(a.rank, b.rank),
			cmp.Compare(strings.Count(a.Path, "/"), strings.Count(b.Path, "/")), cmp.Compare(a.Path, b.Path),
		)
	})
}
