package host

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// maxTerminfo is the largest compiled description of a terminal that ncurses reads, in bytes
// (term(5)).
const maxTerminfo = 32768

// terminal is what a name of a terminal looks like.
var terminal = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)

// Terminfo returns the compiled description that this host has of a terminal, nil if it has none.
// It looks where ncurses looks (terminfo(5), "Fetching Compiled Descriptions"), and where systems
// keep those of installed terminals.
func Terminfo(env []string, home, name string) []byte {
	if !terminal.MatchString(name) {
		return nil
	}
	dirs := []string{proc.Getenv(env, "TERMINFO"), filepath.Join(home, ".terminfo")}
	dirs = append(dirs, strings.Split(proc.Getenv(env, "TERMINFO_DIRS"), ":")...)
	dirs = append(dirs, "/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo",
		"/usr/local/share/terminfo", "/opt/homebrew/share/terminfo", "/run/current-system/sw/share/terminfo")
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue
		}
		for _, folder := range []string{name[:1], fmt.Sprintf("%02x", name[0])} { // macOS does not tell x from X
			if text := readTerminfo(filepath.Join(dir, folder, name)); text != nil {
				return text
			}
		}
	}
	return nil
}

// readTerminfo reads a compiled description: it begins with one of two numbers.
func readTerminfo(path string) []byte {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxTerminfo {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTerminfo))
	if err != nil || len(text) < 12 || text[0] != 0o32 && text[0] != 0o36 || text[1] != 1 && text[1] != 2 {
		return nil
	}
	return text
}
