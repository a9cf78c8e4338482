package claude

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
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
		text, err := getAll(ctx, c.HTTP, c.patience, base+"/"+version, nil, 4096)
		if err != nil {
			return candidate{}, err
		}
		name := version
		if version = strings.TrimSpace(string(text)); !isVersion(version) {
			return candidate{}, fmt.Errorf("%s/%s: %w: the answer is not a version", base, name, ErrUnreachable)
		}
	}
	return candidate{version, func(ctx context.Context, w io.Writer) error {
		return c.download(ctx, base+"/"+version+"/", version, "linux-"+arch, w)
	}}, nil
}

func (c channel) download(ctx context.Context, base, version, platform string, w io.Writer) error {
	data, err := getAll(ctx, c.HTTP, c.patience, base+"manifest.json", nil, 1<<20)
	if err != nil {
		return err
	}
	signature, err := getAll(ctx, c.HTTP, c.patience, base+"manifest.json.sig", nil, 1<<16)
	if err != nil {
		return err
	}
	if err := c.verify(data, signature); err != nil {
		return fmt.Errorf("%smanifest.json: %w: %w", base, ErrIntegrity, err)
	}
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%smanifest.json: %w: %w", base, ErrIntegrity, err)
	}
	if m.Version != version { // an older release, correctly signed
		return fmt.Errorf("%smanifest.json: %w: it is the manifest of version %q", base, ErrIntegrity, m.Version)
	}
	promised, ok := m.Platforms[platform]
	if !ok {
		return fmt.Errorf("%smanifest.json: %w: it has no %s", base, ErrNotFound, platform)
	}
	if promised.Size <= 0 || promised.Size > maxBinary {
		return fmt.Errorf("%smanifest.json: %w: a binary of %d bytes", base, ErrIntegrity, promised.Size)
	}
	body, _, err := get(ctx, c.HTTP, c.patience, base+platform+"/claude", nil)
	if err != nil {
		return err
	}
	defer body.Close()
	sum := sha256.New()
	source := &reporting{Reader: body, total: promised.Size, report: c.Progress}
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(source, promised.Size+1))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != promised.Size || got != promised.Checksum {
		return fmt.Errorf("%s%s/claude: %w: SHA-256 %s, the manifest says %s", base, platform, ErrIntegrity, got, promised.Checksum)
	}
	return nil
}

// verify checks a detached OpenPGP signature, armored or not.
func (c channel) verify(data, signature []byte) error {
	armored := c.ReleaseKey
	if armored == "" {
		armored = releaseKey
	}
	keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(armored))
	if err != nil {
		return fmt.Errorf("read the signing key: %w", err)
	}
	check := openpgp.CheckDetachedSignature
	if bytes.HasPrefix(signature, []byte("-----BEGIN")) {
		check = openpgp.CheckArmoredDetachedSignature
	}
	_, err = check(keys, bytes.NewReader(data), bytes.NewReader(signature), nil)
	return err
}
