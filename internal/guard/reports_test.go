package guard

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Every session that ends leaves its report, by whichever way it ended, and only the last ones stay.
func TestReportsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.Reported = filepath.Join(w.store.Dir, "../changes")
	w.store.Gone = (&hosts{}).gone
	first := w.begin(true)
	if err := first.Add("ses_first"); err != nil {
		t.Fatal(err)
	}
	w.write(".git/hooks/post-merge", "evil")
	w.write(".envrc", "evil")
	told, err := first.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := w.begin(true)
	if err := killed.Add("spa_second"); err != nil {
		t.Fatal(err)
	}
	w.write("Makefile", "evil")
	killed.lock.Unlock() // as the kernel does
	if _, err := w.store.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.begin(true).End(t.Context()); err != nil { // it never had a VM
		t.Fatal(err)
	}
	kept, err := w.store.Reports()
	if err != nil || len(kept) != 2 || kept[0].Session != "spa_second" ||
		!slices.Equal(paths(kept[0].Files), []string{"Makefile"}) {
		t.Fatalf("%v: kept %+v", err, kept)
	}
	if len(told.Findings) != 1 || told.Session != "ses_first" {
		t.Errorf("told %+v", told)
	}
	about := cmp.Options{cmpopts.IgnoreUnexported(Change{}), cmpopts.EquateApproxTime(time.Millisecond), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(told, kept[1], about); diff != "" {
		t.Errorf("what is kept is not what was told: %s", diff)
	}
	for i := range maxReports + 5 {
		r := Report{Root: w.root, Session: fmt.Sprint("ses_", i), Begun: told.Ended.Add(time.Duration(i+1) * time.Hour)}
		if err := w.store.keep("x", r); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := os.ReadDir(w.store.Reported)
	last := fmt.Sprint("ses_", maxReports+4)
	if kept, err = w.store.Reports(); err != nil || len(files) != maxReports || len(kept) != maxReports || kept[0].Session != last {
		t.Errorf("%v: %d files, %d reports", err, len(files), len(kept))
	}
}

// A report that comes later about a session, since not all could be put back, does not hide what an earlier one has told.
func TestLaterReportsAdd(t *testing.T) {
	t.Parallel()
	store := Store{Reported: t.TempDir()}
	begun := time.Now()
	report := func(found ...Finding) Report {
		return Report{Root: "/p", Session: "ses_x", Begun: begun, Findings: found}
	}
	for _, r := range []Report{
		report(Finding{"/p/.git/a", "added", nil}, Finding{"/p/.git/b", "changed", syscall.ENOSPC}),
		report(Finding{"/p/.git/b", "changed", nil}),
	} {
		if err := store.keep("x", r); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := store.Reports()
	want := []Finding{{"/p/.git/b", "changed", nil}, {"/p/.git/a", "added", nil}}
	if err != nil || len(kept) != 1 || !cmp.Equal(kept[0].Findings, want) {
		t.Errorf("%v: %+v", err, kept)
	}
}
