package config

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/themouette/claude-vm/internal/envfile"
	"github.com/themouette/claude-vm/internal/wall"
)

// key is one line of the table that everything else follows from: decoding, variables, flags, config show, the reference.
type key struct {
	path     string // dotted
	def      string // the default, as a variable would give it; empty: none
	unset    string // in words, what holds while the key has neither value nor default
	env      string // the variable, if it is not CLAUDE_VM_<TABLE>_<KEY>
	required bool   // in an element of a list of tables
	table    bool   // a table in its place turns it on
	doc      string // one sentence
	value
}

// keys is the table, bound to the fields of c.
func (c *Config) keys() []key {
	keys := []key{
		{path: "vm.disk", def: "20", env: "CLAUDE_VM_DISK", value: number(&c.VM.Disk, 1, 1000, "GB"), doc: "Size of the disk; it takes up only what is written to it."},
		{path: "vm.memory", def: "8", env: "CLAUDE_VM_MEMORY", value: number(&c.VM.Memory, 1, 64, "GB"), doc: "Size of the memory."},
		{path: "vm.cpus", unset: "4, at most as many as the host has", env: "CLAUDE_VM_CPUS", value: number(&c.VM.CPUs, 1, 64, ""), doc: "Number of processors."},
		{path: "vm.image", def: "template:debian-13", env: "CLAUDE_VM_IMAGE", value: text(&c.VM.Image, image()), doc: "What the template starts from: a Lima template, a disk image, or a folder with `disk.qcow2`, `vmlinuz`, `initrd.img` and `cmdline`."},
		{path: "vm.accel", def: "auto", value: text(&c.VM.Accel, oneOf("auto", "kvm", "tcg", "hvf")), doc: "Accelerator; `auto` takes the best one that works here."},
		{path: "vm.mount_type", def: "auto", value: text(&c.VM.MountType, oneOf("auto", "virtiofs", "9p", "reverse-sshfs")), doc: "How host directories reach the guest; `auto` takes the fastest that both sides have and that shares nothing else. `reverse-sshfs` gives root in the guest all files of your account; a project's file cannot choose it."},
		{path: "vm.proxy", def: "host", value: text(&c.VM.Proxy, oneOf("host", "none")), doc: "Which proxies the guest uses: those of the host's environment, or none."},
		{path: "vm.ca_certificates", value: list{p: &c.VM.CACertificates, format: hostPath()}, doc: "PEM files of certificate authorities that the guest trusts besides the usual ones."},
	}
	keys = append(keys, key{path: "network.allow", value: list{p: &c.Network.Allow, format: reachable()}, doc: "What a guest reaches of this computer and its local network: `localhost:PORT`, an address, a network or a name, each with or without a port; `*` is everything. A network or a name never means this computer itself. The internet needs no word."})
	for _, t := range c.Tools.all() {
		keys = append(keys, key{path: "tools." + t.name, def: "false", table: true, value: boolean(&t.Enabled), doc: t.doc})
		if t.versions {
			format := such(`a version such as "22" or "3.12.1"`, toolVersion.MatchString)
			keys = append(keys, key{path: "tools." + t.name + versionKey, value: text(&t.Version, format),
				doc: "The version to install, if not the tool's own choice; giving one turns the tool on."})
		}
	}
	keys = append(keys, []key{
		{path: "setup.scripts", value: list{p: &c.Setup.Scripts, format: hostPath()}, doc: "Scripts to run while the template is built, after the ones that are found by their name."},
		{path: "setup.mounts", value: tables[Mount, *Mount]{&c.Setup.Mounts}, doc: "A host directory that is there only while the template is built."},
		{path: "runtime.scripts", value: list{p: &c.Runtime.Scripts, format: hostPath()}, doc: "Scripts to run at the start of each session, after the one that is found by its name."},
		{path: "packages.system", value: list{p: &c.Packages.System, format: such("the name of a Debian package", debianPackage.MatchString)}, doc: "Debian packages to install into the template."},
		{path: "defaults.claude_args", unset: skipPermissions, value: list{p: &c.Defaults.ClaudeArgs, format: anyText(), replaces: true}, doc: "Arguments for Claude after your own; `" + skipPermissions + "` precedes them unless the list is empty."},
		{path: "claude.version", def: "latest", value: text(&c.Claude.Version, claudeVersion()), doc: "Version of Claude Code to install."},
		{path: "claude.source", def: "auto", value: text(&c.Claude.Source, oneOf("auto", "release", "npm")), doc: "Where Claude Code comes from: Anthropic's release channel or the npm registry this host is set up for; `auto` tries them in that order."},
		{path: "claude.conversations", def: "filtered", value: text(&c.Claude.Conversations, oneOf("filtered", "own", "none")), doc: "What becomes of Claude's conversations, its memory and its checkpoints. `filtered`: sessions and Claude on this computer have the same; what comes out of a VM goes through a filter. `own`: sessions share theirs among themselves. `none`: nothing is kept."},
		{path: "claude.share", unset: "nothing", value: list{p: &c.Claude.Share, format: oneOf("settings", "memory", "skills", "agents", "commands", "plugins"), replaces: true}, doc: "What each session gets a copy of from your own ~/.claude."},
		{path: "env.inherit", value: list{p: &c.Env.Inherit, format: such("the name of a variable, or the beginning of one and `*`", envfile.ValidPattern)}, doc: "Variables of the host's environment that sessions get when they are set. What Claude Code needs to use a provider goes along without this."},
		{path: "env.set", value: variables{&c.Env.Set}, doc: "Variables that sessions get."},
		{path: "update.check", def: "true", value: boolean(&c.Update.Check), doc: "Whether to look for a newer claude-vm once a day, while a session runs on a terminal."},
		{path: "mounts", value: tables[Mount, *Mount]{&c.Mounts}, doc: "A host directory that every session sees."},
		{path: "ports", value: tables[Port, *Port]{&c.Ports}, doc: "A port of the guest that the host's loopback offers."},
		{path: "phase.setup", value: tables[Phase, *Phase]{&c.Phase.Setup}, doc: "A named piece of the template's setup."},
		{path: "phase.runtime", value: tables[Phase, *Phase]{&c.Phase.Runtime}, doc: "A named piece of the start of each session."},
	}...)
	keys = append(keys, c.Standby.keys()...)
	return append(keys, c.Guard.keys()...)
}

