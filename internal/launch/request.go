package launch

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/guest"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/trust"
)

// Request is what a command line asks for.
type Request struct {
	NoConfig        bool // the configuration files do not count
	AllowHome       bool // any folder may be the project
	AutoSetup       bool // a missing template is built without a question
	ForwardAgent    bool // the session may use the keys of the ssh-agent
	NoConversations bool

	Mounts, Ports          []string
	Env, EnvFiles, Inherit []string

	Values []config.FlagValue // of the flags that stand for a configuration key
}

// Command is what runs in a session, as the configuration completes it.
type Command func(*config.Config) guest.Session

// Claude runs Claude.
func Claude(args []string) Command {
	return func(cfg *config.Config) guest.Session {
		all := args
		if len(args) == 0 || !claude.IsSubcommand(args[0]) {
			all = slices.Concat(args, cfg.Defaults.Args())
		}
		return guest.Session{Mode: guest.Exec, Command: append([]string{"claude"}, all...)}
	}
}

// Shell runs a command, or without one a shell. One word with blanks or shell syntax in it is a
// line for the shell.
func Shell(args []string) Command {
	return func(*config.Config) guest.Session {
		switch {
		case len(args) == 0:
			return guest.Session{Mode: guest.Shell}
		case isLine(args):
			return guest.Session{Mode: guest.Line, Command: args}
		}
		return guest.Session{Mode: guest.Exec, Command: args}
	}
}

// isLine says whether a command is one line for the guest's shell.
func isLine(args []string) bool {
	return len(args) == 1 && strings.ContainsAny(args[0], " \t\n|&;<>()$`\\\"'*?[]{}~#=%!")
}

// Work is a project, and what the user asks for there.
type Work struct {
	Host    Host
	Request Request
	Project *project.Project
	Config  *config.Config

	settings func() []git.UserSetting // of git; nil: nobody has asked for them yet
}

// Open returns where we are and what the user asks for there.
func (h Host) Open(ctx context.Context, req Request) (*Work, error) {
	p, err := h.Project(ctx, req)
	if err != nil {
		return nil, err
	}
	file, err := p.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(h.input(req, file))
	if err != nil {
		return nil, err
	}
	return &Work{Host: h, Request: req, Project: p, Config: cfg}, nil
}

// Project returns where we are.
func (h Host) Project(ctx context.Context, req Request) (*project.Project, error) {
	if h.Dir == "" {
		return nil, project.ErrGone
	}
	return project.Find(ctx, h.Git(), h.Dir, project.Options{Home: h.Home, AllowHome: req.AllowHome})
}

// OwnConfig is the configuration without a project's file.
func (h Host) OwnConfig(req Request) (*config.Config, error) { return config.Load(h.input(req, "")) }

// input is what the configuration is made of, with a project's file.
func (h Host) input(req Request, file string) config.Input {
	return config.Input{
		Home: h.Home, Cwd: h.Dir, Environ: h.Env, NoFiles: req.NoConfig,
		GlobalFile:  filepath.Join(h.Home, project.ConfigName),
		ProjectFile: file,
		Flags:       req.Values,
	}
}

// Path returns a path of the command line as an absolute one.
func (h Host) Path(path string) string {
	if path = fromHome(h.Home, path); filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(h.Dir, path)
}

// fromHome returns a path with the home folder in the place of ~.
func fromHome(home, path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return path
}

// Review looks at what the project asks of the host.
func (w *Work) Review() (*trust.Review, error) {
	file, err := w.Project.ConfigFile()
	if err != nil {
		return nil, err
	}
	place := trust.Place{Root: w.Project.Root, Home: w.Host.Home, State: string(w.Host.State())}
	if file != "" {
		place.Dir = filepath.Dir(file)
	}
	without, err := w.Host.OwnConfig(w.Request)
	if err != nil {
		return nil, err
	}
	var flags []config.Setting
	for _, spec := range w.Request.Mounts {
		m, err := w.Host.mountFlag(spec)
		if err != nil {
			return nil, err
		}
		flags = append(flags, mountSetting(m))
	}
	return trust.Examine(place, w.Config, without, foundScripts(w.Host.Home, w.Project), flags...), nil
}
