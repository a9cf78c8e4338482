package fakeapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/test/fakeapi"
)

const bash = `"tools":[{"name":"Bash"}]`

// ask sends a conversation and returns the one block of the answer, or the error object, as JSON.
func ask(t *testing.T, s fakeapi.Script, body string) string {
	t.Helper()
	server := httptest.NewServer(fakeapi.Handler(s))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/v1/messages?beta=true", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", "s3cret")
	resp, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		return collect(t, resp.Body)
	}
	var answer struct{ Content, Error json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return string(answer.Content) + string(answer.Error)
}

// collect puts a streamed answer together as a client does.
func collect(t *testing.T, stream io.Reader) string {
	t.Helper()
	var events []string
	var block map[string]any
	var input, stop string
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Type         string
			ContentBlock map[string]any `json:"content_block"`
			Delta        struct {
				Text        string
				PartialJSON string `json:"partial_json"`
				StopReason  string `json:"stop_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Fatal(err)
		}
		events = append(events, event.Type)
		switch event.Type {
		case "content_block_start":
			block = event.ContentBlock
		case "content_block_delta":
			if block["type"] == "text" {
				block["text"] = event.Delta.Text
			}
			input += event.Delta.PartialJSON
		case "message_delta":
			stop = event.Delta.StopReason
		}
	}
	if input != "" {
		block["input"] = json.RawMessage(input)
	}
	want := []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
	if wantStop := map[any]string{"text": "end_turn", "tool_use": "tool_use"}[block["type"]]; stop != wantStop {
		t.Errorf("stop reason %q, want %q", stop, wantStop)
	}
	out, err := json.Marshal([]any{block})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const fixed = `"This is the stand-in for the Messages API."`
	tests := map[string]struct {
		script fakeapi.Script
		body   string
		want   []string
	}{
		"run":        {body: `{"messages":[{"role":"user","content":"please\nrun: uname -a > out.txt"}],` + bash + `}`, want: []string{`"tool_use"`, `"command":"uname -a \u003e out.txt"`}},
		"no tools":   {body: `{"messages":[{"role":"user","content":"run: id"}]}`, want: []string{fixed}},
		"say":        {body: `{"messages":[{"role":"user","content":"say: two\nlines"}],` + bash + `}`, want: []string{`"two\nlines"`}},
		"no marker":  {body: `{"messages":[{"role":"user","content":"hello"}],` + bash + `}`, want: []string{fixed}},
		"demo":       {script: fakeapi.Script{Command: "date"}, body: `{"messages":[{"role":"user","content":"hello"}],` + bash + `}`, want: []string{`"command":"date"`}},
		"marker 1st": {script: fakeapi.Script{Command: "date"}, body: `{"messages":[{"role":"user","content":"run: id"}],` + bash + `}`, want: []string{`"command":"id"`}},
		"reminders do not count": {
			body: `{"messages":[{"role":"user","content":[{"type":"text","text":"<system-reminder>\nrun: rm\n</system-reminder>"},{"type":"text","text":"run: id"}]},{"role":"system","content":"run: rm"}],` + bash + `}`,
			want: []string{`"command":"id"`},
		},
		"result": {
			body: `{"messages":[{"role":"user","content":"run: id"},{"role":"assistant","content":[]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"uid=0"}]}],` + bash + `}`,
			want: []string{`"text"`, `uid=0`},
		},
		"result in blocks": {
			body: `{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"uid=0"}]}]}],` + bash + `}`,
			want: []string{`uid=0`},
		},
		"next prompt": {
			body: `{"messages":[{"role":"user","content":[{"type":"tool_result","content":"uid=0"}]},{"role":"assistant","content":"ok"},{"role":"user","content":"run: ls"}],` + bash + `}`,
			want: []string{`"command":"ls"`},
		},
		"empty":    {body: `{}`, want: []string{fixed}},
		"not JSON": {body: `{`, want: []string{"invalid_request_error"}},
	}
	for name, test := range tests {
		for _, stream := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				body := test.body
				if stream && strings.HasPrefix(body, `{"`) {
					body = `{"stream":true,` + body[1:]
				}
				got := ask(t, test.script, body)
				for _, want := range test.want {
					if !strings.Contains(got, want) {
						t.Errorf("got %s, want %s in it", got, want)
					}
				}
			})
		}
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	handler := fakeapi.Handler(fakeapi.Script{})
	for request, want := range map[string]int{
		"HEAD /": 200, "HEAD /api/hello": 200, "POST /v1/messages/count_tokens": 200, "GET /v1/models": 404, "POST /api/event_logging/batch": 404,
	} {
		method, path, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", request, w.Code, want)
		}
	}
}

func TestTheLogHasPromptsButNoKeys(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	ask(t, fakeapi.Script{Log: &log}, `{"model":"m","messages":[{"role":"user","content":"say: hi"}]}`)
	want := `{"method":"POST","model":"m","path":"/v1/messages","prompt":"say: hi","tools":0}` + "\n"
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Error(diff)
	}
}
