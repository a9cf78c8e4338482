package conversation

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Claude keeps its memory of a repository in files of Markdown below the folder of the main checkout's conversations.
const memory = "memory"

var (
	note     = regexp.MustCompile(`^[\pL\pN_][\pL\pN_. ()+-]{0,120}\.md$`)
	category = regexp.MustCompile(`^[\pL\pN_][\pL\pN_. -]{0,60}$`)
)

// maxDepth is how many folders memory may lie in.
const maxDepth = 3

// notes returns the files of a memory, at most so many.
func notes(root *os.Root, dir string, depth int) (found []string) {
	for _, name := range list(root, dir, note, 0, maxFiles) {
		found = append(found, path.Join(dir, name))
	}
	if depth >= maxDepth {
		return found
	}
	for _, name := range list(root, dir, category, fs.ModeDir, maxFolders) {
		found = append(found, notes(root, path.Join(dir, name), depth+1)...)
	}
	return found[:min(len(found), maxFiles)]
}

// memories returns the folders in which the memory of this project may lie.
func (c Carrier) memories() []string {
	return slices.Compact([]string{path.Join(slug(c.Main), memory), path.Join(slug(c.Root), memory)})
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// memoryOut brings out the memory that sessions have written, and says which files of the host's that has changed. What was
// changed on both sides stays as it is on the host, and the session's comes to lie beside it. What a session has removed
// stays on the host.
func (c Carrier) memoryOut(_ context.Context, s sides, k *known) (changes Changes, err error) {
	var failures []error
	for _, dir := range c.memories() {
		for _, name := range notes(s.shared, dir, 0) {
			text, err := readFile(s.shared, name, maxMemory)
			if err != nil {
				continue
			}
			clean := cleanText(text)
			theirs, err := readFile(s.projects, name, maxMemory)
			missing := errors.Is(err, fs.ErrNotExist)
			is, was := digest(clean), k.Memory[name]
			switch {
			case err != nil && !missing: // the host's is no plain file, or too large
				continue
			case is == was || !missing && is == digest(theirs):
				k.Memory[name] = is
				continue
			}
			target := name
			if !missing && digest(theirs) != was {
				target = strings.TrimSuffix(name, ".md") + " (of a session).md"
				changes.Conflicts = append(changes.Conflicts, path.Join(projects, target))
			}
			err = writeFile(s.projects, target, true, clean)
			if err == nil {
				changes.Memory = append(changes.Memory, path.Join(projects, target))
				k.Memory[name] = is
			}
			failures = append(failures, err)
		}
	}
	return changes, errors.Join(failures...)
}

// cleanText is text without control characters, as people and Claude are to read it.
func cleanText(b []byte) []byte {
	clean, _ := text(strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "\uFFFD"))
	return []byte(clean.(string))
}

// memoryIn brings in the memory that the host has, where no session has changed its copy since.
func (c Carrier) memoryIn(s sides, k *known) error {
	var failures []error
	for _, dir := range c.memories() {
		failures = append(failures, s.shared.MkdirAll(dir, 0o700))
		for _, name := range notes(s.projects, dir, 0) {
			theirs, err := readFile(s.projects, name, maxMemory)
			if err != nil {
				continue
			}
			is := digest(theirs)
			ours, err := readFile(s.shared, name, maxMemory)
			if err == nil && (digest(ours) == is || digest(cleanText(ours)) != k.Memory[name]) {
				if digest(ours) == is {
					k.Memory[name] = is
				}
				continue
			}
			err = writeFile(s.shared, name, true, theirs)
			if err == nil {
				k.Memory[name] = is
			}
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// prompt is what somebody has typed, as the keys of a prompt's history bring it back.
var prompt = fields{
	"display": text, "timestamp": number, "project": text, "sessionId": matching(uuid),
	"pastedContents": pasted,
}

// pasted are the texts that were pasted into a prompt.
func pasted(v any) (any, bool) {
	contents, ok := v.(map[string]any)
	kept := map[string]any{}
	for name, v := range contents {
		part, _ := fields{"id": number, "type": oneOf("text"), "content": text}.rule(v)
		if part, ok := part.(map[string]any); ok && len(part) == 3 && word.MatchString(name) {
			kept[name] = part
		}
	}
	return kept, ok
}

// promptLine returns a line of the history as it may go on, if it is of this project. A prompt that begins with an
// exclamation mark runs a command as soon as somebody confirms it: none of these comes from a session.
func (c Carrier) promptLine(line []byte) (kept []byte) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || decoder.More() {
		return nil
	}
	v, _ := prompt.rule(object)
	is, _ := v.(map[string]any)
	display, _ := is["display"].(string)
	project, _ := is["project"].(string)
	if is["timestamp"] == nil || display == "" || strings.HasPrefix(strings.TrimSpace(display), "!") || !c.inside(project) {
		return nil
	}
	kept, err := json.Marshal(is)
	if err != nil {
		return nil
	}
	return kept
}

// prompts returns the lines of a history that are of this project.
func (c Carrier) prompts(root *os.Root, name string) (found [][]byte) {
	f, info, err := openFile(root, name, 1<<40)
	if err != nil {
		return nil
	}
	defer f.Close()
	reader := bufio.NewReader(f)
	if skip := info.Size() - maxPrompts; skip > 0 { // the newest are at the end
		if _, err := f.Seek(skip, io.SeekStart); err != nil {
			return nil
		}
		_, _ = reader.ReadBytes('\n')
	}
	_ = lines(io.LimitReader(reader, maxPrompts), func(line []byte) bool {
		if kept := c.promptLine(line); kept != nil {
			found = append(found, kept)
		}
		return true
	})
	return found
}

// carryPrompts adds what one history of this project has and the other has not.
func (c Carrier) carryPrompts(from *os.Root, source string, to *os.Root, target string) error {
	have := map[string]bool{}
	for _, line := range c.prompts(to, target) {
		have[string(line)] = true
	}
	var fresh bytes.Buffer
	for _, line := range c.prompts(from, source) {
		if !have[string(line)] {
			have[string(line)] = true
			fresh.Write(append(line, '\n'))
		}
	}
	if fresh.Len() == 0 {
		return nil
	}
	if _, err := to.Lstat(target); errors.Is(err, fs.ErrNotExist) {
		return writeFile(to, target, false, fresh.Bytes())
	}
	return appendTo(to, target, fresh.Bytes())
}

func (c Carrier) promptsOut(s sides) error {
	return c.carryPrompts(s.shared, Prompts, s.claude, "history.jsonl")
}
func (c Carrier) promptsIn(s sides) error {
	return c.carryPrompts(s.claude, "history.jsonl", s.shared, Prompts)
}
