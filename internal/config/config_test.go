package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// world is a home with a project in it, and what is asked for there.
type world struct {
	global, project string // the content of the files; empty: there is none
	env             []string
	flags           []FlagValue
	noFiles         bool
}

func (w world) input(t testing.TB) Input {
	t.Helper()
	home := t.TempDir()
	in := Input{
		Home:        home,
		Cwd:         filepath.Join(home, "proj", "sub"),
		GlobalFile:  filepath.Join(home, ".claude-vm.toml"),
		ProjectFile: filepath.Join(home, "proj", ".claude-vm.toml"),
		Environ:     w.env,
		Flags:       w.flags,
		NoFiles:     w.noFiles,
	}
	write(t, in.GlobalFile, w.global)
	write(t, in.ProjectFile, w.project)
	return in
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if content == "" {
		return
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load returns the configuration, or its problems a line each, with ~ for the home directory.
func (w world) load(t testing.TB) (*Config, string) {
	t.Helper()
	in := w.input(t)
	c, err := Load(in)
	if err != nil {
		return nil, strings.ReplaceAll(err.Error(), in.Home, "~")
	}
	return c, ""
}

func (w world) mustLoad(t testing.TB) *Config {
	t.Helper()
	c, problems := w.load(t)
	if problems != "" {
		t.Fatalf("problems:\n%s", problems)
	}
	return c
}

func values(items []Item) []string {
	var out []string
	for _, item := range items {
		out = append(out, item.Value)
	}
	return out
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	c := world{}.mustLoad(t)
	got := *c
	got.origins = nil
	want := Config{
		VM:      VM{Disk: 20, Memory: 8, Image: "template:debian-13", Accel: "auto", MountType: "auto", Proxy: "host"},
		Claude:  Claude{Version: "latest", Source: "auto", Conversations: "filtered"},
		Update:  Update{Check: true},
		Standby: Standby{Count: 1, TTL: 30 * time.Minute},
		Guard:   Guard{Git: "restore"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{})); diff != "" {
		t.Error(diff)
	}
	for _, k := range c.keys() {
		if c.IsSet(k.path) || c.Origin(k.path).String() != "default" {
			t.Errorf("%s: origin %s", k.path, c.Origin(k.path))
		}
	}
}

func TestNearestLayerWins(t *testing.T) {
	t.Parallel()
	disk := func(n int) string { return fmt.Sprintf("[vm]\ndisk = %d\n", n) }
	flag := []FlagValue{{Key: "vm.disk", Flag: "--disk", Value: "40"}}
	env := []string{"CLAUDE_VM_DISK=50"}
	for name, tt := range map[string]struct {
		world
		disk   int
		origin string
	}{
		"default":                   {world{}, 20, "default"},
		"global":                    {world{global: disk(25)}, 25, "~/.claude-vm.toml:2:1"},
		"project":                   {world{global: disk(20), project: disk(30)}, 30, "~/proj/.claude-vm.toml:2:1"},
		"project, equal to default": {world{global: disk(30), project: disk(20)}, 20, "~/proj/.claude-vm.toml:2:1"},
		"environment":               {world{project: disk(30), env: env}, 50, "CLAUDE_VM_DISK"},
		"last of two variables":     {world{env: []string{"CLAUDE_VM_DISK=1", "CLAUDE_VM_DISK=50"}}, 50, "CLAUDE_VM_DISK"},
		"flag":                      {world{global: disk(20), project: disk(30), env: env, flags: flag}, 40, "--disk"},
		"no files":                  {world{global: disk(20), project: "not TOML", noFiles: true, env: env}, 50, "CLAUDE_VM_DISK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := tt.input(t)
			c, err := Load(in)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(c.Origin("vm.disk").String(), in.Home, "~"); c.VM.Disk != tt.disk || got != tt.origin {
				t.Errorf("disk %d from %s, want %d from %s", c.VM.Disk, got, tt.disk, tt.origin)
			}
			if c.IsSet("vm.disk") != (tt.origin != "default") {
				t.Errorf("set: %v", c.IsSet("vm.disk"))
			}
		})
	}
}

func TestRangesHoldWhereverAValueComesFrom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		key   string
		value int
		want  string
	}{
		{"disk", 0, "from 1 to 1000 (GB), not 0"},
		{"disk", -5, "from 1 to 1000 (GB), not -5"},
		{"disk", 1001, "from 1 to 1000 (GB), not 1001"},
		{"memory", 0, "from 1 to 64 (GB), not 0"},
		{"memory", 65, "from 1 to 64 (GB), not 65"},
		{"cpus", 0, "from 1 to 64, not 0"},
		{"cpus", 65, "from 1 to 64, not 65"},
	} {
		text := fmt.Sprint(tt.value)
		quoted := strings.ReplaceAll(tt.want, "not "+text, fmt.Sprintf("not %q", text))
		file := fmt.Sprintf("[vm]\n%s = %d\n", tt.key, tt.value)
		variable, flag := "CLAUDE_VM_"+strings.ToUpper(tt.key), "--"+tt.key
		for origin, w := range map[string]world{
			"~/.claude-vm.toml:2:1":      {global: file},
			"~/proj/.claude-vm.toml:2:1": {project: file},
			variable:                     {env: []string{variable + "=" + text}},
			flag:                         {flags: []FlagValue{{Key: "vm." + tt.key, Flag: flag, Value: text}}},
		} {
			want := fmt.Sprintf("%s: vm.%s must be a whole number %s", origin, tt.key, tt.want)
			if !strings.HasPrefix(origin, "~") {
				want = fmt.Sprintf("%s: vm.%s must be a whole number %s", origin, tt.key, quoted)
			}
			if _, got := w.load(t); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		}
	}
	for _, tt := range []string{"disk = 1\nmemory = 1\ncpus = 1", "disk = 1000\nmemory = 64\ncpus = 64", "disk = 0x10\nmemory = 1_6"} {
		world{project: "[vm]\n" + tt}.mustLoad(t)
	}
}

