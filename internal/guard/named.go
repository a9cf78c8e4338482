package guard

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Setting is a line of the git configuration that holds for a user everywhere, as the host's git
// reads it. This package runs no git, and is told.
type Setting struct {
	File  string // where it stands
	Key   string // as git writes it
	Value string
}

// entry is the setting as one of a file that we have read ourselves.
func (s Setting) entry() entry {
	section, rest, _ := strings.Cut(s.Key, ".")
	e := entry{section: strings.ToLower(section), name: strings.ToLower(rest), value: s.Value, hasValue: true}
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		e.sub, e.hasSub, e.name = rest[:i], true, strings.ToLower(rest[i+1:])
	}
	return e
}

// relevant returns the settings that can name a file of a project.
func relevant(all []Setting) (some []Setting) {
	for _, s := range all {
		if !s.entry().idle() {
			some = append(some, s)
		}
	}
	return some
}

// maxIncludes is how deep includes are followed, as in git.
const maxIncludes = 10

// named finds what git takes from the project because the configurations of a git directory say so,
// or those of the user.
func (s *scanner) named(gitDir string) {
	worktree := path.Join(gitDir, "..") // it is outside of the area too for a git directory that is
	entries, _ := parseConfig(s.Nodes[path.Join(gitDir, "config")].Text)
	for _, e := range entries {
		if e.key() == "core.worktree" {
			worktree = join(gitDir, e.value)
		}
	}
	if link := s.Nodes[path.Join(gitDir, "gitdir")].Text; len(link) > 0 {
		worktree = path.Dir(join(gitDir, strings.TrimSpace(string(link))))
	}
	for _, name := range []string{"config", "config.worktree"} {
		name = path.Join(gitDir, name)
		s.configured(name, s.Nodes[name].Text, worktree, 0)
	}
	for _, setting := range s.user {
		s.refer(".", setting.File)
		s.setting(setting.File, setting.entry(), worktree, 0)
	}
	for rel, n := range s.Nodes {
		if n.Kind == File && below(path.Join(gitDir, "hooks"), rel) {
			s.calls(n.Text, worktree, path.Dir(rel), 1)
		}
	}
}

// configured finds what one configuration names, and those that it includes.
func (s *scanner) configured(config string, text []byte, worktree string, depth int) {
	entries, err := parseConfig(text)
	if err != nil {
		return
	}
	for _, e := range entries {
		s.setting(config, e, worktree, depth)
	}
}

// setting finds what one line of a configuration names. Whether the condition of an include holds
// is not asked: it is another one in each repository.
func (s *scanner) setting(config string, e entry, worktree string, depth int) {
	switch e.pattern() {
	case "include.path", "includeif.*.path":
		s.include(path.Dir(config), fromHome(e.value), worktree, depth)
	case "core.hookspath":
		s.refer(worktree, fromHome(e.value))
		dir := join(worktree, fromHome(e.value))
		s.script(dir, worktree, 1)
		if path.Base(dir) == "_" { // husky's hooks call those beside their folder
			s.script(path.Dir(dir), worktree, 1)
		}
	case "core.attributesfile":
		s.refer(worktree, fromHome(e.value))
	default:
		if !e.idle() {
			s.programs(worktree, e.value)
		}
	}
}

// include notes that git reads a file as a configuration. One that lies in git's data is kept as those of git directories are.
func (s *scanner) include(from, value, worktree string, depth int) {
	name := join(from, value)
	rel, ok := s.refer(".", name)
	switch _, there := s.outside[name]; {
	case ok:
		name = rel
		if s.inGitData(rel) {
			s.Configs = append(s.Configs, rel)
			s.keep(rel)
		}
		if target := s.Nodes[rel]; target.Kind == Link {
			s.include(path.Dir(rel), string(target.Text), worktree, depth+1)
			return
		}
	case !filepath.IsAbs(name):
		return // it was read before
	case there:
		s.outside[name] = true
	}
	if s.words--; depth < maxIncludes && s.words > 0 {
		s.configured(name, s.text(name), worktree, depth+1)
	}
}

