package host

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTerminfo(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := "\x1a\x01" + strings.Repeat("x", 10)
	put(".terminfo/x/xterm-mine", good)
	put("app/78/xterm-app", "\x1e\x02"+strings.Repeat("x", 10))
	put("more/x/xterm-text", "no description at all")
	put("more/x/xterm-large", good+strings.Repeat("x", maxTerminfo))
	env := []string{"TERMINFO=" + filepath.Join(home, "app"), "TERMINFO_DIRS=:" + filepath.Join(home, "more")}
	for name, want := range map[string]bool{
		"xterm-mine": true, "xterm-app": true, "xterm-text": false, "xterm-large": false, "xterm-nobody-has": false,
		"": false, "../x/xterm-mine": false, "x/../xterm-mine": false, "-x": false,
	} {
		if got := Terminfo(env, home, name); (got != nil) != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
