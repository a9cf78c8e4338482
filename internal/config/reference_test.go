package config

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the reference of the keys into docs/configuration.md")

// The reference in the documents is that of the table of keys: go test ./internal/config -run TestDocumentedKeys -update
func TestDocumentedKeys(t *testing.T) {
	t.Parallel()
	const file, mark = "../../docs/configuration.md", "<!-- What follows is written by `make docs`. -->\n\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, got, found := bytes.Cut(text, []byte(mark))
	if !found {
		t.Fatalf("%s has no line %q", file, mark)
	}
	var want bytes.Buffer
	if err := Reference(&want); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want.Bytes()) {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the table of keys says: make docs", file)
	}
	if err := os.WriteFile(file, append(append(before, mark...), want.Bytes()...), 0o644); err != nil {
		t.Fatal(err)
	}
}
