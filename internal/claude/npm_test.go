package claude

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/themouette/claude-vm/internal/fetch"
)

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestTheTokenReachesTheRegistryOnly(t *testing.T) {
	t.Parallel()
	registry := npmSite(t, goodTarball(t))
	elsewhere := npmSite(t, goodTarball(t))
	registry.bodies[packagePath] = elsewhere.bodies[packagePath] // whose tarball is elsewhere
	f := fetcher(t, "", registry.URL)
	f.Env = append(f.Env, "TOKEN=t0ken")
	write(t, filepath.Join(f.Home, ".npmrc"), registry.URL[len("http:"):]+"/:_authToken=${TOKEN}\n", 0o600)
	if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); err != nil {
		t.Fatal(err)
	}
	if got := registry.auth[packagePath]; got != "Bearer t0ken" {
		t.Errorf("the registry got %q", got)
	}
	if got, asked := elsewhere.auth[tarballPath]; got != "" || !asked {
		t.Errorf("the other host got %q", got)
	}
}

func TestStableIsLookedUpInTheMainPackage(t *testing.T) {
	t.Parallel()
	s := npmSite(t, goodTarball(t))
	s.bodies["/@anthropic-ai%2fclaude-code"] = []byte(`{"dist-tags":{"stable":"` + version + `"}}`)
	f := fetcher(t, "", s.URL)
	got, err := f.Fetch(t.Context(), "stable", "npm", "x64")
	if err != nil {
		t.Fatal(err)
	}
	wantGood(t, f, got, "npm")
}

func TestNpmsCertificatesAreTrusted(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	f := fetcher(t, "", s.URL)
	if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); !errors.Is(err, fetch.ErrUnreachable) {
		t.Fatalf("an unknown authority: %v", err)
	}
	cafile := filepath.Join(f.Home, "ca.pem")
	write(t, cafile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), 0o600)
	f.Env = append(f.Env, "NPM_CONFIG_CAFILE="+cafile)
	if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); !errors.Is(err, fetch.ErrNotFound) {
		t.Errorf("with the cafile: %v", err)
	}
}
