package cli_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec" // it kills the program under test
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/themouette/claude-vm/internal/lima/limatest"
)

// A deed is a command that something happens to: a signal at some moment.
type deed struct {
	name string
	env  []string
	args []string
}

// scene is a project of its own with a template, a state folder and traces of the stand-in.
type scene struct {
	t                   *testing.T
	work, state, source string
	env                 []string
}

// newScene makes a scene out of a copy of a state folder. It ends with everything that was started in it.
func (w world) newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, work: shortTemp(t), state: shortTemp(t)}
	t.Cleanup(func() {
		limatest.KillAll(filepath.Join(s.state, "vm"))
		for pid := range s.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	for _, dir := range []string{"home", "fake", "proj", "other-image"} {
		s.check(os.MkdirAll(filepath.Join(s.work, dir), 0o700))
	}
	s.check(w.copyState(s.state))
	s.check(os.CopyFS(filepath.Join(s.work, "proj/.git"), os.DirFS(w.git)))
	s.write("proj/file", "content\n")
	for _, file := range []string{"disk.qcow2", "vmlinuz", "initrd.img", "cmdline"} {
		s.write("other-image/"+file, "other\n")
	}
	s.write("setup", "#!/bin/sh\ntrue\n")
	s.source = w.state
	s.retarget(w.state)
	s.newRelease()
	s.env = append(w.env(s.work, s.state), "PATH="+os.Getenv("PATH"))
	s.must("setup")
	s.check(os.Remove(s.path("fake/log")))
	return s
}

func (s *scene) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) path(rel string) string { return filepath.Join(s.work, rel) }

func (s *scene) write(rel, content string) {
	s.t.Helper()
	s.check(os.WriteFile(s.path(rel), []byte(content), 0o700))
}

// retarget makes what leads to the folder that the state was copied from lead to the copy.
func (s *scene) retarget(from string) {
	s.check(filepath.WalkDir(s.state, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Remove(path), os.Symlink(strings.Replace(to, from, s.state, 1), path))
		case d.Name() == "disk":
			text, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(text, []byte(from)) {
				return err
			}
			return os.WriteFile(path, bytes.ReplaceAll(text, []byte(from), []byte(s.state)), 0o600)
		}
		return nil
	}))
}

const newerRelease = "2.1.331"

// newRelease adds a newer Claude Code to the cache.
func (s *scene) newRelease() {
	folders, err := filepath.Glob(filepath.Join(s.state, "cache/claude-"+release+"-*"))
	s.check(err)
	for _, from := range folders {
		to := strings.Replace(from, release, newerRelease, 1)
		s.check(os.CopyFS(to, os.DirFS(from)))
		record, err := os.ReadFile(filepath.Join(to, "release.json"))
		s.check(err)
		s.check(os.WriteFile(filepath.Join(to, "release.json"), bytes.ReplaceAll(record, []byte(release), []byte(newerRelease)), 0o600))
	}
}

// command is claude-vm in the project of the scene.
func (s *scene) command(env []string, args ...string) *exec.Cmd {
	path, err := exec.LookPath("claude-vm")
	s.check(err)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = s.path("proj"), append(slices.Clone(s.env), env...)
	return cmd
}

// start starts claude-vm. Its output goes to a file: what it leaves behind may hold a pipe open.
func (s *scene) start(env []string, args ...string) *running {
	s.t.Helper()
	cmd := s.command(env, args...)
	file, err := os.CreateTemp(s.work, "output-*")
	s.check(err)
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	s.check(cmd.Start())
	r := &running{cmd, file.Name(), make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(r.ended)
	}()
	return r
}

// running is a claude-vm.
type running struct {
	*exec.Cmd
	output string
	ended  chan struct{}
}

func (r *running) printed() string {
	text, _ := os.ReadFile(r.output)
	return string(text)
}

