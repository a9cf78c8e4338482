package conversation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const session = "0e293ec5-2872-4342-89fd-dec5aee8c10b"

// world is a project, what the host has of it, and a folder that sessions write to.
type world struct {
	testing.TB
	Carrier
	dir string
}

func newWorld(t testing.TB) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(dir, "work/app")
	w := world{t, Carrier{
		Host: filepath.Join(dir, "home/.claude"), Shared: filepath.Join(dir, "state/projects"), Root: root, Main: root,
		Known: filepath.Join(dir, "state/known.json"),
	}, dir}
	w.check(w.Prepare())
	return w
}

func (w world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w world) write(path string, lines ...string) {
	w.Helper()
	w.check(os.MkdirAll(filepath.Dir(path), 0o700))
	w.check(os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}

func (w world) guest(name string) string {
	return filepath.Join(w.Shared, slug(w.Root), name)
}

func (w world) host(name string) string {
	return filepath.Join(w.Host, "projects", slug(w.Root), name)
}

func (w world) read(path string) string {
	w.Helper()
	text, err := os.ReadFile(path)
	w.check(err)
	return string(text)
}

func (w world) out() Changes {
	w.Helper()
	changes, err := w.Out(w.Context())
	w.check(err)
	return changes
}

func (w world) in(alone bool) {
	w.Helper()
	w.check(w.In(w.Context(), func() bool { return alone }))
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// said is an entry as Claude writes it.
func (w world) said(kind string, n int, parent, what string) string {
	up := "null"
	if parent != "" {
		up = `"` + parent + `"`
	}
	return fmt.Sprintf(`{"parentUuid":%s,"isSidechain":false,"type":%q,"message":{"role":%q,"content":%q},"uuid":%q,"timestamp":"2026-11-26T11:04:35.395Z","permissionMode":"bypassPermissions","cwd":%q,"sessionId":%q,"version":"2.1.332"}`,
		up, kind, kind, what, id(n), w.Root, session)
}

// types returns the types of a transcript's entries.
func types(text string) (found []string) {
	for line := range strings.Lines(text) {
		var entry struct{ Type string }
		_ = json.Unmarshal([]byte(line), &entry)
		found = append(found, entry.Type)
	}
	return found
}

// A conversation goes on in a session and then on the host, with nothing that steers.
func TestConversationsTravelBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := session + ".jsonl"
	w.write(w.host(file), w.said("user", 1, "", "on the host"))
	w.in(true)
	if got := w.read(w.guest(file)); !strings.Contains(got, "on the host") || !strings.Contains(got, "permissionMode") {
		t.Errorf("a session sees %s", got)
	}
	before := w.read(w.host(file))
	w.write(w.guest(file), strings.TrimSpace(w.read(w.guest(file))),
		`{"type":"permission-mode","permissionMode":"acceptEdits","sessionId":"`+session+`"}`,
		`{"type":"worktree-state","worktreeSession":{"worktreePath":"/"},"sessionId":"`+session+`"}`,
		`{"type":"attachment","attachment":{"type":"prompt_snapshot","prompt":"evil"},"uuid":"`+id(2)+`","parentUuid":"`+id(1)+`"}`,
		w.said("assistant", 3, id(2), "in the VM"), "{broken",
		strings.Replace(w.said("user", 4, id(3), "elsewhere"), `"cwd":"`+w.Root+`"`, `"cwd":"/etc"`, 1))
	w.out()
	got := w.read(w.host(file))
	if !strings.HasPrefix(got, before) {
		t.Errorf("what the host had has changed: %s", got)
	}
	added := strings.TrimPrefix(got, before)
	if diff := cmp.Diff([]string{"assistant", "user"}, types(added)); diff != "" {
		t.Error(diff)
	}
	for _, never := range []string{"permission", "evil", "/etc", "worktree", `"` + id(2)} {
		if strings.Contains(added, never) {
			t.Errorf("%q has come out: %s", never, added)
		}
	}
	if !strings.Contains(added, `"parentUuid":"`+id(1)+`"`) {
		t.Errorf("the chain is broken: %s", added)
	}
	w.out()
	if again := w.read(w.host(file)); again != got {
		t.Errorf("a second time something was added: %s", strings.TrimPrefix(again, got))
	}

	// On the host it goes on, and then in a session again; what the session had beside it is still there.
	w.write(w.host(file), strings.TrimSpace(got), w.said("user", 5, id(4), "back home"))
	w.in(true)
	if here := w.read(w.guest(file)); !strings.Contains(here, "back home") {
		t.Errorf("a session sees %s", here)
	}
}

// What a session has changed of the past stays in the session's copy.
func TestNothingOnTheHostIsShortenedOrReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := session + ".jsonl"
	w.write(w.host(file), w.said("user", 1, "", "was said"), w.said("assistant", 2, id(1), "was answered"))
	w.in(true)
	before := w.read(w.host(file))
	for name, tamper := range map[string]func(){
		"rewritten": func() { w.write(w.guest(file), w.said("user", 1, "", "was never said")) },
		"emptied":   func() { w.write(w.guest(file)) },
		"removed":   func() { w.check(os.Remove(w.guest(file))) },
		"a link":    func() { w.check(os.Symlink(w.host(file), w.guest(file))) },
		"a pipe":    func() { w.check(os.Remove(w.guest(file))); w.check(syscall.Mkfifo(w.guest(file), 0o600)) },
		"a folder":  func() { w.check(os.Remove(w.guest(file))); w.check(os.Mkdir(w.guest(file), 0o700)) },
	} {
		_ = os.Remove(w.guest(file))
		if name == "a pipe" || name == "a folder" {
			w.write(w.guest(file))
		}
		if name == "removed" {
			w.write(w.guest(file))
		}
		tamper()
		w.out()
		if got := w.read(w.host(file)); got != before {
			t.Errorf("%s: the host has %s", name, got)
		}
	}
}

