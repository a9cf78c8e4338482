// Package trust knows what a project's own files ask of the host, and whether the user has agreed to that. A repository can
// come from anywhere, and whoever works in a VM can write to it: what it says about the inside of the VM is its own affair,
// and everything else has no effect before the user has seen it.
//
// It reads the scripts and the certificates that a project names, once: the content that was agreed to is the content that counts. It must not
// know how anything is carried out, nor how the user is asked.
package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/paths"
)

// Place is where a project lies. All paths are absolute, Root and Dir free of symbolic links.
type Place struct {
	Root  string // the folder that a guest may write to
	Dir   string // the folder of the project's configuration file; empty: there is none
	Home  string // the user's
	State string // our own folder
}

// Request is one thing that is asked of the host.
type Request struct {
	What    string // what exactly, with the digest of what a script says: this is agreed to
	Origin  string // which file and line asks for it
	Refused string // why a project's files cannot have it at all; mostly empty
	Reach   string // what of the host's network is asked for, as it is written; mostly empty
}

// Review is everything that a project's files ask of the host.
type Review struct {
	Requests []Request

	place                Place
	folders              []mount.Mount      // outside of the project, as they were when they were looked at
	scripts, authorities map[string]content // by the path that names them
}

type content struct {
	text []byte
	err  error
}

// Examine looks at what a project asks for: at the configuration that is in force, at the one that would be without the
// project's file, and at the scripts that are found by their names. The flags are mounts of the command line, as settings.
func Examine(place Place, in, without *config.Config, found []string, flags ...config.Setting) *Review {
	r := &Review{place: place, scripts: map[string]content{}, authorities: map[string]content{}}
	for _, path := range found {
		r.script(path, config.Origin{File: path}, false)
	}
	granted := without.Settings()
	for _, s := range append(in.Settings(), flags...) {
		r.setting(s, s.Origin.Layer == config.Project && !covered(granted, s))
	}
	return r
}

// Script returns the content of a script that the review has seen.
func (r *Review) Script(path string) ([]byte, error) {
	return seen(r.scripts, path)
}

// Certificates returns the content of a file of certificates that the review has seen.
func (r *Review) Certificates(path string) ([]byte, error) {
	return seen(r.authorities, path)
}

func seen(contents map[string]content, path string) ([]byte, error) {
	c, ok := contents[path]
	if !ok {
		return nil, fmt.Errorf("%s was not looked at", path)
	}
	return c.text, c.err
}

// Refused returns what cannot be agreed to.
func (r *Review) Refused() []Request {
	return slices.DeleteFunc(slices.Clone(r.Requests), func(q Request) bool { return q.Refused == "" })
}

// inside says of which keys a project's file may have any value: what they mean stays in the VM, or takes no more of the
// host than the ranges of the configuration allow. A key that is not named here, a new one for instance, is asked about.
func inside(key string) bool {
	switch key {
	case "vm.disk", "vm.memory", "vm.cpus", "vm.accel",
		"env.set", "packages.system", "defaults.claude_args", "claude.version", "claude.source", "standby.count", "standby.ttl", "standby.memory_limit":
		return true
	case "tools.gpg":
		return false
	}
	return strings.HasPrefix(key, "tools.")
}