// reap waits for the end of a claude-vm and returns what it printed and its exit code; 128+n after signal n.
func (s *scene) reap(r *running) (string, int) {
	s.t.Helper()
	select {
	case <-r.ended:
	case <-time.After(patience):
		_ = r.Process.Signal(syscall.SIGQUIT) // with the stacks
		<-r.ended
		s.t.Fatalf("claude-vm %v does not end:\n%s", r.Args[1:], r.printed())
	}
	if status, ok := r.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return r.printed(), 128 + int(status.Signal())
	}
	return r.printed(), r.ProcessState.ExitCode()
}

// run runs claude-vm to its end.
func (s *scene) run(env []string, args ...string) (printed string, code int) {
	s.t.Helper()
	return s.reap(s.start(env, args...))
}

func (s *scene) must(args ...string) string {
	s.t.Helper()
	out, code := s.run(nil, args...)
	if code != 0 {
		s.t.Fatalf("claude-vm %v: code %d\n%s", args, code, out)
	}
	return out
}

// processes returns those that work for the scene, and what they are.
func (s *scene) processes() map[int]string {
	found := map[int]string{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range folders {
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if !slices.Contains(strings.Split(string(env), "\x00"), "CLAUDE_VM_HOME="+s.state) &&
			!slices.Contains(strings.Split(string(env), "\x00"), "FAKE_DIR="+s.path("fake")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && len(line) > 0 { // a zombie has none
			found[pid] = strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return found
}

var random = regexp.MustCompile(`[0-9a-f]{8,}|[0-9]{5,}`)

// listing returns what there is in the state folder and in the project, with what differs from run to run left out, and how
// often.
func (s *scene) listing() map[string]int {
	found := map[string]int{}
	for name, root := range map[string]string{"state": s.state, "project": s.path("proj")} {
		s.check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			switch {
			case strings.HasPrefix(rel, "vm/") && strings.Count(rel, "/") > 1: // Lima's affair
				return nil
			case rel == "state/spares.log", rel == "state/locks/spares.lock": // of any spare
				return nil
			case strings.HasPrefix(rel, ".git/from-session-"): // what was taken out of git's data
				return nil
			case strings.HasPrefix(rel, "state/changes/"), rel == "state/login.json", rel == "state/locks/login.lock": // of a session that got so far
				return nil
			}
			found[name+": "+random.ReplaceAllString(rel, "#")]++
			return nil
		}))
	}
	return found
}

// leaks says what is there that would not be without an accident, what is missing, and what still runs.
func (s *scene) leaks(clean map[string]int) (leaks []string) {
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		leaks = nil
		for _, line := range s.processes() {
			leaks = append(leaks, "runs: "+line)
		}
		if len(leaks) == 0 || time.Since(begin) > 3*time.Second {
			break
		}
	}
	now := s.listing()
	for path := range maps.Keys(clean) {
		if now[path] < clean[path] {
			leaks = append(leaks, "missing: "+path)
		}
	}
	for path := range maps.Keys(now) {
		if now[path] > clean[path] {
			leaks = append(leaks, "left: "+path)
		}
	}
	slices.Sort(leaks)
	return leaks
}

// after runs the commands that come after an accident and returns all that is not as it should be.
func (s *scene) after(clean map[string]int, meanwhile func()) (problems []string) {
	run := func(args ...string) {
		out, code := s.run(nil, args...)
		if code != 0 || strings.Contains(out, "panic:") {
			problems = append(problems, fmt.Sprintf("%v ends with %d: %s", args, code, out))
		}
	}
	run("list")
	meanwhile()
	run("hi")
	run("setup")
	run("gc", "--yes")
	run("list")
	return append(problems, s.leaks(clean)...)
}

// deeds are the commands that die, at each of their steps.
func (s *scene) deeds() []deed {
	return []deed{
		{"base layer", []string{"CLAUDE_VM_IMAGE=" + s.path("other-image")}, []string{"setup"}},
		{"tools, Claude, scripts", []string{"CLAUDE_VM_CLAUDE_VERSION=" + newerRelease}, []string{"setup", "--python", "--setup-script", s.path("setup")}},
		{"session", []string{"ANTHROPIC_API_KEY=", "FAKE_CLAUDE=" + evil}, []string{"hi"}},
	}
}

