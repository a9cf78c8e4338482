package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
	"github.com/themouette/claude-vm/internal/wall"
)

// The scripts of a project that run without being named.
const (
	setupScript   = ".claude-vm.setup.sh"
	runtimeScript = ".claude-vm.runtime.sh"
)

// errStateExposed is a state folder that a guest could write to: it could agree to anything itself.
var errStateExposed = errors.New("the state folder lies in the project, where a VM could change it")

// askedError is what a project asks of the host while nobody has agreed, or that it cannot have.
type askedError struct {
	project  string
	requests []trust.Request
	refused  bool
	means    map[string]string // the addresses of the names that are asked for, where they are known
}

func (e *askedError) Error() string {
	name := ui.Sanitize(e.project)
	text := name + " asks for what you have not agreed to:"
	switch {
	case e.refused:
		text = name + " asks for what a project's files cannot have:"
	case len(e.requests) == 0:
		text = "you did not agree to what " + name + " asks for" // and it was shown before
	}
	for _, q := range e.requests {
		text += "\n" + requestLine(q)
		if means := e.means[q.Reach]; means != "" {
			text += "\n" + means
		}
	}
	return text
}

// lookUpTime is how long all the names that a project asks for may take to be looked up.
const lookUpTime = 3 * time.Second

// lookUp finds out what the names mean that are asked for. What a name means later its owner
// decides.
func (e *askedError) lookUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	type answer struct{ reach, means string }
	answers := make(chan answer)
	e.means = map[string]string{}
	for _, q := range e.requests {
		rule, err := wall.ParseRule(q.Reach)
		if _, asked := e.means[q.Reach]; asked || err != nil || rule.Name == "" {
			continue
		}
		e.means[q.Reach] = ""
		go func() { answers <- answer{q.Reach, addresses(ctx, rule.Name)} }()
	}
	for range len(e.means) {
		a := <-answers
		e.means[a.reach] = a.means
	}
}

// addresses says what a name means.
func addresses(ctx context.Context, name string) string {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return "(the addresses of " + name + " cannot be looked up now)"
	}
	var texts []string
	for _, addr := range found {
		texts = append(texts, addr.Unmap().String())
	}
	slices.Sort(texts)
	return "(" + name + " is now " + strings.Join(slices.Compact(texts), ", ") + ")"
}

func requestLine(q trust.Request) string {
	line := fmt.Sprintf("%s (%s)", ui.Sanitize(q.What), ui.Sanitize(q.Origin))
	if q.Refused != "" {
		line += ": " + ui.Sanitize(q.Refused)
	}
	return line
}

func (a *app) consents() trust.Store {
	return trust.Store{Dir: filepath.Join(string(a.state()), "state", "trust")}
}

// review looks at what the project asks of the host.
func (a *app) review(p *project.Project, cfg *config.Config) (*trust.Review, error) {
	file, err := p.ConfigFile()
	if err != nil {
		return nil, err
	}
	place := trust.Place{Root: p.Root, Home: a.Home, State: string(a.state())}
	if file != "" {
		place.Dir = filepath.Dir(file)
	}
	without, err := config.Load(a.input(""))
	if err != nil {
		return nil, err
	}
	var flags []config.Setting
	for _, spec := range a.flags.mounts {
		m, err := a.mountFlag(spec)
		if err != nil {
			return nil, err
		}
		flags = append(flags, config.Setting{Key: "mounts", Origin: config.Origin{Layer: config.Flag, Name: "--mount"}, Fields: []config.Setting{
			{Key: "location", Value: m.Host}, {Key: "writable", Value: fmt.Sprint(m.Writable)},
		}})
	}
	return trust.Examine(place, cfg, without, foundScripts(a.Home, p), flags...), nil
}

// foundScripts returns where the scripts lie that run without being named, if they are there.
func foundScripts(home string, p *project.Project) []string {
	return []string{filepath.Join(home, setupScript), filepath.Join(p.Root, setupScript), filepath.Join(p.Root, runtimeScript)}
}

// agreed looks at what the project asks of the host, and makes sure that the user has agreed to it.
func (a *app) agreed(ctx context.Context, p *project.Project, cfg *config.Config) (*trust.Review, error) {
	if trust.Holds(p.Root, string(a.state())) {
		return nil, fmt.Errorf("%w: %s", errStateExposed, a.state())
	}
	if cfg.VM.MountType == "reverse-sshfs" {
		a.ui.Warn("vm.mount_type = \"reverse-sshfs\": root in the VM can read and write all files of your account")
	}
	review, err := a.review(p, cfg)
	if err != nil {
		return nil, err
	}
	if refused := review.Refused(); len(refused) > 0 {
		return nil, &askedError{project: p.Main, requests: refused, refused: true}
	}
	known := a.consents().Read(p.Main)
	if known.Covers(review) {
		return review, nil
	}
	unagreed := &askedError{project: p.Main, requests: review.Requests}
	yes, err := a.askTrust(ctx, known, unagreed, review)
	switch {
	case errors.Is(err, ui.ErrNotInteractive):
		return nil, unagreed
	case err != nil:
		return nil, err
	case !yes:
		return nil, &askedError{project: p.Main}
	}
	return review, a.consents().Agree(p.Main, review, time.Now())
}

