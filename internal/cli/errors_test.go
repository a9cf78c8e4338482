package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// A person who looks for a message finds it.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range knownErrors() {
		entry := fmt.Sprintf("\n### %s\n\nExit code %d. ", known.err, known.code)
		if !strings.Contains(string(text), entry) {
			t.Errorf("docs/troubleshooting.md has no entry that begins with\n%s", entry)
		}
	}
}
