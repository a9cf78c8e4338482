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
)

func TestWhereTheRegistryComesFrom(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		env   []string
		npm   string // what npm answers; empty: there is none
		npmrc string
		want  string
	}{
		"environment": {
			env: []string{"NPM_CONFIG_REGISTRY=https://env.test/"}, npm: "https://npm.test", npmrc: "registry=https://rc.test", want: "https://env.test",
		},
		"environment in lower case": {env: []string{"npm_config_registry=https://env.test"}, want: "https://env.test"},
		"npm":                       {npm: "https://npm.test/", npmrc: "registry=https://rc.test", want: "https://npm.test"},
		".npmrc":                    {npmrc: "; a comment = x\n registry = \"https://rc.test/\"\n", want: "https://rc.test"},
		"scope": {
			env: []string{"NPM_CONFIG_REGISTRY=https://env.test"}, npmrc: "@anthropic-ai:registry=https://scope.test", want: "https://scope.test",
		},
		"variable": {env: []string{"REG=rc.test"}, npmrc: "registry=https://${REG}/npm", want: "https://rc.test/npm"},
		"nothing":  {npmrc: "fund=false"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fetcher(t, "", "")
			f.Env = append(f.Env, test.env...)
			write(t, filepath.Join(f.Home, ".npmrc"), test.npmrc, 0o600)
			if test.npm != "" {
				bin := t.TempDir()
				write(t, filepath.Join(bin, "npm"), "#!/bin/sh\n[ \"$*\" = 'config list --json' ] && echo '{\"registry\":\""+test.npm+"\",\"cafile\":null}'\n", 0o755)
				f.Env = append(f.Env, "PATH="+bin)
			}
			got, err := npm{f}.registry(t.Context())
			if got.base != test.want || errors.Is(err, ErrUnreachable) != (test.want == "") {
				t.Errorf("got %q, %v; want %q", got.base, err, test.want)
			}
		})
	}
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsGoWhereTheyBelong(t *testing.T) {
	t.Parallel()
	r := registry{npmrc: map[string]string{
		"//npm.test/:_authToken":       "whole-host",
		"//npm.test/team/:_authToken":  "team",
		"//npm.test:8080/:_authToken":  "port",
		"//basic.test/npm:_auth":       "dXNlcjpwYXNz",
		"//npm.test/teamwork/:nothing": "",
	}}
	for address, want := range map[string]string{
		"https://npm.test/pkg":                "Bearer whole-host",
		"https://npm.test/team/@a%2fb":        "Bearer team",
		"https://npm.test/teamwork/pkg":       "Bearer whole-host",
		"https://npm.test:8080/team/pkg":      "Bearer port",
		"https://basic.test/npm/pkg":          "Basic dXNlcjpwYXNz",
		"https://basic.test/other/pkg":        "",
		"https://npm.test.evil.test/pkg":      "",
		"file:///npm.test/pkg":                "",
		"/npm.test/pkg":                       "",
		"":                                    "",
		"https://other.test/npm.test/pkg":     "",
		"https://evil.test//npm.test/pkg":     "",
		"https://user@other.test/?//npm.test": "",
	} {
		if got := r.header(address).Get("Authorization"); got != want {
			t.Errorf("%s gets %q, want %q", address, got, want)
		}
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
	if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); !errors.Is(err, ErrUnreachable) {
		t.Fatalf("an unknown authority: %v", err)
	}
	cafile := filepath.Join(f.Home, "ca.pem")
	write(t, cafile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})), 0o600)
	f.Env = append(f.Env, "NPM_CONFIG_CAFILE="+cafile)
	if _, err := f.Fetch(t.Context(), "latest", "npm", "x64"); !errors.Is(err, ErrNotFound) {
		t.Errorf("with the cafile: %v", err)
	}
}