// Folders of different projects can have one name.
func TestOnlyWhatIsAboutThisProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := filepath.Join(w.dir, "work-app") // work/app and work-app
	if slug(other) != slug(w.Root) {
		t.Fatalf("%s, %s", slug(other), slug(w.Root))
	}
	theirs := "11111111-2872-4342-89fd-dec5aee8c10b.jsonl"
	w.write(w.host(theirs), strings.ReplaceAll(w.said("user", 1, "", "secret of the other"), w.Root, other))
	w.write(w.host(session+".jsonl"), w.said("user", 2, "", "ours"))
	sub := filepath.Join(w.Root, "sub")
	w.write(filepath.Join(w.Host, "projects", slug(sub), id(9)+".jsonl"), strings.ReplaceAll(w.said("user", 3, "", "below"), w.Root, sub))
	w.in(true)
	if _, err := os.Lstat(w.guest(theirs)); err == nil {
		t.Error("a session sees the conversation of another project")
	}
	if got := w.read(filepath.Join(w.Shared, slug(sub), id(9)+".jsonl")); !strings.Contains(got, "below") {
		t.Errorf("got %s", got)
	}
	// Nor can a session write one for the other.
	w.write(w.guest(id(8)+".jsonl"), strings.ReplaceAll(w.said("user", 4, "", "planted"), w.Root, other))
	w.write(filepath.Join(w.Shared, "-etc", id(8)+".jsonl"), w.said("user", 4, "", "planted"))
	w.out()
	for _, name := range []string{w.host(id(8) + ".jsonl"), filepath.Join(w.Host, "projects/-etc")} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s has come out", name)
		}
	}
}

// What the user has removed on the host does not come back, and another session's work is not removed under its hands.
func TestRemovedConversations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := session + ".jsonl"
	w.write(w.guest(file), w.said("user", 1, "", "in the VM"), w.said("assistant", 2, id(1), "yes"))
	w.out()
	w.check(os.Remove(w.host(file)))
	w.in(false)
	if _, err := os.Lstat(w.guest(file)); err != nil {
		t.Error("removed while another session uses it")
	}
	w.in(true)
	if _, err := os.Lstat(w.guest(file)); err == nil {
		t.Error("a session still has it")
	}
	w.out()
	if _, err := os.Lstat(w.host(file)); err == nil {
		t.Error("it is back on the host")
	}
}

