package guard

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/themouette/claude-vm/internal/state"
)

// maxReports is how many reports are kept. They are of one size with what a session changed, and
// mostly of some hundred bytes.
const maxReports = 100

// reportTime is how the names of reports begin, so that they sort by when their sessions began.
const reportTime = "20060102T150405.000000000"

// Reports are what is kept of the sessions that have ended, the last of them in front. What nobody
// can read is left out.
func (s Store) Reports() ([]Report, error) {
	names, err := s.reportNames()
	if err != nil {
		return nil, err
	}
	var reports []Report
	for _, name := range slices.Backward(names) {
		var r Report
		if state.ReadJSON(filepath.Join(s.Reported, name), &r) == nil {
			reports = append(reports, r)
		}
	}
	return reports, nil
}

// reportNames returns the names of the files of the reports, the oldest first.
func (s Store) reportNames() (names []string, err error) {
	entries, err := os.ReadDir(s.Reported) // in the order of their names
	if err != nil && !state.Gone(err) {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), notesEnd) && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// keep keeps the report of a session under the name of its notes, with what an earlier report says
// that could not put back all, and forgets the oldest ones. Who calls it has the gate. What never
// had a VM can have changed nothing.
func (s Store) keep(name string, r Report) error {
	if s.Reported == "" || r.Session == "" && r.empty() {
		return nil
	}
	path := filepath.Join(s.Reported, r.Begun.UTC().Format(reportTime)+"-"+name+notesEnd)
	var earlier Report
	if state.ReadJSON(path, &earlier) == nil {
		r = r.with(earlier)
	}
	if err := state.WriteJSON(path, r); err != nil {
		return err
	}
	names, err := s.reportNames()
	for _, old := range names[:max(0, len(names)-maxReports)] {
		err = errors.Join(err, os.Remove(filepath.Join(s.Reported, old)))
	}
	return err
}

// empty says whether there is nothing to report.
func (r Report) empty() bool {
	return len(r.Findings)+len(r.Files)+len(r.Odd)+len(r.Partial) == 0
}

// with adds what an earlier report about the same session says of other paths.
func (r Report) with(earlier Report) Report {
	r.Findings = more(r.Findings, earlier.Findings, sameFinding)
	r.Odd = more(r.Odd, earlier.Odd, sameFinding)
	r.Files = more(r.Files, earlier.Files, func(a, b Change) bool { return a.Path == b.Path })
	r.Partial = more(r.Partial, earlier.Partial, func(a, b string) bool { return a == b })
	sortChanges(r.Files)
	return r
}

func sameFinding(a, b Finding) bool { return a.Path == b.Path && a.What == b.What }

// more adds those of earlier things that none of the later ones is the same as.
func more[T any](later, earlier []T, same func(a, b T) bool) []T {
	all := slices.Clone(later)
	for _, e := range earlier {
		if !slices.ContainsFunc(later, func(l T) bool { return same(l, e) }) {
			all = append(all, e)
		}
	}
	return all
}

// about completes a report with which session it is about: the VM that it ran in is the last that
// its notes name.
func (s Store) about(name string, n notes, r Report) Report {
	var vms []string
	_ = state.ReadJSON(s.vms(name), &vms) // that nobody can read it was said when the VMs were looked for
	if len(vms) > 0 {
		r.Session = vms[len(vms)-1]
	}
	r.Begun, r.Ended = n.Begun, time.Now()
	return r
}
