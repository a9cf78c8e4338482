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
}

// configured finds what one configuration names, and those that it includes.
func (s *scanner) configured(config string, text []byte, worktree string) {
	entries, err := parseConfig(text)
	if err != nil {
		return
	}
	for _, e := range entries {
		from, includes := worktree, false
		switch e.pattern() {
		case "include.path", "includeif.*.path":
			from, includes = path.Dir(config), true
		case "core.hookspath", "core.attributesfile":
		default:
			continue
		}
		value := e.value
		if rest, ok := strings.CutPrefix(value, "~/"); ok {
			home, _ := os.UserHomeDir()
			value = filepath.Join(home, rest)
		}
		if name, ok := s.refer(from, value); ok && includes {
			if text, err := readAll(s.root, name, 0); err == nil {
				s.configured(name, text, worktree)
			}
		}
	}
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
			s.outside[value] = true
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