// evil is a session that logs in, and leaves something that git would run. What is in a VM does nothing any more when that is gone.
const evil = `[ -e $FAKE_INSTANCE ] || exit; echo evil >` + "`cat $FAKE_DIR/claude.dir`" + `/.git/hooks/post-commit; mkdir -p ~/.claude; ` +
	`echo '{"claudeAiOauth":{"accessToken":"a","refreshToken":"r","expiresAt":'$(($(date +%s) + 28800))'000,"scopes":["user:inference"]}}' >~/.claude/.credentials.json`

var signals = []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP}

// verdicts are the table that TestDeathAtEachStep prints.
type verdicts struct {
	sync.Mutex
	rows map[string]map[syscall.Signal]string
	keys []string
}

func (v *verdicts) put(row string, signal syscall.Signal, verdict string) {
	v.Lock()
	defer v.Unlock()
	if v.rows[row] == nil {
		v.rows[row] = map[syscall.Signal]string{}
		v.keys = append(v.keys, row)
	}
	v.rows[row][signal] = verdict
}

func (v *verdicts) String() string {
	v.Lock()
	defer v.Unlock()
	slices.Sort(v.keys)
	var b strings.Builder
	for _, signal := range signals {
		fmt.Fprintf(&b, "%-5s", strings.TrimPrefix(signalName(signal), "SIG"))
	}
	b.WriteString(" when this was about to begin\n")
	leaks := 0
	for _, key := range v.keys {
		for _, signal := range signals {
			fmt.Fprintf(&b, "%-5s", v.rows[key][signal])
			if v.rows[key][signal] != "ok" {
				leaks++
			}
		}
		b.WriteString(" " + key + "\n")
	}
	fmt.Fprintf(&b, "%d steps, %d signals: %d leaks\n", len(v.keys), len(signals), leaks)
	return b.String()
}

func signalName(s syscall.Signal) string {
	return map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP"}[s]
}

// However claude-vm dies, and whatever it was about to have done: the next command works, and nothing is left or lost.
func TestDeathAtEachStep(t *testing.T) {
	long(t)
	t.Parallel()
	w := newWorld(t)
	table := &verdicts{rows: map[string]map[syscall.Signal]string{}}
	t.Cleanup(func() { t.Logf("\n%v", table) })
	for number := range w.newScene(t).deeds() {
		s := w.newScene(t) // how it goes when nothing happens
		d := s.deeds()[number]
		if out, code := s.run(d.env, d.args...); code != 0 || strings.Contains(out, "could not be kept") {
			t.Fatalf("%v: code %d\n%s", d.args, code, out)
		}
		log, err := os.ReadFile(s.path("fake/log"))
		s.check(err)
		steps := strings.Split(strings.TrimSpace(string(log)), "\n")
		s.after(nil, func() {})
		clean := s.listing()
		for i, step := range steps {
			for _, signal := range signals {
				row := fmt.Sprintf("%s, %2d: %s", d.name, i+1, shorten(step))
				t.Run(fmt.Sprintf("%s/%d/%s", d.name, i+1, signalName(signal)), func(t *testing.T) {
					t.Parallel()
					table.put(row, signal, "?")
					s := w.newScene(t)
					d := s.deeds()[number]
					doomed := s.start(append(d.env, "FAKE_STOP_AT="+strconv.Itoa(i+1)), d.args...)
					s.awaitLines(i+1, doomed)
					s.check(doomed.Process.Signal(signal))
					printed, code := s.reap(doomed)
					if code != 128+int(signal) {
						t.Errorf("code %d\n%s", code, printed)
					}
					goOn := func() { s.write("fake/go", "") } // for what was left behind
					if i%2 == 0 {
						goOn()
					}
					problems := s.after(clean, goOn)
					verdict := "ok"
					if len(problems) > 0 {
						verdict = "LEAK"
						t.Errorf("%s\n%s", strings.Join(problems, "\n"), printed)
					}
					table.put(row, signal, verdict)
				})
			}
		}
	}
}

