package session

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/themouette/claude-vm/internal/mount"
)

// Only what is on the host and not in the guest is elsewhere.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(at(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for id, file := range map[string]string{"far": "far/.git", "in": "main/in/.git", "gone": "gone/.git", "shared": "shared/tree/.git", "asset": "assets/tree/.git"} {
		put("main/.git/worktrees/"+id+"/gitdir", at(file)+"\n")
		if id != "gone" {
			put(file, "gitdir: x\n")
		}
	}
	put("bare.git/worktrees/b/gitdir", at("far-too/.git")+"\n")
	put("far-too/.git", "gitdir: x\n")
	put("read-only/.git/worktrees/r/gitdir", at("far/.git")+"\n")
	mounts := []mount.Mount{
		{Host: at("main"), Guest: at("main"), Writable: true},
		{Host: at("bare.git"), Guest: at("bare.git"), Writable: true},
		{Host: at("shared"), Guest: at("shared")},
		{Host: at("assets"), Guest: "/mnt/assets"},
		{Host: at("read-only"), Guest: at("read-only")},
	}
	want := []string{at("assets/tree/.git"), at("far-too/.git"), at("far/.git")}
	if diff := cmp.Diff(want, elsewhere(mounts)); diff != "" {
		t.Error(diff)
	}
	if got := elsewhere(mounts[2:]); got != nil {
		t.Errorf("what cannot be written to cannot lose anything: %q", got)
	}
}
