package git

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // git's names of objects
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/themouette/claude-vm/internal/gitindex"
	"github.com/themouette/claude-vm/internal/proc"
)

// Snapshot is how a working tree was at a time, untracked files included and ignored ones not. What lies in submodules and other
// repositories below it is no part of it.
//
// It has a git directory of its own, which borrows the repository's objects and a copy of its index. So no command has the
// repository's configuration before it, in which filters and the like are named that git would run to compare files.
type Snapshot struct {
	client   Client
	root     string
	dir      string
	settings []string // of git, as variables
	tree     string   // how it was
	last     string   // how it was when somebody looked last
}

// Changes is what has changed in a working tree, as git counts it.
type Changes struct{ Files, Insertions, Deletions int }

// harmless are the settings of a repository that say how files compare, and cannot name a program.
const harmless = `^(core\.(autocrlf|eol|excludesfile|filemode|ignorecase|precomposeunicode|symlinks)|extensions\.objectformat)$`

// Snapshot notes how a repository's working tree is. What it needs lies in dir, a folder that is there and empty, until
// somebody removes that. It takes as long as git status.
func (c Client) Snapshot(ctx context.Context, r Repository, dir string) (*Snapshot, error) {
	if r.Toplevel == "" {
		return nil, fmt.Errorf("%w with a working tree", ErrNotRepository)
	}
	out, err := c.run(ctx, r.Toplevel, "config", "-z", "--get-regexp", harmless)
	if err != nil && proc.ExitCode(err) != 1 { // none is set
		return nil, fmt.Errorf("noting how %s is: %w", r.Toplevel, err)
	}
	s := &Snapshot{client: c, root: r.Toplevel, dir: dir}
	config, count := "[core]\nbare = false\n", 0
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		key, value, _ := strings.Cut(entry, "\n")
		switch {
		case key == "extensions.objectformat" && value == "sha256":
			config += "repositoryformatversion = 1\n[extensions]\nobjectformat = sha256\n"
		case key == "core.excludesfile":
			if value, err = s.ownExcludes(ctx); err != nil {
				return nil, err
			}
			fallthrough
		case strings.HasPrefix(key, "core."):
			n := strconv.Itoa(count)
			s.settings = append(s.settings, "GIT_CONFIG_KEY_"+n+"="+key, "GIT_CONFIG_VALUE_"+n+"="+value)
			count++
		}
	}
	objects := filepath.Join(r.CommonDir, "objects")
	if strings.ContainsRune(objects, '\n') {
		return nil, fmt.Errorf("noting how %s is: git cannot borrow objects from a folder of this name", r.Toplevel)
	}
	for name, content := range map[string]string{"HEAD": "ref: refs/heads/none\n", "config": config, "refs/none": "", "objects/info/alternates": objects + "\n"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			return nil, err
		}
	}
	hash := sha1.Size
	if strings.Contains(config, "sha256") {
		hash = sha256.Size
	}
	if err := s.ownIndex(r.GitDir, hash); err != nil {
		return nil, err
	}
	if err := copyRegular(filepath.Join(r.CommonDir, "info/exclude"), filepath.Join(dir, "info/exclude")); err != nil {
		return nil, err
	}
	s.settings = append(s.settings, "GIT_CONFIG_COUNT="+strconv.Itoa(count))
	s.tree, err = s.write(ctx)
	return s, err
}

// maxCopy is the size in bytes of the largest file that is copied out of a repository. An index of this size has half a million
// files: to compare more of them takes longer than anybody waits for it, and whatever else a session has left there is no index.
const maxCopy = 64 << 20

// ErrTooLarge means that a repository has more than can be compared while somebody waits.
var ErrTooLarge = errors.New("too large to be compared")

