// Package config knows what the user asked for. It reads the two configuration files, the environment and the flags, lays
// them over the defaults, and says of every value where it came from.
//
// It opens nothing but the two files it is given the paths of, and it does not know what the values are used for: whether
// a mount may be made, a tool exists or a script can be trusted is for others to say.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode"
)

// maxFile is the size in bytes beyond which a file is not taken for a configuration.
const maxFile = 1 << 20

// Config is what the user asked for, all layers merged. Make one with Load.
type Config struct {
	VM       VM
	Network  Network
	Tools    Tools
	Setup    Setup
	Runtime  Runtime
	Packages Packages
	Phase    Phases
	Defaults Defaults
	Mounts   []Mount
	Ports    []Port
	Claude   Claude
	Env      Env
	Standby  Standby
	Guard    Guard
	Update   Update

	origins map[string]Origin
	files   []string
}

// VM is the shape of the machine.
type VM struct {
	Disk      int // GB
	Memory    int // GB
	CPUs      int // 0: nothing was asked for
	Image     string
	Accel     string
	MountType string
	Proxy     string

	CACertificates []Item // absolute paths
}

// Network is what the guest reaches besides the internet.
type Network struct {
	Allow []Item // rules of package wall
}

// Tools are the tools that can be installed into a template.
type Tools struct{ Docker, Node, Python, Chromium, GPG, GH, Rust, Git Tool }

// Tool is one of them.
type Tool struct {
	Enabled bool
	Version string // empty: whatever the tool takes for current; always empty when not enabled
}

// Setup is what happens while a template is built.
type Setup struct {
	Scripts []Item // absolute paths, in the order in which they run
	Mounts  []Mount
}

// Runtime is what happens at the start of every session.
type Runtime struct {
	Scripts []Item // absolute paths, in the order in which they run
}

// Packages are installed into the template.
type Packages struct {
	System []Item // names of Debian packages
}

// Defaults are given to every run of Claude.
type Defaults struct {
	ClaudeArgs []Item // nil: never set, which is not the same as set to nothing
}

// skipPermissions is given to Claude unless the user decided otherwise: the VM is the boundary.
const skipPermissions = "--dangerously-skip-permissions"

// Args returns the arguments that follow the user's own on Claude's command line. A list that is set to nothing means
// none; any other has skipPermissions in front of it unless it holds that already.
func (d Defaults) Args() []string {
	if d.ClaudeArgs != nil && len(d.ClaudeArgs) == 0 {
		return nil
	}
	args := make([]string, 0, len(d.ClaudeArgs)+1)
	for _, item := range d.ClaudeArgs {
		args = append(args, item.Value)
	}
	if !slices.Contains(args, skipPermissions) {
		args = slices.Insert(args, 0, skipPermissions)
	}
	return args
}

// Mount is a host directory that the guest is to see.
type Mount struct {
	Location   string // absolute, cleaned; links are not followed
	MountPoint string // absolute in the guest; empty: the same as Location
	Writable   bool
	Origin     Origin
}

// Port is a port of the guest that the host's loopback offers.
type Port struct {
	Host, Guest int
	Origin      Origin
}

// Claude says which Claude Code is installed, from where, and what it is given of the user's own.
type Claude struct {
	Version string
	Source  string
	Share   []Item // parts of ~/.claude
	// Conversations says what becomes of those of sessions: filtered, own or none.
	Conversations string
}

// Update says what is done about newer versions of this program.
type Update struct{ Check bool }

// Item is an element of a list that several layers may add to.
type Item struct {
	Value  string
	Origin Origin
}

// Layer is one of the places a value can come from. A greater one is nearer to the user and wins.
type Layer int

// The layers, farthest first.
const (
	Default Layer = iota
	Global
	Project
	Environment
	Flag
)

// Origin is where a value came from.
type Origin struct {
	Layer        Layer
	File         string // for Global and Project
	Line, Column int    // in File, from 1, the column in bytes; 0: the file as a whole
	Name         string // of the variable or the flag
	Together     bool   // a flag that stands for several keys
}

// Explicit says whether the user has named the very key, and not several of them with one word.
func (o Origin) Explicit() bool { return o.Layer != Default && !o.Together }

// String returns "default", FILE:LINE:COLUMN, or the name of the variable or flag, on one printable line.
func (o Origin) String() string {
	text := printable(cmp.Or(o.Name, o.File, "default"))
	if o.Line > 0 {
		text += fmt.Sprintf(":%d:%d", o.Line, o.Column)
	}
	return text
}

