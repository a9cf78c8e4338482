package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/ui"
)

var errNoSession = errors.New("no such session is running")

// errManySessions means that it is not clear which session is meant.
var errManySessions = errors.New("more than one session could be meant")

// sessionHelp says how the commands that take one let a session be named.
const sessionHelp = `A session goes by the name that claude-vm ps shows or three letters or more of
that (the last part will do), by the name of its project, or by a folder in the
project. Without any of these it is the one that runs in the project you are in.`

// sessionHere is the word for the session of the project that we are in.
const sessionHere = "."

// findSession returns the one session that a word means.
func findSession(cmd *cobra.Command, h launch.Host, word string) (instance.Entry, error) {
	if word == "" { // a script whose variable is empty means no session, and surely not this one
		return instance.Entry{}, usageError(cmd.CommandPath(), errors.New("the name of the session is empty"))
	}
	ctx := cmd.Context()
	all, err := h.Look().Alive(instance.Session)
	if err != nil {
		return instance.Entry{}, err
	}
	found, what := instance.Named(all, word), ui.Sanitize(word)
	if word == sessionHere || word == ".." || strings.ContainsRune(word, filepath.Separator) {
		root, err := projectRoot(ctx, h, h.Path(word))
		switch {
		case err == nil:
			found, what = inProject(ctx, h, all, root), ui.Sanitize(root)
		case word == sessionHere || !errors.Is(err, project.ErrGone):
			return instance.Entry{}, err
		}
	}
	switch len(found) {
	case 0:
		return instance.Entry{}, fmt.Errorf("%w: %s", errNoSession, what)
	case 1:
		return found[0], nil
	}
	list := ""
	for _, e := range found {
		list += fmt.Sprintf("\n%s, %s in %s, begun %s", e.Name, ui.Sanitize(e.Command), ui.Sanitize(e.Dir),
			ago(e.Created))
	}
	return instance.Entry{}, fmt.Errorf("%w by %s:%s", errManySessions, what, list)
}

// inProject returns the sessions of a working tree.
func inProject(ctx context.Context, h launch.Host, all []instance.Entry, root string) []instance.Entry {
	return instance.Pick(all, func(e instance.Entry) bool {
		its, err := projectRoot(ctx, h, e.Dir)
		return err == nil && its == root
	})
}

// projectRoot returns the top of the working tree that a folder belongs to. No VM is to see it, so
// that any will do.
func projectRoot(ctx context.Context, h launch.Host, dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", project.ErrGone
	}
	p, err := project.Find(ctx, h.Git(), dir, project.Options{Home: h.Home, AllowHome: true})
	if err != nil {
		return "", err
	}
	return p.Root, nil
}
