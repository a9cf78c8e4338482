package claude

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var answers = Answers{
	Dirs: []string{"/w/repo/sub", "/w/repo"}, APIKey: "sk-ant-api03-0123456789abcdefghij", SkipPermissions: true,
	Login: Login{Account: &Account{Email: "a@example.org"}},
}

func TestFirstRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		existing, want string
		answers        Answers
	}{
		"fresh home": {answers: answers, want: `{
			"hasCompletedOnboarding": true,
			"customApiKeyResponses": {"approved": ["0123456789abcdefghij"]},
			"oauthAccount": {"emailAddress": "a@example.org"},
			"projects": {
				"/w/repo": {"hasTrustDialogAccepted": true, "hasClaudeMdExternalIncludesApproved": true},
				"/w/repo/sub": {"hasTrustDialogAccepted": true, "hasClaudeMdExternalIncludesApproved": true}
			}
		}`},
		"permissions are asked for": {answers: Answers{Dirs: []string{"/w"}}, want: `{
			"hasCompletedOnboarding": true, "projects": {"/w": {"hasTrustDialogAccepted": true}}
		}`},
		"later start": {
			answers: Answers{Dirs: []string{"/w"}, APIKey: "short"},
			existing: `{
				"numStartups": 12345678901234567890, "theme": "light", "html": "<&>",
				"customApiKeyResponses": {"approved": ["other"], "rejected": ["x"]},
				"projects": {"/w": {"lastCost": 1.50, "hasTrustDialogAccepted": false}, "/v": {"a": null}}
			}`,
			want: `{
				"hasCompletedOnboarding": true, "numStartups": 12345678901234567890, "theme": "light", "html": "<&>",
				"customApiKeyResponses": {"approved": ["other", "short"], "rejected": ["x"]},
				"projects": {"/w": {"lastCost": 1.50, "hasTrustDialogAccepted": true}, "/v": {"a": null}}
			}`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := FirstRun([]byte(test.existing), test.answers)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(parse(t, test.want), parse(t, string(got))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	got, err := Settings([]byte(`{"model":"opus","env":{"DISABLE_AUTOUPDATER":"0"}}`), answers)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"opus","skipDangerousModePermissionPrompt":true,"env":{"DISABLE_AUTOUPDATER":"0","DISABLE_INSTALLATION_CHECKS":"1"}}`
	if diff := cmp.Diff(parse(t, want), parse(t, string(got))); diff != "" {
		t.Error(diff)
	}
}

func TestDamagedFilesAreErrors(t *testing.T) {
	t.Parallel()
	for _, existing := range []string{`{`, `[]`, `{"projects":[]}`, `{"projects":{"/w/repo":1}}`, `{"customApiKeyResponses":"yes"}`} {
		if got, err := FirstRun([]byte(existing), answers); err == nil || !strings.Contains(err.Error(), "~/.claude.json") {
			t.Errorf("%s gave %s, %v", existing, got, err)
		}
	}
	if _, err := Settings([]byte(`{"env":1}`), answers); err == nil {
		t.Error("no error")
	}
}

// Whatever Claude has written stays, and a second time changes nothing.
func TestEditsKeepEverythingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.MapOf(rapid.String(), rapid.OneOf(
			rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.SliceOf(rapid.String()).AsAny(),
			rapid.MapOf(rapid.String(), rapid.Int64()).AsAny(),
		)).Draw(t, "own")
		for _, ours := range []string{"projects", "customApiKeyResponses", "env"} {
			delete(own, ours)
		}
		existing, err := json.Marshal(own)
		if err != nil {
			t.Fatal(err)
		}
		for _, produce := range []func([]byte, Answers) ([]byte, error){FirstRun, Settings} {
			once, err := produce(existing, answers)
			if err != nil {
				t.Fatal(err)
			}
			got, before := parse(t, string(once)), parse(t, string(existing))
			for key, value := range before {
				switch key {
				case "hasCompletedOnboarding", "oauthAccount", "skipDangerousModePermissionPrompt":
				default:
					if diff := cmp.Diff(value, got[key]); diff != "" {
						t.Error(diff)
					}
				}
			}
			twice, err := produce(once, answers)
			if err != nil || string(twice) != string(once) {
				t.Errorf("a second time: %s, %v", twice, err)
			}
		}
	})
}

func parse(t interface {
	Helper()
	Fatal(...any)
}, data string) object {
	t.Helper()
	o := object{}
	if err := decode("test", []byte(data), o); err != nil {
		t.Fatal(err)
	}
	return o
}

// Written down from what 2.1.330 made for these directories.
func TestConversationDir(t *testing.T) {
	t.Parallel()
	long := "/srv/code" + strings.Repeat("/abcdefghij.klmnopqrstuvwxyz", 8)
	limit := "/srv/code/" + strings.Repeat("q", 190)
	mixed := "/srv/code" + strings.Repeat("/Xyz_0-é😀", 30)
	for dir, want := range map[string]string{
		"/w/my.proj@1":              "-w-my-proj-1",
		"/srv/code/my.proj@1/a b_c": "-srv-code-my-proj-1-a-b-c",
		"/srv/code/é😀日本":            "-srv-code------",
		"/srv/code/e\u0301n\u0303":  "-srv-code-e-n-",
		long:                        "-srv-code" + strings.Repeat("-abcdefghij-klmnopqrstuvwxyz", 6) + "-abcdefghij-klmnopqrstu-d3qa84",
		limit:                       "-srv-code-" + strings.Repeat("q", 190),
		limit + "q":                 "-srv-code-" + strings.Repeat("q", 190) + "-kn4m9i",
		mixed:                       "-srv-code" + strings.Repeat("-Xyz-0----", 19) + "--v9al6o",
	} {
		if got := ConversationDir(dir); got != want {
			t.Errorf("%s:\n got %s\nwant %s", dir, got, want)
		}
	}
}

func TestConversationDirIsAFolderName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		dir := "/" + rapid.String().Draw(t, "dir")
		name := ConversationDir(dir)
		if strings.Trim(name, "-abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" || len(name) > maxName+8 || name[0] != '-' {
			t.Errorf("%q", name)
		}
	})
}

func TestIsSubcommand(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]bool{"mcp": true, "setup-token": true, "rc": true, "": false, "fix": false, "-p": false, "mcp list": false, "--version": false} {
		if got := IsSubcommand(arg); got != want {
			t.Errorf("%q: %v", arg, got)
		}
	}
}
