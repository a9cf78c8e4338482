package claude

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Parts are what of the user's own ~/.claude other homes can be given: settings.json, CLAUDE.md, and folders of these names.
// Credentials are in none of them.
func Parts() []string {
	return []string{"settings", "memory", "skills", "agents", "commands", "plugins"}
}

// What a part may weigh. It is copied at the start of each session.
const (
	maxPart  = 64 << 20 // bytes
	maxFiles = 5000     // files, folders and links
)

// Shared is what of ~/.claude goes along.
type Shared struct {
	Settings []byte   // of settings.json, what makes sense in another home; nil: nothing
	Left     []string // what stays here, each with its reason, for people

	dir     string
	files   []sharedFile
	replace *strings.Replacer // of the paths in the records of plugins
}

// sharedFile is a file, a folder or a link below ~/.claude.
type sharedFile struct {
	name string // slash-separated
	mode fs.FileMode
	link string // where a symbolic link leads
}

// Share looks through the parts of ~/.claude, given as the folder dir, for a home that calls its own there guestDir. Nothing
// that lies outside of the folder is read, whatever a symbolic link in it says. A folder that is not there has nothing to
// share.
func Share(dir, guestDir string, parts []string) (*Shared, error) {
	real, err := filepath.EvalSymlinks(dir) // it may itself be kept elsewhere
	if errors.Is(err, fs.ErrNotExist) {
		return &Shared{}, nil
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	s := &Shared{dir: real, replace: strings.NewReplacer(dir+"/", guestDir+"/", real+"/", guestDir+"/")}
	for _, part := range parts {
		switch part {
		case "settings":
			err = s.addSettings(root)
		case "memory":
			err = s.add(root, "CLAUDE.md")
		default:
			err = s.add(root, part)
		}
		if err != nil {
			return nil, fmt.Errorf("sharing %s of %s: %w", part, dir, err)
		}
	}
	return s, nil
}

// Empty says that there is nothing to write.
func (s *Shared) Empty() bool { return len(s.files) == 0 }

// leave notes what stays.
func (s *Shared) leave(name, why string) { s.Left = append(s.Left, name+" ("+why+")") }

// add takes up a file, or a folder and what is in it.
func (s *Shared) add(root *os.Root, part string) error {
	var files []sharedFile
	var size int64
	err := walk(root, part, func(name string, info fs.FileInfo) error {
		file := sharedFile{name: name, mode: info.Mode().Perm() & 0o755}
		switch kind := info.Mode().Type(); {
		case kind == fs.ModeSymlink:
			var err error
			if file.link, err = root.Readlink(name); err != nil {
				return err
			}
			if _, err := root.Stat(name); err != nil {
				s.leave(name, "leads out of ~/.claude or nowhere")
				return nil
			}
		case kind.IsDir():
			if path.Base(name) == ".git" { // whose configuration may hold a password
				return fs.SkipDir
			}
			file.mode |= fs.ModeDir | 0o700
		case !kind.IsRegular():
			s.leave(name, "is no ordinary file")
			return nil
		default:
			size += info.Size()
		}
		files = append(files, file)
		if size > maxPart || len(files) > maxFiles {
			return errTooMuch
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(files) == 0:
		return nil
	case errors.Is(err, errTooMuch):
		s.leave(part, fmt.Sprintf("is larger than %d MB or has more than %d files", maxPart>>20, maxFiles))
		return nil
	case errors.Is(err, fs.ErrPermission):
		s.leave(part, "cannot be read")
		return nil
	}
	if err == nil {
		s.files = append(s.files, files...)
	}
	return err
}

var errTooMuch = errors.New("too much")

// walk visits a file, or a folder before what is in it, whatever the names are made of: fs.WalkDir wants them to be UTF-8. With
// fs.SkipDir a folder's content is left out.
func walk(root *os.Root, name string, visit func(name string, info fs.FileInfo) error) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	err = visit(name, info)
	if errors.Is(err, fs.SkipDir) {
		return nil
	}
	if err != nil || !info.IsDir() {
		return err
	}
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	entries, err := dir.ReadDir(-1)
	if err := errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := walk(root, name+"/"+entry.Name(), visit); err != nil {
			return err
		}
	}
	return nil
}

// WriteTo writes what Share has found as a tar archive whose names begin with .claude.
func (s *Shared) WriteTo(w io.Writer) (int64, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	counted := &counter{w: w}
	archive := tar.NewWriter(counted)
	for _, file := range s.files {
		if err := s.write(archive, root, file); err != nil {
			return counted.n, fmt.Errorf("sharing %s: %w", file.name, err)
		}
	}
	return counted.n, archive.Close()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (s *Shared) write(archive *tar.Writer, root *os.Root, file sharedFile) error {
	// The GNU format takes any bytes for a name.
	header := &tar.Header{Format: tar.FormatGNU, Name: ".claude/" + file.name, Mode: int64(file.mode.Perm()), Typeflag: tar.TypeReg}
	switch {
	case file.link != "":
		header.Typeflag, header.Linkname = tar.TypeSymlink, file.link
	case file.mode.IsDir():
		header.Typeflag = tar.TypeDir
		header.Name += "/"
	default:
		content, err := s.content(root, file)
		if err != nil {
			return err
		}
		header.Size = int64(len(content))
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		_, err = archive.Write(content)
		return err
	}
	return archive.WriteHeader(header)
}

// content reads a file. The records of plugins name their folders by absolute paths, which are others in another home.
func (s *Shared) content(root *os.Root, file sharedFile) ([]byte, error) {
	f, err := root.Open(file.name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxPart))
	if path.Dir(file.name) == "plugins" && path.Ext(file.name) == ".json" {
		content = []byte(s.replace.Replace(string(content)))
	}
	return content, err
}

// addSettings takes those settings that make sense in another home: none that runs a program, holds a secret or names a
// path.
func (s *Shared) addSettings(root *os.Root) error {
	text, err := root.ReadFile("settings.json")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.leave("settings.json", "leads out of ~/.claude or cannot be read")
		return nil
	}
	settings := object{}
	if err := decode("~/.claude/settings.json", text, settings); err != nil {
		s.leave("settings.json", "is no JSON")
		return nil
	}
	left := map[string]bool{}
	kept, _ := portable("", map[string]any(settings), left).(map[string]any)
	if len(left) > 0 {
		s.leave("the settings "+strings.Join(slices.Sorted(maps.Keys(left)), ", "), "they run programs, or name paths or secrets")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(kept)
	s.Settings = out.Bytes()
	return err
}

var (
	// runs are the names of settings whose text is run: hooks, statusLine.command, apiKeyHelper, awsAuthRefresh and the like.
	runs = regexp.MustCompile(`(?i)hook|command$|helper|refresh$|export$|script|^statusLine$|^subagentStatusLine$|^mcpServers$`)
	// secret are the names of variables whose value nobody else should have.
	secret = regexp.MustCompile(`(?i)token|key|secret|passw|credential|auth|header|cookie`)
	// harmless is a value that is no secret whatever its name.
	harmless = regexp.MustCompile(`^([0-9]{1,9}|true|false)$`)
	// place is a text that names a path of this machine, or an address with a password in it.
	place = regexp.MustCompile(`(^|[\s:=,;"'(])(~[\w.-]*(/|$)|/[\w.*]|\$\{?HOME)|(^|\()//|file://|://[^/\s]*@`)
)

// loose are the settings whose members have nothing to do with each other. Elsewhere an object makes sense only as a whole.
func loose(name string) bool {
	return slices.Contains([]string{"", "env", "permissions", "sandbox", "sandbox.network", "sandbox.filesystem", "extraKnownMarketplaces", "enabledPlugins"}, name)
}

// portable returns what of a setting makes sense elsewhere, nil if nothing does, and notes the names of what does not.
func portable(name string, value any, left map[string]bool) any {
	base := name[strings.LastIndex(name, ".")+1:]
	text, isText := value.(string)
	_, isSwitch := value.(bool)
	switch {
	case runs.MatchString(base) && !isSwitch,
		isText && place.MatchString(text),
		strings.HasPrefix(name, "env.") && secret.MatchString(base) && !harmless.MatchString(text):
		left[name] = true
		return nil
	}
	switch v := value.(type) {
	case []any:
		list := []any{}
		for _, element := range v {
			if element = portable(name, element, left); element != nil {
				list = append(list, element)
			}
		}
		return list
	case map[string]any:
		members := map[string]any{}
		for key, member := range v {
			kept, path := member, strings.TrimPrefix(name+"."+key, ".")
			if place.MatchString(key) {
				left[path], kept = true, nil
			} else {
				kept = portable(path, member, left)
			}
			if kept != nil || member == nil {
				members[key] = kept
			} else if !loose(name) {
				return nil // what remains would be wrong
			}
		}
		return members
	}
	return value
}
