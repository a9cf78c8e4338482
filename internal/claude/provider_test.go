package claude

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestProvider(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		env              string
		variables, files string
	}{
		"nothing":           {env: "HOME=/h AWS_ACCESS_KEY_ID=a AZURE_CLIENT_ID=b GOOGLE_CLOUD_PROJECT=c CLAUDECODE=1 CLAUDE_CODE_SSE_PORT=1 CLAUDE_CODE_ENTRYPOINT=cli"},
		"a gateway":         {"ANTHROPIC_BASE_URL=u ANTHROPIC_CUSTOM_HEADERS=h ANTHROPIC_AUTH_TOKEN=", "ANTHROPIC_BASE_URL=u ANTHROPIC_CUSTOM_HEADERS=h", ""},
		"another model":     {"ANTHROPIC_DEFAULT_OPUS_MODEL=m MAX_THINKING_TOKENS=1", "ANTHROPIC_DEFAULT_OPUS_MODEL=m MAX_THINKING_TOKENS=1", ""},
		"Bedrock":           {"CLAUDE_CODE_USE_BEDROCK=1 AWS_REGION=r AWS_PROFILE=p AWS_SESSION_TOKEN=t", "CLAUDE_CODE_USE_BEDROCK=1 AWS_REGION=r AWS_SESSION_TOKEN=t", "AWS_PROFILE"},
		"Bedrock, off":      {"CLAUDE_CODE_USE_BEDROCK=0 AWS_REGION=r", "CLAUDE_CODE_USE_BEDROCK=0", ""},
		"Vertex":            {"VERTEX_REGION_CLAUDE_4_0_OPUS=x CLAUDE_CODE_USE_VERTEX=true CLOUD_ML_REGION=r GOOGLE_APPLICATION_CREDENTIALS=/f", "VERTEX_REGION_CLAUDE_4_0_OPUS=x CLAUDE_CODE_USE_VERTEX=true CLOUD_ML_REGION=r", "GOOGLE_APPLICATION_CREDENTIALS"},
		"Foundry":           {"CLAUDE_CODE_USE_FOUNDRY=1 ANTHROPIC_FOUNDRY_API_KEY=k AZURE_TENANT_ID=t AZURE_CONFIG_DIR=/d", "CLAUDE_CODE_USE_FOUNDRY=1 ANTHROPIC_FOUNDRY_API_KEY=k AZURE_TENANT_ID=t", "AZURE_CONFIG_DIR"},
		"a certificate":     {"CLAUDE_CODE_CLIENT_CERT=/c CLAUDE_CODE_CLIENT_KEY=/k", "", "CLAUDE_CODE_CLIENT_CERT CLAUDE_CODE_CLIENT_KEY"},
		"a token in a file": {"ANTHROPIC_IDENTITY_TOKEN_FILE=/t", "", "ANTHROPIC_IDENTITY_TOKEN_FILE"},
	} {
		variables, files := Provider(strings.Fields(test.env))
		if diff := cmp.Diff([]string{test.variables, test.files}, []string{strings.Join(variables, " "), strings.Join(files, " ")}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The keys of a cloud open more than a model: whatever the environment, they go along only with the switch of that cloud.
func TestCloudsStayWithoutTheirSwitch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var env []string
		chosen := map[string]bool{}
		for cloud, name := range map[string]string{"AWS_": "CLAUDE_CODE_USE_BEDROCK", "GOOGLE_CLOUD_": "CLAUDE_CODE_USE_VERTEX", "AZURE_": "CLAUDE_CODE_USE_FOUNDRY"} {
			value := rapid.SampledFrom([]string{"", "0", "1", "true", "no", " yes "}).Draw(t, name)
			chosen[cloud] = strings.ContainsAny(value, "1ty")
			env = append(env, name+"="+value, cloud+rapid.StringMatching(`[A-Z_]{1,12}`).Draw(t, "rest")+"=secret")
		}
		variables, _ := Provider(env)
		for _, v := range variables {
			for cloud, on := range chosen {
				if strings.HasPrefix(v, cloud) && !on {
					t.Fatalf("%q of %q", v, env)
				}
			}
		}
	})
}

func TestHasLogin(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]bool{
		"ANTHROPIC_API_KEY=k": true, "CLAUDE_CODE_OAUTH_TOKEN=t": true, "CLAUDE_CODE_USE_BEDROCK=1": true, "CLAUDE_CODE_USE_MANTLE=true": true,
		"ANTHROPIC_CUSTOM_HEADERS=Authorization: Bearer x": true, "ANTHROPIC_CUSTOM_HEADERS=x-trace: 1": false,
		"ANTHROPIC_API_KEY=": false, "ANTHROPIC_BASE_URL=http://x": false, "HOME=/": false, "CLAUDE_CODE_USE_VERTEX=0": false,
	} {
		if got := HasLogin([]string{variable}); got != want {
			t.Errorf("%s: %v", variable, got)
		}
	}
}