// inGitData says whether a path lies in a git directory.
func (s *scanner) inGitData(rel string) bool {
	for dir := rel; dir != "."; {
		if dir = path.Dir(dir); s.seen[dir] || strings.EqualFold(path.Base(dir), ".git") {
			return true
		}
	}
	return false
}

// separators are what words end at for a shell, as far as we need to know.
const separators = " \t\n\"'`;&|()<>={}!"

// programs finds the files that a value may name, be it a path or a command. What looks like a path
// need not be there yet.
func (s *scanner) programs(worktree, value string) {
	for _, word := range append(words(value, separators), strings.TrimPrefix(value, "!")) {
		if s.words--; s.words < 0 {
			s.words, s.unlisted = 0, true
			return
		}
		word = fromHome(word)
		info, err := s.root.Stat(join(worktree, word))
		if filepath.IsAbs(word) {
			info, err = os.Stat(word)
		}
		if err == nil && !info.IsDir() || err != nil && strings.Contains(word, "/") {
			if rel, ok := s.refer(worktree, word); ok {
				s.script(rel, worktree, 1)
			}
		}
	}
}

// text returns what a file says that git or a script takes: one of the area, or one of the user's
// by its absolute path.
func (s *scanner) text(name string) []byte {
	if !filepath.IsAbs(name) {
		text, _ := readAll(s.root, name, 0)
		return text
	}
	root, err := os.OpenRoot(filepath.Dir(name))
	if err != nil {
		return nil
	}
	defer root.Close()
	text, err := readAll(root, filepath.Base(name), 0)
	if err == nil {
		return text
	}
	if target, err := filepath.EvalSymlinks(name); err == nil && target != name { // the user's own link
		return s.text(target)
	}
	return nil
}

// listing returns the names in a folder of the area, or of one of the user's by its absolute path.
func (s *scanner) listing(dir string) (names []string) {
	var f *os.File
	var err error
	if flag := os.O_RDONLY | syscall.O_DIRECTORY | syscall.O_NONBLOCK; filepath.IsAbs(dir) {
		f, err = os.OpenFile(dir, flag, 0)
	} else {
		f, err = s.root.OpenFile(dir, flag, 0)
	}
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ = f.Readdirnames(maxList)
	return names
}

// fromHome returns a path as git reads it in a configuration.
func fromHome(value string) string {
	if rest, ok := strings.CutPrefix(value, "~/"); ok {
		home, _ := os.UserHomeDir()
		return filepath.Join(home, rest)
	}
	return value
}

// join returns what a path means that is seen from a folder.
func join(from, value string) string {
	if filepath.IsAbs(value) {
		return value
	}
	return path.Join(from, value)
}

// within returns a path as seen from the area, and whether it lies there.
func (s *scanner) within(name string) (rel string, ok bool) {
	if rel = name; filepath.IsAbs(rel) {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(rel)); err == nil {
			rel = filepath.Join(dir, filepath.Base(rel))
		}
		rel, _ = filepath.Rel(s.Path, rel)
	}
	return rel, rel != "." && filepath.IsLocal(rel)
}

// refer notes that git on the host runs or reads what a path leads to. If that is in the area a
// session may change it, as it is a part of the project, and the user should know. It says whether
// it is there and was not referred to before.
func (s *scanner) refer(from, value string) (rel string, ok bool) {
	if rel, ok = s.within(join(from, value)); !ok || value == "" {
		if _, known := s.outside[value]; !known && len(s.outside) < maxFiles {
			s.outside[value] = false // unless it turns out to be included
		}
		return "", false
	}
	if s.referred[rel] || len(s.Named) >= maxFiles {
		return "", false
	}
	s.referred[rel] = true
	s.Named = append(s.Named, rel)
	s.digestAll(rel, 0)
	return rel, true
}