// long leaves a test out when there is no time for it.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes minutes")
	}
}

func shorten(line string) string {
	line = regexp.MustCompile(`-F \S+ -o LogLevel=ERROR |--tty=false |-q -f qcow2 -F qcow2 -b `).ReplaceAllString(line, "")
	line = regexp.MustCompile(`/\S*/`).ReplaceAllString(line, "…/")
	line = regexp.MustCompile(`[0-9a-f]{8,}`).ReplaceAllString(line, "#")
	return line[:min(len(line), 90)]
}

// awaitLines waits until the stand-in was called so many times.
func (s *scene) awaitLines(n int, r *running) {
	s.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(5 * time.Millisecond) {
		log, _ := os.ReadFile(s.path("fake/log"))
		if bytes.Count(log, []byte("\n")) >= n {
			return
		}
	}
	_ = r.Process.Kill()
	<-r.ended
	s.t.Fatalf("there was no call %d:\n%s", n, r.printed())
}

// await waits for something to happen.
func (s *scene) await(what string, ready func() bool) {
	s.t.Helper()
	for begin := time.Now(); !ready(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > patience {
			s.t.Fatalf("%s: waited in vain", what)
		}
	}
}

// logged says whether the stand-in was called like this.
func (s *scene) logged(pattern string) bool {
	log, _ := os.ReadFile(s.path("fake/log"))
	return regexp.MustCompile("(?m)" + pattern).Match(log)
}

// What keeps a spare can die at each of its steps as well.
func TestDeathOfAKeeper(t *testing.T) {
	long(t)
	t.Parallel()
	w := newWorld(t)
	steps := map[string]string{
		"copying":    `^limactl clone .* spa_`,
		"booting":    `^limactl start .*spa_`,
		"connecting": `^ssh .*-M .*lima-spa`,
		"preparing":  `^ssh .*lima-spa-proj-[0-9a-f]+ -- .*\|\| exit; eval`,
		"waiting":    `^ssh .*lima-spa-.*while read`,
	}
	clean := w.newScene(t)
	clean.after(nil, func() {})
	listing := clean.listing()
	for step, pattern := range steps {
		for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
			s := w.newScene(t) // here, for all keepers to let their sessions settle at the same time
			if out, code := s.run([]string{"CLAUDE_VM_STANDBY_COUNT=1", "FAKE_HANG=" + pattern}, "hi"); code != 0 {
				t.Fatalf("code %d\n%s", code, out)
			}
			t.Run(step+"/"+signalName(signal), func(t *testing.T) {
				t.Parallel()
				s.t = t
				s.await(step, func() bool { return s.logged(pattern) })
				for pid, line := range s.processes() {
					if strings.Contains(line, "keep-spare") {
						s.check(syscall.Kill(pid, signal))
						s.await("the keeper's end", func() bool { _, there := s.processes()[pid]; return !there })
					}
				}
				goOn := func() { s.write("fake/go", "") }
				if problems := s.after(listing, goOn); len(problems) > 0 {
					t.Error(strings.Join(problems, "\n"))
				}
			})
		}
	}
}