// Two sessions of one project: neither loses what the other or the host adds.
func TestSessionsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := session + ".jsonl"
	w.write(w.host(file), w.said("user", 1, "", "one"))
	w.in(true)
	w.write(w.guest(file), strings.TrimSpace(w.read(w.guest(file))), w.said("user", 2, id(1), "of a session"))
	w.write(w.host(file), strings.TrimSpace(w.read(w.host(file))), w.said("user", 3, id(1), "of the host"))
	w.in(false)
	got := w.read(w.guest(file))
	for _, want := range []string{"one", "of a session", "of the host"} {
		if strings.Count(got, `"`+want+`"`) != 1 {
			t.Errorf("%q is not there once: %s", want, got)
		}
	}
	w.out()
	if got := w.read(w.host(file)); !strings.Contains(got, "of a session") {
		t.Errorf("the host has %s", got)
	}
}

// Checkpoints restore files of the project, and nothing else.
func TestCheckpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	backup := `{"backupFileName":"0123456789abcdef@v1","version":1,"backupTime":"2026-11-26T11:04:35.395Z"}`
	paths := []string{"a.txt", "../b", "/etc/passwd", w.Root + "/c", w.Root + "/../x", ".git/config", "sub/.GIT/hooks/x", w.Root, "", "d/../../e"}
	var all []string
	for _, path := range paths {
		all = append(all, fmt.Sprintf("%q:%s", path, backup))
	}
	file := session + ".jsonl"
	delta := func(path string) string {
		return fmt.Sprintf(`{"type":"file-history-delta","messageId":%q,"snapshotMessageId":%q,"trackingPath":%q,"backup":%s,"timestamp":"t1"}`, id(1), id(1), path, backup)
	}
	w.write(w.guest(file), w.said("user", 1, "", "x"),
		fmt.Sprintf(`{"type":"file-history-snapshot","messageId":%q,"snapshot":{"messageId":%q,"trackedFileBackups":{%s},"timestamp":"t1"},"isSnapshotUpdate":false}`,
			id(1), id(1), strings.Join(all, ",")), delta("ok.go"), delta("/root/.bashrc"), delta("../../.bashrc"))
	for name, text := range map[string]string{"0123456789abcdef@v1": "was", "evil": "x", "0123456789abcdef@v2x": "x"} {
		w.write(filepath.Join(w.Shared, Checkpoints, session, name), text)
	}
	w.check(os.Symlink("/etc/passwd", filepath.Join(w.Shared, Checkpoints, session, "0123456789abcdef@v3")))
	w.out()
	got := w.read(w.host(file))
	var entry struct {
		Snapshot struct{ TrackedFileBackups map[string]any }
	}
	var deltas []string
	for line := range strings.Lines(got) {
		if strings.Contains(line, "snapshot\"") && strings.Contains(line, "tracked") {
			w.check(json.Unmarshal([]byte(line), &entry))
		}
		if strings.Contains(line, "file-history-delta") {
			deltas = append(deltas, line)
		}
	}
	var kept []string
	for path := range entry.Snapshot.TrackedFileBackups {
		kept = append(kept, path)
	}
	slices.Sort(kept)
	want := []string{w.Root + "/c", "a.txt"}
	if diff := cmp.Diff(want, kept); diff != "" || len(deltas) != 1 || !strings.Contains(deltas[0], "ok.go") {
		t.Errorf("%s; %v", diff, deltas)
	}
	names, err := os.ReadDir(filepath.Join(w.Host, "file-history", session))
	if err != nil || len(names) != 1 || names[0].Name() != "0123456789abcdef@v1" {
		t.Errorf("%v, %v", names, err)
	}
}

