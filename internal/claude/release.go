package claude

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/fetch"
)

// releaseBase is Anthropic's release channel: latest and stable hold a version; VERSION/manifest.json has the SHA-256 and
// the size of each platform's binary and is signed since 2.1.89 (https://code.claude.com/docs/en/setup, "Binary integrity
// and code signing"). What is older and unsigned is treated as not there.
const releaseBase = "https://downloads.claude.ai/claude-code-releases"

// releaseKey is "Anthropic Claude Code Release Signing", published at https://downloads.claude.ai/keys/claude-code.asc. The
// page above prints its fingerprint, 31DD DE24 DDFA B679 F42D 7BD2 BAA9 29FF 1A7E CACE, and a test holds this copy against it.
//
//go:embed release-key.asc
var releaseKey string

// channel is the source "release".
type channel struct {
	*Fetcher
	patience time.Duration
}

type manifest struct {
	Version   string `json:"version"`
	Platforms map[string]struct {
		Checksum string `json:"checksum"`
		Size     int64  `json:"size"`
	} `json:"platforms"`
}

func (channel) name() string { return "release" }

func (c channel) find(ctx context.Context, version, arch string) (candidate, error) {
	base := strings.TrimSuffix(c.ReleaseBase, "/")
	if base == "" {
		base = releaseBase
	}
	if !isVersion(version) {
		text, err := fetch.GetAll(ctx, c.HTTP, c.patience, base+"/"+version, nil, 4096)
		if err != nil {
			return candidate{}, err
		}
		name := version
		if version = strings.TrimSpace(string(text)); !isVersion(version) {
			return candidate{}, fmt.Errorf("%s/%s: %w: the answer is not a version", base, name, fetch.ErrUnreachable)
		}
	}
	return candidate{version, func(ctx context.Context, w io.Writer) error {
		return c.download(ctx, base+"/"+version+"/", version, "linux-"+arch, w)
	}}, nil
}

func (c channel) download(ctx context.Context, base, version, platform string, w io.Writer) error {
	data, err := fetch.GetAll(ctx, c.HTTP, c.patience, base+"manifest.json", nil, 1<<20)
	if err != nil {
		return err
	}
	signature, err := fetch.GetAll(ctx, c.HTTP, c.patience, base+"manifest.json.sig", nil, 1<<16)
	if err != nil {
		return err
	}
	if err := fetch.Verify(cmp.Or(c.ReleaseKey, releaseKey), data, signature); err != nil {
		return fmt.Errorf("%smanifest.json: %w: %w", base, fetch.ErrIntegrity, err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%smanifest.json: %w: %w", base, fetch.ErrIntegrity, err)
	}
	if m.Version != version { // an older release, correctly signed
		return fmt.Errorf("%smanifest.json: %w: it is the manifest of version %q", base, fetch.ErrIntegrity, m.Version)
	}
	promised, ok := m.Platforms[platform]
	if !ok {
		return fmt.Errorf("%smanifest.json: %w: it has no %s", base, fetch.ErrNotFound, platform)
	}
	if promised.Size <= 0 || promised.Size > maxBinary {
		return fmt.Errorf("%smanifest.json: %w: a binary of %d bytes", base, fetch.ErrIntegrity, promised.Size)
	}
	body, _, err := fetch.Get(ctx, c.HTTP, c.patience, base+platform+"/claude", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha256.New()
	source := c.Progress.Reader(body, promised.Size)
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(source, promised.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != promised.Size || got != promised.Checksum {
		return fmt.Errorf("%s%s/claude: %w: SHA-256 %s, the manifest says %s", base, platform, fetch.ErrIntegrity, got, promised.Checksum)
	}
	return nil
}
