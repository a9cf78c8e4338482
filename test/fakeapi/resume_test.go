package fakeapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/conversation"
	"github.com/themouette/claude-vm/internal/proc"
)

// steering are entries by which whoever writes a transcript decides how Claude works on when somebody resumes it.
func steering(session, project, elsewhere, last string) string {
	uuid := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
	lines := []any{
		map[string]any{"type": "user", "uuid": uuid(1), "parentUuid": last, "cwd": project, "sessionId": session, "timestamp": "2030-01-01T00:00:00.000Z",
			"permissionMode": "acceptEdits", "userType": "external", "isSidechain": false, "message": map[string]any{"role": "user", "content": "steered prompt"}},
		map[string]any{"type": "assistant", "uuid": uuid(2), "parentUuid": uuid(1), "cwd": project, "sessionId": session, "timestamp": "2030-01-01T00:00:01.000Z",
			"permissionMode": "acceptEdits", "isSidechain": false, "userType": "external", "message": map[string]any{"id": "msg_x", "type": "message", "role": "assistant",
				"model": "claude-opus-5-5", "stop_reason": "end_turn", "content": []any{map[string]any{"type": "text", "text": "steered answer"}}}},
		map[string]any{"type": "permission-mode", "permissionMode": "acceptEdits", "sessionId": session},
		map[string]any{"type": "mode", "mode": "normal", "sessionId": session},
		map[string]any{"type": "worktree-state", "sessionId": session, "worktreeSession": map[string]any{
			"originalCwd": project, "worktreePath": elsewhere, "worktreeName": "x", "worktreeBranch": "x", "originalBranch": "main", "sessionId": session}},
		map[string]any{"type": "agent-setting", "agentSetting": "general-purpose", "sessionId": session},
		map[string]any{"type": "system", "subtype": "stop_hook_summary", "uuid": uuid(3), "parentUuid": uuid(2), "cwd": project, "sessionId": session,
			"timestamp": "2030-01-01T00:00:02.000Z", "hookInfos": []any{map[string]any{"command": "touch steered"}}},
	}
	var text strings.Builder
	for _, line := range lines {
		one, _ := json.Marshal(line)
		text.Write(append(one, '\n'))
	}
	return text.String()
}

// A transcript that a guest has written steers a Claude that resumes it as it is, and does not when it has come out of a VM.
func TestRealClaudeIsNotSteered(t *testing.T) {
	for _, filtered := range []bool{false, true} {
		t.Run(fmt.Sprintf("filtered %v", filtered), func(t *testing.T) {
			project, elsewhere := projectDir(t, "project"), projectDir(t, "elsewhere")
			guest, said := realClaude(t, project, "-p", "say: hello from the VM", "--dangerously-skip-permissions")
			if out, err := proc.Output(t.Context(), said); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			folder := filepath.Join(".claude/projects", claude.ConversationDir(project))
			files, _ := filepath.Glob(filepath.Join(guest, folder, "*.jsonl"))
			if len(files) != 1 {
				t.Fatalf("conversations: %v", files)
			}
			name := filepath.Base(files[0])
			text, err := os.ReadFile(files[0])
			check(t, err)
			session := strings.TrimSuffix(name, ".jsonl")
			steered := steering(session, project, elsewhere, lastSaid(t, files[0]).UUID)
			if filtered { // as they are these would have Claude not find the conversation
				steered = strings.ReplaceAll(steered, `"cwd":"`+project, `"cwd":"`+elsewhere)
				steered += fmt.Sprintf("{\"type\":\"relocated\",\"relocatedCwd\":%q,\"sessionId\":%q}\n", elsewhere, session)
			}
			text = append(text, steered...)
			check(t, os.WriteFile(files[0], text, 0o600))

			home, resume := realClaude(t, project, "-c")
			check(t, os.WriteFile(filepath.Join(home, ".claude/settings.json"), []byte(`{"permissions":{"defaultMode":"default"}}`), 0o600))
			target := filepath.Join(home, folder, name)
			if filtered {
				c := conversation.Carrier{
					Host: filepath.Join(home, ".claude"), Shared: filepath.Join(guest, ".claude/projects"), Root: project, Main: project,
					Known: filepath.Join(t.TempDir(), "known.json"),
				}
				_, err := c.Out(t.Context())
				check(t, err)
			} else {
				check(t, os.MkdirAll(filepath.Dir(target), 0o700))
				text = bytes.ReplaceAll(text, []byte("sdk-cli"), []byte("cli")) // as if it had been said on a screen
				check(t, os.WriteFile(target, text, 0o600))
			}
			screen := resumed(t, resume, "hello from the VM", "say: going on")
			cwd := lastSaid(t, target).CWD
			if steered := strings.Contains(screen, "accept edits on") || cwd != project; steered == filtered {
				t.Errorf("it works in %s, and its screen is\n%s", cwd, screen)
			}
			if filtered && !strings.Contains(screen, "steered answer") { // what was said is there
				t.Errorf("the screen is\n%s", screen)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// autoMode is a question that some homes are asked once.
const autoMode = "Make auto mode your default permission mode?"

// resumed types a prompt into a Claude that shows a text, and returns its screen when that is answered.
func resumed(t *testing.T, cmd proc.Cmd, shown, prompt string) string {
	t.Helper()
	terminal, tty, err := pty.Open()
	check(t, err)
	defer terminal.Close()
	check(t, pty.Setsize(terminal, &pty.Winsize{Rows: 50, Cols: 120}))
	screen := vt10x.New(vt10x.WithSize(120, 50), vt10x.WithWriter(terminal))
	go io.Copy(withoutKittyQuery{screen}, terminal)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Foreground = tty, tty, tty, true
	ctx, end := context.WithCancel(t.Context())
	defer end()
	p, err := proc.Start(ctx, cmd)
	check(t, err)
	tty.Close()
	waitFor(t, screen, shown)
	if waitFor(t, screen, "? for shortcuts", "accept edits on", "manual mode on", autoMode); strings.Contains(screen.String(), autoMode) {
		_, err := io.WriteString(terminal, "\x1b[B\r") // no
		check(t, err)
	}
	for _, keys := range []string{prompt, "\r"} {
		waitFor(t, screen, "❯")
		_, err := io.WriteString(terminal, keys)
		check(t, err)
		waitFor(t, screen, prompt)
	}
	waitFor(t, screen, "● "+strings.TrimPrefix(prompt, "say: "))
	end()
	<-p.Done()
	return screen.String()
}

// said is an entry of a transcript.
type said struct{ CWD, Type, UUID string }

// lastSaid returns what was said last in a conversation.
func lastSaid(t *testing.T, transcript string) (last said) {
	t.Helper()
	text, err := os.ReadFile(transcript)
	check(t, err)
	for line := range strings.Lines(string(text)) {
		var entry said
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Type == "assistant" {
			last = entry
		}
	}
	return last
}
