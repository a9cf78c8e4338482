package state

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec" // another process that holds a lock
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain can also be the other process: with HOLD it takes that lock, says so, and waits until it is killed or told to
// go on.
func TestMain(m *testing.M) {
	name := os.Getenv("HOLD")
	if name == "" {
		os.Exit(m.Run())
	}
	if _, err := Dir(os.Getenv("HOLD_DIR")).TryLock(name, Mode(os.Getenv("HOLD_SHARED") != "")); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
}

// hold has another process hold a lock, until the function returned kills it.
func hold(t *testing.T, d Dir, name string, mode Mode) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"HOLD=" + name, "HOLD_DIR=" + string(d)}
	if mode == Shared {
		cmd.Env = append(cmd.Env, "HOLD_SHARED=1")
	}
	in, err := cmd.StdinPipe() // it waits as long as this is open
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	})
	t.Cleanup(kill)
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q", line)
	}
	return kill
}

func TestALockEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	kill := hold(t, d, "x", Exclusive)
	for _, mode := range []Mode{Exclusive, Shared} {
		if _, err := d.TryLock("x", mode); !errors.Is(err, ErrLocked) {
			t.Errorf("while it is held: %v", err)
		}
	}
	if other, err := d.TryLock("y", Exclusive); err != nil {
		t.Errorf("another lock: %v", err)
	} else {
		other.Unlock()
	}
	kill() // as a crash would
	lock, err := d.TryLock("x", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
}

func TestSharedLocks(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	hold(t, d, "x", Shared)
	lock, err := d.TryLock("x", Shared)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.TryLock("x", Exclusive); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	lock.Unlock()
	if _, err := d.TryLock("x", Exclusive); !errors.Is(err, ErrLocked) {
		t.Errorf("the other process still holds it: %v", err)
	}
}

func TestLockWaits(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	for _, mode := range []Mode{Exclusive, Shared} {
		kill := hold(t, d, "x", Exclusive)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := d.Lock(ctx, "x", mode); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		cancel()
		got := make(chan error)
		go func() {
			lock, err := d.Lock(t.Context(), "x", mode)
			if err == nil {
				lock.Unlock()
			}
			got <- err
		}()
		kill()
		select {
		case err := <-got:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("waits for a lock that nobody holds")
		}
	}
}

