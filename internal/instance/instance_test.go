package instance

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/lima/limatest"
	"github.com/themouette/claude-vm/internal/state"
)

// TestMain puts the stand-in for Lima on the PATH of the tests.
func TestMain(m *testing.M) { testscript.Main(m, limatest.Commands()) }

// newStore returns an empty store, with the stand-in for Lima.
func newStore(t *testing.T, more ...string) Store {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cvm-instance-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := Store{State: state.Dir(dir)}
	s.Lima, err = lima.Find(t.Context(), s.State.VMs(), append([]string{"PATH=" + os.Getenv("PATH"), "FAKE_DIR=" + t.TempDir()}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put makes the folder of a stopped instance that stands on some disks.
func put(t *testing.T, s Store, name string, r Record) {
	t.Helper()
	if err := os.MkdirAll(s.Lima.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"lima.yaml", "disk"} {
		if err := os.WriteFile(filepath.Join(s.Lima.Dir(name), file), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteRecord(s.Lima, name, r); err != nil {
		t.Fatal(err)
	}
	for _, disk := range r.Disks {
		putDisk(t, s, disk)
	}
}

func putDisk(t *testing.T, s Store, disk string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(s.State.Disks(), disk), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.State.Disks(), disk, "disk"), nil, 0o400); err != nil {
		t.Fatal(err)
	}
}

// names returns the instances, and the disks that they share.
func names(t *testing.T, s Store) (instances, disks []string) {
	t.Helper()
	instances, err := s.Lima.Instances()
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := os.ReadDir(s.State.Disks())
	for _, e := range entries {
		disks = append(disks, e.Name())
	}
	return instances, disks
}

func TestNames(t *testing.T) {
	t.Parallel()
	for kind := range prefixes {
		name := NewName(kind, "0123456789abcdef", Random())
		if KindOf(name) != kind || len(name) > lima.MaxName-1 {
			t.Errorf("%s: %q", kind, name)
		}
	}
	for _, name := range []string{"", "default", "tpl_", "tplx_a", "x_tpl_a"} {
		if kind := KindOf(name); kind != "" {
			t.Errorf("%q is a %s", name, kind)
		}
	}
	if one, other := Random(), Random(); one == other {
		t.Error("twice the same")
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := ReadRecord(s.Lima, "tpl_a_12"); !state.Gone(err) {
		t.Errorf("no record: %v", err)
	}
	put(t, s, "tpl_a_12", Record{})
	want := Record{
		Kind: Template, Project: "/w/it's \"a\" \u00fc", Created: time.Now().UTC().Truncate(time.Second), Disks: []string{"a", "b"}, DiskGB: 20,
		Images: []lima.Image{{Location: "/x", Kernel: &lima.Kernel{File: lima.File{Location: "/k"}, Cmdline: "<&>"}}}, Shares: []string{"9p"},
	}
	if err := WriteRecord(s.Lima, "tpl_a_12", want); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRecord(s.Lima, "tpl_a_12")
	want.Version = recordVersion
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ctx := t.Context()
	put(t, s, "tpl_good_12", Record{Kind: Template, Disks: []string{"a", "b"}})
	put(t, s, "tpl_new_12", Record{Kind: Template, Disks: []string{"b"}})
	put(t, s, "tpl_diskless_12", Record{Kind: Template, Disks: []string{"b", "gone"}})
	put(t, s, "tpl_half_12", Record{Kind: Template, Disks: []string{"b"}})
	put(t, s, "tpl_broken_12", Record{Kind: Template})
	if err := os.RemoveAll(filepath.Join(s.State.Disks(), "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.Lima.Dir("tpl_half_12"), "disk")); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"tpl_new_12": `{"version": 99}`, "tpl_broken_12": "{"} {
		if err := os.WriteFile(recordPath(s.Lima, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	record, lock, err := s.Find(ctx, "tpl_good_12")
	if err != nil || record.Kind != Template {
		t.Fatal(record, err)
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := s.Remove(short, "tpl_good_12"); !errors.Is(err, ErrBusy) {
		t.Errorf("removed while somebody copies it: %v", err)
	}
	if _, second, err := s.Find(ctx, "tpl_good_12"); err != nil {
		t.Errorf("two copy it: %v", err)
	} else {
		second.Unlock()
	}
	lock.Unlock()
	for name, none := range map[string]bool{"tpl_nothing_12": true, "tpl_diskless_12": true, "tpl_half_12": true, "tpl_new_12": false, "tpl_broken_12": true} {
		if _, _, err := s.Find(ctx, name); err == nil || errors.Is(err, ErrNone) != none {
			t.Errorf("%s: %v", name, err)
		}
		if lock, err := s.State.TryLock(name, state.Exclusive); err != nil {
			t.Errorf("%s: still locked: %v", name, err)
		} else {
			lock.Unlock()
		}
	}
	_, looking, err := s.Find(ctx, "tpl_good_12")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, looking.Unlock)
	if err := s.Remove(ctx, "tpl_good_12"); err != nil {
		t.Errorf("while somebody just looks at it: %v", err)
	}
	if _, _, err := s.Find(ctx, "tpl_good_12"); !errors.Is(err, ErrNone) {
		t.Errorf("after its removal: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if entries, err := s.List(Template); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	put(t, s, "tpl_b_12", Record{Kind: Template, Project: "/b"})
	put(t, s, "tpl_a_12", Record{Kind: Template, Project: "/a"})
	put(t, s, "ses_a_12", Record{Kind: Session})
	put(t, s, "default", Record{})
	if err := os.Remove(recordPath(s.Lima, "tpl_b_12")); err != nil {
		t.Fatal(err)
	}
	entries, err := s.List(Template)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name+e.Project)
	}
	if !slices.Equal(got, []string{"tpl_a_12/a", "tpl_b_12"}) {
		t.Errorf("%q", got)
	}
}

// What dead owners left is removed, half-made or not; the living, the templates, the layers and what is not ours stay.
func TestSweep(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for _, name := range []string{"ses_dead_" + Random(), "bld_dead_" + Random(), "ses_live_" + Random(), "bld_live_" + Random(), "tpl_x_12", "lay_x_12", "default"} {
		put(t, s, name, Record{})
	}
	half := "ses_half_" + Random()
	if err := os.Mkdir(s.Lima.Dir(half), 0o700); err != nil {
		t.Fatal(err)
	}
	all, _ := names(t, s)
	var want []string
	for _, name := range all {
		if len(name) > 8 && name[4:8] == "live" {
			owner, err := s.State.TryLock(name, state.Exclusive)
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Unlock()
			if !s.Owned(name) {
				t.Errorf("%s: its owner is not seen", name)
			}
		}
		if len(name) > 8 && (name[4:8] == "dead" || name[4:8] == "half") {
			want = append(want, name)
		}
	}
	if got, err := s.Orphans(); err != nil || !slices.Equal(got, want) {
		t.Errorf("orphans %q, %v, want %q", got, err, want)
	}
	if got, err := s.Sweep(t.Context()); err != nil || !slices.Equal(got, want) {
		t.Errorf("removed %q, %v, want %q", got, err, want)
	}
	left, _ := names(t, s)
	if len(left) != len(all)-len(want) {
		t.Errorf("left are %q", left)
	}
	if got, err := s.Sweep(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("a second time: %q, %v", got, err)
	}
}

// Disks and layers go when nobody stands on them.
func TestReclaim(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	ctx := t.Context()
	put(t, s, "lay_used_12", Record{Kind: Layer, Layer: "A", Disks: []string{"a"}})
	put(t, s, "lay_free_12", Record{Kind: Layer, Layer: "B", Disks: []string{"b"}})
	put(t, s, "tpl_plain_12", Record{Kind: Template, Layer: "A", Disks: []string{"a"}})
	put(t, s, "tpl_more_12", Record{Kind: Template, Layer: "A", Disks: []string{"a", "a2"}})
	put(t, s, "ses_old_"+Random(), Record{Kind: Session, Layer: "C", Disks: []string{"c"}}) // its template is gone
	putDisk(t, s, "orphan")

	building, err := s.State.TryLock(DisksLock, state.Shared)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Reclaim(ctx, false); err != nil {
		t.Error(err)
	}
	if _, disks := names(t, s); len(disks) != 5 {
		t.Errorf("while somebody builds, there is left %q", disks)
	}
	building.Unlock()

	for _, step := range []struct {
		layers bool
		remove string
		disks  []string
	}{
		{false, "", []string{"a", "a2", "b", "c"}},
		{true, "", []string{"a", "a2", "c"}},
		{true, "tpl_plain_12", []string{"a", "a2", "c"}},
		{false, "tpl_more_12", []string{"a", "c"}},
		{true, "", []string{"c"}},
	} {
		if step.remove != "" {
			if err := s.Remove(ctx, step.remove); err != nil {
				t.Error(err)
			}
		}
		if err := s.Reclaim(ctx, !step.layers); err != nil {
			t.Error(err)
		}
		if _, disks := names(t, s); !slices.Equal(disks, step.disks) {
			t.Errorf("%+v: there is left %q", step, disks)
		}
	}
	if left, _ := names(t, s); len(left) != 1 || KindOf(left[0]) != Session {
		t.Errorf("left are %q", left)
	}
}

// A layer is needed by the layers that are needed on top of it. What would be free if a template were gone is known
// beforehand, and a record that cannot be read frees nothing.
func TestWaste(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	put(t, s, "lay_base_12", Record{Kind: Layer, Disks: []string{"base"}})
	put(t, s, "lay_tools_12", Record{Kind: Layer, Disks: []string{"base", "tools"}})
	put(t, s, "lay_tools_34", Record{Kind: Layer, Disks: []string{"base", "other"}})
	put(t, s, "tpl_a_12", Record{Kind: Template, Disks: []string{"base", "tools"}})
	put(t, s, "tpl_b_12", Record{Kind: Template, Disks: []string{"base", "tools", "own"}})
	for _, test := range []struct {
		keep   bool
		gone   []string
		layers []string
		disks  []string
	}{
		{true, nil, nil, nil},
		{false, nil, []string{"lay_tools_34"}, []string{"other"}},
		{false, []string{"tpl_b_12"}, []string{"lay_tools_34"}, []string{"other", "own"}},
		{true, []string{"tpl_b_12", "tpl_a_12"}, nil, []string{"own"}},
		{false, []string{"tpl_b_12", "tpl_a_12"}, []string{"lay_base_12", "lay_tools_12", "lay_tools_34"}, []string{"base", "other", "own", "tools"}},
	} {
		w, err := s.Waste(test.keep, test.gone...)
		var layers []string
		for _, layer := range w.Layers {
			layers = append(layers, layer.Name)
		}
		slices.Sort(layers)
		if err != nil || !slices.Equal(layers, test.layers) || !slices.Equal(w.Disks, test.disks) {
			t.Errorf("%+v: layers %q, disks %q, %v", test, layers, w.Disks, err)
		}
	}
	if err := os.WriteFile(recordPath(s.Lima, "tpl_a_12"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Waste(false); err == nil || len(w.Disks) > 0 {
		t.Errorf("a record that cannot be read: %+v, %v", w, err)
	}
	if _, err := s.Waste(false, "tpl_a_12"); err != nil {
		t.Error(err)
	}
}

func TestShareType(t *testing.T) {
	t.Parallel()
	if lima.AppleVirtiofs() {
		t.Skip("Apple's framework knows one way only")
	}
	for _, test := range []struct {
		asked  string
		known  []string
		result string
	}{
		{"auto", []string{"9p", "virtiofs"}, "9p"},
		{"auto", []string{"virtiofs"}, ""},
		{"auto", nil, ""},
		{"reverse-sshfs", nil, "reverse-sshfs"},
		{"virtiofs", nil, "virtiofs"},
	} {
		got, err := (Record{Shares: test.known}).ShareType(test.asked)
		if got != test.result || errors.Is(err, ErrNoShare) != (test.result == "") {
			t.Errorf("%+v: %s, %v", test, got, err)
		}
	}
}
