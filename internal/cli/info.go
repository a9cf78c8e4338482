package cli

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/session"
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
	// what the project's files ask of the host, and whether they may have it
	Asks   []string `json:"asks,omitempty"`
	Claude []string `json:"claude"`
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

type infoOptions struct {
	launch.Request
	asJSON bool
}

func newInfoCommand(s *shared) *cobra.Command {
	var opts infoOptions
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "Show this project's template, and what a session would see and run",
		Example: "  claude-vm info\n  claude-vm --mount ~/datasets:/data:ro info",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runInfo(cmd.Context(), s.host(), opts) },
	}
	addPlanFlags(cmd.Flags(), &opts.Request)
	cmd.Flags().BoolVar(&opts.asJSON, "json", false, "print JSON")
	return cmd
}

// runInfo shows the plan of a session, and changes nothing.
func runInfo(ctx context.Context, h launch.Host, opts infoOptions) error {
	work, err := h.Open(ctx, opts.Request)
	if err != nil {
		return err
	}
	review, err := work.Review()
	if err != nil {
		return err
	}
	plan, err := work.Plan(review, launch.Shell(nil))
	if err != nil {
		return err
	}
	setup, err := work.SetupScripts(review)
	if err != nil {
		return err
	}
	f := factsOf(plan.Spec)
	f.Project, f.Template, f.Setup = work.Project.Main, templateFactsOf(h, plan.Spec.Template), setup.Names()
	f.Asks = trustLines(h.Consents().Read(work.Project.Main), review)
	f.Claude = append([]string{"claude"}, work.Config.Defaults.Args()...)
	if f.Config, err = work.Project.ConfigFile(); err != nil {
		return err
	}
	if opts.asJSON {
		return printJSON(h, f)
	}
	return printFacts(h, f)
}

// factsOf is what there is to tell of a session that has not begun.
func factsOf(spec session.Spec) facts {
	f := facts{
		Folder: spec.Command.Dir, Mounts: []mountFacts{}, Env: []string{},
		Scripts: launch.Scripts(spec.Command.Scripts).Names(),
	}
	for _, m := range spec.Mounts {
		f.Mounts = append(f.Mounts, mountFacts{m.Host, m.Guest, m.Writable, m.Origin})
	}
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
	return f
}

func templateFactsOf(h launch.Host, name string) templateFacts {
	store := h.Look()
	record, err := instance.ReadRecord(store.Lima, name)
	if state.Gone(err) {
		return templateFacts{Name: name, State: "not built yet"}
	}
	used := store.Used(name)
	f := templateFacts{
		Name: name, State: store.Condition(instance.Entry{Name: name, Record: record}), Built: &record.Created,
		Used: &used, Claude: record.Claude, Tools: record.Tools, DiskGB: record.DiskGB, MemoryGB: record.MemoryGB,
		CPUs: record.CPUs, Bytes: lima.Size(store.Lima.Dir(name)),
	}
	for _, name := range record.Disks {
		f.Layers = append(f.Layers, disk{name, lima.Size(filepath.Join(h.State().Disks(), name))})
	}
	return f
}

func printFacts(h launch.Host, f facts) error {
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
		line("", fmt.Sprintf("%d GB disk, %d GB memory, %d CPU; takes %s of its own", t.DiskGB, t.MemoryGB, t.CPUs,
			ui.Size(t.Bytes)))
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
	for _, m := range f.Mounts {
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
	return printf(h, "%s", out.String())
}
