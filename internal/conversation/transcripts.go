package conversation

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The folders of ~/.claude with conversations, and with the files of checkpoints.
const (
	projects    = "projects"
	fileHistory = "file-history"
	subagents   = "subagents"
)

var (
	transcript = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.jsonl$`)
	subagent   = regexp.MustCompile(`^agent-[A-Za-z0-9-]{1,64}\.jsonl$`)
)

// errOdd means that the host has something at the place of a transcript that is none, or is too large to be read.
var errOdd = errors.New("no transcript")

// maxHost is how many folders, and files of one, the host may have.
const maxHost = 100_000

// maxName is how long the name of a folder can be before Claude shortens it.
const maxName = 200

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

// head is how much of a transcript is read to learn whose it is, in bytes.
const head = 1 << 20

// place returns the folder in which a conversation began, by what its entries say: the first one that gives its folder of
// conversations this name. Folders of different projects can have one name.
func place(root *os.Root, file, name string) (cwd string) {
	f, _, err := openFile(root, file, maxTranscript)
	if err != nil {
		return ""
	}
	defer f.Close()
	_ = lines(io.LimitReader(f, head), func(line []byte) bool {
		var entry struct {
			CWD string `json:"cwd"`
		}
		if bytes.Contains(line, []byte(`"cwd"`)) && json.Unmarshal(line, &entry) == nil && slug(entry.CWD) == name {
			cwd = entry.CWD
		}
		return cwd == ""
	})
	return cwd
}

// checkpoints copies those of a conversation. Such a file never changes: its name has a version.
func checkpoints(from *os.Root, fromDir string, to *os.Root, toDir, session string) error {
	return copyNew(from, path.Join(fromDir, session), to, path.Join(toDir, session), backupName, maxBackup)
}

// found is a transcript on one of the sides.
type found struct {
	rel, session string
	mark
}

// find returns the transcripts of some folders, the newest first, at most so many of each.
func find(root *os.Root, folders []string, most int) (all []found) {
	for _, name := range folders {
		for _, file := range list(root, name, transcript, 0, most) {
			rel := path.Join(name, file)
			all = append(all, found{rel, strings.TrimSuffix(file, ".jsonl"), look(root, rel)})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Or(cmp.Compare(b.Mtime, a.Mtime), cmp.Compare(a.rel, b.rel)) })
	return all
}

// transcriptsOut brings out the entries that the host does not have, of all conversations about the project.
func (c Carrier) transcriptsOut(ctx context.Context, s sides, k *known) error {
	var failures []error
	all := find(s.shared, list(s.shared, ".", folder, fs.ModeDir, maxFolders), maxFiles)
	for _, one := range all[:min(len(all), maxFiles)] {
		if ctx.Err() != nil {
			return errors.Join(append(failures, ctx.Err())...)
		}
		before := k.Transcripts[one.rel]
		if before.Shared != one.mark {
			before = pair{CWD: place(s.shared, one.rel, path.Dir(one.rel))}
		}
		if !c.inside(before.CWD) || c.strange(s, one.rel) {
			continue
		}
		files := []string{one.rel}
		agents := path.Join(path.Dir(one.rel), one.session, subagents)
		for _, agent := range list(s.shared, agents, subagent, 0, maxFiles) {
			files = append(files, path.Join(agents, agent))
		}
		for _, rel := range files {
			failures = append(failures, c.entriesOut(s, k, rel, one.session, before.CWD))
		}
		failures = append(failures, checkpoints(s.shared, Checkpoints, s.claude, fileHistory, one.session))
	}
	return errors.Join(failures...)
}

// strange says whether the host has a conversation of another project by this name.
func (c Carrier) strange(s sides, rel string) bool {
	_, err := s.projects.Lstat(rel)
	return err == nil && !c.inside(place(s.projects, rel, path.Dir(rel)))
}

// entriesOut brings out one transcript. What the host has of it stays as it is, whatever the session has made of its copy.
func (c Carrier) entriesOut(s sides, k *known, rel, session, cwd string) error {
	from, info, err := openFile(s.shared, rel, maxTranscript)
	if err != nil {
		return nil // what is no plain file stays there
	}
	defer from.Close()
	now := markOf(info)
	if k.Transcripts[rel].Shared == now {
		return nil
	}
	have, err := c.keys(s.projects, rel, session, cwd)
	if errors.Is(err, errOdd) {
		return nil // what the user has there stays as it is
	}
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
	there := look(s.projects, rel)
	switch {
	case fresh.Len() == 0, there == mark{} && !spoken: // nothing has been said yet
	case there == mark{}:
		err = copyFile(s.projects, rel, false, now.time(), &fresh)
	default:
		err = appendTo(s.projects, rel, fresh.Bytes())
	}
	if err == nil {
		// What the host's Claude has added since the two were the same is still to go in.
		before := k.Transcripts[rel].Host
		if before == there || there == (mark{}) {
			before = look(s.projects, rel)
		}
		k.Transcripts[rel] = pair{before, now, cwd}
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
		return nil, fmt.Errorf("%w: %s", errOdd, file)
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

// copyNew copies the files that are not there yet.
func copyNew(from *os.Root, fromDir string, to *os.Root, toDir string, names *regexp.Regexp, most int64) error {
	var failures []error
	for _, name := range list(from, fromDir, names, 0, maxFiles) {
		target := path.Join(toDir, name)
		if _, err := to.Lstat(target); err == nil {
			continue
		}
		if f, _, err := openFile(from, path.Join(fromDir, name), most); err == nil {
			failures = append(failures, copyFile(to, target, false, time.Time{}, io.LimitReader(f, most)))
			f.Close()
		}
	}
	return errors.Join(failures...)
}

// transcriptsIn brings in the conversations that the host has about the project, the newest first.
func (c Carrier) transcriptsIn(ctx context.Context, s sides, k *known, alone func() bool) error {
	folders := slices.DeleteFunc(list(s.projects, ".", folder, fs.ModeDir, maxHost), func(name string) bool { return !c.mayHold(name) })
	there := map[string]bool{}
	room := int64(maxIn)
	var failures []error
	for _, one := range find(s.projects, folders, maxHost) {
		there[one.rel] = true
		before := k.Transcripts[one.rel]
		if before.Host != one.mark && before.CWD == "" {
			before.CWD = place(s.projects, one.rel, path.Dir(one.rel))
			k.Transcripts[one.rel] = pair{Shared: before.Shared, CWD: before.CWD}
		}
		if !c.inside(before.CWD) || ctx.Err() != nil {
			continue
		}
		if room -= one.Size; room < 0 {
			continue
		}
		is := look(s.shared, one.rel)
		if before.Host == one.mark && is != (mark{}) {
			continue // both have it as it is
		}
		isOut := is == before.Shared // nothing is there that the host does not have
		if err := c.transcriptIn(s, one, before.CWD, isOut && (is == mark{} || alone())); err != nil {
			failures = append(failures, err)
			continue
		}
		after := pair{Host: one.mark, CWD: before.CWD}
		if isOut {
			after.Shared = look(s.shared, one.rel)
		}
		k.Transcripts[one.rel] = after
		agents := path.Join(path.Dir(one.rel), one.session, subagents)
		failures = append(failures, checkpoints(s.claude, fileHistory, s.shared, Checkpoints, one.session),
			copyNew(s.projects, agents, s.shared, agents, subagent, maxTranscript))
	}
	for rel, before := range k.Transcripts { // what the user has removed is not to come back
		if there[rel] || !c.inside(before.CWD) || before.Host == (mark{}) || ctx.Err() != nil || !transcript.MatchString(path.Base(rel)) || !alone() {
			continue
		}
		failures = append(failures, c.forget(s, rel))
		delete(k.Transcripts, rel)
	}
	return errors.Join(failures...)
}

// mayHold says whether a folder of conversations can be one of the project's.
func (c Carrier) mayHold(name string) bool {
	own := slug(c.Root)
	return name == own || strings.HasPrefix(name, own+"-") || len(own) > maxName && strings.HasPrefix(name, own[:maxName])
}

// forget removes a conversation from what sessions see.
func (c Carrier) forget(s sides, rel string) error {
	err := s.shared.Remove(rel)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.shared.RemoveAll(strings.TrimSuffix(rel, ".jsonl")))
}

// transcriptIn brings in one transcript as a whole, or only what is missing there.
func (c Carrier) transcriptIn(s sides, one found, cwd string, whole bool) error {
	from, _, err := openFile(s.projects, one.rel, maxTranscript)
	if err != nil {
		return nil
	}
	defer from.Close()
	if whole {
		return copyFile(s.shared, one.rel, true, one.time(), from)
	}
	have, err := c.keys(s.shared, one.rel, one.session, cwd)
	if err != nil {
		return nil // a session has put something else there
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
