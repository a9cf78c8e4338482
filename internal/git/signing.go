package git

import (
	"context"
	"fmt"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// SigningKey returns the GnuPG key that commits in a directory are set up to be signed with, as git hands it to gpg. It is
// empty if none is named, or if they are signed with a key of another kind.
func (c Client) SigningKey(ctx context.Context, dir string) (string, error) {
	out, err := c.run(ctx, dir, "config", "--null", "--get-regexp", `^(user\.signingkey|gpg\.format)$`)
	if err != nil && proc.ExitCode(err) != 1 { // 1: nothing matches
		return "", fmt.Errorf("reading git's signing key: %w", explain(err))
	}
	var key string
	format := "openpgp"
	for entry := range strings.SplitSeq(string(out), "\x00") {
		switch name, value, _ := strings.Cut(entry, "\n"); name {
		case "user.signingkey":
			key = value
		case "gpg.format":
			format = value
		}
	}
	if format != "openpgp" {
		return "", nil
	}
	return key, nil
}