// askTrust shows what is asked for and asks whether that is all right.
func (a *app) askTrust(ctx context.Context, known trust.Project, asked *askedError, review *trust.Review) (bool, error) {
	if !isTerminal(a.Stdin) || !isTerminal(a.Stderr) {
		return false, ui.ErrNotInteractive
	}
	asked.lookUp(ctx)
	a.ui.Warn("%v", asked)
	if len(known.Consents) > 0 {
		added, removed := known.Changes(review)
		for _, what := range added {
			a.ui.Info("new since you agreed: %s", what)
		}
		for _, what := range removed {
			a.ui.Info("no longer asked for: %s", what)
		}
	}
	return a.ui.Confirm(ctx, "Let it have that?", false)
}

func (a *app) trustCommand() *cobra.Command {
	var show, revoke, yes bool
	cmd := &cobra.Command{
		Use:   "trust [flags]",
		Short: "Agree to what this project's files ask of your computer",
		Long: `Agree to what this project's files ask of your computer.

What a project says about the inside of the VM is its own affair. Folders and
scripts outside of the project, ports, the GnuPG agent and the like have no
effect until you have agreed. You agree to what is asked now, scripts with what
they say: after a change you are asked again. Without a terminal the command
itself is the answer.`,
		Example: "  claude-vm trust\n  claude-vm trust --show",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show && revoke || show && yes || revoke && yes {
				return usageError{cmd.CommandPath(), errors.New("--show, --revoke and --yes exclude each other")}
			}
			ctx := cmd.Context()
			if revoke { // even where the configuration cannot be read
				p, err := a.project(ctx)
				if err != nil {
					return err
				}
				return a.revokeTrust(p)
			}
			p, cfg, err := a.here(ctx)
			if err != nil {
				return err
			}
			review, err := a.review(p, cfg)
			if err != nil {
				return err
			}
			if show {
				return a.showTrust(p, review)
			}
			return a.giveTrust(ctx, p, review, yes)
		},
	}
	cmd.Flags().BoolVar(&show, "show", false, "tell what is asked for and what was agreed to")
	cmd.Flags().BoolVar(&revoke, "revoke", false, "take back every agreement for this project")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "agree without being asked")
	return cmd
}

func (a *app) giveTrust(ctx context.Context, p *project.Project, review *trust.Review, yes bool) error {
	if refused := review.Refused(); len(refused) > 0 {
		return &askedError{project: p.Main, requests: refused, refused: true}
	}
	known := a.consents().Read(p.Main)
	switch {
	case len(review.Requests) == 0:
		return a.print("nothing is asked for\n")
	case known.Covers(review):
		return a.print("you have agreed already\n")
	}
	asked := &askedError{project: p.Main, requests: review.Requests}
	answer, err := yes, error(nil)
	if !yes {
		answer, err = a.askTrust(ctx, known, asked, review)
	}
	if yes || errors.Is(err, ui.ErrNotInteractive) { // who types this command where nobody can be asked has answered
		asked.lookUp(ctx)
		a.ui.Info("%v", asked)
		answer, err = true, nil
	}
	if err != nil {
		return err
	}
	if !answer {
		return a.print("nothing was agreed to\n")
	}
	if err := a.consents().Agree(p.Main, review, time.Now()); err != nil {
		return err
	}
	return a.print("agreed\n")
}

func (a *app) revokeTrust(p *project.Project) error {
	found, err := a.consents().Revoke(p.Main)
	if err != nil {
		return err
	}
	if !found {
		return a.print("nothing was agreed to\n")
	}
	return a.print("taken back\n")
}

func (a *app) showTrust(p *project.Project, review *trust.Review) error {
	known := a.consents().Read(p.Main)
	var failures []error
	for _, line := range trustLines(known, review) {
		failures = append(failures, a.print("%s\n", line))
	}
	if len(review.Requests) == 0 {
		failures = append(failures, a.print("nothing is asked for\n"))
	}
	if len(known.Consents) > 0 {
		_, removed := known.Changes(review)
		for _, what := range removed {
			failures = append(failures, a.print("no longer asked for: %s\n", ui.Sanitize(what)))
		}
		failures = append(failures, a.print("agreed last %s\n", ago(known.Consents[0].At)))
	}
	return errors.Join(failures...)
}

// trustLines describes each thing that is asked for, and whether it may be had.
func trustLines(known trust.Project, review *trust.Review) (lines []string) {
	covered := known.Covers(review)
	for _, q := range review.Requests {
		state := "not agreed"
		switch {
		case q.Refused != "":
			state = "refused"
		case covered:
			state = "agreed"
		}
		lines = append(lines, state+": "+requestLine(q))
	}
	return lines
}
