package claude

import (
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/proc"
)

// family is a set of variables by which Claude Code finds a service that answers. The names are
// those of Claude Code's documentation (Environment variables; Amazon Bedrock; Google Vertex AI;
// Microsoft Foundry; LLM gateways) and of the services' own clients in it. A name that ends in *
// stands for all that begin so.
type family struct {
	switches []string // one of them has to be on; none: the family is always in use
	names    []string
	// files are those of names whose values are files of the host, or names in such files: a guest
	// cannot use them.
	files []string
}

var families = []family{
	{
		names: []string{
			"ANTHROPIC_*", "CLAUDE_CODE_USE_*", "CLAUDE_CODE_SKIP_*", "CLAUDE_CODE_OAUTH_*",
			"CLAUDE_CODE_API_KEY_HELPER_TTL_MS", "CLAUDE_CODE_MAX_*", "CLAUDE_CODE_EFFORT_LEVEL",
			"CLAUDE_CODE_SUBAGENT_MODEL", "CLAUDE_CODE_EXTRA_*", "CLAUDE_CODE_ATTRIBUTION_HEADER",
			"CLAUDE_CODE_DISABLE_*", "CLAUDE_CODE_ENABLE_*", "CLAUDE_CODE_AUTO_COMPACT_WINDOW",
			"CLAUDE_CODE_CLIENT_*", "CLAUDE_CODE_PROXY_RESOLVES_HOSTS",
			"DISABLE_PROMPT_CACHING*", "ENABLE_PROMPT_CACHING_*", "FORCE_PROMPT_CACHING_*",
			"DISABLE_INTERLEAVED_THINKING", "MAX_THINKING_TOKENS", "API_TIMEOUT_MS",
			"FALLBACK_FOR_ALL_PRIMARY_MODELS", "ENABLE_TOOL_SEARCH", "DISABLE_COST_WARNINGS",
			"DISABLE_TELEMETRY", "DISABLE_ERROR_REPORTING", "DO_NOT_TRACK",
		},
		files: []string{
			"CLAUDE_CODE_CLIENT_CERT", "CLAUDE_CODE_CLIENT_KEY", "ANTHROPIC_*_FILE", "ANTHROPIC_CONFIG_DIR",
			"ANTHROPIC_PROFILE",
		},
	},
	{
		switches: []string{"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_MANTLE", "CLAUDE_CODE_USE_ANTHROPIC_AWS"},
		names:    []string{"AWS_*"},
		files: []string{
			"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE",
			"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_*", "AWS_CA_BUNDLE", "AWS_LOGIN_CACHE_DIRECTORY",
		},
	},
	{
		switches: []string{"CLAUDE_CODE_USE_VERTEX"},
		names: []string{
			"VERTEX_*", "CLOUD_ML_REGION", "GCLOUD_PROJECT", "GOOGLE_CLOUD_*", "GOOGLE_APPLICATION_CREDENTIALS",
			"CLOUDSDK_*",
		},
		files: []string{"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "CLOUDSDK_ACTIVE_CONFIG_NAME"},
	},
	{
		switches: []string{"CLAUDE_CODE_USE_FOUNDRY"},
		names:    []string{"AZURE_*"},
		files:    []string{"AZURE_CONFIG_DIR", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH"},
	},
}

// credentials are variables that hold a secret by which a service that is chosen lets Claude in.
var credentials = []string{
	"*_API_KEY", "*_AUTH_TOKEN", "*_OAUTH_TOKEN", "*_OAUTH_REFRESH_TOKEN", "AWS_BEARER_TOKEN_*",
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET", "ANTHROPIC_CUSTOM_HEADERS",
	"CLAUDE_CODE_CLIENT_KEY_PASSPHRASE",
}

// fits says whether a name is one of some, in which one * stands for anything.
func fits(name string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		begin, end, open := strings.Cut(pattern, "*")
		if !open {
			return name == pattern
		}
		return len(name) >= len(begin)+len(end) && strings.HasPrefix(name, begin) && strings.HasSuffix(name, end)
	})
}

// on says whether Claude Code takes a variable for switched on.
func on(env []string, name string) bool {
	value := strings.ToLower(strings.TrimSpace(proc.Getenv(env, name)))
	return slices.Contains([]string{"1", "true", "yes", "on"}, value)
}

// inUse says whether an environment makes use of a family.
func (f family) inUse(env []string) bool {
	return len(f.switches) == 0 || slices.ContainsFunc(f.switches, func(name string) bool { return on(env, name) })
}

// Provider returns the variables of an environment that decide which service and model Claude uses,
// and by which it logs in there, each as NAME=VALUE. Those whose values are files of the host are
// left out, and their names are returned. The variables of a cloud are returned only if Claude is
// told to use it: they open far more than a model.
func Provider(env []string) (variables, files []string) {
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		for _, f := range families {
			switch {
			case value == "" || !f.inUse(env) || !fits(name, f.names):
			case fits(name, f.files):
				files = append(files, name)
			default:
				variables = append(variables, variable)
			}
		}
	}
	slices.Sort(files)
	return variables, slices.Compact(files)
}

// Steers says whether a variable decides which service Claude talks to, or as whom.
func Steers(name string) bool {
	return slices.ContainsFunc(families, func(f family) bool { return fits(name, f.names) || fits(name, f.switches) })
}

// Secret says whether a variable holds a secret by which Claude logs in somewhere.
func Secret(name string) bool { return fits(name, credentials) }

// directLogins are the variables that log Claude in by themselves.
var directLogins = []string{
	"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
}

// LoginVariables are the variables by which Claude is logged in without a file: secrets, and
// switches to a cloud that has logins of its own.
func LoginVariables() (names []string) {
	names = slices.Clone(directLogins)
	for _, f := range families {
		names = append(names, f.switches...)
	}
	return names
}

// HasLogin says whether an environment logs Claude in.
func HasLogin(env []string) bool {
	headers := strings.ToLower(proc.Getenv(env, "ANTHROPIC_CUSTOM_HEADERS"))
	if strings.Contains(headers, "authorization:") || strings.Contains(headers, "api-key:") { // as a gateway wants it
		return true
	}
	return slices.ContainsFunc(LoginVariables(), func(name string) bool {
		if slices.Contains(directLogins, name) {
			return proc.Getenv(env, name) != ""
		}
		return on(env, name)
	})
}
