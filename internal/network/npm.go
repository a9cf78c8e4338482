package network

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

var (
	registryKey = regexp.MustCompile(`^(@[^:\s]+:)?registry$`)
	reference   = regexp.MustCompile(`\$\{([^}]+)\}`)
)

// Registries returns the package registries that the user's npm is set up for, as lines of an .npmrc for a guest: the one
// for all packages, and those for single scopes. They have no credentials in them. What npm itself falls back on, or has from
// files that are not the user's, is not among them.
func Registries(env []string, home string) ([]string, error) {
	get := func(name string) string {
		return cmp.Or(proc.Getenv(env, "npm_config_"+name), proc.Getenv(env, "NPM_CONFIG_"+strings.ToUpper(name)))
	}
	text, err := os.ReadFile(cmp.Or(get("userconfig"), filepath.Join(home, ".npmrc")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading npm's configuration: %w", err)
	}
	settings := strings.Split(string(text), "\n")
	if registry := get("registry"); registry != "" { // counts more than the file
		settings = append(settings, "registry="+registry)
	}
	var lines []string
	at := map[string]int{}
	for _, setting := range settings {
		key, value, _ := strings.Cut(setting, "=")
		if key = strings.TrimSpace(key); !registryKey.MatchString(key) {
			continue
		}
		value = reference.ReplaceAllStringFunc(strings.Trim(strings.TrimSpace(value), `"'`), func(ref string) string {
			return proc.Getenv(env, ref[len("${"):len(ref)-len("}")])
		})
		address, err := url.Parse(fromGuest(value))
		if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
			continue
		}
		line := key + "=" + (&url.URL{Scheme: address.Scheme, Host: address.Host, Path: address.Path}).String()
		if i, known := at[key]; known {
			lines[i] = line
			continue
		}
		at[key] = len(lines)
		lines = append(lines, line)
	}
	return lines, nil
}
