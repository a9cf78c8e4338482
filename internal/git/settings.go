package git

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// UserSetting is a line of a configuration that git obeys.
type UserSetting struct {
	Scope string // system, global, local or worktree
	File  string // an absolute path, or empty if it stands in no file
	Key   string
	Value string
}

// Settings returns the configuration that git obeys in dir, from whichever files it lies in and
// includes.
func (c Client) Settings(ctx context.Context, dir string) ([]UserSetting, error) {
	out, err := c.run(ctx, dir, "config", "--list", "--includes", "--show-origin", "--show-scope", "-z")
	if err != nil {
		return nil, fmt.Errorf("reading git's configuration: %w", explain(err))
	}
	var settings []UserSetting
	for fields := range slices.Chunk(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), 3) {
		if len(fields) != 3 || fields[0] == "command" {
			continue // it is ours
		}
		key, value, given := strings.Cut(fields[2], "\n")
		if !given {
			value = "true" // as git takes a key without a value
		}
		file, _ := strings.CutPrefix(fields[1], "file:")
		settings = append(settings, UserSetting{Scope: fields[0], File: file, Key: key, Value: value})
	}
	return settings, nil
}

// Filtered returns the tracked files of dir that go through one of some filters.
func (c Client) Filtered(ctx context.Context, dir string, filters []string) ([]string, error) {
	if len(filters) == 0 {
		return nil, nil
	}
	files, err := c.run(ctx, dir, "ls-files", "-z")
	if err != nil {
		return nil, fmt.Errorf("listing what git knows: %w", explain(err))
	}
	cmd := c.command(dir, "check-attr", "-z", "--stdin", "filter")
	cmd.Stdin = bytes.NewReader(files)
	out, err := proc.Output(ctx, cmd)
	if err != nil {
		return nil, fmt.Errorf("reading git's attributes: %w", explain(err))
	}
	var found []string
	for fields := range slices.Chunk(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), 3) {
		if len(fields) == 3 && slices.Contains(filters, fields[2]) {
			found = append(found, fields[0])
		}
	}
	return found, nil
}
