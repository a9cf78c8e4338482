package conversation

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/paths"
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

// memories returns the folders of conversations in which the memory of this project may lie.
func (c Carrier) memories() []string { return slices.Compact([]string{slug(c.Main), slug(c.Root)}) }

// owners says whether Claude on the host knows of this project by a folder of conversations, and of which others. Memory does
// not say whose it is, and folders of different projects can have one name.
func (c Carrier) owners(s sides, k *known, name string) (ours bool, strangers []string) {
	var state struct {
		Projects map[string]any `json:"projects"`
	}
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(c.Host), ".claude.json")); err == nil {
		_ = json.Unmarshal(text, &state) // there are the conversations, too
	}
	for dir := range state.Projects {
		if slug(dir) == name && !c.ours(dir) {
			strangers = append(strangers, dir)
		}
		ours = ours || slug(dir) == name && c.ours(dir)
	}
	for _, one := range find(s.projects, []string{name}, maxHost) {
		cwd := k.Transcripts[one.rel].CWD
		if cwd == "" {
			cwd = place(s.projects, one.rel, name)
		}
		if cwd != "" && !c.ours(cwd) {
			strangers = append(strangers, cwd)
		}
		ours = ours || c.ours(cwd)
	}
	for file := range k.Memory {
		ours = ours || strings.HasPrefix(file, name+"/")
	}
	for _, known := range k.Transcripts { // one in a folder of the project is enough: memory is the project's as a whole
		ours = ours || known.Host != (mark{}) && c.ours(known.CWD)
	}
	slices.Sort(strangers)
	return ours, slices.Compact(strangers)
}

func (c Carrier) ours(dir string) bool { return c.inside(dir) || paths.Within(c.Main, dir) }

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// memoryOut brings out the memory that sessions have written, and says which files of the host's that has changed. What was
// changed on both sides stays as it is on the host, and the session's comes to lie beside it. What a session has removed
// stays on the host.
func (c Carrier) memoryOut(s sides, k *known) (changes Changes, err error) {
	var failures []error
	for _, name := range c.memories() {
		theirs := notes(s.shared, path.Join(name, memory), 0)
		if len(theirs) == 0 {
			continue
		}
		ours, strangers := c.owners(s, k, name)
		if len(strangers) > 0 || !ours && len(notes(s.projects, path.Join(name, memory), 0)) > 0 {
			changes.Strangers = append(changes.Strangers, strangers...)
			continue
		}
		for _, file := range theirs {
			changed, err := noteOut(s, k, file)
			if changed != "" {
				changes.Memory = append(changes.Memory, filepath.Join(c.Host, projects, changed))
			}
			failures = append(failures, err)
		}
	}
	return changes, errors.Join(failures...)
}

// noteOut brings out one file of a memory, and returns which one of the host's that has changed.
func noteOut(s sides, k *known, name string) (changed string, err error) {
	text, err := readFile(s.shared, name, maxMemory)
	if err != nil {
		return "", nil // what is no plain file, or too large, stays there
	}
	theirs, err := readFile(s.projects, name, maxMemory)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return "", nil
	}
	clean := cleanText(text)
	is, was := digest(clean), k.Memory[name]
	if is == was || digest(text) == was {
		return "", nil
	}
	if !missing && is == digest(theirs) {
		k.Memory[name] = is
		return "", nil
	}
	changed = name
	if !missing && digest(theirs) != was {
		changed = strings.TrimSuffix(name, ".md") + " (of a session).md"
	}
	if err := writeFile(s.projects, changed, true, clean); err != nil {
		return "", err
	}
	k.Memory[name] = is
	return changed, nil
}

// cleanText is text without control characters, as people and Claude are to read it.
func cleanText(b []byte) []byte {
	clean, _ := text(strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "\uFFFD"))
	return []byte(clean.(string))
}

// memoryIn brings in the memory that the host has, where no session has changed its copy since.
func (c Carrier) memoryIn(s sides, k *known, alone func() bool) error {
	var failures []error
	for _, name := range c.memories() {
		failures = append(failures, s.shared.MkdirAll(path.Join(name, memory), 0o700))
		if ours, strangers := c.owners(s, k, name); !ours || len(strangers) > 0 {
			continue
		}
		there := notes(s.projects, path.Join(name, memory), 0)
		for _, file := range there {
			failures = append(failures, noteIn(s, k, file))
		}
		for file, was := range k.Memory { // what the user has removed is not to be remembered
			if !strings.HasPrefix(file, name+"/") || slices.Contains(there, file) || !alone() {
				continue
			}
			if text, err := readFile(s.shared, file, maxMemory); err == nil && slices.Contains([]string{digest(text), digest(cleanText(text))}, was) {
				failures = append(failures, s.shared.Remove(file))
				delete(k.Memory, file)
			}
		}
	}
	return errors.Join(failures...)
}

// noteIn brings in one file of a memory.
func noteIn(s sides, k *known, name string) error {
	theirs, err := readFile(s.projects, name, maxMemory)
	if err != nil {
		return nil
	}
	is, was := digest(theirs), k.Memory[name]
	ours, err := readFile(s.shared, name, maxMemory)
	if err == nil && digest(ours) != is && digest(ours) != was && digest(cleanText(ours)) != was {
		return nil // a session has changed it
	}
	if err != nil || digest(ours) != is && is != was {
		if err := writeFile(s.shared, name, true, theirs); err != nil {
			return err
		}
	}
	k.Memory[name] = is
	return nil
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