// ownIndex copies a repository's index without what keeps git from looking at files. One that
// cannot be read is left out: then git reads all files.
func (s *Snapshot) ownIndex(gitDir string, hash int) error {
	to := filepath.Join(s.dir, "index")
	if err := copyRegular(filepath.Join(gitDir, "index"), to); err != nil {
		return err
	}
	text, err := os.ReadFile(to)
	if err != nil {
		return nil // there is none
	}
	x, err := gitindex.Parse(text, hash, func(sum string) ([]byte, error) {
		rest := filepath.Join(s.dir, "shared-index")
		if err := copyRegular(filepath.Join(gitDir, "sharedindex."+sum), rest); err != nil {
			return nil, err
		}
		return os.ReadFile(rest)
	})
	if err != nil || slices.ContainsFunc(x.Entries, gitindex.Entry.Folder) {
		return os.Remove(to)
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	sure := min(info.ModTime().Unix(), time.Now().Unix()-1) // of what is younger git may have made a note too soon
	for _, e := range x.Entries {
		e.Clear(e.Bits())
		if e.Youngest() >= sure {
			e.Look()
		}
	}
	return os.WriteFile(to, x.Text(), 0o600)
}

// ownExcludes copies the file of excludes that a configuration names, since it may lie where a
// session can change it. It returns the path of the copy.
func (s *Snapshot) ownExcludes(ctx context.Context) (string, error) {
	out, err := s.client.run(ctx, s.root, "config", "--type=path", "--get", "core.excludesFile")
	if err != nil {
		return "", fmt.Errorf("noting how %s is: %w", s.root, err)
	}
	name := strings.TrimSuffix(string(out), "\n")
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.root, name)
	}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	to := filepath.Join(s.dir, "info/excludes")
	return to, copyRegular(name, to)
}

// copyRegular copies a file with its time stamp, which git compares with those of the files that an index tells of. What is
// not there, or no file, is left out. Another session may be changing it: it is opened so that neither a link nor a pipe that
// has taken its place leads anywhere.
func copyRegular(from, to string) error {
	source, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(source, maxCopy+1))
	if err != nil {
		return err
	}
	if len(text) > maxCopy {
		return fmt.Errorf("%w: %s", ErrTooLarge, from)
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, text, 0o600), os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// Changes says what has changed since, whether it has been committed or not.
func (s *Snapshot) Changes(ctx context.Context) (c Changes, err error) {
	tree, err := s.write(ctx)
	if err != nil || tree == s.tree {
		return c, err
	}
	out, err := s.run(ctx, nil, "diff-tree", "-r", "-M", "--shortstat", "--no-ext-diff", "--no-textconv", "--ignore-submodules=all", s.tree, tree)
	if err != nil {
		return c, err
	}
	for part := range strings.SplitSeq(string(out), ",") { // 3 files changed, 40 insertions(+), 2 deletions(-)
		var n int
		var what string
		if _, err := fmt.Sscan(part, &n, &what); err != nil {
			continue
		}
		switch what[:1] {
		case "f":
			c.Files = n
		case "i":
			c.Insertions = n
		case "d":
			c.Deletions = n
		}
	}
	return c, nil
}

// write makes a tree object of the working tree and returns its name. It is the last one if nothing has changed since.
func (s *Snapshot) write(ctx context.Context) (tree string, err error) {
	list, err := s.run(ctx, nil, "ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard")
	if err != nil {
		return "", err
	}
	var files bytes.Buffer
	for name := range strings.SplitSeq(string(list), "\x00") {
		info, err := os.Lstat(filepath.Join(s.root, name))
		if name == "" || err == nil && info.IsDir() { // another repository: git would look into it
			continue
		}
		files.WriteString(name + "\x00")
	}
	if files.Len() == 0 && s.last != "" {
		return s.last, nil
	}
	if _, err := s.run(ctx, &files, "update-index", "-z", "--add", "--remove", "--replace", "--stdin"); err != nil {
		return "", err
	}
	out, err := s.run(ctx, nil, "write-tree", "--missing-ok")
	s.last = strings.TrimSpace(string(out))
	return s.last, err
}

func (s *Snapshot) run(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := s.client.command(s.root, args...)
	cmd.Stdin = stdin
	cmd.Env = append(cmd.Env, "GIT_DIR="+s.dir, "GIT_WORK_TREE="+s.root, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	cmd.Env = append(cmd.Env, s.settings...)
	out, err := proc.Output(ctx, cmd)
	if err != nil {
		err = fmt.Errorf("comparing %s with how it was: %w", s.root, err)
	}
	return out, err
}
