package claude

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Answers is what a fresh home must already know for the interactive screen to start at its prompt. Found by running
// Claude Code 2.1.330 in empty homes.
type Answers struct {
	// Dirs are trusted: the directory that Claude starts in, as the kernel names it, without symbolic links. Claude keeps
	// what it knows of a project under the root of the repository's main checkout, so this belongs here too.
	Dirs []string
	// APIKey is the ANTHROPIC_API_KEY that Claude will find in its environment; empty: none.
	APIKey string
	// SkipPermissions: Claude starts with --dangerously-skip-permissions, in the sandbox that its warning asks for.
	SkipPermissions bool
	// Login is one that an earlier home had; its tokens have a file of their own.
	Login Login
}

// FirstRun adds the answers to the content of ~/.claude.json, which may be empty, and keeps whatever else is there.
//
// The keys, each of which alone prevents one question:
//   - hasCompletedOnboarding: theme, login method, security notes; also a request to api.anthropic.com that ends the program
//     when it fails, even if ANTHROPIC_BASE_URL points elsewhere.
//   - customApiKeyResponses.approved: use of the API key in the environment, or of a stored one. Keys are known by their last 20 characters.
//   - projects.DIR.hasTrustDialogAccepted: trust in the folder; it holds for what lies below, but not across a repository's root.
//   - projects.DIR.hasClaudeMdExternalIncludesApproved: a CLAUDE.md that imports files from outside the directory. Whoever
//     skips permissions lets Claude read those anyway.
//
// Release notes and tips are shown beside the prompt and ask nothing. A stored login and CLAUDE_CODE_OAUTH_TOKEN or
// ANTHROPIC_AUTH_TOKEN in the environment raise no question; without any login the screen starts and offers /login.
func FirstRun(existing []byte, a Answers) ([]byte, error) {
	return edit("~/.claude.json", existing, func(root object) error {
		root["hasCompletedOnboarding"] = true
		for _, key := range []string{a.APIKey, a.Login.APIKey} {
			if key == "" {
				continue
			}
			responses, err := root.child("customApiKeyResponses")
			if err != nil {
				return err
			}
			approved, _ := responses["approved"].([]any)
			key := key[max(0, len(key)-20):]
			if !slices.Contains(approved, any(key)) {
				responses["approved"] = append(approved, key)
			}
		}
		projects, err := root.child("projects")
		if err != nil {
			return err
		}
		for _, dir := range a.Dirs {
			project, err := projects.child(dir)
			if err != nil {
				return err
			}
			project["hasTrustDialogAccepted"] = true
			if a.SkipPermissions {
				project["hasClaudeMdExternalIncludesApproved"] = true
			}
		}
		if a.Login.Account != nil {
			root["oauthAccount"] = a.Login.Account
		}
		if a.Login.APIKey != "" {
			root["primaryApiKey"] = a.Login.APIKey
		}
		return nil
	})
}

// Settings adds the answers to the content of ~/.claude/settings.json, which may be empty, and keeps whatever else is there.
//
//   - skipDangerousModePermissionPrompt: the warning of --dangerously-skip-permissions (older releases kept the answer as
//     bypassPermissionsModeAccepted in ~/.claude.json). The flag itself already accepts a project's .mcp.json servers.
//   - env.DISABLE_AUTOUPDATER: a session's home is thrown away, and the update with it.
//   - env.DISABLE_INSTALLATION_CHECKS: complaints that Claude did not install itself into ~/.local/bin.
func Settings(existing []byte, a Answers) ([]byte, error) {
	return edit("~/.claude/settings.json", existing, func(root object) error {
		if a.SkipPermissions {
			root["skipDangerousModePermissionPrompt"] = true
		}
		env, err := root.child("env")
		if err != nil {
			return err
		}
		for _, name := range []string{"DISABLE_AUTOUPDATER", "DISABLE_INSTALLATION_CHECKS"} {
			if _, set := env[name]; !set {
				env[name] = "1"
			}
		}
		return nil
	})
}

type object map[string]any

// child returns the object under a key and makes it if it is not there.
func (o object) child(key string) (object, error) {
	if o[key] == nil {
		o[key] = map[string]any{}
	}
	if child, ok := o[key].(map[string]any); ok {
		return child, nil
	}
	return nil, fmt.Errorf("%q is not an object", key)
}

func edit(name string, existing []byte, change func(object) error) ([]byte, error) {
	root := object{}
	if err := decode(name, existing, root); err != nil {
		return nil, err
	}
	if err := change(root); err != nil {
		return nil, fmt.Errorf("edit %s: %w", name, err)
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(root)
	return out.Bytes(), err
}

// decode adds the members of an object; no data has none. Numbers stay as they are written: some are beyond a float64.
func decode(name string, data []byte, into object) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&into); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// maxName is the length, in UTF-16 units, from which on Claude shortens a folder name and adds a hash.
const maxName = 200

// ConversationDir returns the name under ~/.claude/projects of the folder for conversations that were started in a
// directory, given as the kernel names it. As Claude does, it counts in UTF-16: 😀 becomes two dashes. Different directories
// can have the same name. Compared with the folders that 2.1.330 makes.
func ConversationDir(dir string) string {
	units := utf16.Encode([]rune(dir))
	name := make([]byte, len(units))
	var hash int32
	for i, unit := range units {
		hash = hash*31 + int32(unit)
		name[i] = '-'
		if unit >= 'a' && unit <= 'z' || unit >= 'A' && unit <= 'Z' || unit >= '0' && unit <= '9' {
			name[i] = byte(unit)
		}
	}
	if len(name) <= maxName {
		return string(name)
	}
	return string(name[:maxName]) + "-" + strings.TrimPrefix(strconv.FormatInt(int64(hash), 36), "-")
}

// IsSubcommand tells whether Claude takes its first argument as a command of its own instead of a prompt. From the help of
// 2.1.330, and the names that work without being listed there.
func IsSubcommand(arg string) bool {
	switch arg {
	case "agents", "attach", "auth", "auto-mode", "doctor", "gateway", "import", "install", "logs", "mcp", "plugin", "plugins",
		"purge", "respawn", "rm", "setup-token", "stop", "kill", "ultrareview", "update", "upgrade",
		"daemon", "project", "rc", "remote-control", "self-hosted-runner":
		return true
	}
	return false
}
