// Package tool is the catalogue of the tools that a template can have. A tool is one description: what Debian has of it,
// what is fetched from elsewhere and how that is verified, what has to be done in the guest, and what proves that it works.
// The package knows nothing of virtual machines: it hands out descriptions, and verified files in the cache.
package tool

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrVersion means that a tool cannot be had in the version that was asked for.
var ErrVersion = errors.New("this version cannot be had")

// Tool describes a tool. What it has in the guest belongs to its layer's fingerprint.
type Tool struct {
	Name    string // also its key below tools and its flag
	Summary string // for setup --help

	Needs    []string // tools without which it does not work
	Packages []string // Debian's
	Script   string   // shell, run as root in a new bash when the packages are there; $FILES is the folder of its download
	Units    []string // of systemd, below /usr/lib; they begin with each boot
	Merge    []Document
	Checks   []string // lines of shell, run by the guest's user: each must succeed, and the first number printed is the version

	// Download fetches what Debian does not have; nil: nothing.
	Download func(ctx context.Context, s Shop, version string, have Goods) (Good, error) `json:"-"`
	// Pin says whether a version can be asked for; nil: there is one, and none can be asked for.
	Pin func(version string) error `json:"-"`
}

// Document is JSON whose members are added to a file of the guest's user.
type Document struct{ Path, JSON string }

// Choice is a tool that is to be installed.
type Choice struct {
	Tool
	Version string // empty: the tool's own choice
}

// Catalogue returns all tools, in the order in which they are installed: what a tool needs comes before it.
func Catalogue() []Tool {
	return []Tool{git(), gpg(), gh(), python(), rust(), docker(), node(), chromium()}
}

// Choose returns the tools of some names, with what they need, in the order in which they are installed. The map has the
// version of each, empty for the tool's own choice.
func Choose(wanted map[string]string) ([]Choice, error) {
	var chosen []Choice
	needed := map[string]bool{}
	for _, t := range slices.Backward(Catalogue()) {
		version, asked := wanted[t.Name]
		if !asked && !needed[t.Name] {
			continue
		}
		if version != "" && t.Pin != nil {
			if err := t.Pin(version); err != nil {
				return nil, fmt.Errorf("%w: tools.%s.version is %q: %w", ErrVersion, t.Name, version, err)
			}
		}
		for _, need := range t.Needs {
			needed[need] = true
		}
		chosen = append(chosen, Choice{t, version})
	}
	slices.Reverse(chosen)
	return chosen, nil
}