// Memory that a session has written is named; what both sides have changed is kept on both.
func TestMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Main = filepath.Join(w.dir, "main")
	w.write(filepath.Join(w.dir, "home/.claude.json"), fmt.Sprintf(`{"projects":{%q:{}}}`, w.Main))
	main := func(side, name string) string { return filepath.Join(side, slug(w.Main), memory, name) }
	projects := filepath.Join(w.Host, "projects")
	w.write(main(projects, "MEMORY.md"), "one")
	w.write(main(projects, "kept.md"), "kept")
	w.in(true)
	if got := w.read(main(w.Shared, "MEMORY.md")); got != "one\n" {
		t.Errorf("a session has %q", got)
	}
	if changes := w.out(); len(changes.Memory) > 0 {
		t.Errorf("nothing was changed, and %v is named", changes)
	}
	w.write(main(w.Shared, "MEMORY.md"), "two\x1b]52;c;AAAA\x07")
	w.write(main(w.Shared, "deep/er/new.md"), "new")
	w.check(os.Remove(main(w.Shared, "kept.md")))
	w.check(os.Symlink("/etc/passwd", main(w.Shared, "link.md")))
	w.write(main(w.Shared, ".hidden.md"), "x")
	w.write(main(w.Shared, "run.sh"), "x")
	w.write(main(w.Shared, "big.md"), strings.Repeat("x", maxMemory))
	changes := w.out()
	rel := main(projects, "") + "/"
	if diff := cmp.Diff([]string{rel + "MEMORY.md", rel + "deep/er/new.md"}, changes.Memory); diff != "" {
		t.Error(diff)
	}
	if got := w.read(main(projects, "MEMORY.md")); got != "two]52;c;AAAA\n" {
		t.Errorf("the host has %q", got)
	}
	if got := w.read(main(projects, "kept.md")); got != "kept\n" {
		t.Errorf("the host has %q", got)
	}
	// Both sides.
	w.write(main(projects, "MEMORY.md"), "of the host")
	w.write(main(w.Shared, "MEMORY.md"), "of a session")
	changes = w.out()
	if len(changes.Memory) != 1 || w.read(main(projects, "MEMORY.md")) != "of the host\n" ||
		w.read(main(projects, "MEMORY (of a session).md")) != "of a session\n" {
		t.Errorf("%+v", changes)
	}
	if changes = w.out(); len(changes.Memory) > 0 {
		t.Errorf("once more: %+v", changes)
	}
}

// Memory does not say whose it is: where two projects have one folder, none travels.
func TestMemoryOfStrangers(t *testing.T) {
	t.Parallel()
	for name, evidence := range map[string]func(w world, other string){
		"a conversation": func(w world, other string) {
			w.write(w.host(id(7)+".jsonl"), strings.ReplaceAll(w.said("user", 1, "", "x"), w.Root, other))
		},
		"Claude's own list": func(w world, other string) {
			w.write(filepath.Join(w.dir, "home/.claude.json"), fmt.Sprintf(`{"projects":{%q:{},%q:{}}}`, w.Root, other))
		},
		"nothing": func(world, string) {},
	} {
		w := newWorld(t)
		other := filepath.Join(w.dir, "work-app")
		evidence(w, other)
		w.write(w.host("memory/MEMORY.md"), "secret of the other")
		w.in(true)
		if _, err := os.Lstat(w.guest("memory/MEMORY.md")); err == nil {
			t.Errorf("%s: a session reads the memory of another project", name)
		}
		w.write(w.guest("memory/MEMORY.md"), "planted")
		changes := w.out()
		if got := w.read(w.host("memory/MEMORY.md")); got != "secret of the other\n" || len(changes.Memory) > 0 {
			t.Errorf("%s: the other project remembers %q; %+v", name, got, changes)
		}
		if name != "nothing" && !slices.Equal(changes.Strangers, []string{other}) {
			t.Errorf("%s: %+v", name, changes)
		}
	}
}