// setting adds what a setting asks for, if it is theirs: the project's, and not what the user has asked for too. Scripts and
// folders in the project are the project's own, whoever names them: a guest can put a symbolic link there.
func (r *Review) setting(s config.Setting, theirs bool) {
	switch s.Key {
	case "setup.scripts", "runtime.scripts":
		r.script(s.Value, s.Origin, theirs)
	case "phase.setup", "phase.runtime":
		for _, f := range s.Fields {
			if f.Key == "script_files" {
				r.script(f.Value, f.Origin, theirs)
			}
		}
	case "mounts", "setup.mounts":
		r.mount(s, theirs)
	case "vm.ca_certificates":
		r.certificates(s.Value, s.Origin, theirs)
	case "vm.image":
		if theirs {
			r.image(s)
		}
	case "ports":
		if theirs {
			r.ask(s.Origin, "the VM's port %s as 127.0.0.1:%s", s.Field("guest")[0], s.Field("host")[0])
		}
	case "network.allow":
		if theirs {
			what := fmt.Sprintf("that the VM reaches %s, of this computer and its network (network.allow)", s.Value)
			r.add(Request{What: what, Origin: s.Origin.String(), Reach: s.Value})
		}
	case "vm.mount_type":
		if theirs && s.Value == "reverse-sshfs" {
			r.refuse(s.Origin, "it gives the VM all files of your account", "vm.mount_type = %q", s.Value)
		}
	case "env.inherit":
		if theirs {
			r.ask(s.Origin, "the value of %s in your environment (env.inherit)", s.Value)
		}
	case "env.set":
		if name, value, _ := strings.Cut(s.Value, "="); theirs && claude.Steers(name) {
			r.ask(s.Origin, "%s = %q: which service Claude talks to, or as whom (env.set)", name, value)
		}
	case "guard.git":
		if theirs && s.Value != "restore" {
			r.ask(s.Origin, "guard.git = %q: what a session leaves in git's data is not taken out", s.Value)
		}
	case "claude.conversations":
		if theirs {
			r.ask(s.Origin, "claude.conversations = %q: that sessions and Claude on this computer know more of each other than you have set", s.Value)
		}
	case "vm.proxy":
		if theirs && s.Value != "none" {
			r.ask(s.Origin, "the proxies of your environment (vm.proxy)")
		}
	case "tools.gpg":
		if theirs && s.Value == "true" {
			r.ask(s.Origin, "the use of your GnuPG agent (tools.gpg)")
		}
	default:
		if theirs && !inside(s.Key) {
			r.ask(s.Origin, "%s = %s", s.Key, describe(s))
		}
	}
}

func describe(s config.Setting) string {
	if s.Fields == nil {
		return fmt.Sprintf("%q", s.Value)
	}
	var fields []string
	for _, f := range s.Fields {
		fields = append(fields, f.Key+" = "+describe(f))
	}
	return "{ " + strings.Join(fields, ", ") + " }"
}

// covered says whether the same or more holds without the project's file.
func covered(granted []config.Setting, s config.Setting) bool {
	return slices.ContainsFunc(granted, func(g config.Setting) bool {
		if g.Key != s.Key {
			return false
		}
		switch s.Key {
		case "mounts", "setup.mounts":
			return g.Field("location")[0] == s.Field("location")[0] && (g.Field("writable")[0] == "true" || s.Field("writable")[0] == "false")
		case "guard.git":
			return g.Value == s.Value || g.Value == "off"
		case "claude.conversations":
			order := []string{"none", "own", "filtered"} // each has more come and go than the one before it
			return slices.Index(order, s.Value) <= slices.Index(order, g.Value)
		}
		return describe(g) == describe(s)
	})
}

func (r *Review) ask(o config.Origin, format string, args ...any) {
	r.add(Request{What: fmt.Sprintf(format, args...), Origin: o.String()})
}

// add asks for something, once.
func (r *Review) add(q Request) {
	if !slices.ContainsFunc(r.Requests, func(other Request) bool { return other.What == q.What }) {
		r.Requests = append(r.Requests, q)
	}
}

func (r *Review) refuse(o config.Origin, why, format string, args ...any) {
	r.Requests = append(r.Requests, Request{What: fmt.Sprintf(format, args...), Origin: o.String(), Refused: why})
}

// mount looks at a folder that a guest is to see. Inside of the project it sees it anyway.
func (r *Review) mount(s config.Setting, theirs bool) {
	named := s.Field("location")[0]
	target, err := filepath.EvalSymlinks(named)
	if err != nil || paths.Within(r.place.Root, target) {
		return // one that is missing is an error before anything starts
	}
	r.folders = append(r.folders, mount.Mount{Host: target, Writable: s.Field("writable")[0] == "true", Origin: s.Origin.String()})
	if !theirs && !paths.Holds(r.place.Root, named) {
		return
	}
	access := "writable"
	if s.Field("writable")[0] != "true" {
		access = "read-only"
	}
	if s.Key == "setup.mounts" {
		access += " during setup"
	}
	what := "the folder " + target + ", " + access
	if why := r.forbidden(target, true); why != "" {
		r.refuse(s.Origin, why, "%s", what)
		return
	}
	r.ask(s.Origin, "%s", what)
}

var (
	// ErrExchanged is a path that leads elsewhere than it did when it was looked at.
	ErrExchanged = errors.New("something else lies there than a moment ago")
	// ErrState is a folder with our own in it, where consents and the login lie, or one in that: no VM sees it, whoever asks.
	ErrState = errors.New("claude-vm's own folder is shared with no VM")
)

