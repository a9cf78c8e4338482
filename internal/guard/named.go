package guard

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// named finds what git takes from the project because the configurations of a git directory say so.
func (s *scanner) named(gitDir string) {
	worktree := path.Join(gitDir, "..") // of a git directory outside of the working tree that is outside of the area too
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
		s.configured(name, s.Nodes[name].Text, worktree)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return
	}
	defer root.Close()
	for _, name := range []string{".gitconfig", ".config/git/config"} { // those of the user's, for every repository
		text, _ := readAll(root, name, 0)
		s.configured(filepath.Join(home, name), text, worktree)
	}
}

// configured finds what one configuration names, and those that it includes.
func (s *scanner) configured(config string, text []byte, worktree string) {
	entries, err := parseConfig(text)
	if err != nil {
		return
	}
	for _, e := range entries {
		switch e.pattern() {
		case "include.path", "includeif.*.path":
			s.include(path.Dir(config), fromHome(e.value), worktree)
		case "core.hookspath", "core.attributesfile":
			s.refer(worktree, fromHome(e.value))
		default:
			if !e.idle() {
				s.programs(worktree, e.value)
			}
		}
	}
}

// include notes that git reads a file as a configuration. One that lies in git's data is kept as those of git directories are.
func (s *scanner) include(from, value, worktree string) {
	name, ok := s.refer(from, value)
	if !ok {
		if _, there := s.outside[value]; there && filepath.IsAbs(value) {
			s.outside[value] = true
		}
		return
	}
	if s.inGitData(name) {
		s.Configs = append(s.Configs, name)
		s.keep(name)
	}
	if target := s.Nodes[name]; target.Kind == Link {
		s.include(path.Dir(name), string(target.Text), worktree)
	} else if text, err := readAll(s.root, name, 0); err == nil {
		s.configured(name, text, worktree)
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

// programs finds the files that a value may name, be it a path or a command. What looks like a path need not be there yet.
func (s *scanner) programs(worktree, value string) {
	words := strings.FieldsFunc(value, func(c rune) bool { return strings.ContainsRune(separators, c) })
	for _, word := range append(words, strings.TrimPrefix(value, "!")) {
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
			s.refer(worktree, word)
		}
	}
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

// refer notes that git on the host runs or reads what a path leads to. If that is in the area a session may change it, as it
// is a part of the project, and the user should know. It says whether it is there and was not referred to before.
func (s *scanner) refer(from, value string) (rel string, ok bool) {
	if rel = join(from, value); filepath.IsAbs(rel) {
		if dir, err := filepath.EvalSymlinks(filepath.Dir(rel)); err == nil {
			rel = filepath.Join(dir, filepath.Base(rel))
		}
		rel, _ = filepath.Rel(s.Path, rel)
	}
	if value == "" || rel == "." || !filepath.IsLocal(rel) {
		if len(s.outside) < maxFiles {
			s.outside[value] = s.outside[value] // false, unless it is known to be included
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
