package claude

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// put writes files below a folder.
func put(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// unpacked returns the names in an archive with what is there: the content, a slash for a folder, an arrow for a link.
func unpacked(t testing.TB, s *Shared) map[string]string {
	t.Helper()
	var archive bytes.Buffer
	if n, err := s.WriteTo(&archive); err != nil || n != int64(archive.Len()) {
		t.Fatal(n, err)
	}
	found := map[string]string{}
	for reader := tar.NewReader(&archive); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(header.Name, "/")
		switch header.Typeflag {
		case tar.TypeDir:
			found[name] = "/"
		case tar.TypeSymlink:
			found[name] = "-> " + header.Linkname
		default:
			found[name] = fmt.Sprintf("%o %s", header.Mode, content)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	dir := filepath.Join(home, ".claude")
	put(t, home, map[string]string{
		"private": "private", ".claude/.credentials.json": "private", ".claude/projects/x/y.jsonl": "private",
		".claude/CLAUDE.md": "be kind", ".claude/skills/a/SKILL.md": "a", ".claude/skills/a/run.sh": "run", ".claude/agents/b.md": "b",
		".claude/plugins/installed_plugins.json": `{"p":[{"installPath":"` + dir + `/plugins/cache/p"}]}`,
		".claude/plugins/cache/p/.git/config":    "https://me:password@example.org",
		".claude/plugins/cache/p/plugin.json":    `{"path":"` + dir + `/x"}`,
	})
	for link, to := range map[string]string{
		"skills/inside": "a/SKILL.md", "skills/folder": "a", "skills/outside": "../../private", "skills/absolute": filepath.Join(home, "private"),
		"skills/nowhere": "nothing", "skills/secret": "../.credentials.json", "commands": "../elsewhere",
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Join(dir, "skills/a/run.sh"), 0o775), syscall.Mkfifo(filepath.Join(dir, "agents/pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := Share(dir, "/guest/.claude", Parts())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		".claude/CLAUDE.md": "644 be kind",
		".claude/skills":    "/", ".claude/skills/a": "/", ".claude/skills/a/SKILL.md": "644 a", ".claude/skills/a/run.sh": "755 run",
		".claude/skills/inside": "-> a/SKILL.md", ".claude/skills/folder": "-> a",
		".claude/skills/secret": "-> ../.credentials.json", // it leads to the guest's own
		".claude/agents":        "/", ".claude/agents/b.md": "644 b",
		".claude/plugins": "/", ".claude/plugins/cache": "/", ".claude/plugins/cache/p": "/",
		".claude/plugins/installed_plugins.json": `644 {"p":[{"installPath":"/guest/.claude/plugins/cache/p"}]}`,
		".claude/plugins/cache/p/plugin.json":    `644 {"path":"` + dir + `/x"}`,
	}
	if diff := cmp.Diff(want, unpacked(t, s)); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"skills/outside", "skills/absolute", "skills/nowhere", "agents/pipe", "commands"} {
		if !strings.Contains(strings.Join(s.Left, "\n"), name+" (") {
			t.Errorf("nothing is said of %s: %q", name, s.Left)
		}
	}

	some, err := Share(dir, "/guest/.claude", []string{"agents"})
	if err != nil || len(unpacked(t, some)) != 2 {
		t.Errorf("%v, %v", unpacked(t, some), err)
	}
	if none, err := Share(filepath.Join(home, "nothing"), "/guest", Parts()); err != nil || !none.Empty() || none.Settings != nil {
		t.Errorf("%+v, %v", none, err)
	}
}

func TestShareIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, map[string]string{"skills/small": "s", "plugins/large": "", "agents/one": ""})
	if err := os.Truncate(filepath.Join(dir, "plugins/large"), maxPart+1); err != nil {
		t.Fatal(err)
	}
	for i := range maxFiles {
		if err := os.Mkdir(filepath.Join(dir, "agents", fmt.Sprint(i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Share(dir, "/guest", []string{"skills", "plugins", "agents"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{".claude/skills": "/", ".claude/skills/small": "644 s"}, unpacked(t, s)); diff != "" {
		t.Error(diff)
	}
	if len(s.Left) != 2 || !strings.HasPrefix(s.Left[0], "plugins (is larger") || !strings.HasPrefix(s.Left[1], "agents (is larger") {
		t.Errorf("%q", s.Left)
	}
}

// A file may be called whatever the kernel allows.
func TestShareKeepsAnyName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		names := rapid.Map(rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 200), func(b []byte) string { return string(b) }).
			Filter(func(s string) bool { return !strings.Contains(s, "/") && s != "." && s != ".." && s != ".git" })
		folder, name := names.Draw(rt, "folder"), names.Draw(rt, "name")
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		put(t, dir, map[string]string{"skills/" + folder + "/" + name: "content"})
		s, err := Share(dir, "/guest", []string{"skills"})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{
			".claude/skills": "/", ".claude/skills/" + folder: "/", ".claude/skills/" + folder + "/" + name: "644 content",
		}, unpacked(t, s)); diff != "" {
			rt.Error(diff, s.Left)
		}
	})
}

func TestSharedSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, map[string]string{"settings.json": `{
		"model": "opus", "includeCoAuthoredBy": false, "cleanupPeriodDays": 30, "disableAllHooks": true, "language": "français",
		"hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "rm"}]}]},
		"statusLine": {"type": "command", "command": "date"}, "apiKeyHelper": "pass show key", "awsAuthRefresh": "aws sso login",
		"awsCredentialExport": "x", "otelHeadersHelper": "x", "plansDirectory": "~/plans",
		"env": {"MAX_THINKING_TOKENS": "1000", "EDITOR_MODE": "vim", "ANTHROPIC_API_KEY": "k", "PATH": "/opt/bin:/bin", "HTTPS_PROXY": "http://me:pw@proxy:1"},
		"permissions": {"allow": ["Bash(npm run test:*)", "Read(~/notes/**)", "Read(//etc/hosts)"], "additionalDirectories": ["/srv", "../docs"], "defaultMode": "plan"},
		"enabledPlugins": {"formatter@tools": true},
		"extraKnownMarketplaces": {"tools": {"source": {"source": "github", "repo": "me/tools"}}, "mine": {"source": {"source": "directory", "path": "/home/me/tools"}}},
		"companyAnnouncements": ["see https://example.org/news/today"]
	}`})
	s, err := Share(dir, "/guest", []string{"settings"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
		"model": "opus", "includeCoAuthoredBy": false, "cleanupPeriodDays": 30, "disableAllHooks": true, "language": "français",
		"env": {"EDITOR_MODE": "vim", "MAX_THINKING_TOKENS": "1000"},
		"permissions": {"allow": ["Bash(npm run test:*)"], "additionalDirectories": ["../docs"], "defaultMode": "plan"},
		"enabledPlugins": {"formatter@tools": true},
		"extraKnownMarketplaces": {"tools": {"source": {"source": "github", "repo": "me/tools"}}},
		"companyAnnouncements": ["see https://example.org/news/today"]
	}`
	if diff := cmp.Diff(parse(t, want), parse(t, string(s.Settings))); diff != "" {
		t.Error(diff)
	}
	left := strings.Join(s.Left, "\n")
	for _, name := range []string{
		"hooks", "statusLine", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "otelHeadersHelper", "plansDirectory",
		"env.ANTHROPIC_API_KEY", "env.PATH", "env.HTTPS_PROXY", "permissions.allow", "permissions.additionalDirectories",
		"extraKnownMarketplaces.mine.source.path",
	} {
		if !strings.Contains(left, name) {
			t.Errorf("nothing is said of %s", name)
		}
	}
	if strings.Contains(left, "pass show") || strings.Contains(left, "me:pw") {
		t.Errorf("values are told: %s", left)
	}
}