// A lock excludes others of the same process too.
func TestLockExcludesGoroutines(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	var wg sync.WaitGroup
	counter := filepath.Join(string(d), "counter")
	for i := range 8 {
		wg.Go(func() {
			lock, err := d.Lock(t.Context(), "x", Exclusive)
			if err != nil {
				t.Error(err)
				return
			}
			defer []func(){lock.Unlock, lock.Remove}[i%2]() // the file may go while others wait
			text, _ := os.ReadFile(counter)
			time.Sleep(time.Millisecond)
			if err := os.WriteFile(counter, append(text, 'x'), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if text, _ := os.ReadFile(counter); string(text) != "xxxxxxxx" {
		t.Errorf("%q: somebody was not alone", text)
	}
}

func TestRemovedLockLeavesNoFile(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	lock, err := d.TryLock("x", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	path := d.lockFile("x")
	for _, p := range []string{path, filepath.Dir(path)} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", p, info.Mode(), err)
		}
	}
	lock.Remove()
	if _, err := os.Stat(path); !Gone(err) {
		t.Errorf("got %v", err)
	}
}

func TestALockThatCannotBeMade(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := Dir(file) // a file where the folder should be
	if _, err := d.TryLock("x", Exclusive); err == nil || errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if _, err := d.Lock(t.Context(), "x", Shared); err == nil {
		t.Error("got a lock")
	}
}

type document struct {
	Text string
	List []int
}

func TestJSON(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "x.json")
	var got document
	if err := ReadJSON(path, &got); !Gone(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, text := range []string{"first, and long enough that the second one is shorter", "second"} {
		if err := WriteJSON(path, document{Text: text, List: []int{1, 2}}); err != nil {
			t.Fatal(err)
		}
		if err := ReadJSON(path, &got); err != nil || got.Text != text {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside it lie %v, %v", entries, err)
	}
	for _, broken := range []string{"", "{", `{"Text": 1}`, "[]"} {
		if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ReadJSON(path, &got); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", broken, err)
		}
	}
	if err := WriteJSON(path, make(chan int)); err == nil {
		t.Error("wrote a channel")
	}
	if text, _ := os.ReadFile(path); string(text) != "[]" {
		t.Errorf("what could not be written has left %q", text)
	}
}

// Whoever reads while others write sees one whole document or another.
func TestReadersSeeWholeDocuments(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.json")
	if err := WriteJSON(path, document{List: []int{0}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			for range 10 {
				if err := WriteJSON(path, document{List: slices.Repeat([]int{n}, 1000*(n+1))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		var got document
		if err := ReadJSON(path, &got); err != nil {
			t.Error(err)
		}
		if first := got.List[0]; slices.ContainsFunc(got.List, func(n int) bool { return n != first }) {
			t.Error("half a document")
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// The drafts of the dead go; those of the living stay.
func TestTidy(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	file := filepath.Join(string(d), "state", "guard", "x.json")
	if err := WriteJSON(file, 1); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(file), draft+"123")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			if err := WriteJSON(file, i); err != nil {
				t.Error(err)
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		d.Tidy()
	}
	if files, err := os.ReadDir(filepath.Dir(file)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	var last int
	if err := ReadJSON(file, &last); err != nil || last != 199 {
		t.Errorf("%d, %v", last, err)
	}
	Dir(filepath.Join(string(d), "nowhere")).Tidy()
}

// A folder for a while is its maker's alone, and goes when that has died.
func TestScratch(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			dir, remove, err := d.Scratch()
			if err != nil {
				t.Error(err)
				return
			}
			if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
				t.Error(err)
			}
			remove()
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		d.Tidy()
	}
	dir, remove, err := d.Scratch()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	left := filepath.Join(d.scratch(), "left", "below")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(string(d), "outside")
	if err := errors.Join(os.Mkdir(outside, 0o700), os.Symlink(outside, filepath.Join(left, "link"))); err != nil {
		t.Fatal(err)
	}
	d.Tidy()
	entries, err := os.ReadDir(d.scratch())
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(dir) {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

// Whoever else can have written to the folder, or to one in it, keeps us from believing it.
func TestCheck(t *testing.T) {
	t.Parallel()
	d := Dir(filepath.Join(t.TempDir(), "new"))
	if err := d.Check(); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	if err := errors.Join(d.Make(), d.Check(), d.Make()); err != nil {
		t.Fatal(err)
	}
	lock, err := d.TryLock("x", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	for _, path := range []string{string(d), filepath.Dir(d.lockFile("x"))} {
		for mode, want := range map[os.FileMode]error{0o700: nil, 0o755: nil, 0o770: ErrForeign, 0o702: ErrForeign} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if err := d.Check(); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%s with mode %o: %v", path, mode, err)
			}
		}
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(d.VMs(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(); !errors.Is(err, ErrFolder) {
		t.Errorf("a file in the place of a folder: %v", err)
	}
	if err := Dir(d.VMs()).Make(); !errors.Is(err, ErrFolder) {
		t.Errorf("a file in its place: %v", err)
	}
	if err := Dir(filepath.Join(d.VMs(), "below")).Check(); !errors.Is(err, ErrFolder) {
		t.Errorf("below a file: %v", err)
	}
}

func TestLocks(t *testing.T) {
	t.Parallel()
	d := Dir(t.TempDir())
	if names, err := d.Locks(); err != nil || len(names) > 0 {
		t.Errorf("without a folder: %v, %v", names, err)
	}
	held, err := d.TryLock("b", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	free, err := d.TryLock("a", Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	free.Unlock()
	if names, err := d.Locks(); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
	held.Remove()
}

func TestLayout(t *testing.T) {
	t.Parallel()
	d := Dir("/home/ann/.claude-vm")
	for got, want := range map[string]string{
		d.VMs(): "vm", d.Disks(): "disks", d.Cache(): "cache", d.lockFile("x"): "state/locks/x.lock",
	} {
		if got != filepath.Join(string(d), want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
