package project

import (
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Bounds for what a git directory that a guest has written can make us look at.
const (
	maxWorktrees = 1000
	maxNested    = 8 // submodules in submodules, or slashes in their names
	maxPointer   = 64 << 10
)

// Worktrees returns where the linked worktrees of a git directory and of the submodules in it say that their .git files are, as
// absolute paths. None of them need be there. No link leads out of the directory, and nothing is waited for.
func Worktrees(gitDir string) (files []string) {
	root, err := os.OpenRoot(gitDir)
	if err != nil {
		return nil
	}
	defer root.Close()
	w := worktrees{root: root, dir: gitDir, left: maxWorktrees}
	w.look(".", 0)
	return w.files
}

type worktrees struct {
	root  *os.Root
	dir   string
	left  int // entries that are still looked at
	files []string
}

// look looks at a git directory, or at a folder of those of submodules.
func (w *worktrees) look(rel string, depth int) {
	for _, id := range w.names(path.Join(rel, "worktrees")) {
		if file := w.pointer(path.Join(rel, "worktrees", id)); file != "" {
			w.files = append(w.files, file)
		}
	}
	if depth > maxNested {
		return
	}
	modules := path.Join(rel, "modules")
	if depth > 0 {
		if _, err := w.root.Lstat(path.Join(rel, "HEAD")); err != nil {
			modules = rel // a part of the name of a submodule
		}
	}
	for _, name := range w.names(modules) {
		w.look(path.Join(modules, name), depth+1)
	}
}

// names returns what is in a folder.
func (w *worktrees) names(rel string) []string {
	f, err := w.root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil || w.left <= 0 {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(w.left)
	w.left -= len(names)
	return names
}

// pointer returns the .git file that the git directory of a linked worktree names.
func (w *worktrees) pointer(rel string) string {
	file := strings.TrimRight(readText(w.root, path.Join(rel, "gitdir")), "\r\n")
	switch {
	case filepath.Base(file) != ".git" || strings.ContainsRune(file, 0):
		return ""
	case filepath.IsAbs(file):
		return filepath.Clean(file)
	}
	return filepath.Join(w.dir, rel, file)
}

// readText returns what is in a small file that a guest may have written, nothing if it is none.
func readText(root *os.Root, rel string) string {
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPointer))
	if err != nil {
		return ""
	}
	return string(text)
}

// Borrowed returns the folders of objects from which a git directory borrows (gitrepository-layout(5),
// objects/info/alternates), as absolute paths. They need not be there.
func Borrowed(gitDir string) (folders []string) {
	root, err := os.OpenRoot(gitDir)
	if err != nil {
		return nil
	}
	defer root.Close()
	for line := range strings.Lines(readText(root, "objects/info/alternates")) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "" || line[0] == '#' || strings.ContainsRune(line, 0):
		case filepath.IsAbs(line):
			folders = append(folders, filepath.Clean(line))
		default:
			folders = append(folders, filepath.Join(gitDir, "objects", line))
		}
	}
	return folders
}