func TestProblemsOfAFile(t *testing.T) {
	t.Parallel()
	const wholeDisk = "vm.disk must be a whole number from 1 to 1000 (GB)"
	const notDebian = " must be the name of a Debian package, not "
	for name, tt := range map[string]struct{ file, want string }{
		"wrong type":             {"[vm]\ndisk = \"thirty\"", "2:1: " + wholeDisk + `, not "thirty"`},
		"quoted number":          {"[vm]\ndisk = \"30\"", "2:1: " + wholeDisk + `, not "30"`},
		"fraction":               {"[vm]\ndisk = 20.0", "2:1: " + wholeDisk + ", not the fraction 20"},
		"not a number":           {"[vm]\ndisk = nan", "2:1: " + wholeDisk + ", not the fraction NaN"},
		"infinite":               {"[vm]\ndisk = -inf", "2:1: " + wholeDisk + ", not the fraction -Inf"},
		"beyond 64 bits":         {"[vm]\ndisk = 99999999999999999999", "2:8: " + wholeDisk + ": decimal number is too large to fit in a 64-bit signed integer"},
		"beyond 64 bits, inline": {"vm = { disk = 1, memory = 99999999999999999999 }", "1:27: vm.memory must be a whole number from 1 to 64 (GB): decimal number is too large to fit in a 64-bit signed integer"},
		"elsewhere":              {"x = 99999999999999999999", "1:5: decimal number is too large to fit in a 64-bit signed integer"},
		"date":                   {"[vm]\ndisk = 2024-02-03", "2:1: " + wholeDisk + ", not 2024-02-03"},
		"impossible date":        {"[vm]\ndisk = 2024-13-03", "2:13: " + wholeDisk + ": impossible date"},
		"list for a number":      {"vm.disk = [1]", "1:4: " + wholeDisk + ", not a list"},
		"table for number":       {"[vm.disk]\nx = 1", "1:5: " + wholeDisk + ", not a table"},
		"number for bool":        {"[tools]\nnode = 1", "2:1: tools.node must be true or false, not 1"},
		"string for bool":        {"[tools]\nnode = \"yes\"", `2:1: tools.node must be true or false, not "yes"`},
		"number for string":      {"[tools]\nnode = { version = 22 }", `2:10: tools.node.version must be a version such as "22" or "3.12.1", not 22`},
		"shell in version":       {"[tools.node]\nversion = \"$(id)\"", `2:1: tools.node.version must be a version such as "22" or "3.12.1", not "$(id)"`},
		"enum":                   {"[vm]\naccel = \"xen\"", `2:1: vm.accel must be one of auto, kvm, tcg, hvf, not "xen"`},
		"claude version":         {"claude.version = \"2.0\"", `1:8: claude.version must be "latest", "stable" or a version such as "2.0.14", not "2.0"`},
		"duration":               {"standby.ttl = \"0s\"", `1:9: standby.ttl must be a duration from "1s" to "168h", not "0s"`},
		"image address":          {"vm.image = \"ftp://x/y\"", `1:4: vm.image must be template:NAME, an http or https address, or a path, not "ftp://x/y"`},
		"NUL":                    {"vm.image = \"a\\u0000b\"", "1:4: vm.image must be valid UTF-8 without NUL characters"},

		"unknown key, one typo":         {"[vm]\ndsk = 3", "2:1: vm.dsk is not a known key; the nearest is vm.disk"},
		"unknown key, swapped":          {"[vm]\nmemroy = 3", "2:1: vm.memroy is not a known key; the nearest is vm.memory"},
		"unknown key, dashed":           {"[vm]\nmount-type = \"9p\"", "2:1: vm.mount-type is not a known key; the nearest is vm.mount_type"},
		"unknown key":                   {"[vm]\n  turbo = true", "2:3: vm.turbo is not a known key"},
		"unknown dotted":                {"vm.disc.x = 3", "1:4: vm.disc is not a known key; the nearest is vm.disk"},
		"unknown table":                 {"[vms]\ndisk = 3", "1:2: vms is not a known key; the nearest is vm"},
		"unknown array of tables":       {"[[mount]]\nlocation = \"/x\"", "1:3: mount is not a known key; the nearest is mounts"},
		"without its table":             {"disk = 30", "1:1: disk is not a known key; the nearest is vm.disk"},
		"inside a tool":                 {"[tools]\nnode = { versoin = \"22\" }", "2:10: tools.node.versoin is not a known key; the nearest is tools.node.version"},
		"a version that nobody chooses": {"[tools.rust]\nversion = \"1\"", "2:1: tools.rust.version is not a known key: rust is installed in the version that Debian's packages have"},
		"a key that hides":              {"\"vm.disk\" = 3\n\"\\u001b[2J\" = 1", "1:1: \"vm.disk\" is not a known key\n2:1: \"\\x1b[2J\" is not a known key"},
		"a value for a table":           {"vm = 3", "1:1: vm must be a table, not 3"},

		"not a list":            {"runtime.scripts = \"x.sh\"", `1:9: runtime.scripts must be a list, each element a path, absolute, relative, or from ~/ for the home directory, not "x.sh"`},
		"wrong element":         {"packages.system = [\n  \"jq\",\n  3,\n  \"Vim\",\n  \"vim-\",\n  \"a;b\",\n  [],\n]", "1:10: packages.system[5]" + notDebian + "a list\n3:3: packages.system[1]" + notDebian + "3\n4:3: packages.system[2]" + notDebian + "\"Vim\"\n5:3: packages.system[3]" + notDebian + "\"vim-\"\n6:3: packages.system[4]" + notDebian + "\"a;b\""},
		"empty path":            {"setup.scripts = [\"\"]", `1:18: setup.scripts[0] must be a path, absolute, relative, or from ~/ for the home directory, not ""`},
		"other user's home":     {"setup.scripts = [\"~bob/x\"]", `1:18: setup.scripts[0] must be a path, absolute, relative, or from ~/ for the home directory, not "~bob/x"`},
		"mount without place":   {"[[mounts]]\nwritable = false\n[[mounts]]\nlocation = 3", "1:3: mounts[0].location is missing\n4:1: mounts[1].location must be a path, absolute, relative, or from ~/ for the home directory, not 3"},
		"mount, unknown key":    {"[[mounts]]\nlocation = \"/x\"\nwriteable = true", "3:1: mounts[0].writeable is not a known key; the nearest is writable"},
		"mount point":           {"[[setup.mounts]]\nlocation = \"/x\"\nmount_point = \"~/x\"", `3:1: setup.mounts[0].mount_point must be an absolute path in the guest, not "~/x"`},
		"mounts as a table":     {"[mounts]\nlocation = \"/x\"", "1:2: mounts must be a list of tables, not a table"},
		"mounts as strings":     {"mounts = [\"/x\"]", `1:11: mounts[0] must be a table, not "/x"`},
		"mounts in contrast":    {"mounts = [{location=\"/x\"}, {location=\"/x/\"}, {location=\"/x\", writable=false}]", "1:46: mounts[2] contradicts the one on line 1"},
		"port":                  {"[[ports]]\nhost = 0\n", "1:3: ports[0].guest is missing\n2:1: ports[0].host must be a whole number from 1 to 65535, not 0"},
		"phase with nothing":    {"[[phase.setup]]\nname = \"a\"", "1:9: phase.setup[0] must have script or script_files"},
		"phase's environment":   {"[[phase.setup]]\nname = \"a\"\nscript = \"b\"\nenv = {\"A=B\" = \"\", C = 1}", "4:8: phase.setup[0].env.\"A=B\" is not the name of a variable\n4:20: phase.setup[0].env.C must be a string without NUL characters, not 1"},
		"phase's env as a list": {"[[phase.setup]]\nname = \"a\"\nscript = \"b\"\nenv = []", "4:1: phase.setup[0].env must be a table of strings, not a list"},

		"all of them": {"[vm]\ndisk = 0\nmemory = 99\n[tool]\n[tools]\nnode = 1", "2:1: " + wholeDisk + ", not 0\n3:1: vm.memory must be a whole number from 1 to 64 (GB), not 99\n4:2: tool is not a known key; the nearest is tools\n6:1: tools.node must be true or false, not 1"},

		"no value":            {"[vm]\ndisk =", "2:6: expected value, not end of input"},
		"bare word":           {"[vm]\ndisk = abc", "2:8: unexpected character U+0061 'a' at start of value"},
		"key twice":           {"[vm]\ndisk = 3\ndisk = 4", "3:1: key disk is already defined"},
		"key twice in a line": {"vm = { disk = 3, disk = 4 }", "1:1: key disk is already defined"},
		"escape in a message": {"\"\\u001b[2J\" = 1\n\"\\u001b[2J\" = 2", `2:1: "key \x1b[2J is already defined"`},
		"table twice":         {"[vm]\n[tools]\n[vm]\n", "3:2: table vm already exists"},
		"invalid UTF-8":       {"# caf\xe9\n", "1:6: invalid UTF-8 character in comment"},
		"UTF-16":              {"\xff\xfe[\x00v\x00m\x00]\x00", "1:1: invalid character at start of key: U+00FF 'ÿ'"},
		"carriage return":     {"a = 1\rb = 2", "1:6: expected newline but got U+000D"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := "~/proj/.claude-vm.toml:" + strings.ReplaceAll(tt.want, "\n", "\n~/proj/.claude-vm.toml:")
			if _, got := (world{project: tt.file}).load(t); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestProblemsOfAllLayersAtOnce(t *testing.T) {
	t.Parallel()
	w := world{
		global:  "[vm]\nmemory = 0\ndisk = 0",
		project: "broken",
		env:     []string{"CLAUDE_VM_CPUS=many", "CLAUDE_VM_DSK=3", "CLAUDE_VM_DISK=", "CLAUDE_VM_RUNTIME_SCRIPTS=x", "CLAUDE_VM_PORTS=1:2", "CLAUDE_VM_HOME=/x", "CLAUDE_VM_IMAGE=\xff", "OTHER=1", "CLAUDE_VM_NOVALUE"},
		flags:   []FlagValue{{Key: "vm.disk", Flag: "--disk", Value: "abc"}, {Key: "mounts", Flag: "--mounts", Value: "x"}, {Key: "vm.turbo", Flag: "--turbo", Value: ""}, {Key: "runtime.scripts", Flag: "--runtime-script", Value: ""}},
	}
	const disk = "vm.disk must be a whole number from 1 to 1000 (GB), not "
	want := strings.Join([]string{
		"~/.claude-vm.toml:2:1: vm.memory must be a whole number from 1 to 64 (GB), not 0",
		"~/.claude-vm.toml:3:1: " + disk + "0",
		"~/proj/.claude-vm.toml:1:6: expected '=' after key",
		`CLAUDE_VM_CPUS: vm.cpus must be a whole number from 1 to 64, not "many"`,
		"CLAUDE_VM_IMAGE: vm.image must be valid UTF-8 without NUL characters",
		"CLAUDE_VM_DSK: is not a known variable; the nearest is CLAUDE_VM_DISK",
		"CLAUDE_VM_PORTS: is not a known variable",
		"CLAUDE_VM_RUNTIME_SCRIPTS: is not a known variable",
		"--disk: " + disk + `"abc"`,
		"--mounts: mounts can only be set in a file",
		"--turbo: vm.turbo is not a known key",
		`--runtime-script: runtime.scripts must be a path, absolute, relative, or from ~/ for the home directory, not ""`,
	}, "\n")
	for range 3 {
		if _, got := w.load(t); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	c := world{env: []string{
		"CLAUDE_VM_MEMORY=16", "CLAUDE_VM_CPUS=2", "CLAUDE_VM_IMAGE=img/d.qcow2", "CLAUDE_VM_VM_ACCEL=tcg", "CLAUDE_VM_VM_MOUNT_TYPE=9p", "CLAUDE_VM_VM_PROXY=none",
		"CLAUDE_VM_TOOLS_DOCKER=true", "CLAUDE_VM_TOOLS_NODE_VERSION=22", "CLAUDE_VM_TOOLS_GH=false",
		"CLAUDE_VM_STANDBY_COUNT=0", "CLAUDE_VM_CLAUDE_SOURCE=npm",
	}}.mustLoad(t)
	if diff := cmp.Diff(VM{Disk: 20, Memory: 16, CPUs: 2, Image: c.VM.Image, Accel: "tcg", MountType: "9p", Proxy: "none"}, c.VM); diff != "" {
		t.Error(diff)
	}
	if !strings.HasSuffix(c.VM.Image, "/proj/sub/img/d.qcow2") {
		t.Errorf("image %s", c.VM.Image)
	}
	if want := (Tools{Docker: Tool{Enabled: true}, Node: Tool{true, "22"}}); c.Tools != want {
		t.Errorf("got %+v, want %+v", c.Tools, want)
	}
	if c.Standby.Count != 0 || c.Claude.Source != "npm" {
		t.Errorf("standby %d, source %s", c.Standby.Count, c.Claude.Source)
	}

	seen := map[string]string{}
	for _, k := range c.keys() {
		if v := k.variable(); v != "" && seen[v] != "" {
			t.Errorf("%s sets both %s and %s", v, k.path, seen[v])
		} else {
			seen[v] = k.path
		}
	}
}

func TestTools(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		world
		want   Tools
		origin string // of tools.node
	}{
		"layers add up":             {world{global: "tools.node = true", project: "tools.docker = true"}, Tools{Node: Tool{Enabled: true}, Docker: Tool{Enabled: true}}, "~/.claude-vm.toml:1:7"},
		"turned off":                {world{global: "tools.node = true", project: "tools.node = false"}, Tools{}, "~/proj/.claude-vm.toml:1:7"},
		"inline table":              {world{project: "[tools]\nnode = { version = \"22\" }"}, Tools{Node: Tool{true, "22"}}, "~/proj/.claude-vm.toml:2:1"},
		"table":                     {world{project: "[tools.node]\nversion = \"22\""}, Tools{Node: Tool{true, "22"}}, "~/proj/.claude-vm.toml:1:8"},
		"empty table of another":    {world{project: "[tools.gh]"}, Tools{GH: Tool{Enabled: true}}, "default"},
		"empty table":               {world{project: "[tools.node]"}, Tools{Node: Tool{Enabled: true}}, "~/proj/.claude-vm.toml:1:8"},
		"a version turns on":        {world{global: "tools.node = false", project: "tools.node.version = \"22\""}, Tools{Node: Tool{true, "22"}}, "~/proj/.claude-vm.toml:1:7"},
		"a flag keeps the version":  {world{project: "tools.node.version = \"22\"", flags: []FlagValue{{Key: "tools.node", Flag: "--node", Value: "true"}}}, Tools{Node: Tool{true, "22"}}, "--node"},
		"none without being wanted": {world{project: "tools.node.version = \"22\"", env: []string{"CLAUDE_VM_TOOLS_NODE=0"}}, Tools{}, "CLAUDE_VM_TOOLS_NODE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := tt.input(t)
			c, err := Load(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, c.Tools); diff != "" {
				t.Error(diff)
			}
			if got := strings.ReplaceAll(c.Origin("tools.node").String(), in.Home, "~"); got != tt.origin {
				t.Errorf("origin %s, want %s", got, tt.origin)
			}
			if c.IsSet("tools.node.version") != (tt.want.Node.Version != "") {
				t.Errorf("version set: %v", c.IsSet("tools.node.version"))
			}
		})
	}
}

func TestClaudeArgs(t *testing.T) {
	t.Parallel()
	const skip = "--dangerously-skip-permissions"
	for name, tt := range map[string]struct {
		world
		want []string
	}{
		"unset":                 {world{global: "[vm]\n", project: "[vm]\n"}, []string{skip}},
		"none":                  {world{project: "defaults.claude_args = []"}, nil},
		"added to":              {world{project: `defaults.claude_args = ["--max-tokens", "4096"]`}, []string{skip, "--max-tokens", "4096"}},
		"written out":           {world{project: `defaults.claude_args = ["-v", "` + skip + `"]`}, []string{"-v", skip}},
		"nearest, not both":     {world{global: `defaults.claude_args = ["a"]`, project: `defaults.claude_args = ["b", ""]`}, []string{skip, "b", ""}},
		"nearest, set to none":  {world{global: `defaults.claude_args = ["a"]`, project: `defaults.claude_args = []`}, nil},
		"farther, if not set":   {world{global: `defaults.claude_args = ["a"]`, project: "[defaults]"}, []string{skip, "a"}},
		"flags, all of them":    {world{global: `defaults.claude_args = ["a"]`, flags: []FlagValue{{Key: "defaults.claude_args", Flag: "--x", Value: "b"}, {Key: "defaults.claude_args", Flag: "--x", Value: "c"}}}, []string{skip, "b", "c"}},
		"with line breaks, too": {world{project: "defaults.claude_args = ['''a\nb''']"}, []string{skip, "a\nb"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.mustLoad(t).Defaults.Args()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	w := world{
		global:  "runtime.scripts = ['g.sh']\nsetup.scripts = ['~/s.sh']\nvm.image = 'template:x'",
		project: "runtime.scripts = ['./p.sh', '../q.sh', '~/h.sh', '/abs//x.sh', '~', 'a/~/b']\nvm.image = 'disk.qcow2'",
		flags:   []FlagValue{{Key: "runtime.scripts", Flag: "--runtime-script", Value: "f.sh"}, {Key: "runtime.scripts", Flag: "--runtime-script", Value: "~/f.sh"}},
	}
	in := w.input(t)
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, item := range c.Runtime.Scripts {
		got = append(got, strings.ReplaceAll(fmt.Sprintf("%d %s %s", item.Origin.Layer, item.Value, item.Origin), in.Home, "~"))
	}
	want := []string{
		"1 ~/g.sh ~/.claude-vm.toml:1:20",
		"2 ~/proj/p.sh ~/proj/.claude-vm.toml:1:20",
		"2 ~/q.sh ~/proj/.claude-vm.toml:1:30",
		"2 ~/h.sh ~/proj/.claude-vm.toml:1:41",
		"2 /abs/x.sh ~/proj/.claude-vm.toml:1:51",
		"2 ~ ~/proj/.claude-vm.toml:1:65",
		"2 ~/proj/a/~/b ~/proj/.claude-vm.toml:1:70",
		"4 ~/proj/sub/f.sh --runtime-script",
		"4 ~/f.sh --runtime-script",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := filepath.Join(in.Home, "proj", "disk.qcow2"); c.VM.Image != want {
		t.Errorf("image %s, want %s", c.VM.Image, want)
	}
	if c.Origin("runtime.scripts").Layer != Flag || c.Origin("setup.scripts").Layer != Global {
		t.Errorf("origins %s, %s", c.Origin("runtime.scripts"), c.Origin("setup.scripts"))
	}

	_, err = Load(Input{Environ: []string{"CLAUDE_VM_IMAGE=x"}, Flags: []FlagValue{{Key: "setup.scripts", Flag: "--setup-script", Value: "~/x"}}})
	if got, want := fmt.Sprint(err), "CLAUDE_VM_IMAGE: vm.image is a path relative to an unknown directory\n--setup-script: setup.scripts is a path relative to an unknown directory"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestMountsAddUp(t *testing.T) {
	t.Parallel()
	c := world{
		global:  "[[mounts]]\nlocation='/a'\n[[mounts]]\nlocation='/b'\nwritable=false\n[[setup.mounts]]\nlocation='/s'\nmount_point='/t/'\n[[ports]]\nhost=1\nguest=1",
		project: "mounts = [{location='/b/', mount_point='/x'}, {location='/c'}, {location='/c'}]\nports = [{host=1,guest=2},{host=2,guest=2}]",
	}.mustLoad(t)
	strip := cmp.Transformer("layer", func(o Origin) Layer { return o.Layer })
	want := []Mount{
		{"/a", "", true, Origin{Layer: Global}},
		{"/b", "/x", true, Origin{Layer: Project}},
		{"/c", "", true, Origin{Layer: Project}},
	}
	if diff := cmp.Diff(want, c.Mounts, strip); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Mount{{"/s", "/t", true, Origin{Layer: Global}}}, c.Setup.Mounts, strip); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Port{{1, 2, Origin{Layer: Project}}, {2, 2, Origin{Layer: Project}}}, c.Ports, strip); diff != "" {
		t.Error(diff)
	}
}

func TestPhases(t *testing.T) {
	t.Parallel()
	const file = `
[[phase.setup]]
name = "a"
script = "make"
env = { A = "1", B = "x y" }
when = "test -f Makefile"
continue_on_error = true
[[phase.setup]]
name = "a"
script = "b"
script_files = ["./b.sh"]
source = true
`
	c := world{project: file}.mustLoad(t)
	got := c.Phase.Setup
	if len(got) != 2 {
		t.Fatalf("got %+v", got)
	}
	want := []Phase{
		{Name: "a", Script: "make", Env: map[string]string{"A": "1", "B": "x y"}, When: "test -f Makefile", ContinueOnError: true, Origin: got[0].Origin},
		{Name: "a", Script: "b", ScriptFiles: got[1].ScriptFiles, When: "always", Source: true, Origin: got[1].Origin},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if files := values(got[1].ScriptFiles); len(files) != 1 || !strings.HasSuffix(files[0], "/proj/b.sh") || got[1].Origin.Line != 8 {
		t.Errorf("files %q, origin %s", files, got[1].Origin)
	}
}

func TestPackages(t *testing.T) {
	t.Parallel()
	c := world{global: "packages.system = ['g++', 'jq']", project: "packages.system = ['libc6:amd64=2.41-12+deb13u1', 'nodejs=22.*']"}.mustLoad(t)
	if diff := cmp.Diff([]string{"g++", "jq", "libc6:amd64=2.41-12+deb13u1", "nodejs=22.*"}, values(c.Packages.System)); diff != "" {
		t.Error(diff)
	}
}

func TestFormsOfAFile(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"tables":       "[vm]\ndisk = 30\n[tools]\nnode = true\n",
		"dotted":       "vm.disk = 30\ntools.node = true",
		"inline":       "vm = { disk = 30 }\ntools = { node = true }\n",
		"CRLF":         "[vm]\r\ndisk = 30\r\n[tools]\r\nnode = true\r\n",
		"BOM":          "\ufeff[vm]\ndisk = 30\n[tools]\nnode = true\n",
		"odd numbers":  "[vm]\ndisk = +3_0\n[tools]\n\"node\" = true\n",
		"hexadecimal":  "['vm']\ndisk = 0x1E\n[tools]\nnode = true\n",
		"with comment": "# é\n[vm] # x\ndisk = 30 # GB\n[tools]\nnode = true # ☃\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := world{project: file}.mustLoad(t)
			if c.VM.Disk != 30 || !c.Tools.Node.Enabled {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestFilesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		make func(path string) error
		want string
	}{
		"directory":  {func(p string) error { return os.Mkdir(p, 0o700) }, "is a directory, not a file"},
		"pipe":       {func(p string) error { return syscall.Mkfifo(p, 0o600) }, "is not a regular file"},
		"device":     {func(p string) error { return os.Symlink("/dev/zero", p) }, "is not a regular file"},
		"lost link":  {func(p string) error { return os.Symlink("nowhere", p) }, "is a link that leads nowhere"},
		"loop":       {func(p string) error { return os.Symlink(p, p) }, "cannot be read: too many levels of symbolic links"},
		"too large":  {func(p string) error { return os.WriteFile(p, make([]byte, maxFile+1), 0o600) }, "is larger than 1 MiB"},
		"too many":   {func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("[[mounts]]\n", maxValues)), 0o600) }, "holds more than 10000 keys and elements"},
		"unreadable": {func(p string) error { return os.WriteFile(p, nil, 0) }, "cannot be read: permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "unreadable" && os.Geteuid() == 0 {
				t.Skip("root reads everything")
			}
			in := world{}.input(t)
			if err := tt.make(in.ProjectFile); err != nil {
				t.Fatal(err)
			}
			want := in.ProjectFile + ": " + tt.want
			if _, err := Load(in); fmt.Sprint(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
			if _, err := Validate(in.ProjectFile, in.Home); fmt.Sprint(err) != want {
				t.Errorf("validate: got %v, want %s", err, want)
			}
		})
	}
}

func TestHomeAsProject(t *testing.T) {
	t.Parallel()
	in := world{global: "runtime.scripts = ['x.sh']"}.input(t)
	if err := os.Symlink(in.GlobalFile, in.ProjectFile); err != nil {
		t.Fatal(err)
	}
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Runtime.Scripts) != 1 || c.Runtime.Scripts[0].Origin.Layer != Global {
		t.Errorf("got %+v", c.Runtime.Scripts)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	in := world{global: "[vm]\ndisk = 0", project: "[vm]\ndisk = 1"}.input(t)
	if c, err := Validate(in.ProjectFile, in.Home); err != nil || !slices.Equal(c.Files(), []string{in.ProjectFile}) {
		t.Error(c.Files(), err)
	}
	for path, want := range map[string]string{
		in.GlobalFile:                       ":2:1: vm.disk must be a whole number from 1 to 1000 (GB), not 0",
		filepath.Join(in.Home, "none.toml"): ": cannot be read: no such file or directory",
	} {
		if _, err := Validate(path, in.Home); fmt.Sprint(err) != path+want {
			t.Errorf("got %v, want %s", err, path+want)
		}
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	in := world{
		global:  "[setup]\nscripts = [\"~\", \"~/no.sh\"]\n[[mounts]]\nlocation = \"~\"\n[[mounts]]\nlocation = \"~/none\"\n",
		project: "[vm]\nca_certificates = [\"ca.pem\"]\n[[phase.runtime]]\nname = \"x\"\nscript_files = [\"x.sh\"]\n",
	}.input(t)
	c, err := Load(in)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Files(), []string{in.GlobalFile, in.ProjectFile}) {
		t.Errorf("files %q", c.Files())
	}
	want := strings.Join([]string{
		"~/proj/.claude-vm.toml:2:20: vm.ca_certificates names ~/proj/ca.pem, which cannot be read: no such file or directory",
		"~/.claude-vm.toml:2:17: setup.scripts names ~/no.sh, which cannot be read: no such file or directory",
		"~/.claude-vm.toml:5:3: mounts.location names ~/none, which cannot be read: no such file or directory",
		"~/proj/.claude-vm.toml:5:17: phase.runtime.script_files names ~/proj/x.sh, which cannot be read: no such file or directory",
	}, "\n")
	if got := strings.ReplaceAll(fmt.Sprint(c.Missing()), in.Home, "~"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for want, o := range map[string]Origin{
		"default":            {},
		"/p/x.toml:3:4":      {Layer: Project, File: "/p/x.toml", Line: 3, Column: 4},
		`"/p\n\x1b/x":3:4`:   {Layer: Project, File: "/p\n\x1b/x", Line: 3, Column: 4},
		"/p/x.toml":          {Layer: Project, File: "/p/x.toml"},
		"CLAUDE_VM_DISK":     {Layer: Environment, Name: "CLAUDE_VM_DISK"},
		"--disk":             {Layer: Flag, Name: "--disk"},
		"/Über/a b.toml:1:1": {Layer: Global, File: "/Über/a b.toml", Line: 1, Column: 1},
	} {
		if got := o.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOneTypo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"disk", "disk", false}, {"", "", false}, {"", "a", true}, {"disk", "dsk", true}, {"disk", "diskk", true}, {"disk", "dusk", true},
		{"disk", "dsik", true}, {"disk", "idks", false}, {"disk", "dk", false}, {"ab", "ba", true}, {"disk", "disc", true}, {"x", "disk", false},
	} {
		if OneTypo(tt.a, tt.b) != tt.want || OneTypo(tt.b, tt.a) != tt.want {
			t.Errorf("%q, %q: not %v", tt.a, tt.b, tt.want)
		}
	}
}
