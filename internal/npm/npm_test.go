package npm

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/fetch"
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
			c := Client{HTTP: http.DefaultClient, Env: append([]string{"PATH="}, test.env...), Home: t.TempDir()}
			write(t, filepath.Join(c.Home, ".npmrc"), test.npmrc, 0o600)
			if test.npm != "" {
				bin := t.TempDir()
				write(t, filepath.Join(bin, "npm"), "#!/bin/sh\n[ \"$*\" = 'config list --json' ] && echo '{\"registry\":\""+test.npm+"\",\"cafile\":null}'\n", 0o755)
				c.Env = append(c.Env, "PATH="+bin)
			}
			got, err := c.Registry(t.Context(), "@anthropic-ai")
			if got.base != test.want || errors.Is(err, fetch.ErrUnreachable) != (test.want == "") {
				t.Errorf("got %q, %v; want %q", got.base, err, test.want)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	c := Client{Env: []string{"PATH=", "NPM_CONFIG_REGISTRY=https://env.test", "REG=rc.test"}, Home: t.TempDir()}
	write(t, filepath.Join(c.Home, ".npmrc"), "registry=https://rc.test\n@own:registry = https://${REG}/own\n//rc.test/:_authToken=x\n@not:else=y\n", 0o600)
	got, err := c.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"registry": "https://env.test", "@own:registry": "https://rc.test/own"}, got); diff != "" {
		t.Error(diff)
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
	r := Registry{npmrc: map[string]string{
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
