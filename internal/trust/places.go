package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/themouette/claude-vm/internal/paths"
)

// kept are the places in a home folder that hold credentials, or what programs of the host run or
// read as their settings. Of those whose names begin with a dot only the best known are here, so
// that a message names them first.
var kept = []string{".ssh", ".gnupg", "bin", "go/bin", "snap", "Library", "Applications"}

// free are the exceptions: what programs can make anew.
var free = []string{".cache", "Library/Caches"}

// systems are folders of the system in which nothing is meant for a guest.
var systems = []string{"/etc", "/proc", "/sys", "/dev", "/run", "/var/run", "/boot"}

// places returns what is never handed to a project's files. In a home folder a name that begins
// with a dot is a program's own: its settings, its credentials, what it runs. No list could name
// them all.
func (r *Review) places() ([]string, error) {
	places := append([]string{r.place.State}, systems...)
	entries, err := os.ReadDir(r.place.Home)
	if err != nil {
		return nil, err
	}
	names := slices.Clone(kept)
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	for _, name := range names {
		if !slices.Contains(free, name) {
			places = append(places, filepath.Join(r.place.Home, name))
		}
	}
	return places, nil
}

// forbidden says why a project's files cannot ask for a path, which is canonical, or "". As a whole folder a path is also
// refused for what lies in it.
func (r *Review) forbidden(path string, folder bool) string {
	places, err := r.places()
	if err != nil {
		return "what lies in your home folder cannot be told"
	}
	for _, place := range places {
		target, err := filepath.EvalSymlinks(place)
		if err != nil {
			continue
		}
		exempt := func(name string) bool {
			free := filepath.Join(r.place.Home, name)
			return paths.Within(place, free) && paths.Holds(free, path)
		}
		if paths.Holds(place, path) && !slices.ContainsFunc(free, exempt) {
			return place + " is never handed to a project"
		}
		if folder && (paths.Holds(path, place) || paths.Holds(path, target)) {
			return "it contains " + place + ", which is never handed to a project"
		}
	}
	if folder && paths.Holds(path, r.place.Home) {
		return "it contains your home folder"
	}
	return ""
}

// notScript says why a file cannot be a script, or "".
func notScript(text []byte) string {
	switch {
	case bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN ")):
		return "it is a key, not a script"
	case bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text):
		return "it is not text"
	}
	return ""
}

const (
	// maxScript is the size in bytes beyond which a file is not taken for a script.
	maxScript = 1 << 20
	// openFlags neither wait for the other end of a pipe nor take a terminal.
	openFlags = os.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY
)

// readIn reads a file in a folder whose content may change at any time: no symbolic link leads out of it.
func readIn(dir, path string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	return read(root.OpenFile(rel, openFlags, 0))
}

// ErrLeadsOut is a path in a project that a symbolic link takes out of it.
var ErrLeadsOut = errors.New("a symbolic link leads out of the project")

// InProject says whether a path lies in the project, by its name or by where links lead.
func InProject(root, path string) bool {
	target, err := filepath.EvalSymlinks(path)
	return paths.Holds(root, path) || err == nil && paths.Within(root, target)
}

// ReadFile reads a file that the user has named. If its path lies in the project it also has to be there.
func ReadFile(root, path string) ([]byte, error) {
	if !InProject(root, path) {
		return os.ReadFile(path)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	if !paths.Within(root, target) {
		return nil, fmt.Errorf("%w: %s is %s", ErrLeadsOut, path, target)
	}
	return readIn(root, target)
}

func read(f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.Name())
	}
	text, err := io.ReadAll(io.LimitReader(f, maxScript+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxScript {
		return nil, fmt.Errorf("%s is larger than 1 MiB", f.Name())
	}
	return text, nil
}
