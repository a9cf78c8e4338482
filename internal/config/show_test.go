package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	shownGlobal = `
tools.docker = true
runtime.scripts = ["g.sh"]
[[mounts]]
location = "/data"
writable = false
`
	shownProject = `
tools.node.version = "22"
runtime.scripts = ["p \"q\".sh"]
defaults.claude_args = []
phase.setup = [{name = "a", script = "x\ny\u009b\u202e", env = {B = "2", A = "<1>"}}]
`
)

func shownWorld() world {
	return world{global: shownGlobal, project: shownProject, env: []string{"CLAUDE_VM_DISK=30"}, flags: []FlagValue{{Key: "vm.memory", Flag: "--memory", Value: "16"}}}
}

func TestWriteTOML(t *testing.T) {
	t.Parallel()
	in := shownWorld().input(t)
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := c.WriteTOML(&b); err != nil {
		t.Fatal(err)
	}
	const want = `[vm]
disk = 30 # CLAUDE_VM_DISK
memory = 16 # --memory
# cpus is not set: 4, at most as many as the host has
image = "template:debian-13" # default
accel = "auto" # default
mount_type = "auto" # default
proxy = "host" # default
ca_certificates = [] # default

[network]
allow = [] # default

[tools]
docker = true # ~/.claude-vm.toml:2:7
node.version = "22" # ~/proj/.claude-vm.toml:2:12
python = false # default
chromium = false # default
gpg = false # default
gh = false # default
rust = false # default
git = false # default

[setup]
scripts = [] # default

[runtime]
scripts = [
    "~/g.sh", # ~/.claude-vm.toml:3:20
    "~/proj/p \"q\".sh", # ~/proj/.claude-vm.toml:3:20
]

[packages]
system = [] # default

[defaults]
claude_args = [] # ~/proj/.claude-vm.toml:4:10

[claude]
version = "latest" # default
source = "auto" # default
conversations = "filtered" # default
# share is not set: nothing

[env]
inherit = [] # default

[update]
check = true # default

[[mounts]] # ~/.claude-vm.toml:4:3
location = "/data"
writable = false

[[phase.setup]] # ~/proj/.claude-vm.toml:5:16
name = "a"
script = "x\ny\U0000009B\U0000202E"
script_files = []
env.A = "<1>"
env.B = "2"
when = "always"
source = false
continue_on_error = false

[standby]
count = 1 # default
ttl = "30m" # default
# memory_limit is not set: half of the host's memory, or one VM

[guard]
git = "restore" # default
`
	if diff := cmp.Diff(want, strings.ReplaceAll(b.String(), in.Home, "~")); diff != "" {
		t.Error(diff)
	}
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	in := shownWorld().input(t)
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(bytes.ReplaceAll(b.Bytes(), []byte(in.Home), []byte("~")), &got); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"vm":                             map[string]any{"disk": 30.0, "memory": 16.0, "image": "template:debian-13", "accel": "auto", "mount_type": "auto", "proxy": "host", "ca_certificates": []any{}},
		"tools.docker":                   true,
		"tools.node":                     map[string]any{"version": "22"},
		"runtime.scripts":                []any{"~/g.sh", `~/proj/p "q".sh`},
		"network.allow":                  []any{},
		"packages.system":                []any{},
		"defaults.claude_args":           []any{},
		"mounts":                         []any{map[string]any{"location": "/data", "writable": false}},
		"origins.vm\\.disk":              "CLAUDE_VM_DISK",
		"origins.vm\\.memory":            "--memory",
		"origins.vm\\.image":             "default",
		"origins.tools\\.node":           nil,
		"origins.vm\\.cpus":              nil,
		"origins.mounts":                 []any{"~/.claude-vm.toml:4:3"},
		"origins.setup\\.mounts":         "default",
		"origins.defaults\\.claude_args": "~/proj/.claude-vm.toml:4:10",
		"origins.tools\\.node\\.version": "~/proj/.claude-vm.toml:2:12",
		"origins.runtime\\.scripts":      []any{"~/.claude-vm.toml:3:20", "~/proj/.claude-vm.toml:3:20"},
	} {
		var v any = got
		for _, name := range regexp.MustCompile(`(?:[^.\\]|\\.)+`).FindAllString(path, -1) {
			v = v.(map[string]any)[strings.ReplaceAll(name, `\`, "")]
		}
		if diff := cmp.Diff(want, v); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

func TestReference(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Reference(&b); err != nil {
		t.Fatal(err)
	}
	got := b.String()
	for _, want := range []string{
		"## `[vm]`\n\n| key | value | default | variable | meaning |\n| --- | --- | --- | --- | --- |\n| `disk` | a whole number from 1 to 1000 (GB) | `20` | `CLAUDE_VM_DISK` | Size",
		"| `cpus` | a whole number from 1 to 64 | 4, at most as many as the host has | `CLAUDE_VM_CPUS` |",
		"| `node.version` | a version such as \"22\" or \"3.12.1\" |  | `CLAUDE_VM_TOOLS_NODE_VERSION` |",
		"## `[[setup.mounts]]`\n\nA host directory that is there only while the template is built.\n\n|",
		"| `location` | a path, absolute, relative, or from ~/ for the home directory | required |  |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, k := range new(Config).keys() {
		if !strings.HasSuffix(k.doc, ".") || strings.ContainsAny(k.doc, "|\n") {
			t.Errorf("%s: the documentation %q is not a sentence for a table", k.path, k.doc)
		}
	}
}

// The example has every key but the versions of tools that have no choice of one, its active lines are the defaults, and it is valid with the others switched on.
func TestExample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "examples", ".claude-vm.toml"))
	if err != nil {
		t.Fatal(err)
	}
	as := cmp.AllowUnexported(Config{})
	got, want := world{project: string(data)}.mustLoad(t), world{}.mustLoad(t)
	got.origins, got.files, want.origins = nil, nil, nil
	if diff := cmp.Diff(want, got, as); diff != "" {
		t.Error(diff)
	}

	var on []string
	pinned := regexp.MustCompile(`^\[tools\.(\w+)\]$`)
	var tools []string // those whose version can be chosen
	for line := range strings.Lines(string(data)) {
		if m := pinned.FindStringSubmatch(strings.Trim(line, "#\n")); m != nil {
			tools = append(tools, m[1])
		}
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "#"); ok && strings.TrimSpace(rest) != "" && !strings.HasPrefix(rest, " ") {
			line = rest
		} else if name, _, ok := strings.Cut(line, " = false"); ok && slices.Contains(tools, name) {
			continue // its [tools.…] stands for it
		}
		on = append(on, line)
	}
	file := strings.Join(on, "")
	c := world{project: file}.mustLoad(t)
	for _, k := range c.keys() {
		tool, isVersion := strings.CutSuffix(strings.TrimPrefix(k.path, "tools."), ".version")
		if isVersion && k.path != "claude.version" && !slices.Contains(tools, tool) {
			continue
		}
		if !c.IsSet(k.path) {
			t.Errorf("%s is missing", k.path)
		}
		list, ok := k.value.(interface{ example() []key })
		if !ok {
			continue
		}
		for _, e := range list.example() {
			if !strings.Contains(file, fmt.Sprintf("\n%s = ", e.path)) {
				t.Errorf("%s.%s is missing", k.path, e.path)
			}
		}
	}
}
