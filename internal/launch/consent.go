package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/paths"
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

// AskedError is what a project asks of the host while nobody has agreed, or that it cannot have.
type AskedError struct {
	Project  string
	Requests []trust.Request
	Refused  bool
	means    map[string]string // the addresses of the names that are asked for, where they are known
}

func (e *AskedError) Error() string {
	name := ui.Sanitize(e.Project)
	text := name + " asks for what you have not agreed to:"
	switch {
	case e.Refused:
		text = name + " asks for what a project's files cannot have:"
	case len(e.Requests) == 0:
		text = "you did not agree to what " + name + " asks for" // and it was shown before
	}
	for _, q := range e.Requests {
		text += "\n" + RequestLine(q)
		if means := e.means[q.Reach]; means != "" {
			text += "\n" + means
		}
	}
	return text
}

// lookUpTime is how long all the names that a project asks for may take to be looked up.
const lookUpTime = 3 * time.Second

// LookUp finds out what the names mean that are asked for. What a name means later its owner
// decides.
func (e *AskedError) LookUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	type answer struct{ reach, means string }
	answers := make(chan answer)
	e.means = map[string]string{}
	for _, q := range e.Requests {
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

// RequestLine says what is asked for, by whom, and why it cannot be had.
func RequestLine(q trust.Request) string {
	line := fmt.Sprintf("%s (%s)", ui.Sanitize(q.What), ui.Sanitize(q.Origin))
	if q.Refused != "" {
		line += ": " + ui.Sanitize(q.Refused)
	}
	return line
}

// foundScripts returns where the scripts lie that run without being named, if they are there.
func foundScripts(home string, p *project.Project) []string {
	return []string{filepath.Join(home, setupScript), filepath.Join(p.Root, setupScript),
		filepath.Join(p.Root, runtimeScript)}
}

// Agreed looks at what the project asks of the host, and makes sure that the user has agreed to it.
func (w *Work) Agreed(ctx context.Context) (*trust.Review, error) {
	h, p := w.Host, w.Project
	if paths.Holds(p.Root, string(h.State())) {
		return nil, fmt.Errorf("%w: %s", ErrStateExposed, h.State())
	}
	if w.Config.VM.MountType == "reverse-sshfs" {
		h.UI.Warn("vm.mount_type = \"reverse-sshfs\": root in the VM can read and write all files of your account")
	}
	review, err := w.Review()
	if err != nil {
		return nil, err
	}
	if refused := review.Refused(); len(refused) > 0 {
		return nil, &AskedError{Project: p.Main, Requests: refused, Refused: true}
	}
	known := h.Consents().Read(p.Main)
	if known.Covers(review) {
		return review, nil
	}
	unagreed := &AskedError{Project: p.Main, Requests: review.Requests}
	yes, err := h.AskTrust(ctx, known, unagreed, review)
	switch {
	case errors.Is(err, ui.ErrNotInteractive):
		return nil, unagreed
	case err != nil:
		return nil, err
	case !yes:
		return nil, &AskedError{Project: p.Main}
	}
	return review, h.Consents().Agree(p.Main, review, time.Now())
}

// AskTrust shows what is asked for and asks whether that is all right.
func (h Host) AskTrust(
	ctx context.Context, known trust.Project, asked *AskedError, review *trust.Review,
) (bool, error) {
	if !IsTerminal(h.Stdin) || !IsTerminal(h.Stderr) {
		return false, ui.ErrNotInteractive
	}
	asked.LookUp(ctx)
	h.UI.Warn("%v", asked)
	if len(known.Consents) > 0 {
		added, removed := known.Changes(review)
		for _, what := range added {
			h.UI.Info("new since you agreed: %s", what)
		}
		for _, what := range removed {
			h.UI.Info("no longer asked for: %s", what)
		}
	}
	return h.UI.Confirm(ctx, "Let it have that?", false)
}
