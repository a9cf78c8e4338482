package launch

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/envfile"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/paths"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
)

// Plan is what a session is to be, and what its VM may reach of this computer and its network.
type Plan struct {
	Spec  session.Spec
	Reach []string
}

// Plan follows from the request, the configuration and what the user has agreed to. To make one
// changes nothing.
func (w *Work) Plan(asked *trust.Review, command Command) (p Plan, err error) {
	run := command(w.Config)
	shape, err := w.shape(asked)
	if err != nil {
		return p, err
	}
	run.Home = lima.GuestHome
	run.Dir = guestPath(shape.Mounts, w.Project.Dir)
	var named []string
	if run.Env, named, err = w.env(); err != nil {
		return p, err
	}
	found := []string{filepath.Join(w.Project.Root, runtimeScript)}
	run.Scripts, err = readScripts(asked, found, w.Config.Runtime.Scripts, w.Config.Phase.Runtime)
	if err != nil {
		return p, err
	}
	ports, err := w.ports()
	if err != nil {
		return p, err
	}
	steps, err := w.Host.tellNPM()
	if err != nil {
		return p, err
	}
	p.Spec = session.Spec{
		Shape: shape, Ports: ports, Command: run, Steps: steps, Label: label(run), TTY: w.Host.interactive(),
		Stdin: w.Host.Stdin, Stdout: w.Host.Stdout, Stderr: w.Host.Stderr,
	}
	w.resize(&p.Spec.Shape)
	// A terminal that stays on our side has nothing to say to a Claude whose answer goes elsewhere:
	// without an end of input it would wait for one.
	if !p.Spec.TTY && IsTerminal(w.Host.Stdin) && run.Mode == guest.Exec && run.Command[0] == "claude" {
		p.Spec.Stdin = nil
	}
	p.Reach, err = w.Host.reach(w.Config, named)
	return p, err
}

// shape is what the VM of a session is that has no flags of its own.
func (w *Work) shape(asked *trust.Review) (session.Shape, error) {
	mounts, err := w.mounts(asked)
	return session.Shape{
		Project: w.Project, Template: w.Project.TemplateName(), Mounts: mounts, MountType: w.Config.VM.MountType,
	}, err
}

// resize gives a session what it asks for itself; otherwise it is as its template.
func (w *Work) resize(s *session.Shape) {
	for _, size := range []struct {
		key   string
		to    *int
		value int
	}{
		{"vm.disk", &s.DiskGB, w.Config.VM.Disk},
		{"vm.memory", &s.MemoryGB, w.Config.VM.Memory},
		{"vm.cpus", &s.CPUs, w.Config.VM.CPUs},
	} {
		if w.Config.Origin(size.key).Layer == config.Flag {
			*size.to = size.value
		}
	}
}

// sessionReach is what a session without flags of its own may reach.
func (w *Work) sessionReach() ([]string, error) {
	_, named, err := w.env()
	if err != nil {
		return nil, err
	}
	return w.Host.reach(w.Config, named)
}

// label is what runs, for people: nothing that could be private.
func label(command guest.Session) string {
	switch command.Mode {
	case guest.Exec:
		return command.Command[0]
	case guest.Line:
		name, _, _ := strings.Cut(command.Command[0], " ")
		return name
	}
	return "shell"
}

// mountFlagName is who asked for a folder of the command line.
const mountFlagName = "--mount"

// mounts returns the folders that a session sees: the project, what git needs of it elsewhere,
// Claude's conversations about it, and what the user asked for.
func (w *Work) mounts(asked *trust.Review) ([]mount.Mount, error) {
	p := w.Project
	base := []mount.Mount{{Host: p.Root, Guest: p.Root, Writable: true, Origin: "the project", Role: mount.Project}}
	for _, dir := range p.GitDirs {
		base = append(base, mount.Mount{
			Host: dir, Guest: dir, Writable: true, Origin: "the project's git data", Role: mount.GitData,
		})
	}
	if mode := w.conversationMode(); mode != untold {
		base = append(base, mount.Mount{
			Host: w.Host.talks().carrier(p, mode).Shared, Guest: lima.GuestHome + "/.claude/projects", Writable: true,
			Origin: "Claude's conversations", Role: mount.Conversations,
		})
	}
	added, err := w.Host.addedMounts(w.Config.Mounts, w.Request.Mounts)
	if err != nil {
		return nil, err
	}
	mounts, err := mount.Resolve(base, added...)
	if err != nil {
		return nil, err
	}
	return mounts, asked.Saw(mounts)
}

// addedMounts returns the mounts of the configuration files and of the command line, a list for
// each, the farthest first.
func (h Host) addedMounts(configured []config.Mount, flags []string) ([][]mount.Mount, error) {
	layers := make([][]mount.Mount, config.Flag+1)
	for _, m := range configured {
		layers[m.Origin.Layer] = append(layers[m.Origin.Layer],
			mount.Mount{Host: m.Location, Guest: m.MountPoint, Writable: m.Writable, Origin: m.Origin.String()})
	}
	for _, spec := range flags {
		m, err := h.mountFlag(spec)
		if err != nil {
			return nil, err
		}
		m.Origin = mountFlagName
		layers[config.Flag] = append(layers[config.Flag], m)
	}
	return layers, nil
}