// A host that has many conversations is not read again, and what has not changed is not written.
func TestWhatIsKnownIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(w.host(session+".jsonl"), w.said("user", 1, "", "x"))
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	w.check(os.Chtimes(w.host(session+".jsonl"), old, old))
	w.in(true)
	info, err := os.Stat(w.guest(session + ".jsonl"))
	w.check(err)
	if !info.ModTime().Equal(old) {
		t.Errorf("a session finds it at %v instead of %v", info.ModTime(), old)
	}
	w.in(true)
	again, err := os.Stat(w.guest(session + ".jsonl"))
	w.check(err)
	if !os.SameFile(info, again) {
		t.Error("it was copied twice")
	}
}

// The prompts of the past are those of this project, and none of them runs a command by itself.
func TestPrompts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	line := func(display, project string, n int) string {
		return fmt.Sprintf(`{"display":%q,"pastedContents":{},"timestamp":%d,"project":%q,"sessionId":%q}`, display, n, project, session)
	}
	theirs := line("secret", "/elsewhere", 1)
	w.write(filepath.Join(w.Host, "history.jsonl"), theirs, line("mine", w.Root, 2))
	w.in(true)
	if got := w.read(filepath.Join(w.Shared, Prompts)); strings.Contains(got, "secret") || !strings.Contains(got, "mine") {
		t.Errorf("a session has %s", got)
	}
	w.write(filepath.Join(w.Shared, Prompts), line("new", w.Root+"/sub", 3), line("!rm -rf ~", w.Root, 4), line(" ! x", w.Root, 5),
		line("planted", "/elsewhere", 6), `{"display":"x","project":"`+w.Root+`"}`, "no JSON")
	w.out()
	got := w.read(filepath.Join(w.Host, "history.jsonl"))
	if !strings.HasPrefix(got, theirs) || strings.Count(got, "\n") != 3 || !strings.Contains(got, `"new"`) {
		t.Errorf("the host has %s", got)
	}
	w.out()
	if again := w.read(filepath.Join(w.Host, "history.jsonl")); again != got {
		t.Errorf("once more: %s", again)
	}
}

// steering are fields and types that Claude obeys when it resumes.
var steering = []string{
	"permissionMode", "permission-mode", "mode", "worktree-state", "worktreeSession", "relocated", "agent-setting", "repl-mode",
	"attachment", "prompt_snapshot", "session-owner", "dev-mods", "memory-mode", "isolation-latch", "atis-latch", "tools-used",
	"content-replacement", "fork-context-ref", "derived-from", "bridge-session", "queue-operation", "host-row", "cost-state",
	"allowedTools", "slug", "planContent", "rendered", "hooks",
}

// Whatever a guest makes of a transcript, what comes out has the types and fields of the list, holds no control character, and
// goes through the filter once more as it is.
func TestFilterKeepsToItsList(t *testing.T) {
	t.Parallel()
	c := Carrier{Root: "/p", Main: "/p"}
	kinds := entryKinds()
	names := []string{}
	for kind, fields := range kinds {
		names = append(names, kind)
		for name := range fields {
			names = append(names, name)
		}
	}
	names = append(append(names, steering...), "Type", "message ", "__proto__", "")
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		var value func(depth int) *rapid.Generator[any]
		value = func(depth int) *rapid.Generator[any] {
			simple := []*rapid.Generator[any]{
				rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int().AsAny(), rapid.String().AsAny(),
				rapid.SampledFrom(append([]string{id(1), id(2), "/etc", "/p/sub", "\x1b]0;x\x07", "user", "assistant", "base64", "compact_boundary"}, names...)).AsAny(),
			}
			if depth > 0 {
				simple = append(simple,
					rapid.SliceOfN(value(depth-1), 0, 3).AsAny(),
					rapid.MapOfN(rapid.SampledFrom(names), value(depth-1), 0, 6).AsAny())
			}
			return rapid.OneOf(simple...)
		}
		f := newFilter(session, "/p", c.inside, c.restorable("/p"))
		for range rapid.IntRange(1, 5).Draw(t, "entries") {
			entry := rapid.MapOfN(rapid.SampledFrom(names), value(3), 0, 12).Draw(t, "entry")
			entry["type"] = rapid.SampledFrom(names).Draw(t, "type")
			if rapid.Bool().Draw(t, "like a message") {
				entry["uuid"], entry["message"] = id(1), map[string]any{"role": "user", "content": value(3).Draw(t, "content")}
			}
			line, err := json.Marshal(entry)
			if err != nil {
				t.Skip()
			}
			kept, key := f.line(line)
			if key == "" {
				continue
			}
			var is map[string]any
			if err := json.Unmarshal(kept, &is); err != nil || bytes.ContainsAny(kept, "\n") {
				t.Fatalf("%v: %s", err, kept)
			}
			fields := kinds[is["type"].(string)]
			for name := range is {
				if fields[name] == nil && name != "sessionId" {
					t.Fatalf("the field %q has come out: %s", name, kept)
				}
				if slices.Contains(steering, name) {
					t.Fatalf("the field %q steers: %s", name, kept)
				}
			}
			if cwd, ok := is["cwd"].(string); ok && !c.inside(cwd) {
				t.Fatalf("cwd %q", cwd)
			}
			noControl(t, is)
			again, _ := newFilter(session, "/p", c.inside, c.restorable("/p")).line(kept)
			if !bytes.Equal(again, kept) {
				t.Fatalf("a second time:\n%s\n%s", kept, again)
			}
		}
	})
	for kind := range kinds {
		if slices.Contains(steering, kind) {
			t.Errorf("the type %q steers", kind)
		}
	}
}

