// Package mount decides which directories of the host a guest sees, where, and whether it may write to them. It is the
// only place that does. It must not know how a virtual machine is told of them, nor why a directory was asked for.
package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Role is what a directory is to a session.
type Role int

// The roles of a directory.
const (
	Asked         Role = iota // somebody has asked for it
	Project                   // the project itself
	GitData                   // what git needs of the project elsewhere
	Conversations             // what Claude keeps about the project; it is made when a VM needs it
)

// Mount is a directory of the host that a guest sees.
type Mount struct {
	Host     string // the directory on the host
	Guest    string // where the guest finds it; before Resolve empty means: at the path that Host names
	Writable bool
	Origin   string // who asked for it, as a message names it: a flag, or a file and its line
	Role     Role
}

var (
	// ErrConflict is a list of mounts that contradict each other.
	ErrConflict = errors.New("conflicting mounts")
	// ErrSpec is a mount written in a way that cannot be understood. Its text shows the accepted forms.
	ErrSpec = errors.New("a mount is HOST, HOST:ro, HOST:GUEST or HOST:GUEST:ro, with absolute paths (and rw in the place of ro)")
)

// Error is a mount that cannot be made, and why.
type Error struct {
	Mount Mount
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("mount %s: %v", describe(e.Mount), e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// ParseSpec reads a mount as it is written on the command line: HOST[:GUEST][:ro|rw], writable unless it says ro. A HOST
// of ~, or one that begins with ~/, lies in home. Errors wrap ErrSpec. Nothing is looked up: that is Resolve's part.
func ParseSpec(spec, home string) (Mount, error) {
	fields := strings.Split(spec, ":")
	m := Mount{Host: fields[0], Writable: true}
	if last := len(fields) - 1; last > 0 && (fields[last] == "ro" || fields[last] == "rw") {
		m.Writable = fields[last] == "rw"
		fields = fields[:last]
	}
	if m.Host == "~" || strings.HasPrefix(m.Host, "~/") {
		m.Host = filepath.Join(home, strings.TrimPrefix(m.Host[1:], "/")) // relative, and refused, without a home
	}
	wrong := ""
	switch {
	case m.Host == "":
		wrong = "no host path"
	case !filepath.IsAbs(m.Host):
		wrong = fmt.Sprintf("the host path %q is not absolute", m.Host)
	case len(fields) > 2:
		wrong = fmt.Sprintf("%q is neither ro nor rw", fields[2])
	case len(fields) == 2 && !path.IsAbs(fields[1]):
		wrong = fmt.Sprintf("the guest path %q is not absolute", fields[1])
	}
	if wrong != "" {
		return Mount{}, fmt.Errorf("mount %q: %s: %w", spec, wrong, ErrSpec)
	}
	if len(fields) == 2 {
		m.Guest = fields[1]
	}
	return m, nil
}

// candidate is a mount on its way through Resolve.
type candidate struct {
	Mount
	info os.FileInfo // tells that two paths are one directory
}

// Resolve turns what was asked for into the mounts of a guest: base and then the layers, from the farthest to the nearest.
// The layers add up. A host directory that a nearer layer names again replaces what the farther ones said of it, and keeps
// its guest path unless it is given another; two directories at one guest path are a conflict. Host paths come out free of
// symbolic links, so that a guest cannot point them elsewhere later, and parents come before what is mounted in them: that
// needs a directory to be mounted on, which is there on the host already.
func Resolve(base []Mount, layers ...[]Mount) ([]Mount, error) {
	var chosen []candidate
	for _, mounts := range append([][]Mount{base}, layers...) {
		var nearer []candidate
		for _, m := range mounts {
			c, err := check(m, chosen)
			if err != nil {
				return nil, &Error{m, err}
			}
			nearer = append(nearer, c)
		}
		chosen = append(slices.DeleteFunc(chosen, func(c candidate) bool { return find(nearer, c.info) >= 0 }), nearer...)
	}
	// A directory sorts before what lies in it, for its path is a prefix of theirs.
	slices.SortStableFunc(chosen, func(a, b candidate) int { return strings.Compare(a.Guest, b.Guest) })
	var resolved []Mount
	for _, c := range chosen {
		if last := len(resolved) - 1; last >= 0 && resolved[last].Host == c.Host && resolved[last].Guest == c.Guest {
			resolved[last] = c.Mount // said twice in one layer: the later word counts
			continue
		}
		if err := fits(resolved, c.Mount); err != nil {
			return nil, err
		}
		resolved = append(resolved, c.Mount)
	}
	return resolved, nil
}

func find(mounts []candidate, dir os.FileInfo) int {
	return slices.IndexFunc(mounts, func(c candidate) bool { return os.SameFile(c.info, dir) })
}

// fits makes sure that a mount can follow those before it, which are sorted by their guest paths.
func fits(before []Mount, m Mount) error {
	for _, outer := range slices.Backward(before) { // the innermost directory around comes first
		if outer.Guest == m.Guest {
			return fmt.Errorf("%w: %s and %s have one guest path", ErrConflict, describe(outer), describe(m))
		}
		inside, ok := strings.CutPrefix(m.Guest, outer.Guest+"/")
		if !ok {
			continue
		}
		point := filepath.Join(outer.Host, inside)
		if target, err := filepath.EvalSymlinks(point + "/."); err != nil || target != point { // "/.": fails on a file
			return fmt.Errorf("%w: %s lies inside %s, where %s is not a directory", ErrConflict, describe(m), describe(outer), plain(inside))
		}
		return nil
	}
	return nil
}

// check completes a mount and looks whether it can be made at all.
func check(m Mount, farther []candidate) (candidate, error) {
	if !filepath.IsAbs(m.Host) {
		return candidate{}, errors.New("the host path is not absolute")
	}
	named := filepath.Clean(m.Host)
	var info os.FileInfo
	var err error
	if m.Host, err = filepath.EvalSymlinks(named); err == nil {
		info, err = os.Stat(m.Host)
	}
	switch {
	case m.Role == Conversations && errors.Is(err, fs.ErrNotExist):
		m.Host, err = unmade(named)
		return candidate{m, nil}, err
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return candidate{}, fmt.Errorf("there is no folder %s", plain(named))
	case err != nil:
		if failed, ok := errors.AsType[*fs.PathError](err); ok {
			err = failed.Err // without a path, which may have line ends
		}
		return candidate{}, fmt.Errorf("looking for the folder %s: %w", plain(named), err)
	}
	if !info.IsDir() {
		return candidate{}, errors.New("the host path is not a directory, and nothing else can be mounted")
	}
	if m.Guest == "" {
		m.Guest = named
		if i := find(farther, info); i >= 0 {
			m.Guest = farther[i].Guest
		}
	}
	m.Guest = strings.TrimRight(m.Guest, "/")
	switch {
	case m.Guest == "" || reserved(path.Clean(m.Guest)):
		return candidate{}, fmt.Errorf("the guest path %s belongs to the guest's own system", path.Clean("/"+m.Guest))
	case m.Guest != path.Clean(m.Guest) || !path.IsAbs(m.Guest):
		return candidate{}, fmt.Errorf("the guest path %q is not absolute and plain", m.Guest)
	}
	return candidate{m, info}, nil
}

// unmade returns the path, free of symbolic links, that a directory will have which is not there yet.
func unmade(path string) (string, error) {
	parent := filepath.Dir(path)
	target, err := filepath.EvalSymlinks(parent)
	if errors.Is(err, fs.ErrNotExist) && parent != path {
		target, err = unmade(parent)
	}
	return filepath.Join(target, filepath.Base(path)), err
}

// reserved reports whether a guest would not come up, or could not be reached, with something else at a path.
func reserved(p string) bool {
	switch p {
	case "/home", "/home/lima.linux", "/mnt", "/opt", "/root", "/tmp", "/usr/local", "/usr/src", "/var", "/var/lib", "/var/tmp":
		return true // but what lies below is free
	}
	below := func(top string) bool { return p == top || strings.HasPrefix(p, top+"/") }
	if slices.ContainsFunc([]string{"/run/media", "/usr/local", "/usr/src"}, below) {
		return false
	}
	return slices.ContainsFunc([]string{
		"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr",
		"/home/lima.linux/.ssh", "/mnt/lima-cidata", "/var/cache", "/var/lib/dpkg", "/var/log", "/var/run", "/var/spool",
	}, below)
}

// plain shows a path on one line.
func plain(path string) string {
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}

// describe shows a mount in a message, with the one who asked for it.
func describe(m Mount) string {
	text := m.Host
	if m.Guest != "" && m.Guest != m.Host {
		text += ":" + m.Guest
	}
	if !m.Writable {
		text += ":ro"
	}
	if m.Origin == "" {
		return strconv.Quote(text)
	}
	return strconv.Quote(text) + " (" + m.Origin + ")"
}