// printable returns text as it is, or quoted if a terminal might take it for more than text.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// Problem is one thing that is wrong with what the user asked for.
type Problem struct {
	Origin  Origin
	Key     string // dotted; empty when the whole file, variable or flag is meant
	Message string // reads on after the key
}

func (p Problem) Error() string {
	if p.Key == "" {
		return fmt.Sprintf("%s: %s", p.Origin, p.Message)
	}
	return fmt.Sprintf("%s: %s %s", p.Origin, p.Key, p.Message)
}

// Problems is everything that is wrong, farthest layer first and in the order of the file, so that one look is enough.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Input is all that Load depends on.
type Input struct {
	Home        string      // what ~ stands for
	Cwd         string      // what paths in variables and flags are relative to
	GlobalFile  string      // need not exist
	ProjectFile string      // need not exist
	NoFiles     bool        // leave both files alone
	Environ     []string    // NAME=value; of a name that is there twice the last counts
	Flags       []FlagValue // in the order given
}

// FlagValue is a flag that was given and stands for a key. A flag for a list adds one element.
type FlagValue struct {
	Key, Flag, Value string
	Together         bool // the flag stands for other keys as well
}

// Load merges the defaults, the global file, the project file, the environment and the flags. The error is of type
// Problems and complete: a problem in one layer does not hide those in another.
//
// A file that is both the global and the project's (the home directory being the project) is the global one.
func Load(in Input) (*Config, error) {
	var problems Problems
	c := &Config{origins: map[string]Origin{}}
	keys := c.keys()
	from := func(o Origin, dir string) *source {
		return &source{origin: o, dir: dir, home: in.Home, origins: c.origins, problems: &problems}
	}

	from(Origin{}, in.Cwd).defaults(keys)
	files := []Origin{{Layer: Global, File: in.GlobalFile}, {Layer: Project, File: in.ProjectFile}}
	if in.NoFiles {
		files = nil
	} else if sameFile(in.GlobalFile, in.ProjectFile) {
		files = files[:1]
	}
	for _, o := range files {
		if o.File != "" && from(o, filepath.Dir(o.File)).file(keys) {
			c.files = append(c.files, o.File)
		}
	}
	from(Origin{Layer: Environment}, in.Cwd).environ(keys, in.Environ)
	for _, f := range in.Flags {
		from(Origin{Layer: Flag, Name: f.Flag, Together: f.Together}, in.Cwd).flag(keys, f)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for _, t := range c.Tools.all() {
		if !t.Enabled {
			t.Version = ""
			delete(c.origins, "tools."+t.name+".version")
		}
	}
	return c, nil
}

// Validate checks one file by itself, which must exist; path is absolute. The error is of type Problems.
func Validate(path, home string) (*Config, error) {
	if _, err := readFile(path); err != nil {
		return nil, Problems{{Origin{Layer: Project, File: path}, "", err.Error()}}
	}
	return Load(Input{Home: home, ProjectFile: path})
}

// Files returns the files that were read, the farthest first.
func (c *Config) Files() []string { return c.files }

// Missing checks that the scripts, folders and certificates that c names are there. The error is of type Problems.
func (c *Config) Missing() error {
	var problems Problems
	var look func(table string, all []Setting)
	look = func(table string, all []Setting) {
		for _, s := range all {
			look(s.Key+".", s.Fields)
			if slices.Contains([]string{"setup.scripts", "runtime.scripts", "script_files", "location", "vm.ca_certificates"}, s.Key) {
				if _, err := os.Stat(s.Value); err != nil {
					problems = append(problems, Problem{s.Origin, table + s.Key, fmt.Sprintf("names %s, which %v", printable(s.Value), unreadable(err))})
				}
			}
		}
	}
	look("", c.Settings())
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// Origin returns where the value of a key came from, for a list where its last change came from.
func (c *Config) Origin(key string) Origin { return c.origins[key] }

// IsSet tells whether anyone but the defaults gave the key a value.
func (c *Config) IsSet(key string) bool { return c.Origin(key).Layer != Default }

// readFile reads a configuration file. It neither waits for a pipe nor swallows a device. Its error does not repeat the
// path; it is fs.ErrNotExist only if nothing at all is there.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if _, linkErr := os.Lstat(path); errors.Is(err, fs.ErrNotExist) && linkErr == nil {
			return nil, errors.New("is a link that leads nowhere")
		}
		return nil, unreadable(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, unreadable(err)
	case info.IsDir():
		return nil, errors.New("is a directory, not a file")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, unreadable(err)
	}
	if len(data) > maxFile {
		return nil, errors.New("is larger than 1 MiB")
	}
	return data, nil
}

func unreadable(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
