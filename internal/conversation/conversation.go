// Package conversation carries what Claude Code keeps about a project between ~/.claude on the host and a folder that
// sessions write to: transcripts, memory, checkpoints and the prompts of the past. A guest may have written anything there,
// and Claude on the host obeys much of what it reads. So what comes out goes through a filter, nothing that is there is
// replaced or shortened, and memory that a session has changed is named. It knows Claude's files; it must not know VMs.
package conversation

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/paths"
	"github.com/themouette/claude-vm/internal/state"
)

// Bounds for what a guest may have left; what is beyond them stays there.
const (
	maxLine       = 16 << 20  // bytes of an entry
	maxTranscript = 256 << 20 // bytes of one transcript
	maxFolders    = 200       // of transcripts
	maxFiles      = 2000      // of one folder, and transcripts of all
	maxMemory     = 1 << 20   // bytes of a file of Claude's memory
	maxBackup     = 16 << 20  // bytes of a file in a checkpoint
	maxPrompts    = 8 << 20   // bytes of the prompts of the past
	maxIn         = 256 << 20 // bytes of the transcripts that go in, the newest first
)

// Carrier carries between two folders, for one working tree.
type Carrier struct {
	Host   string // ~/.claude of the host
	Shared string // the folder that guests see as ~/.claude/projects; what it is made of is ours
	Root   string // the working tree, as host and guest call it
	Main   string // the main checkout, for which Claude keeps its memory
	Known  string // a file of ours, which no guest sees, about what was carried before
}

// Where a guest's Claude has what lies beside its projects: links in its home lead there. Claude takes neither for a project.
const (
	Checkpoints = ".file-history"
	Prompts     = ".history.jsonl"
)

// known is what was carried before: it tells what was removed from what is new, and what need not be read again.
type known struct {
	Transcripts map[string]pair   `json:"transcripts"` // by folder and name
	Memory      map[string]string `json:"memory"`      // by folder and name; the digest of what both sides had
}

// pair is how the two sides of a transcript were when they were last compared, and the folder that the conversation is in;
// empty: none of this project.
type pair struct {
	Host   mark   `json:"host"`
	Shared mark   `json:"shared"`
	CWD    string `json:"cwd"`
}

// mark changes with a file.
type mark struct {
	Size  int64 `json:"size"`
	Mtime int64 `json:"mtime"`
}

func markOf(info fs.FileInfo) mark { return mark{info.Size(), info.ModTime().UnixNano()} }

// look returns the mark of a file, none if it is not there.
func look(root *os.Root, name string) (m mark) {
	if info, err := root.Lstat(name); err == nil {
		m = markOf(info)
	}
	return m
}

func (m mark) time() time.Time { return time.Unix(0, m.Mtime) }

// Changes is what came out.
type Changes struct {
	Memory []string // files of Claude's memory on the host that a session has written
	// Strangers are projects that Claude keeps in the same folders as this one: its memory does not travel.
	Strangers []string
}

// Prepare makes the folder that is shared.
func (c Carrier) Prepare() error {
	_ = os.Chmod(c.Shared, 0o700) // a guest may have closed it
	return os.MkdirAll(filepath.Join(c.Shared, Checkpoints), 0o700)
}

// sides are the folders that something is carried between. Nothing is reached but through them.
type sides struct {
	claude   *os.Root // the host's ~/.claude
	projects *os.Root // its conversations, which the user may keep elsewhere
	shared   *os.Root
}

func (s sides) close() {
	for _, root := range []*os.Root{s.claude, s.projects, s.shared} {
		if root != nil {
			root.Close()
		}
	}
}

// open opens all sides.
func (c Carrier) open() (s sides, k known, err error) {
	if err = errors.Join(c.Prepare(), os.MkdirAll(filepath.Join(c.Host, projects), 0o700)); err != nil {
		return s, k, err
	}
	for path, root := range map[string]**os.Root{c.Host: &s.claude, filepath.Join(c.Host, projects): &s.projects, c.Shared: &s.shared} {
		target, err := filepath.EvalSymlinks(path)
		if err == nil {
			*root, err = os.OpenRoot(target)
		}
		if err != nil {
			s.close()
			return s, k, err
		}
	}
	_ = state.ReadJSON(c.Known, &k) // if that is lost, nothing is removed and nothing overwritten
	if k.Transcripts == nil {
		k.Transcripts = map[string]pair{}
	}
	if k.Memory == nil {
		k.Memory = map[string]string{}
	}
	return s, k, nil
}

