package claude

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/proc"
)

// ErrNoHostLogin means that the Claude Code of this machine has no login that is good.
var ErrNoHostLogin = errors.New("there is no login of Claude on this machine")

// HostLogin returns the login that Claude Code has on this machine, and where it was found: in the Keychain on a Mac, else
// in its file.
func HostLogin(ctx context.Context, env []string, home string, now time.Time) (login Login, source string, err error) {
	stateFile := filepath.Join(home, StateFile)
	source = filepath.Join(home, CredentialsFile)
	service := "Claude Code-credentials"
	if dir := proc.Getenv(env, "CLAUDE_CONFIG_DIR"); dir != "" {
		stateFile, source = filepath.Join(dir, StateFile), filepath.Join(dir, filepath.Base(CredentialsFile))
		hash := sha256.Sum256([]byte(dir))
		service += "-" + hex.EncodeToString(hash[:])[:8]
	}
	known, err := readIfThere(stateFile)
	if err != nil {
		return login, source, err
	}
	var credentials []byte
	if _, err := proc.Find(env, "security"); err == nil {
		if credentials, err = fromKeychain(ctx, env, service); err != nil {
			return login, source, err
		}
	}
	if credentials != nil {
		source = "the Keychain"
	} else if credentials, err = readIfThere(source); err != nil {
		return login, source, err
	}
	login, err = ReadLogin(credentials, known, now)
	if err == nil && (login.Empty() || login.Over(now)) {
		err = ErrNoHostLogin
	}
	return login, source, err
}

func readIfThere(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// keychainUser is what Claude takes for a user's name.
var keychainUser = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// notInKeychain is the exit code of a security(1) that found nothing.
const notInKeychain = 44

// fromKeychain asks for what Claude has stored; macOS may ask the user whether that is all right.
func fromKeychain(ctx context.Context, env []string, service string) ([]byte, error) {
	user := proc.Getenv(env, "USER")
	if !keychainUser.MatchString(user) {
		user = "claude-code-user"
	}
	out, err := proc.Output(ctx, proc.Cmd{Argv: []string{"security", "find-generic-password", "-a", user, "-s", service, "-w"}, Env: env})
	switch {
	case proc.ExitCode(err) == notInKeychain:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading Claude's login from the Keychain: %w", err)
	}
	text := strings.TrimSpace(string(out))
	if plain, err := hex.DecodeString(text); err == nil { // as security prints what is not one line of plain text
		return plain, nil
	}
	return bytes.TrimSpace(out), nil
}