// When the host crashes, nobody is left to tidy up, and what is on the disk speaks of processes that are no more.
func TestHostCrash(t *testing.T) {
	t.Parallel()
	s := newWorld(t).newScene(t)
	s.must("hi")
	clean := s.listing()
	s.start([]string{"CLAUDE_VM_STANDBY_COUNT=1", "FAKE_CLAUDE=while :; do sleep 0.05; done"}, "hi")
	files := func(pattern string) []string {
		found, err := filepath.Glob(filepath.Join(s.state, "vm", pattern))
		s.check(err)
		return found
	}
	s.await("a spare beside a session", func() bool {
		return slices.ContainsFunc(files("spa_*/claude-vm.json"), func(path string) bool {
			text, _ := os.ReadFile(path)
			return bytes.Contains(text, []byte(`"ready": true`))
		})
	})
	crashed := slices.Collect(maps.Keys(s.processes()))
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // or some would see the others end
		for _, pid := range crashed {
			_ = syscall.Kill(pid, signal) // some last for a moment only
		}
	}
	s.await("the end of all", func() bool { return len(s.processes()) == 0 })
	for _, what := range []string{"ses_*/ha.pid", "ses_*/session.sock", "spa_*/ha.pid", "spa_*/spare.sock"} {
		if len(files(what)) != 1 {
			t.Errorf("there is no %s", what)
		}
	}
	if out, code := s.run(nil, "hi"); code != 0 || !strings.Contains(out, "removed 2 VM(s)") {
		t.Errorf("code %d\n%s", code, out)
	}
	if problems := s.leaks(clean); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
}

// Between two calls it is our own changes of files that are cut off: the program is killed when so many were seen.
func TestDeathAtEachChange(t *testing.T) {
	long(t)
	t.Parallel()
	w := newWorld(t)
	const count = 30
	for number := range w.newScene(t).deeds() {
		s := w.newScene(t)
		d := s.deeds()[number]
		changes := s.watch()
		doomed := s.start(d.env, d.args...)
		all := 0
		for running := true; running; {
			select {
			case <-changes:
				all++
			case <-doomed.ended:
				running = false
			}
		}
		s.after(nil, func() {})
		clean := s.listing()
		for i := range count {
			at := 1 + all*i/count
			t.Run(fmt.Sprintf("%s/%d of %d", d.name, at, all), func(t *testing.T) {
				t.Parallel()
				s := w.newScene(t)
				d := s.deeds()[number]
				changes := s.watch()
				doomed := s.start(d.env, d.args...)
				last := ""
				for seen := 0; seen < at; seen++ {
					select {
					case last = <-changes:
						continue
					case <-doomed.ended:
					}
					break
				}
				_ = doomed.Process.Kill()
				printed, _ := s.reap(doomed)
				if problems := s.after(clean, func() {}); len(problems) > 0 {
					t.Errorf("after %s\n%s\n%s", last, strings.Join(problems, "\n"), printed)
				}
			})
		}
	}
}

// watch reports the changes of the folders of the scene, as they happen, until the test ends.
func (s *scene) watch() <-chan string {
	s.t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	s.check(err)
	events := os.NewFile(uintptr(fd), "inotify")
	folders := map[int32]string{}
	add := func(dir string) {
		id, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVE|unix.IN_DELETE|unix.IN_CLOSE_WRITE)
		if err == nil { // or it is gone again
			folders[int32(id)] = dir
		}
	}
	for _, root := range []string{s.state, s.path("proj/.git")} {
		s.check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if d.IsDir() {
				add(path)
			}
			return err
		}))
	}
	changes := make(chan string)
	done := make(chan struct{})
	s.t.Cleanup(func() { close(done); events.Close() })
	go func() {
		buffer := make([]byte, 1<<16)
		for {
			n, err := events.Read(buffer)
			if err != nil {
				return
			}
			for rest := buffer[:n]; len(rest) >= unix.SizeofInotifyEvent; {
				id, mask, size := int32(binary.NativeEndian.Uint32(rest)), binary.NativeEndian.Uint32(rest[4:]), binary.NativeEndian.Uint32(rest[12:])
				name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size]), "\x00")
				rest = rest[unix.SizeofInotifyEvent+size:]
				path := filepath.Join(folders[id], name)
				if mask&unix.IN_ISDIR != 0 && mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0 {
					add(path)
				}
				select {
				case changes <- fmt.Sprintf("%x %s", mask, path):
				case <-done:
					return
				}
			}
		}
	}()
	return changes
}
