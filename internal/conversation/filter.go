package conversation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// An entry is one line of a transcript. Claude Code obeys much of what stands there when it resumes a conversation: the
// permission mode, the folder to work in, a system prompt, the state of its tools. So an entry that comes out of a VM is
// built anew from the fields that only show what was said. Which entries and fields there are was read off Claude Code
// 2.1.332: with the entries and fields below it shows a conversation and goes on with it, and it takes nothing else from them.

// rule returns what of a value goes on, if anything does.
type rule func(v any) (any, bool)

// fields are those of an object that go on; all others stay behind.
type fields map[string]rule

func (f fields) rule(v any) (any, bool) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	kept := map[string]any{}
	for name, value := range object {
		if rule := f[name]; rule != nil {
			if value, ok := rule(value); ok {
				kept[name] = value
			}
		}
	}
	return kept, true
}

var (
	uuid  = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	word  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)
	model = regexp.MustCompile(`^(claude-[a-z0-9.-]{1,100}|<synthetic>)$`)
	// color is what programs print between the parts of a text to color them, and moves of the cursor.
	color = regexp.MustCompile("\x1b\\[[0-9;:?]*[ -/]*[@-~]")
)

// text lets text through. Without control characters: a terminal takes commands from them.
func text(v any) (any, bool) {
	s, ok := v.(string)
	if !ok {
		return nil, false
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, color.ReplaceAllString(s, "")), true
}

func matching(pattern *regexp.Regexp) rule {
	return func(v any) (any, bool) {
		s, ok := v.(string)
		return s, ok && pattern.MatchString(s)
	}
}

func oneOf(values ...string) rule {
	return func(v any) (any, bool) {
		s, ok := v.(string)
		return s, ok && slices.Contains(values, s)
	}
}

func boolean(v any) (any, bool) { b, ok := v.(bool); return b, ok }

func number(v any) (any, bool) { n, ok := v.(json.Number); return n, ok }

// link is the uuid of another entry, or none.
func link(v any) (any, bool) {
	if v == nil {
		return nil, true
	}
	return matching(uuid)(v)
}

// either lets through what one of the rules does.
func either(rules ...rule) rule {
	return func(v any) (any, bool) {
		for _, rule := range rules {
			if kept, ok := rule(v); ok {
				return kept, true
			}
		}
		return nil, false
	}
}

// anything lets a value of any shape through, its texts as text does. It is for what Claude reads as the input of a tool.
func anything(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		return text(v)
	case []any:
		kept := []any{}
		for _, item := range v {
			item, _ := anything(item)
			kept = append(kept, item)
		}
		return kept, true
	case map[string]any:
		kept := map[string]any{}
		for name, item := range v {
			name, _ := text(name)
			kept[name.(string)], _ = anything(item)
		}
		return kept, true
	}
	return v, true
}

// content is that of a message: text, or blocks. A block that is not known becomes a text that says so, so that a message
// never has none.
func content(v any) (any, bool) {
	blocks, ok := v.([]any)
	if !ok {
		return text(v)
	}
	kept := []any{}
	for _, block := range blocks {
		object, _ := block.(map[string]any)
		kind, _ := object["type"].(string)
		rules := blockKinds()[kind]
		if rules == nil {
			kept = append(kept, map[string]any{"type": "text", "text": "[a part of this message was not taken out of the VM]"})
			continue
		}
		block, _ := rules.rule(object)
		kept = append(kept, block)
	}
	return kept, true
}

func blockKinds() map[string]fields {
	source := fields{"type": oneOf("base64", "text"), "media_type": matching(regexp.MustCompile(`^[a-z]+/[a-z0-9.+-]+$`)), "data": text}
	media := fields{"type": text, "source": source.rule, "title": text}
	return map[string]fields{
		"text":              {"type": text, "text": text},
		"thinking":          {"type": text, "thinking": text, "signature": text},
		"redacted_thinking": {"type": text, "data": text},
		"tool_use":          {"type": text, "id": matching(word), "name": matching(word), "input": anything},
		"tool_result":       {"type": text, "tool_use_id": matching(word), "content": content, "is_error": boolean},
		"image":             media,
		"document":          media,
	}
}

