// Package fakeapi is a stand-in for the Messages API. It knows enough of its wire format, streamed and not, for the real
// Claude Code to hold a conversation with it, and it answers by rule instead of thinking. It checks no credentials and
// records none; it knows nothing of virtual machines.
package fakeapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Script says how prompts are answered. A prompt with a line `run: COMMAND` runs that command with Claude's Bash tool, and
// the answer to the tool's result quotes its output; a line `say: TEXT` is answered with TEXT and whatever follows it.
type Script struct {
	Command string    // what a prompt without a marker runs; empty: it gets a fixed text
	Log     io.Writer // one line of JSON per request, without its headers; nil: no log
}

const (
	fixedText = "This is the stand-in for the Messages API."
	// maxRequest is what a request may weigh, in bytes: the real API refuses more as well.
	maxRequest = 32 << 20
)

// Handler serves the API. Paths that it does not know get the API's own "not found" answer.
func Handler(s Script) http.Handler {
	api := &server{script: s}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", api.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]int{"input_tokens": 1})
	})
	for _, probe := range []string{"GET /{$}", "GET /api/hello"} {
		mux.HandleFunc(probe, func(http.ResponseWriter, *http.Request) {})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "not_found_error", r.URL.Path)
	})
	return api.logged(mux)
}

type server struct {
	script Script
	mu     sync.Mutex // guards script.Log
}

type request struct {
	Model    string    `json:"model"`
	Stream   bool      `json:"stream"`
	Messages []message `json:"messages"`
	Tools    []tool    `json:"tools"`
}

type tool struct {
	Name string `json:"name"`
}

type message struct {
	Role    string  `json:"role"`
	Content content `json:"content"`
}

// content is a list of blocks; the API takes a plain string for a list of one text as well.
type content []block

type block struct {
	Type    string          `json:"type"`
	Text    string          `json:"text,omitempty"`
	ID      string          `json:"id,omitempty"`
	Name    string          `json:"name,omitempty"`
	Input   json.RawMessage `json:"input,omitempty"`
	Content content         `json:"content,omitempty"` // of a tool_result
}

func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = content{{Type: "text", Text: text}}
		return nil
	}
	return json.Unmarshal(data, (*[]block)(c))
}

// text returns what the blocks say, without the notes that Claude Code adds to the user's words.
func (c content) text() string {
	var texts []string
	for _, b := range c {
		if t := strings.TrimSpace(reminder.ReplaceAllString(b.Text, "")); b.Type == "text" && t != "" {
			texts = append(texts, t)
		}
	}
	return strings.Join(texts, "\n")
}

var (
	reminder = regexp.MustCompile(`(?s)<system-reminder>.*?</system-reminder>`)
	runLine  = regexp.MustCompile(`(?m)^[ \t]*run:[ \t]*(.+)$`)
	sayLine  = regexp.MustCompile(`(?ms)^[ \t]*say: ?(.*)\z`)
)

// answer is the rule: the one block that the conversation gets next.
func (s *server) answer(r request) block {
	say := func(text string) block { return block{Type: "text", Text: text} }
	last := r.turn()
	for _, b := range last {
		if b.Type == "tool_result" {
			return say("The command printed:\n" + b.Content.text())
		}
	}
	prompt := last.text()
	if m := sayLine.FindStringSubmatch(prompt); m != nil {
		return say(m[1])
	}
	command := s.script.Command
	if m := runLine.FindStringSubmatch(prompt); m != nil {
		command = strings.TrimSpace(m[1])
	}
	// Claude Code also asks for titles and summaries of the same prompt; those requests offer no tools.
	if command == "" || !r.offers("Bash") {
		return say(fixedText)
	}
	input, err := json.Marshal(map[string]string{"command": command, "description": "Run the command of the prompt"})
	if err != nil {
		panic(err) // two strings can always be encoded
	}
	return block{Type: "tool_use", ID: fmt.Sprintf("toolu_%d", len(r.Messages)), Name: "Bash", Input: input}
}

// turn returns what the user said last. Claude Code puts messages of the role "system" after it.
func (r request) turn() content {
	for _, m := range slices.Backward(r.Messages) {
		if m.Role == "user" {
			return m.Content
		}
	}
	return nil
}

func (r request) offers(name string) bool {
	return slices.ContainsFunc(r.Tools, func(t tool) bool { return t.Name == name })
}

func (s *server) messages(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&req); err != nil {
		fail(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	b := s.answer(req)
	stop := "end_turn"
	if b.Type == "tool_use" {
		stop = "tool_use"
	}
	type object = map[string]any
	usage := object{"input_tokens": 1, "output_tokens": 1}
	reply := object{
		"id": fmt.Sprintf("msg_%d", len(req.Messages)), "type": "message", "role": "assistant", "model": req.Model,
		"content": []block{b}, "stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
	if !req.Stream {
		writeJSON(w, http.StatusOK, reply)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	emit := func(event string, data object) {
		data["type"] = event
		encoded, err := json.Marshal(data)
		if err != nil {
			panic(err) // only strings, numbers and JSON that was read before
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, encoded)
	}
	start, delta := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": b.Text}
	if b.Type == "tool_use" {
		start = object{"type": b.Type, "id": b.ID, "name": b.Name, "input": object{}}
		delta = object{"type": "input_json_delta", "partial_json": string(b.Input)}
	}
	reply["content"], reply["stop_reason"] = []block{}, nil
	emit("message_start", object{"message": reply})
	emit("content_block_start", object{"index": 0, "content_block": start})
	emit("content_block_delta", object{"index": 0, "delta": delta})
	emit("content_block_stop", object{"index": 0})
	emit("message_delta", object{"delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": usage})
	emit("message_stop", object{})
}

// logged writes down what was asked. Headers are left out: they carry the key.
func (s *server) logged(next http.Handler) http.Handler {
	if s.script.Log == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
		if err != nil {
			fail(w, http.StatusBadRequest, "invalid_request_error", err.Error())
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var req request
		entry := map[string]any{"method": r.Method, "path": r.URL.Path}
		if json.Unmarshal(body, &req) == nil && len(req.Messages) > 0 {
			entry["model"], entry["tools"] = req.Model, len(req.Tools)
			entry["prompt"] = req.turn().text()
		}
		s.mu.Lock()
		json.NewEncoder(s.script.Log).Encode(entry) // a full disk must not change the answers
		s.mu.Unlock()
		next.ServeHTTP(w, r)
	})
}

func fail(w http.ResponseWriter, status int, kind, message string) {
	writeJSON(w, status, map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // the client has gone if this fails: nobody is left to tell
}