// Saw makes sure that mounts, whose host paths are free of symbolic links, are what the review has looked at: a session could
// have exchanged a folder for a link meanwhile. Those that nobody has asked for are not the project's to say.
func (r *Review) Saw(mounts []mount.Mount) error {
	state, err := filepath.EvalSymlinks(r.place.State)
	if err != nil {
		state = r.place.State // there is none yet
	}
	for _, m := range mounts {
		same := func(k mount.Mount) bool { return k.Host == m.Host && k.Writable == m.Writable && k.Origin == m.Origin }
		var wrong error
		switch {
		case m.Role != mount.Asked: // nobody has to agree to these
		case paths.Holds(m.Host, state) || paths.Holds(state, m.Host):
			wrong = ErrState
		case !paths.Within(r.place.Root, m.Host) && !slices.ContainsFunc(r.folders, same):
			wrong = ErrExchanged
		}
		if wrong != nil {
			return fmt.Errorf("the folder %s (%s): %w", m.Host, m.Origin, wrong)
		}
	}
	return nil
}

// script reads a script. One that lies in the project is the project's affair; any other one is asked about together with what
// it says.
func (r *Review) script(path string, o config.Origin, theirs bool) {
	if _, seen := r.scripts[path]; seen {
		return
	}
	f := r.read(path, theirs)
	if f.outside && f.err == nil && f.refused == "" {
		f.refused = notScript(f.text)
	}
	r.scripts[path] = f.content
	if f.outside {
		r.askFile(o, "the script", path, f)
	}
}

// certificates reads a file of certificates, which are trusted for as long as the file says the same.
func (r *Review) certificates(path string, o config.Origin, theirs bool) {
	f := r.read(path, theirs)
	r.authorities[path] = f.content
	if f.outside || theirs {
		r.askFile(o, "trust in the certificates of", path, f)
	}
}

// file is one that is asked for.
type file struct {
	content
	target  string // where it lies
	outside bool   // of the project, though it is the project that leads there
	refused string
}

// read reads a file. No symbolic link leads out of the project, whoever names it.
func (r *Review) read(path string, theirs bool) (f file) {
	if !theirs && !InProject(r.place.Root, path) { // the user's own, which may be a pipe
		f.text, f.err = os.ReadFile(path)
		return f
	}
	if f.target, f.err = filepath.EvalSymlinks(path); f.err != nil {
		f.err = fmt.Errorf("%s: %w", path, f.err)
		return f
	}
	for _, dir := range []string{r.place.Root, r.place.Dir} {
		if dir != "" && paths.Within(dir, f.target) {
			f.text, f.err = readIn(dir, f.target)
			return f
		}
	}
	f.outside, f.refused = true, r.forbidden(f.target, false)
	if f.refused == "" {
		f.text, f.err = read(os.OpenFile(f.target, openFlags, 0))
	}
	return f
}

// askFile asks for a file with what it says. One that cannot be read is an error before anything starts.
func (r *Review) askFile(o config.Origin, what, path string, f file) {
	if f.err != nil {
		return
	}
	what += " " + f.target
	if f.target != filepath.Clean(path) {
		what += " (through " + path + ")"
	}
	if f.refused != "" {
		r.refuse(o, f.refused, "%s", what)
		return
	}
	sum := sha256.Sum256(f.text)
	r.ask(o, "%s, sha256 %s", what, hex.EncodeToString(sum[:16]))
}

// image looks at what a VM's disk is made of. One on this computer is agreed to as it is now.
func (r *Review) image(s config.Setting) {
	if !filepath.IsAbs(s.Value) {
		r.ask(s.Origin, "vm.image = %q", s.Value)
		return
	}
	target, err := filepath.EvalSymlinks(s.Value)
	if err != nil {
		target = s.Value // nothing is there yet
	}
	what := fmt.Sprintf("vm.image = %q", target)
	why := r.forbidden(target, true)
	if InProject(r.place.Root, s.Value) || r.place.Dir != "" && InProject(r.place.Dir, s.Value) {
		why = "a VM can write to it"
	}
	if why != "" {
		r.refuse(s.Origin, why, "%s", what)
		return
	}
	r.ask(s.Origin, "%s, state %s", what, stamp(target))
}

// stamp tells whether a file, or one in a folder, is another than before: by sizes and times, since images are large.
func stamp(path string) string {
	paths := []string{path}
	entries, _ := os.ReadDir(path)
	for _, e := range entries {
		paths = append(paths, filepath.Join(path, e.Name()))
	}
	sum := sha256.New()
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(sum, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// Missing says whether there is nothing at all at a path; a symbolic link that leads nowhere is something.
func Missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