// entryKinds are the entries that go on, with their fields.
func entryKinds() map[string]fields {
	usage := fields{"input_tokens": number, "output_tokens": number, "cache_creation_input_tokens": number, "cache_read_input_tokens": number}
	said := fields{
		"role": oneOf("user", "assistant"), "type": oneOf("message"), "id": matching(word), "model": matching(model), "content": content,
		"stop_reason": either(matching(word), nothing), "stop_sequence": either(text, nothing), "usage": usage.rule,
	}
	entry := func(more fields) fields {
		all := fields{
			"type": text, "uuid": matching(uuid), "parentUuid": link, "isSidechain": boolean, "timestamp": matching(word),
			"userType": oneOf("external"), "version": matching(word), "gitBranch": text, "agentId": matching(word), "cwd": text,
		}
		for name, rule := range more {
			all[name] = rule
		}
		return all
	}
	output := fields{"stdout": text, "stderr": text, "interrupted": boolean}
	return map[string]fields{
		"user": entry(fields{
			"message": said.rule, "isMeta": boolean, "isCompactSummary": boolean, "isVisibleInTranscriptOnly": boolean,
			"sourceToolAssistantUUID": matching(uuid), "toolUseResult": either(text, output.rule),
		}),
		"assistant": entry(fields{"message": said.rule, "isApiErrorMessage": boolean, "requestId": matching(word)}),
		"system": entry(fields{
			"subtype": oneOf("compact_boundary"), "content": text, "level": oneOf("info"), "logicalParentUuid": link,
			"compactMetadata": fields{"trigger": oneOf("manual", "auto"), "preTokens": number}.rule,
		}),
		"summary":      {"type": text, "summary": text, "leafUuid": matching(uuid)},
		"custom-title": {"type": text, "customTitle": text},
		"ai-title":     {"type": text, "aiTitle": text},
		"last-prompt":  {"type": text, "lastPrompt": text, "leafUuid": matching(uuid)},
		"file-history-snapshot": {
			"type": text, "messageId": matching(uuid), "isSnapshotUpdate": boolean,
			"snapshot": fields{"messageId": matching(uuid), "timestamp": matching(word), "trackedFileBackups": anything}.rule,
		},
		"file-history-delta": {
			"type": text, "messageId": matching(uuid), "snapshotMessageId": matching(uuid), "timestamp": matching(word),
			"trackingPath": text, "backup": backup.rule,
		},
	}
}

func nothing(v any) (any, bool) { return nil, v == nil }

// required are the fields without which an entry means nothing.
var required = map[string][]string{
	"user": {"uuid", "message"}, "assistant": {"uuid", "message"}, "system": {"uuid", "subtype"}, "summary": {"summary", "leafUuid"},
	"custom-title": {"customTitle"}, "ai-title": {"aiTitle"}, "last-prompt": {"lastPrompt"}, "file-history-snapshot": {"messageId", "snapshot"},
	"file-history-delta": {"messageId", "trackingPath", "backup"},
}

// filter takes the entries of one transcript.
type filter struct {
	session string                 // the conversation's id, by the name of its file
	cwd     string                 // the folder that the conversation belongs to
	inside  func(path string) bool // whether a folder belongs to the project
	file    func(path string) bool // whether a file is one of the project's that a checkpoint may restore
	kinds   map[string]fields      // entryKinds
	left    map[string]any         // the parents of the entries that stayed behind, by their uuids
}

func newFilter(session, cwd string, inside, file func(string) bool) *filter {
	return &filter{session: session, cwd: cwd, inside: inside, file: file, kinds: entryKinds(), left: map[string]any{}}
}

// line returns a line of a transcript as it may go on, without its end, and what names the entry; nothing: it stays behind.
func (f *filter) line(line []byte) (kept []byte, key string) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil || decoder.More() {
		return nil, ""
	}
	kind, _ := object["type"].(string)
	kinds := f.kinds[kind]
	entry, _ := kinds.rule(object)
	is, _ := entry.(map[string]any)
	if kinds == nil || slices.ContainsFunc(required[kind], func(name string) bool { return is[name] == nil }) {
		if id, ok := object["uuid"].(string); ok && uuid.MatchString(id) {
			f.left[id] = object["parentUuid"]
		}
		return nil, ""
	}
	is["sessionId"] = f.session
	if _, placed := kinds["cwd"]; placed {
		if cwd, _ := is["cwd"].(string); !f.inside(cwd) {
			is["cwd"] = f.cwd
		}
	}
	for _, name := range []string{"parentUuid", "logicalParentUuid", "leafUuid"} {
		if of, there := is[name]; there {
			is[name] = f.ancestor(of)
		}
	}
	if !f.checkpoint(is) {
		return nil, ""
	}
	kept, err := json.Marshal(is)
	if err != nil || len(kept) > maxLine {
		return nil, ""
	}
	if id, ok := is["uuid"].(string); ok {
		return kept, id
	}
	sum := sha256.Sum256(kept)
	return kept, hex.EncodeToString(sum[:])
}

// ancestor returns the nearest entry that goes on, from one that may have stayed behind: a conversation is a chain.
func (f *filter) ancestor(id any) any {
	for range len(f.left) + 1 {
		name, _ := id.(string)
		parent, left := f.left[name]
		if !left {
			break
		}
		id = parent
	}
	kept, _ := link(id)
	return kept
}

var backupName = regexp.MustCompile(`^[0-9a-f]{16}@v[0-9]{1,6}$`)

// backup is where the earlier content of a file lies; without a name the file was not there.
var backup = fields{"backupFileName": either(matching(backupName), nothing), "version": number, "backupTime": matching(word)}

// checkpoint takes out of a checkpoint what would write elsewhere than to files of the project when it is restored. It says
// whether the entry still means something.
func (f *filter) checkpoint(entry map[string]any) bool {
	if path, ok := entry["trackingPath"].(string); ok {
		return f.file(path)
	}
	snapshot, ok := entry["snapshot"].(map[string]any)
	if !ok {
		return true
	}
	backups, _ := snapshot["trackedFileBackups"].(map[string]any)
	kept := map[string]any{}
	for path, v := range backups {
		if saved, ok := backup.rule(v); ok && f.file(path) {
			kept[path] = saved
		}
	}
	snapshot["trackedFileBackups"] = kept
	return true
}
