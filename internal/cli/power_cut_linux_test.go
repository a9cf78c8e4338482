package cli_test

import (
	"io/fs"
	"os"
	"os/exec" // strace
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// counts is true of the files that something reads again. Those of the cache can be fetched again; their own tests damage them.
var counts = regexp.MustCompile(`^(disks|state/[^l])|^state/login|^vm/[^/]*/(lima\.yaml|claude-vm\.json|disk)$`)

// A power cut leaves files empty, cut off, full of something else, or not at all. Whichever of ours it is: every command ends
// and says what is wrong, and a setup makes it good, with --rebuild where the message says so.
func TestPowerCut(t *testing.T) {
	long(t)
	t.Parallel()
	w := newWorld(t)
	// prepare makes a scene in which everything has been used that leaves files.
	prepare := func(t *testing.T) *scene {
		s := w.newScene(t)
		s.write("proj/.claude-vm.toml", "[[ports]]\nhost = 8123\nguest = 80\n")
		s.must("trust", "--yes")
		s.must("setup")
		if out, code := s.run([]string{"ANTHROPIC_API_KEY=", "FAKE_CLAUDE=" + evil}, "hi"); code != 0 {
			t.Fatalf("code %d\n%s", code, out)
		}
		return s
	}
	damages := map[string]func(string) error{
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"gone":  os.Remove,
		"cut": func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()/2)
		},
		"garbage": func(path string) error { return os.WriteFile(path, []byte("\x00\xff{garbage\n"), 0o600) },
	}
	first := prepare(t)
	var files []string
	first.check(filepath.WalkDir(first.state, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(first.state, path)
		if err == nil && d.Type().IsRegular() && counts.MatchString(rel) {
			files = append(files, rel)
		}
		return err
	}))
	for number, file := range files {
		for damage, do := range damages {
			t.Run(random.ReplaceAllString(file, "#")+"/"+damage, func(t *testing.T) {
				t.Parallel()
				s := prepare(t)
				path := s.sameFile(first, files[number])
				if path == "" {
					t.Skip("it is not always there")
				}
				_ = os.Chmod(path, 0o600)
				s.check(do(path))
				ended := func(may bool, args ...string) {
					t.Helper()
					out, code := s.run(nil, args...)
					if strings.Contains(out, "panic:") || strings.Contains(out, "goroutine ") || code != 0 && !(may && strings.Contains(out, "error: ")) {
						t.Errorf("%v ends with %d: %s", args, code, out)
					}
				}
				ended(false, "list")
				ended(false, "ps")
				ended(true, "hi")
				ended(true, "gc", "--dry-run")
				ended(false, "trust", "--yes")
				ended(false, "setup")
				if out, _ := s.run(nil, "hi"); strings.Contains(out, "claude-vm setup --rebuild") {
					ended(false, "setup", "--rebuild")
				}
				ended(false, "hi")
			})
		}
	}
}

// sameFile returns the file of a scene that is one of another scene's, whose names differ in what is made up. Empty: there
// is none, or more than one.
func (s *scene) sameFile(other *scene, rel string) (found string) {
	s.check(filepath.WalkDir(s.state, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		own, err := filepath.Rel(s.state, path)
		if random.ReplaceAllString(own, "#") == random.ReplaceAllString(rel, "#") && found == "" {
			found = path
		}
		return err
	}))
	return found
}

// A template or a layer has its name only when all that it consists of is on the disk.
func TestWhatIsPublishedIsOnTheDisk(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("there is no strace")
	}
	w := newWorld(t)
	s := w.newScene(t)
	disks := func() []string {
		found, err := filepath.Glob(filepath.Join(s.state, "disks/*/disk"))
		s.check(err)
		return found
	}
	old := disks()
	trace := s.path("trace")
	cmd := s.command([]string{"CLAUDE_VM_IMAGE=" + s.path("other-image")}, "setup")
	cmd.Args = append([]string{strace, "-f", "-y", "-qq", "-s", "4096", "-e", "trace=fsync,rename,renameat,renameat2", "-o", trace, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if out, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(out), "ptrace") {
			t.Skipf("no process may be traced here: %s", out)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(trace)
	s.check(err)
	synced := map[string]bool{}
	published := map[string]bool{}
	lines := strings.Split(string(text), "\n")
	call := regexp.MustCompile(`^\d+ +(fsync|rename\w*)\((.*)`)
	paths := regexp.MustCompile(`"([^"]*)"`)
	file := regexp.MustCompile(`^\d+<([^>]*)>`)
	for i, line := range lines {
		found := call.FindStringSubmatch(line)
		if found == nil {
			continue
		}
		if found[1] == "fsync" {
			synced[file.FindStringSubmatch(found[2])[1]] = true
			continue
		}
		names := paths.FindAllStringSubmatch(found[2], -1)
		from, to := names[0][1], names[1][1]
		if !strings.HasPrefix(filepath.Base(from), "bld_") || strings.Contains(line, "ENOENT") {
			continue
		}
		published[to] = true
		for _, name := range []string{"", "/disk", "/lima.yaml", "/claude-vm.json"} {
			if !synced[from+name] {
				t.Errorf("%s%s is not on the disk when it becomes %s", from, name, to)
			}
		}
		next := slices.IndexFunc(lines[i:], func(line string) bool {
			return strings.Contains(line, "fsync(") && strings.Contains(line, "<"+filepath.Dir(to)+">")
		})
		if next < 0 {
			t.Errorf("the name %s is not on the disk", to)
		}
	}
	if len(published) != 2 {
		t.Errorf("these were published: %v\n%s", published, text)
	}
	for _, disk := range disks() {
		if !slices.Contains(old, disk) && (!synced[disk] || !synced[filepath.Dir(disk)]) {
			t.Errorf("%s is not on the disk", disk)
		}
	}
	if new := len(disks()) - len(old); new != 1 {
		t.Errorf("%d new disks", new)
	}
}