func noControl(t *rapid.T, v any) {
	switch v := v.(type) {
	case string:
		for _, r := range v {
			if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Fatalf("a control character in %q", v)
			}
		}
	case []any:
		for _, item := range v {
			noControl(t, item)
		}
	case map[string]any:
		for name, item := range v {
			noControl(t, name)
			noControl(t, item)
		}
	}
}

// No bytes are too strange, and no name.
func FuzzLine(f *testing.F) {
	f.Add([]byte(`{"type":"user","uuid":"` + id(1) + `","message":{"role":"user","content":[{"type":"tool_use","input":{"a":[1,"\u001b"]}}]}}`))
	f.Add([]byte("{\"type\":\"user\"\x00}"))
	c := Carrier{Root: "/p", Main: "/p"}
	f.Fuzz(func(t *testing.T, line []byte) {
		kept, key := newFilter(session, "/p", c.inside, c.restorable("/p")).line(line)
		if (key == "") != (kept == nil) || kept != nil && !json.Valid(kept) {
			t.Errorf("%q, %q", kept, key)
		}
	})
}

// Names, sizes and amounts that no Claude makes stay where they are, and cost no time.
func TestOddFilesStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.said("user", 1, "", "x")
	for _, name := range []string{"x.jsonl", "../up.jsonl", session + ".jsonl ", strings.ToUpper(session) + ".jsonl", "a\nb.jsonl", session + ".json"} {
		path := filepath.Join(w.Shared, slug(w.Root), filepath.Base(name))
		w.write(path, good)
	}
	w.write(filepath.Join(w.Shared, "resume-head.jsonl"), good)
	long := w.guest(id(5) + ".jsonl")
	w.write(long, good, `{"type":"user","message":"`+strings.Repeat("x", maxLine)+`"}`, w.said("user", 2, id(1), "after"))
	sparse, err := os.Create(w.guest(id(6) + ".jsonl"))
	w.check(err)
	w.check(sparse.Truncate(maxTranscript + 1))
	sparse.Close()
	w.check(os.Symlink("/etc", filepath.Join(w.Shared, "-link")))
	begin := time.Now()
	w.out()
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	var found []string
	w.check(filepath.WalkDir(filepath.Join(w.Host, "projects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, filepath.Base(path))
			if info, _ := d.Info(); info.Mode().Perm() != 0o600 {
				t.Errorf("%s has the mode %v", path, info.Mode())
			}
		}
		return err
	}))
	if diff := cmp.Diff([]string{id(5) + ".jsonl"}, found); diff != "" {
		t.Error(diff)
	}
	if got := w.read(w.host(id(5) + ".jsonl")); !strings.Contains(got, "after") {
		t.Errorf("the host has %s", got)
	}
}
