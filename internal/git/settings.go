package git

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// UserSetting is a line of a configuration that git obeys.
type UserSetting struct {
	File  string // an absolute path, or empty if it stands in no file
	Key   string
	Value string
}

// UserSettings returns the configuration that git obeys in dir and that is the user's or the
// system's: what holds whatever the repository there says, from whichever files they lie in and
// include.
func (c Client) UserSettings(ctx context.Context, dir string) ([]UserSetting, error) {
	out, err := c.run(ctx, dir, "config", "--list", "--includes", "--show-origin", "--show-scope", "-z")
	if err != nil {
		return nil, fmt.Errorf("reading git's configuration: %w", explain(err))
	}
	var settings []UserSetting
	for fields := range slices.Chunk(strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), 3) {
		if len(fields) != 3 || fields[0] != "system" && fields[0] != "global" {
			continue // of the repository, or of the command line, which is ours
		}
		key, value, _ := strings.Cut(fields[2], "\n")
		file, _ := strings.CutPrefix(fields[1], "file:")
		settings = append(settings, UserSetting{File: file, Key: key, Value: value})
	}
	return settings, nil
}
