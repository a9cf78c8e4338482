package guard

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/themouette/claude-vm/internal/proc"
)

const smallFolder = "GUARD_SMALL_FOLDER"

// A session that fills the disk, so that nothing can be put back, gains nothing: what it has planted goes at once, and what was
// there comes back as soon as there is room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Getenv(smallFolder) == "" {
		inSmallFolder(t)
		return
	}
	w := newWorld(t)
	w.root = filepath.Join(os.Getenv(smallFolder), "proj")
	if err := os.Mkdir(w.root, 0o700); err != nil {
		t.Fatal(err)
	}
	w.git("init", "-q", "--template=")
	large := strings.Repeat("# mine\n", 3000)
	old := map[string]string{".git/config": "[core]\n\tbare = false\n" + large, ".git/hooks/pre-push": "#!/bin/sh\n" + large, ".git/hooks/post-merge": "#!/bin/sh\n"}
	for name, content := range old {
		w.write(name, content)
	}
	read := func(name string) string {
		text, err := os.ReadFile(w.path(name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		return string(text)
	}
	watch := w.begin(true)
	for name := range old {
		w.write(name, "[evil") // of a configuration nobody can read
	}
	w.write(".git/hooks/post-commit", "evil")
	fill, err := os.Create(w.path("fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}

	try := func(reports []Report, err error) (owed int) {
		t.Helper()
		if err != nil || len(reports) != 1 {
			t.Fatalf("%+v, %v", reports, err)
		}
		for _, f := range reports[0].Findings {
			if full(f.Err) {
				owed++
			} else if f.Err != nil {
				t.Error(f.Err)
			}
		}
		for _, name := range []string{".git/config", ".git/hooks/pre-push", ".git/hooks/post-merge", ".git/hooks/post-commit"} {
			if strings.Contains(read(name), "evil") {
				t.Errorf("%s is what the session has made of it", name)
			}
		}
		return owed
	}
	report, err := watch.End(t.Context())
	if owed := try([]Report{report}, err); owed != 2 || read(".git/hooks/post-merge") != old[".git/hooks/post-merge"] {
		t.Errorf("%d are owed, and %q is there: %+v", owed, read(".git/hooks/post-merge"), report)
	}
	if owed := try(w.store.Recover(t.Context())); owed != 2 {
		t.Errorf("without room %d are owed", owed)
	}
	if err := os.Remove(w.path("fill")); err != nil {
		t.Fatal(err)
	}
	if owed := try(w.store.Recover(t.Context())); owed != 0 {
		t.Errorf("with room again %d are owed", owed)
	}
	for name, content := range old {
		if read(name) != content {
			t.Errorf("%s is %.40q", name, read(name))
		}
	}
	if reports, err := w.store.Recover(t.Context()); err != nil || len(reports) > 0 {
		t.Errorf("there is still something to do: %+v, %v", reports, err)
	}
	if left, err := w.store.locks(); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// inSmallFolder runs a test once more where smallFolder names a folder with little room.
func inSmallFolder(t *testing.T) {
	t.Helper()
	const mount = `mount -t tmpfs -o size=400k none "$` + smallFolder + `"`
	env := append(os.Environ(), smallFolder+"="+t.TempDir())
	if err := proc.Run(t.Context(), proc.Cmd{Argv: []string{"unshare", "-rm", "sh", "-c", mount}, Env: env}); err != nil {
		t.Skip(err)
	}
	out, err := proc.Output(t.Context(), proc.Cmd{
		Argv: []string{"unshare", "-rm", "sh", "-c", mount + ` && exec "$0" -test.v -test.run="^$1\$"`, os.Args[0], t.Name()}, Env: env,
	})
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
}
