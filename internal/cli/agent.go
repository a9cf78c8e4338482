package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/envfile"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/proc"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// sessionGB is what must be free for a session to begin. A guest whose disk cannot grow stands still.
const sessionGB = 1

func (a *app) agentCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "agent [flags] [claude arguments…]",
		Aliases: []string{"run"},
		Short:   "Run Claude in a throw-away VM, as claude-vm without a command does",
		Example: `  claude-vm agent "fix the failing test"
  claude-vm agent --model opus -p "explain main.go"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runSession(cmd.Context(), func(cfg *config.Config) guest.Session {
				if len(args) == 0 || !claude.IsSubcommand(args[0]) {
					args = slices.Concat(args, cfg.Defaults.Args())
				}
				return guest.Session{Mode: guest.Exec, Command: append([]string{"claude"}, args...)}
			})
		},
	}
}

// prepared is a session that could begin.
type prepared struct {
	project *project.Project
	cfg     *config.Config
	asked   *trust.Review
	store   instance.Store
	spec    session.Spec
	tell    func(code int) // what there is to tell at its end
}

// prepare looks at all that a session depends on before it has a VM. It runs what command makes of the configuration.
func (a *app) prepare(ctx context.Context, command func(*config.Config) guest.Session) (s prepared, err error) {
	if s.project, s.cfg, err = a.here(ctx); err != nil {
		return s, err
	}
	if s.cfg.Guard.Git != "off" {
		a.userSettings(ctx, s.project)
	}
	if s.asked, err = a.agreed(ctx, s.project, s.cfg); err != nil {
		return s, err
	}
	var named []string
	if s.spec, named, err = a.sessionSpec(s.project, s.cfg, s.asked, command(s.cfg)); err != nil {
		return s, err
	}
	if err = a.lendAgents(ctx, s.project, s.cfg, &s.spec); err != nil {
		return s, err
	}
	if s.store, err = a.machines(ctx, s.cfg, named...); err != nil {
		return s, err
	}
	s.tell, err = a.addUser(ctx, s.store, s.project, s.cfg, &s.spec)
	return s, err
}

// runSession runs what command makes of the configuration in a VM of this project.
func (a *app) runSession(ctx context.Context, command func(*config.Config) guest.Session) error {
	s, err := a.prepare(ctx, command)
	if err != nil {
		return err
	}
	if err := a.needSpace(sessionGB); err != nil {
		return err
	}
	if err := a.ensureTemplate(ctx, s.store, s.project, s.cfg, s.asked); err != nil {
		return err
	}
	watched, err := a.watchGit(ctx, s.project, s.spec.Mounts, s.cfg.Guard.Git)
	if err != nil {
		return err
	}
	defer watched.end(ctx)
	s.spec.Watch = watched.add
	account := a.account(ctx, s.project, &s.spec)
	defer account.close()
	talk, err := a.beginTalk(ctx, s.project, s.cfg, &s.spec)
	if err != nil {
		return err
	}
	defer talk.end(ctx)
	giveBack := a.keepTerminal()
	defer a.mindUpdates(ctx, s.cfg, &s.spec)()
	runner := a.runner(s.store, s.cfg)
	code, err := runner.Run(ctx, s.spec)
	giveBack()
	s.tell(code)
	account.tell(ctx, err != nil && s.spec.TTY)
	if err != nil {
		return err
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

// ensureTemplate builds a missing template if the user wants that.
func (a *app) ensureTemplate(ctx context.Context, store instance.Store, p *project.Project, cfg *config.Config, asked *trust.Review) error {
	record, lock, err := store.Find(ctx, p.TemplateName())
	if err == nil {
		lock.Unlock()
		a.sayOldClaude(cfg, record)
		return builtFrom(ctx, store, cfg, record)
	}
	if !errors.Is(err, instance.ErrNone) {
		return err
	}
	if !a.flags.autoSetup {
		yes, askErr := a.ui.Confirm(ctx, "There is no template for "+ui.Sanitize(p.Main)+" yet. Build it now?", true)
		if errors.Is(askErr, ui.ErrNotInteractive) || askErr == nil && !yes {
			return err
		}
		if askErr != nil {
			return askErr
		}
	}
	mounts, err := a.addedMounts(cfg.Setup.Mounts, nil) // those of the command line are the session's
	if err != nil {
		return err
	}
	spec, err := a.templateSpec(p, cfg, asked, mounts)
	if err != nil {
		return err
	}
	_, err = a.setup(ctx, store, cfg, spec)
	return err
}

// builtFrom makes sure that a template stands on the image that the command line asks for: a session cannot change that.
func builtFrom(ctx context.Context, store instance.Store, cfg *config.Config, record instance.Record) error {
	if cfg.Origin("vm.image").Layer != config.Flag {
		return nil
	}
	images, err := store.Lima.Images(ctx, cfg.VM.Image)
	if err != nil || reflect.DeepEqual(images, record.Images) {
		return err
	}
	return advisedError{
		usageError{"claude-vm", errors.New("--image: the template of this project was built from another image")},
		"build it anew: claude-vm setup --image " + shellescape.Quote(cfg.VM.Image),
	}
}

// sessionSpec says what a session is to be. The variables named are those of the session whose addresses it may reach.
func (a *app) sessionSpec(
	p *project.Project, cfg *config.Config, asked *trust.Review, command guest.Session,
) (spec session.Spec, named []string, err error) {
	mounts, err := a.mounts(p, cfg, asked)
	if err != nil {
		return spec, nil, err
	}
	command.Home = lima.GuestHome
	command.Dir = guestPath(mounts, p.Dir)
	if command.Env, named, err = a.guestEnv(p, cfg); err != nil {
		return spec, nil, err
	}
	command.Scripts, err = readScripts(asked, []string{filepath.Join(p.Root, runtimeScript)}, cfg.Runtime.Scripts, cfg.Phase.Runtime)
	if err != nil {
		return spec, nil, err
	}
	ports, err := a.ports(cfg)
	if err != nil {
		return spec, nil, err
	}
	steps, err := a.tellNPM()
	if err != nil {
		return spec, nil, err
	}
	spec = session.Spec{
		Shape: session.Shape{
			Project: p, Template: p.TemplateName(), Mounts: mounts, MountType: cfg.VM.MountType,
		},
		Ports:   ports,
		Command: command,
		Steps:   steps,
		Label:   label(command),
		TTY:     isTerminal(a.Stdin) && isTerminal(a.Stdout),
		Stdin:   a.Stdin, Stdout: a.Stdout, Stderr: a.Stderr,
	}
	// What a session asks for itself; otherwise it is as its template.
	for field, value := range map[*int]struct {
		key string
		v   int
	}{
		&spec.DiskGB: {"vm.disk", cfg.VM.Disk}, &spec.MemoryGB: {"vm.memory", cfg.VM.Memory}, &spec.CPUs: {"vm.cpus", cfg.VM.CPUs},
	} {
		if cfg.Origin(value.key).Layer == config.Flag {
			*field = value.v
		}
	}
	// A terminal that stays on our side has nothing to say to a Claude whose answer goes elsewhere: without an end of
	// input it would wait for one.
	if !spec.TTY && isTerminal(a.Stdin) && command.Mode == guest.Exec && command.Command[0] == "claude" {
		spec.Stdin = nil
	}
	return spec, named, nil
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

// conversations is who asked for the folder of Claude's conversations.
const conversations = "Claude's conversations"

// mounts returns the folders that a session sees: the project, what git needs of it elsewhere, Claude's conversations
// about it, and what the user asked for.
func (a *app) mounts(p *project.Project, cfg *config.Config, asked *trust.Review) ([]mount.Mount, error) {
	base := []mount.Mount{{Host: p.Root, Guest: p.Root, Writable: true, Origin: "the project"}}
	for _, dir := range p.GitDirs {
		base = append(base, mount.Mount{Host: dir, Guest: dir, Writable: true, Origin: "the project's git data"})
	}
	if mode := a.conversationMode(cfg); mode != untold {
		c := a.carrier(p, mode)
		if err := a.state().Make(); err != nil {
			return nil, err
		}
		if err := c.Prepare(); err != nil {
			return nil, err
		}
		base = append(base, mount.Mount{Host: c.Shared, Guest: lima.GuestHome + "/.claude/projects", Writable: true, Origin: conversations})
	}
	added, err := a.addedMounts(cfg.Mounts, a.flags.mounts)
	if err != nil {
		return nil, err
	}
	mounts, err := mount.Resolve(base, added...)
	if err != nil {
		return nil, err
	}
	return mounts, asked.Saw(mounts, base...)
}

// addedMounts returns the mounts of the configuration files and of the command line, a list for each, the farthest first.
func (a *app) addedMounts(configured []config.Mount, flags []string) ([][]mount.Mount, error) {
	layers := make([][]mount.Mount, config.Flag+1)
	for _, m := range configured {
		layers[m.Origin.Layer] = append(layers[m.Origin.Layer],
			mount.Mount{Host: m.Location, Guest: m.MountPoint, Writable: m.Writable, Origin: m.Origin.String()})
	}
	for _, spec := range flags {
		m, err := a.mountFlag(spec)
		if err != nil {
			return nil, err
		}
		m.Origin = "--mount"
		layers[config.Flag] = append(layers[config.Flag], m)
	}
	return layers, nil
}

// mountFlag reads a --mount. For a path that is not an absolute one it says how to write that.
func (a *app) mountFlag(spec string) (mount.Mount, error) {
	m, err := mount.ParseSpec(spec, a.Home)
	switch host, _, _ := strings.Cut(spec, ":"); {
	case err == nil, host == "", filepath.IsAbs(host):
		return m, err
	case host[0] == '~':
		return m, advisedError{err, "write out where the home of that user is"}
	default:
		return m, advisedError{err, `a folder below this one is written "$PWD/` + strings.TrimPrefix(host, "./") + `"`}
	}
}

// ports returns the ports to publish. One of the command line takes the place of the same host port in a file.
func (a *app) ports(cfg *config.Config) ([]lima.Port, error) {
	chosen := map[int]int{}
	for _, p := range cfg.Ports {
		chosen[p.Host] = p.Guest
	}
	given := map[uint64]uint64{}
	for _, spec := range a.flags.ports {
		host, guest, both := strings.Cut(spec, ":")
		if !both {
			guest = host
		}
		h, hostErr := strconv.ParseUint(host, 10, 16)
		g, guestErr := strconv.ParseUint(guest, 10, 16)
		if hostErr != nil || guestErr != nil || h == 0 || g == 0 {
			return nil, usageError{"claude-vm", fmt.Errorf("--publish: %q is not HOST:GUEST with two ports from 1 to 65535", spec)}
		}
		if before, twice := given[h]; twice && before != g {
			return nil, usageError{"claude-vm", fmt.Errorf("--publish: the host port %d cannot be both %d and %d in the VM", h, before, g)}
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
		rest, err := filepath.Rel(m.Host, path)
		if err == nil && filepath.IsLocal(rest) && len(m.Host) > longest {
			longest = len(m.Host)
			best = filepath.Join(m.Guest, rest)
		}
	}
	return best
}

// passedOn are the variables that a guest gets from the host without being asked: Claude's login, and what kind of
// terminal and which time zone a person sits at.
var passedOn = append(claude.LoginSecrets(), "ANTHROPIC_BASE_URL", "TERM", "COLORTERM", "LANG", "TZ")

// guestEnv returns the variables that the guest's command gets, and those of them that the user has named an address with: a
// file in the project is written by whoever works there. What was asked for more closely comes later, and so wins.
func (a *app) guestEnv(p *project.Project, cfg *config.Config) (env, named []string, err error) {
	add := func(theirs bool, variables ...string) {
		env = append(env, variables...)
		if !theirs {
			named = append(named, variables...)
		}
	}
	add(false, a.proxies(cfg)...)
	for _, name := range passedOn {
		if value := proc.Getenv(a.Env, name); value != "" {
			add(false, name+"="+value)
		}
	}
	for _, name := range a.flags.inherit {
		if !envfile.ValidName(name) {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("--inherit-env: %q cannot be the name of a variable", name)}
		}
		i := slices.IndexFunc(a.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		if i < 0 {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("--inherit-env: the variable %s is not set here", name)}
		}
		add(false, a.Env[i])
	}
	for _, file := range a.flags.envFiles {
		text, err := trust.ReadFile(p.Root, a.path(file))
		if err != nil {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("--env-file: %w", err)}
		}
		variables, err := envfile.Parse(string(text))
		if err != nil {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("--env-file %s: %w", file, err)}
		}
		add(trust.InProject(p.Root, a.path(file)), variables...)
	}
	for _, v := range a.flags.env {
		if name, _, found := strings.Cut(v, "="); !found || !envfile.ValidName(name) {
			return nil, nil, usageError{"claude-vm", fmt.Errorf("--env: %q is not NAME=VALUE", v)}
		}
		add(false, v)
	}
	return env, named, nil
}

// path returns a path of the command line as an absolute one.
func (a *app) path(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(a.Home, rest)
	}
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(a.Dir, path)
}
