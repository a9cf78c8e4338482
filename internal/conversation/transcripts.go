package conversation

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// The folders of ~/.claude with conversations, and with the files of checkpoints.
const (
	projects    = "projects"
	fileHistory = "file-history"
)

var (
	transcript = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.jsonl$`)
	subagent   = regexp.MustCompile(`^agent-[A-Za-z0-9-]{1,64}\.jsonl$`)
)

// lines calls do with each line of a transcript, for as long as it says that it wants more. A line that is too long is none.
func lines(from io.Reader, do func(line []byte) (more bool)) error {
	reader := bufio.NewReaderSize(from, 64<<10)
	var line []byte
	tooLong := false
	for {
		part, err := reader.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; !tooLong {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if whole := bytes.TrimSpace(line); !tooLong && len(whole) > 0 && !do(whole) {
			return nil
		}
		line, tooLong = line[:0], false
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// home returns the folder of the project in which a conversation is, by what its entries say: the first one that belongs to
// the working tree and gives its folder of conversations this name. Folders of different projects can have one name.
func (c Carrier) home(from io.Reader, name string) (cwd string) {
	_ = lines(from, func(line []byte) bool {
		var entry struct {
			CWD string `json:"cwd"`
		}
		if bytes.Contains(line, []byte(`"cwd"`)) && json.Unmarshal(line, &entry) == nil && c.inside(entry.CWD) && slug(entry.CWD) == name {
			cwd = entry.CWD
		}
		return cwd == ""
	})
	return cwd
}

// head is how much of a transcript is read to learn whose it is, in bytes.
const head = 1 << 20

// about returns the folder in which a transcript's conversation is, if that belongs to the project.
func (c Carrier) about(root *os.Root, file, name string) string {
	f, _, err := openFile(root, file, maxTranscript)
	if err != nil {
		return ""
	}
	defer f.Close()
	return c.home(io.LimitReader(f, head), name)
}

// transcriptsOut brings out the entries that the host does not have, of all conversations about the project.
func (c Carrier) transcriptsOut(ctx context.Context, s sides, k *known) error {
	var failures []error
	for _, name := range list(s.shared, ".", folder, fs.ModeDir, maxFolders) {
		for _, file := range list(s.shared, name, transcript, 0, maxFiles) {
			if ctx.Err() != nil {
				return errors.Join(append(failures, ctx.Err())...)
			}
			rel := path.Join(name, file)
			cwd := c.about(s.shared, rel, name)
			if cwd == "" {
				continue
			}
			session := strings.TrimSuffix(file, ".jsonl")
			failures = append(failures, c.entriesOut(s, k, rel, session, cwd),
				copyNew(s.shared, path.Join(Checkpoints, session), s.claude, path.Join(fileHistory, session)))
			agents := path.Join(name, session, "subagents")
			for _, agent := range list(s.shared, agents, subagent, 0, maxFiles) {
				failures = append(failures, c.entriesOut(s, k, path.Join(agents, agent), session, cwd))
			}
			if info, err := s.projects.Lstat(rel); err == nil {
				k.Transcripts[rel] = markOf(info)
			}
		}
	}
	return errors.Join(failures...)
}

// entriesOut brings out one transcript. What the host has of it stays as it is, whatever the session has made of its copy.
func (c Carrier) entriesOut(s sides, k *known, rel, session, cwd string) error {
	from, info, err := openFile(s.shared, rel, maxTranscript)
	if err != nil {
		return nil // what is no plain file stays there
	}
	defer from.Close()
	if k.Out[rel] == markOf(info) {
		return nil
	}
	have, err := c.keys(s.projects, rel, session, cwd)
	if err != nil {
		return err
	}
	f := newFilter(session, cwd, c.inside, c.restorable(cwd))
	var fresh bytes.Buffer
	spoken := false
	err = lines(io.LimitReader(from, maxTranscript), func(line []byte) bool {
		if kept, key := f.line(line); key != "" && !have[key] {
			have[key] = true
			spoken = spoken || bytes.Contains(kept, []byte(`"message":`))
			fresh.Write(append(kept, '\n'))
		}
		return true
	})
	if err != nil {
		return err
	}
	_, missing := s.projects.Lstat(rel)
	switch {
	case fresh.Len() == 0, missing != nil && !spoken: // nothing has been said yet
	case missing == nil:
		err = appendTo(s.projects, rel, fresh.Bytes())
	default:
		err = writeFile(s.projects, rel, false, fresh.Bytes())
	}
	if err == nil {
		k.Out[rel] = markOf(info)
	}
	return err
}

// keys returns what names the entries of a transcript that is there.
func (c Carrier) keys(root *os.Root, file, session, cwd string) (map[string]bool, error) {
	have := map[string]bool{}
	f, _, err := openFile(root, file, maxTranscript)
	if errors.Is(err, fs.ErrNotExist) {
		return have, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	filter := newFilter(session, cwd, c.inside, c.restorable(cwd))
	return have, lines(f, func(line []byte) bool {
		if _, key := filter.line(line); key != "" {
			have[key] = true
		}
		return true
	})
}

// appendTo adds whole lines to a file. Claude may be writing there as well: a line is one write at the end.
func appendTo(root *os.Root, name string, text []byte) error {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fs.ErrInvalid)
	}
	last := []byte{'\n'}
	if info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' { // the line of a Claude that was killed
		text = append([]byte{'\n'}, text...)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync())
}

// copyNew copies the files of checkpoints that are not there yet. A file never changes: its name has a version.
func copyNew(from *os.Root, fromDir string, to *os.Root, toDir string) error {
	var failures []error
	for _, name := range list(from, fromDir, backupName, 0, maxFiles) {
		target := path.Join(toDir, name)
		if _, err := to.Lstat(target); err == nil {
			continue
		}
		if f, _, err := openFile(from, path.Join(fromDir, name), maxBackup); err == nil {
			failures = append(failures, copyFile(to, target, false, io.LimitReader(f, maxBackup)))
			f.Close()
		}
	}
	return errors.Join(failures...)
}

// candidate is a transcript of the host's.
type candidate struct {
	rel, session string
	mark         mark
}

// transcriptsIn brings in the conversations that the host has about the project, the newest first.
func (c Carrier) transcriptsIn(ctx context.Context, s sides, k *known, alone bool) error {
	own := slug(c.Root)
	var found []candidate
	for _, name := range list(s.projects, ".", folder, fs.ModeDir, 100_000) {
		if name != own && !strings.HasPrefix(name, own+"-") {
			continue
		}
		for _, file := range list(s.projects, name, transcript, 0, 100_000) {
			rel := path.Join(name, file)
			info, err := s.projects.Lstat(rel)
			if err == nil && (k.Transcripts[rel] == markOf(info) || c.about(s.projects, rel, name) != "") {
				found = append(found, candidate{rel, strings.TrimSuffix(file, ".jsonl"), markOf(info)})
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(b.mark.Mtime, a.mark.Mtime) })
	there := map[string]bool{}
	room := int64(maxIn)
	var failures []error
	for _, one := range found {
		there[one.rel] = true
		if room -= one.mark.Size; room < 0 || ctx.Err() != nil {
			continue
		}
		if _, err := s.shared.Lstat(one.rel); err == nil && k.Transcripts[one.rel] == one.mark {
			continue // both have it as it is
		}
		err := c.transcriptIn(s, one, alone)
		if err == nil {
			k.Transcripts[one.rel] = one.mark
		}
		failures = append(failures, err, copyNew(s.claude, path.Join(fileHistory, one.session), s.shared, path.Join(Checkpoints, one.session)))
	}
	for rel := range k.Transcripts { // what the user has removed is not to come back
		if !there[rel] && alone && c.about(s.shared, rel, path.Dir(rel)) != "" {
			failures = append(failures, s.shared.Remove(rel), s.shared.RemoveAll(strings.TrimSuffix(rel, ".jsonl")))
			delete(k.Transcripts, rel)
		}
	}
	return errors.Join(failures...)
}

// transcriptIn brings in one transcript. Where another session may be writing to its copy, only what is missing there is added.
func (c Carrier) transcriptIn(s sides, one candidate, alone bool) error {
	from, _, err := openFile(s.projects, one.rel, maxTranscript)
	if err != nil {
		return nil
	}
	defer from.Close()
	if _, err := s.shared.Lstat(one.rel); err != nil || alone {
		return copyFile(s.shared, one.rel, alone, from)
	}
	cwd := c.about(s.projects, one.rel, path.Dir(one.rel))
	have, err := c.keys(s.shared, one.rel, one.session, cwd)
	if err != nil {
		return err
	}
	f := newFilter(one.session, cwd, c.inside, c.restorable(cwd))
	var missing bytes.Buffer
	if err := lines(from, func(line []byte) bool {
		if kept, key := f.line(line); key != "" && !have[key] {
			missing.Write(append(kept, '\n'))
		}
		return true
	}); err != nil || missing.Len() == 0 {
		return err
	}
	return appendTo(s.shared, one.rel, missing.Bytes())
}