// Out brings to the host what sessions have added. It may run while a guest writes.
func (c Carrier) Out(ctx context.Context) (Changes, error) {
	s, k, err := c.open()
	if err != nil {
		return Changes{}, err
	}
	defer s.close()
	failed := c.transcriptsOut(ctx, s, &k)
	changes, err := c.memoryOut(s, &k)
	return changes, errors.Join(failed, err, c.promptsOut(s), state.WriteJSON(c.Known, k))
}

// In brings to sessions what the host has about the project. While other sessions use the folder that is shared, alone says
// no: then nothing there is replaced or removed.
func (c Carrier) In(ctx context.Context, alone func() bool) error {
	s, k, err := c.open()
	if err != nil {
		return err
	}
	defer s.close()
	return errors.Join(c.transcriptsIn(ctx, s, &k, alone), c.memoryIn(s, &k, alone), c.promptsIn(s), state.WriteJSON(c.Known, k))
}

// inside says whether a folder belongs to the working tree.
func (c Carrier) inside(path string) bool { return paths.Within(c.Root, path) }

// restorable says whether a checkpoint may name a file of the project, as seen from a folder. What has a dot in front is not
// one: git's data, and most of what tools run by themselves. Nor is one that is reached through a link.
func (c Carrier) restorable(cwd string) func(path string) bool {
	return func(path string) bool {
		if !filepath.IsAbs(path) {
			path = filepath.Join(cwd, path)
		}
		rel, inside := paths.Rel(c.Root, path)
		if !inside || filepath.Clean(path) != path || rel == "." {
			return false
		}
		at := c.Root
		for _, part := range strings.Split(rel, "/") {
			at = filepath.Join(at, part)
			if info, err := os.Lstat(at); strings.HasPrefix(part, ".") || err == nil && info.Mode()&fs.ModeSymlink != 0 {
				return false
			}
		}
		return true
	}
}

// folder is how Claude calls a folder of conversations.
var folder = regexp.MustCompile(`^-[A-Za-z0-9-]{0,250}$`)

// list returns the names of the entries of a folder that are of a kind and match, at most so many.
func list(root *os.Root, dir string, pattern *regexp.Regexp, kind fs.FileMode, most int) (names []string) {
	f, err := root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	for len(names) < most {
		entries, err := f.ReadDir(1000)
		for _, e := range entries {
			if e.Type() == kind && pattern.MatchString(e.Name()) && len(names) < most {
				names = append(names, e.Name())
			}
		}
		if err != nil || len(entries) == 0 {
			break
		}
	}
	slices.Sort(names)
	return names
}

// openFile opens a plain file that is not too large. A guest may put a link or a pipe there: neither is followed or waited for.
func openFile(root *os.Root, name string, most int64) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > most) {
		err = fs.ErrInvalid
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func readFile(root *os.Root, name string, most int64) ([]byte, error) {
	f, _, err := openFile(root, name, most)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most)) // it may grow meanwhile
}

// draft is how files begin that are not complete.
const draft = ".claude-vm-"

// writeFile makes a file as a whole. One that is there stays, unless it may be replaced.
func writeFile(root *os.Root, name string, replace bool, text []byte) error {
	return copyFile(root, name, replace, time.Time{}, bytes.NewReader(text))
}

// copyFile is writeFile with the content and the time of another file; Claude lists conversations by the times of their files.
func copyFile(root *os.Root, name string, replace bool, of time.Time, from io.Reader) (err error) {
	dir, base := filepath.Split(name)
	if dir != "" {
		if err := root.MkdirAll(filepath.Clean(dir), 0o700); err != nil {
			return err
		}
	}
	temp := filepath.Join(dir, draft+base)
	_ = root.Remove(temp) // of a claude-vm that was killed
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(temp)
		}
	}()
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if !of.IsZero() && of.Before(time.Now()) { // a guest may have chosen it
		_ = root.Chtimes(temp, of, of)
	}
	if replace {
		return root.Rename(temp, name)
	}
	if err = root.Link(temp, name); err == nil {
		err = root.Remove(temp)
	}
	return err
}

// slug is how Claude calls the folder of the conversations that began in a folder.
func slug(cwd string) string { return claude.ConversationDir(cwd) }