// mountFlag reads a --mount. For a path that is not an absolute one it says how to write that.
func (h Host) mountFlag(spec string) (mount.Mount, error) {
	m, err := mount.ParseSpec(spec, h.Home)
	switch host, _, _ := strings.Cut(spec, ":"); {
	case err == nil, host == "", filepath.IsAbs(host):
		return m, err
	case host[0] == '~':
		return m, AdvisedError{err, "write out where the home of that user is"}
	default:
		return m, AdvisedError{err, `a folder below this one is written "$PWD/` + strings.TrimPrefix(host, "./") + `"`}
	}
}

// mountSetting is a folder of the command line as a file of configuration would name it, for who
// reviews all of them.
func mountSetting(m mount.Mount) config.Setting {
	return config.Setting{Key: "mounts", Origin: config.Origin{Layer: config.Flag, Name: mountFlagName},
		Fields: []config.Setting{
			{Key: "location", Value: m.Host}, {Key: "writable", Value: fmt.Sprint(m.Writable)},
		}}
}

// ports returns the ports to publish. One of the command line takes the place of the same host port
// in a file.
func (w *Work) ports() ([]lima.Port, error) {
	chosen := map[int]int{}
	for _, p := range w.Config.Ports {
		chosen[p.Host] = p.Guest
	}
	given := map[uint64]uint64{}
	for _, spec := range w.Request.Ports {
		host, guest, both := strings.Cut(spec, ":")
		if !both {
			guest = host
		}
		h, hostErr := strconv.ParseUint(host, 10, 16)
		g, guestErr := strconv.ParseUint(guest, 10, 16)
		if hostErr != nil || guestErr != nil || h == 0 || g == 0 {
			return nil, usage(fmt.Errorf("--publish: %q is not HOST:GUEST with two ports from 1 to 65535", spec))
		}
		if before, twice := given[h]; twice && before != g {
			return nil, usage(fmt.Errorf(
				"--publish: the host port %d cannot be both %d and %d in the VM", h, before, g,
			))
		}
		given[h], chosen[int(h)] = g, int(g)
	}
	var ports []lima.Port
	for _, host := range slices.Sorted(maps.Keys(chosen)) {
		ports = append(ports, lima.Port{Host: host, Guest: chosen[host]})
	}
	return ports, nil
}

// guestPath returns where the guest finds a path of the host.
func guestPath(mounts []mount.Mount, path string) string {
	best := path
	longest := -1
	for _, m := range mounts {
		rest, inside := paths.Rel(m.Host, path)
		if inside && len(m.Host) > longest {
			longest = len(m.Host)
			best = filepath.Join(m.Guest, rest)
		}
	}
	return best
}

// passedOn are the variables that a guest gets from the host without being asked, besides those by
// which Claude finds its service: what kind of terminal and which time zone a person sits at.
var passedOn = []string{
	"TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "KITTY_WINDOW_ID", "WEZTERM_PANE",
	"ALACRITTY_WINDOW_ID", "WT_SESSION", "VTE_VERSION", "FORCE_HYPERLINK", "NO_COLOR", "FORCE_COLOR", "LANG", "TZ",
}

// env returns the variables that the guest's command gets, and those of them that the user has
// named an address with: a file in the project is written by whoever works there. What was asked
// for more closely comes later, and so wins.
func (w *Work) env() (env, named []string, err error) {
	h := w.Host
	add := func(theirs bool, variables ...string) {
		env = append(env, variables...)
		if !theirs {
			named = append(named, variables...)
		}
	}
	add(false, h.proxies(w.Config)...)
	for _, name := range passedOn {
		if value := proc.Getenv(h.Env, name); value != "" {
			add(false, name+"="+value)
		}
	}
	provider, _ := claude.Provider(h.Env)
	add(false, provider...)
	for _, item := range w.Config.Env.Inherit {
		add(false, envfile.Matching(h.Env, item.Value)...)
	}
	for _, v := range w.Config.Env.Set.Items() {
		add(v.Origin.Layer == config.Project, v.Value)
	}
	for _, name := range w.Request.Inherit {
		if !envfile.ValidName(name) {
			return nil, nil, usage(fmt.Errorf("--inherit-env: %q cannot be the name of a variable", name))
		}
		i := slices.IndexFunc(h.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if i < 0 {
			return nil, nil, usage(fmt.Errorf("--inherit-env: the variable %s is not set here", name))
		}
		add(false, h.Env[i])
	}
	for _, file := range w.Request.EnvFiles {
		text, err := trust.ReadFile(w.Project.Root, h.Path(file))
		if err != nil {
			return nil, nil, usage(fmt.Errorf("--env-file: %w", err))
		}
		variables, err := envfile.Parse(string(text))
		if err != nil {
			return nil, nil, usage(fmt.Errorf("--env-file %s: %w", file, err))
		}
		add(trust.InProject(w.Project.Root, h.Path(file)), variables...)
	}
	for _, v := range w.Request.Env {
		if name, _, found := strings.Cut(v, "="); !found || !envfile.ValidName(name) {
			return nil, nil, usage(fmt.Errorf("--env: %q is not NAME=VALUE", v))
		}
		add(false, v)
	}
	return env, named, nil
}