func (p *Port) keys() []key {
	return []key{
		{path: "host", required: true, value: number(&p.Host, 1, 65535, ""), doc: "The port on the host."},
		{path: "guest", required: true, value: number(&p.Guest, 1, 65535, ""), doc: "The port in the guest."},
	}
}

func (p *Port) origin() *Origin       { return &p.Origin }
func (p *Port) same(other *Port) bool { return p.Host == other.Host }
func (p *Port) check() error          { return nil }

type namedTool struct {
	name string
	*Tool
	doc      string
	versions bool // a version can be chosen
}

// versionKey is what the key of a tool's version ends with.
const versionKey = ".version"

func (t *Tools) all() []namedTool {
	return []namedTool{
		{"docker", &t.Docker, "Docker Engine and Compose.", false},
		{"node", &t.Node, "Node.js and npm.", true},
		{"python", &t.Python, "Python 3 with pip and venv.", false},
		{"chromium", &t.Chromium, "Chromium, with its DevTools registered with Claude.", false},
		{"gpg", &t.GPG, "GnuPG, with the host's agent forwarded for signing.", false},
		{"gh", &t.GH, "GitHub's command line.", false},
		{"rust", &t.Rust, "The Rust toolchain.", false},
		{"git", &t.Git, "Your Git identity.", false},
	}
}

// Versions says whether a version of a tool can be chosen.
func (t Tools) Versions(name string) bool {
	return slices.ContainsFunc(t.all(), func(named namedTool) bool { return named.name == name && named.versions })
}

// ByName returns the tools by the names that they have below tools.
func (t Tools) ByName() map[string]Tool {
	tools := map[string]Tool{}
	for _, named := range t.all() {
		tools[named.name] = *named.Tool
	}
	return tools
}

func (m *Mount) keys() []key {
	return []key{
		{path: "location", required: true, value: text(&m.Location, hostPath()), doc: "The directory on the host."},
		{path: "mount_point", unset: "the same as `location`", value: text(&m.MountPoint, guestPath()), doc: "Where the guest sees it."},
		{path: "writable", def: "true", value: boolean(&m.Writable), doc: "Whether the guest may change it."},
	}
}

func (m *Mount) origin() *Origin        { return &m.Origin }
func (m *Mount) same(other *Mount) bool { return m.Location == other.Location }
func (m *Mount) check() error           { return nil }

// show returns the value, nil if there is none.
func (k key) show() any {
	v := k.value.show()
	if k.def == "" && (v == "" || v == 0) {
		return nil
	}
	return v
}

// variable returns the name of the variable that sets the key; only scalars have one.
func (k key) variable() string {
	if _, ok := k.value.(scalar); !ok {
		return ""
	}
	return cmp.Or(k.env, regularVariable(k.path))
}

// regularVariable returns the name of the variable for a key that has no special one.
func regularVariable(path string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(path))
}

var (
	// A version is nothing that a shell or a package manager would take for something else.
	toolVersion = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+~-]*$`)
	// Debian's policy for names of packages, less a minus at the end, which apt takes for a removal; behind it, as apt
	// writes them, an architecture and a version, in which * stands for anything.
	debianPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*[a-z0-9+.](:[a-z0-9]+)?(=[0-9A-Za-z*][0-9A-Za-z.+:~*-]*)?$`)
)

func reachable() format {
	return such(`an address such as "localhost:5432", "192.168.1.10", "10.0.0.0/8" or "git.example.com:22", or "*"`, func(text string) bool {
		_, err := wall.ParseRule(text)
		return err == nil || text == wall.Everything
	})
}

func claudeVersion() format {
	return such(`"latest", "stable" or a version such as "2.0.14"`, func(text string) bool {
		return text == "latest" || text == "stable" || semver.Canonical("v"+text) == "v"+text
	})
}
