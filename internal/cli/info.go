package cli

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/ui"
)

// facts is what info tells.
type facts struct {
	Project  string         `json:"project"`
	Folder   string         `json:"folder"` // the working directory of a session, in the guest
	Config   string         `json:"config,omitempty"`
	Template templateFacts  `json:"template"`
	Mounts   []mountFacts   `json:"mounts"`
	Setup    []string       `json:"setup"`   // the scripts that setup would run
	Scripts  []string       `json:"scripts"` // those that a session would run
	Env      []string       `json:"env"`     // names only
	Ports    map[string]int `json:"ports,omitempty"`
	Asks     []string       `json:"asks,omitempty"` // what the project's files ask of the host, and whether they may have it
	Claude   []string       `json:"claude"`
}

type templateFacts struct {
	Name     string     `json:"name"`
	State    string     `json:"state"`
	Built    *time.Time `json:"built,omitempty"` // nil: not yet
	Used     *time.Time `json:"used,omitempty"`
	Claude   string     `json:"claude,omitempty"`
	Tools    versions   `json:"tools,omitempty"`
	DiskGB   int        `json:"disk_gb,omitempty"`
	MemoryGB int        `json:"memory_gb,omitempty"`
	CPUs     int        `json:"cpus,omitempty"`
	Bytes    int64      `json:"bytes,omitempty"`
	Layers   []disk     `json:"layers,omitempty"` // that it stands on, the lowest first
}

// versions are those of tools, by their names.
type versions map[string]string

func (v versions) String() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(v)) {
		list = append(list, strings.TrimSpace(name+" "+v[name]))
	}
	return strings.Join(list, ", ")
}

// disk is a folder below disks/.
type disk struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

type mountFacts struct {
	Host     string `json:"host"`
	Guest    string `json:"guest"`
	Writable bool   `json:"writable"`
	Origin   string `json:"origin"`
}

func (a *app) infoCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "Show this project's template, and what a session would see and run",
		Example: "  claude-vm info\n  claude-vm --mount ~/datasets:/data:ro info",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, cfg, err := a.here(cmd.Context())
			if err != nil {
				return err
			}
			review, err := a.review(p, cfg)
			if err != nil {
				return err
			}
			spec, _, err := a.sessionSpec(p, cfg, review, guest.Session{Mode: guest.Shell})
			if err != nil {
				return err
			}
			f := facts{
				Project: p.Main, Folder: spec.Command.Dir, Template: a.templateFacts(spec.Template),
				Asks:   trustLines(a.consents().Read(p.Main), review),
				Claude: append([]string{"claude"}, cfg.Defaults.Args()...),
				Mounts: []mountFacts{}, Env: []string{},
			}
			if f.Config, err = p.ConfigFile(); err != nil {
				return err
			}
			for _, m := range spec.Mounts {
				f.Mounts = append(f.Mounts, mountFacts(m))
			}
			setup, err := a.setupScripts(p, cfg, review)
			if err != nil {
				return err
			}
			f.Setup, f.Scripts = names(setup), names(spec.Command.Scripts)
			for _, v := range spec.Command.Env {
				name, _, _ := strings.Cut(v, "=")
				f.Env = append(f.Env, name)
			}
			for _, port := range spec.Ports {
				if f.Ports == nil {
					f.Ports = map[string]int{}
				}
				f.Ports[fmt.Sprint(port.Host)] = port.Guest
			}
			if asJSON {
				return a.printJSON(f)
			}
			return a.printFacts(f, spec.Mounts)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func names(scripts []guest.Script) []string {
	names := []string{}
	for _, s := range scripts {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) templateFacts(name string) templateFacts {
	store := a.look()
	record, err := instance.ReadRecord(store.Lima, name)
	if state.Gone(err) {
		return templateFacts{Name: name, State: "not built yet"}
	}
	used := store.Used(name)
	f := templateFacts{
		Name: name, State: store.Condition(instance.Entry{Name: name, Record: record}), Built: &record.Created, Used: &used,
		Claude: record.Claude, Tools: record.Tools, DiskGB: record.DiskGB, MemoryGB: record.MemoryGB, CPUs: record.CPUs, Bytes: lima.Size(store.Lima.Dir(name)),
	}
	for _, name := range record.Disks {
		f.Layers = append(f.Layers, disk{name, lima.Size(filepath.Join(a.state().Disks(), name))})
	}
	return f
}

func (a *app) printFacts(f facts, mounts []mount.Mount) error {
	var out strings.Builder
	line := func(what, text string) { fmt.Fprintf(&out, "%-10s %s\n", what, ui.Sanitize(text)) }
	line("project", f.Project)
	if f.Config != "" {
		line("config", f.Config)
	}
	t := f.Template
	line("template", t.Name+", "+t.State)
	if t.Built != nil {
		line("", fmt.Sprintf("built %s, last used %s, Claude Code %s", ago(*t.Built), ago(*t.Used), t.Claude))
		line("", fmt.Sprintf("%d GB disk, %d GB memory, %d CPU; takes %s of its own", t.DiskGB, t.MemoryGB, t.CPUs, ui.Size(t.Bytes)))
	}
	if len(t.Tools) > 0 {
		line("tools", t.Tools.String())
	}
	for _, l := range t.Layers {
		line("layer", l.Name+", "+ui.Size(l.Bytes))
	}
	for _, s := range f.Setup {
		line("setup", s)
	}
	line("folder", f.Folder)
	for _, m := range mounts {
		access := "read-only"
		if m.Writable {
			access = "writable"
		}
		at := ""
		if m.Guest != m.Host {
			at = " at " + m.Guest
		}
		line("mount", fmt.Sprintf("%s%s, %s (%s)", m.Host, at, access, m.Origin))
	}
	for _, s := range f.Scripts {
		line("script", s)
	}
	for _, host := range slices.Sorted(maps.Keys(f.Ports)) {
		line("port", fmt.Sprintf("127.0.0.1:%s is %d in the VM", host, f.Ports[host]))
	}
	for _, ask := range f.Asks {
		line("asks for", ask)
	}
	line("env", strings.Join(f.Env, " "))
	line("runs", strings.Join(f.Claude, " "))
	return a.print("%s", out.String())
}
