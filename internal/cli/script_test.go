package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec" // the program is run as a program
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"
	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/cli"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/lima/limatest"
	"github.com/themouette/claude-vm/internal/npm/npmtest"
	"github.com/themouette/claude-vm/internal/project"
)

// patience is how long a script waits for anything; what is waited for takes milliseconds unless the host is very busy.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	commands := limatest.Commands()
	commands["minisign"] = verifySignature
	commands["claude-vm"] = func() {
		ctx, stop := cli.Signals()
		defer stop()
		os.Exit(cli.Main(ctx, installed(cli.OS())))
	}
	commands["greet"] = greet
	testscript.Main(m, commands)
}

// TestScript runs the finished program, with a stand-in for Lima. Each script begins in the repository $WORK/my-proj, whose
// template is to be called $T and the folder of its conversations $CONVERSATIONS; ours with them is $TALKS. The instances lie in $VMS, the traces of
// the stand-in in $FAKE_DIR. A base layer is there, and a release of Claude Code in the cache. $REGISTRY is a
// stand-in for npm's.
func TestScript(t *testing.T) {
	world := newWorld(t)
	t.Setenv("GOTMPDIR", t.TempDir()) // or testscript leaves a folder when it runs some of the scripts only
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               world.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"spawn":       spawn,
			"signal":      sendSignal,
			"reap":        reap,
			"await":       await,
			"terminal":    terminal,
			"screen":      screen,
			"repository":  world.repository,
			"instances":   instances,
			"order":       order,
			"mounts":      mounts,
			"claude-args": claudeArgs,
			"documented":  documented,
			"releases":    releases,
			"installer":   installer,
		},
	})
}

// world is what all scripts begin with.
type world struct {
	image, state, git string
	registry          string // a stand-in for npm's
}

const release = "2.1.330"

func newWorld(t *testing.T) world {
	t.Helper()
	if exec.Command("bash", "-c", "((BASH_VERSINFO[0] >= 5))").Run() != nil {
		t.Skip("bash on PATH is older than the guest's")
	}
	dir := shortTemp(t)
	registry := httptest.NewServer(npmtest.Handler(npmtest.Tools()...))
	t.Cleanup(registry.Close)
	w := world{
		image: filepath.Join(dir, "image"), state: filepath.Join(dir, "state"), git: filepath.Join(dir, "repo/.git"), registry: registry.URL,
	}
	cached := claude.Release{Version: release, Arch: "x64", Source: "release", Digest: "12", Size: int64(len("the binary\n"))}
	if lima.Arch() == "aarch64" {
		cached.Arch = "arm64"
	}
	record, err := json.Marshal(cached)
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(w.state, "cache", "claude-"+release+"-"+cached.Arch)
	for path, content := range map[string]string{
		w.image + "/disk.qcow2": "a disk\n", w.image + "/vmlinuz": "a kernel\n", w.image + "/initrd.img": "an initrd\n",
		w.image + "/cmdline": "root=/dev/vda\n", cache + "/claude": "the binary\n", cache + "/release.json": string(record),
		dir + "/repo/file": "content\n", dir + "/home/.keep": "", dir + "/fake/.keep": "",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, line := range []string{
		"git init -q -b main", "git add file", "git commit -q -m first",
		"claude-vm setup", "claude-vm clean", // leaves the layer
	} {
		words := strings.Fields(line)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = filepath.Join(dir, "repo"), append(w.env(dir, w.state), "PATH="+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	return w
}

// shortTemp returns a folder whose path is short enough for Lima's sockets, whatever the test is called.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "cvm-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// env is the environment of a run with its files in dir.
func (w world) env(dir, state string) []string {
	env := []string{
		"HOME=" + dir + "/home", "CLAUDE_VM_HOME=" + state, "VMS=" + state + "/vm", "FAKE_DIR=" + dir + "/fake",
		"CLAUDE_VM_IMAGE=" + w.image, "CLAUDE_VM_VM_ACCEL=tcg", "CLAUDE_VM_CLAUDE_VERSION=" + release, "CLAUDE_VM_STANDBY_COUNT=0", "CLAUDE_VM_STANDBY_MEMORY_LIMIT=1000",
		"GIT_CONFIG_NOSYSTEM=1", "ANTHROPIC_API_KEY=sk-ant-of-the-tests",
		"REGISTRY=" + w.registry,
	}
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env = append(env, "GIT_"+who+"_NAME=Ann", "GIT_"+who+"_EMAIL=ann@example.org")
	}
	return env
}

func (w world) setup(e *testscript.Env) error {
	state, err := os.MkdirTemp("/tmp", "cvm-script-")
	if err != nil {
		return err
	}
	p := processes{}
	e.Values[processesKey] = p
	e.Defer(func() {
		p.end()
		limatest.KillKeepers(state)
		limatest.KillAll(filepath.Join(state, "vm"))
		os.RemoveAll(state)
	})
	if err := w.copyState(state); err != nil {
		return err
	}
	e.Cd = filepath.Join(e.WorkDir, "my-proj")
	for _, dir := range []string{"home", "fake"} {
		if err := os.MkdirAll(filepath.Join(e.WorkDir, dir), 0o700); err != nil {
			return err
		}
	}
	e.Vars = append(e.Vars, w.env(e.WorkDir, state)...)
	e.Vars = append(e.Vars, "T="+(&project.Project{Main: e.Cd}).TemplateName(), "CONVERSATIONS="+claude.ConversationDir(e.Cd),
		"TALKS="+state+"/conversations/"+strings.TrimPrefix((&project.Project{Main: e.Cd}).TemplateName(), "tpl_"))
	return os.CopyFS(filepath.Join(e.Cd, ".git"), os.DirFS(w.git))
}

// copyState copies the state folder. Whatever the user's umask is, it is one that nobody else can look into.
func (w world) copyState(to string) error {
	if err := os.CopyFS(to, os.DirFS(w.state)); err != nil {
		return err
	}
	return filepath.WalkDir(to, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
}

// repository DIR makes a folder a git repository with one commit.
func (w world) repository(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.CopyFS(filepath.Join(ts.MkAbs(args[0]), ".git"), os.DirFS(w.git)))
}

// exits CODE PROGRAM ARG… runs a program that must end with a code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	checkCode(ts, args[0], ts.Exec(args[1], args[2:]...))
}

func checkCode(ts *testscript.TestScript, want string, err error) {
	got := 0
	if failed, ok := err.(*exec.ExitError); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != want {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

// processes are the programs that a script has spawned, by name.
type processes map[string]*process

const processesKey = "processes"

type process struct {
	*exec.Cmd
	ended chan struct{}
	err   error
}

func (p processes) end() {
	for _, one := range p {
		_ = syscall.Kill(-one.Process.Pid, syscall.SIGKILL)
		<-one.ended
	}
}

// spawn NAME PROGRAM ARG… starts a program; what it prints goes to the files NAME.out and NAME.err in $WORK.
func spawn(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	base := filepath.Join(ts.Getenv("WORK"), args[0])
	out, err := os.Create(base + ".out")
	ts.Check(err)
	defer out.Close()
	complaints, err := os.Create(base + ".err")
	ts.Check(err)
	defer complaints.Close()
	cmd.Stdout, cmd.Stderr = out, complaints
	ts.Check(cmd.Start())
	one := &process{Cmd: cmd, ended: make(chan struct{})}
	go func() {
		one.err = cmd.Wait()
		close(one.ended)
	}()
	ts.Value(processesKey).(processes)[args[0]] = one
}

// environ returns the environment of the script.
func environ(ts *testscript.TestScript) []string {
	ts.Check(ts.Exec("env"))
	return strings.Split(strings.TrimSpace(ts.ReadFile("stdout")), "\n")
}

func spawned(ts *testscript.TestScript, name string) *process {
	one := ts.Value(processesKey).(processes)[name]
	if one == nil {
		ts.Fatalf("nothing called %s was spawned", name)
	}
	return one
}

// signal NAME SIGNAL sends a signal to a spawned program.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(spawned(ts, args[0]).Process.Signal(unix.SignalNum("SIG" + args[1])))
}

// reap NAME CODE waits for the end of a spawned program; 128+n stands for signal n.
func reap(ts *testscript.TestScript, _ bool, args []string) {
	one := spawned(ts, args[0])
	select {
	case <-one.ended:
	case <-time.After(patience):
		ts.Fatalf("%s does not end", args[0])
	}
	printed, _ := os.ReadFile(filepath.Join(ts.Getenv("WORK"), args[0]+".err"))
	ts.Logf("[%s]\n%s", args[0], printed)
	if status, ok := one.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		if got := strconv.Itoa(128 + int(status.Signal())); got != args[1] {
			ts.Fatalf("ended by signal, code %s, want %s", got, args[1])
		}
		return
	}
	checkCode(ts, args[1], one.err)
}

// await PATH [PATTERN] waits until a path, which may hold *, exists and a line in it matches. With ! until that is not so.
func await(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + strings.Join(args[1:], " "))
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		files, err := filepath.Glob(ts.MkAbs(args[0]))
		ts.Check(err)
		found := slices.ContainsFunc(files, func(file string) bool {
			text, _ := os.ReadFile(file)
			return len(args) == 1 || pattern.Match(text)
		})
		if found != neg {
			return
		}
		if time.Since(begin) > patience {
			ts.Fatalf("waited in vain")
		}
	}
}

// terminal CODE FILE PROGRAM ARG… runs a program on a terminal of 24 lines and 100 columns. Each line of the file is
// "what has to appear => what is typed then". What appeared is standard output for the next commands.
func terminal(ts *testscript.TestScript, _ bool, args []string) {
	text, err := onTerminal(ts, pty.Winsize{Rows: 24, Cols: 100}, ts.ReadFile(args[1]), args[2:])
	fmt.Fprintf(ts.Stdout(), "%s", text)
	checkCode(ts, args[0], err)
}

// screen CODE FILE PROGRAM ARG… runs a program on a terminal of 80 columns and 24 rows. What that shows in the end must be
// what FILE says, where what differs from run to run has a name, and columns are two blanks apart.
func screen(ts *testscript.TestScript, _ bool, args []string) {
	size := pty.Winsize{Rows: 24, Cols: 80}
	text, err := onTerminal(ts, size, "", args[2:])
	checkCode(ts, args[0], err)
	shown := vt10x.New(vt10x.WithSize(int(size.Cols), int(size.Rows)))
	_, err = shown.Write(text)
	ts.Check(err)
	got := shown.String()
	for _, moving := range []struct{ pattern, still string }{
		{` +(\n|$)`, "\n"}, {`\b\d+\.\ds\b`, "0.0s"}, {`\b\d+ s\b`, "0 s"}, {`\b[0-9.]+ k?B\b`, "0 B"}, {`\b\d+ +\d+%`, "1  0%"}, {`\b {2,}`, "  "}, {`\d+ [A-Z]\w+ \d{4}, \d\d:\d\d`, "DATE"},
		{`_[0-9a-f]{8}\b`, "_ID"}, {regexp.QuoteMeta(ts.Getenv("CLAUDE_VM_HOME")), "$$STATE"},
	} {
		got = regexp.MustCompile(moving.pattern).ReplaceAllString(got, moving.still)
	}
	if got, want := strings.TrimSpace(got), strings.TrimSpace(ts.ReadFile(args[1])); got != want {
		ts.Fatalf("the screen shows\n%s\n%s", got, cmp.Diff(want, got))
	}
}

// onTerminal runs a program on a terminal, and returns what it wrote there.
func onTerminal(ts *testscript.TestScript, size pty.Winsize, dialogue string, argv []string) ([]byte, error) {
	env := append(environ(ts), "TERM=xterm")
	path, err := exec.LookPath(argv[0])
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), env
	tty, err := pty.StartWithSize(cmd, &size)
	ts.Check(err)
	defer tty.Close()
	var mu sync.Mutex
	var written bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		chunk := make([]byte, 4096)
		for {
			n, err := tty.Read(chunk)
			mu.Lock()
			written.Write(chunk[:n])
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	seen := 0
	for _, line := range strings.Split(strings.TrimSpace(dialogue), "\n") {
		expected, typed, ok := strings.Cut(line, " => ")
		if !ok {
			break
		}
		typed, err := strconv.Unquote(`"` + typed + `"`)
		ts.Check(err)
		for found := -1; found < 0; time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			found = bytes.Index(written.Bytes()[seen:], []byte(expected))
			mu.Unlock()
			if found >= 0 {
				seen += found + len(expected)
			} else if ctx.Err() != nil {
				ts.Fatalf("%q did not appear in\n%s", expected, written.String())
			}
		}
		_, err = tty.WriteString(typed)
		ts.Check(err)
	}
	err = cmd.Wait()
	<-read
	return written.Bytes(), err
}

// instances KIND… checks which instances there are, by the beginnings of their names, and that none of them runs. With !
// it says that some other ones are there, or that one runs.
func instances(ts *testscript.TestScript, neg bool, args []string) {
	entries, _ := os.ReadDir(ts.Getenv("VMS"))
	var names []string
	idle := true
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "_") {
			continue
		}
		kind, _, _ := strings.Cut(e.Name(), "_")
		names = append(names, kind)
		idle = idle && (&lima.Client{Home: ts.Getenv("VMS")}).Status(e.Name()) != lima.Running
	}
	slices.Sort(names)
	slices.Sort(args)
	if ok := slices.Equal(names, args) && idle; ok == neg {
		ts.Fatalf("instances %v, all idle: %v", names, idle)
	}
}

// order PATTERN… checks that the log of the stand-in has lines that match, in this order.
func order(ts *testscript.TestScript, _ bool, args []string) {
	log := strings.Split(ts.ReadFile(filepath.Join(ts.Getenv("FAKE_DIR"), "log")), "\n")
	for _, arg := range args {
		i := slices.IndexFunc(log, regexp.MustCompile(arg).MatchString)
		if i < 0 {
			ts.Fatalf("%q does not come in its place in\n%s", arg, ts.ReadFile(filepath.Join(ts.Getenv("FAKE_DIR"), "log")))
		}
		log = log[i+1:]
	}
}

// mounts prints what the instance that was started last was offered, a line for each folder.
func mounts(ts *testscript.TestScript, _ bool, _ []string) {
	var machine struct {
		Mounts []struct {
			Location   string
			MountPoint string `yaml:"mountPoint"`
			Writable   bool
		}
	}
	ts.Check(yaml.Unmarshal([]byte(ts.ReadFile(filepath.Join(ts.Getenv("FAKE_DIR"), "started.yaml"))), &machine))
	for _, m := range machine.Mounts {
		fmt.Fprintf(ts.Stdout(), "%s:%s:%v\n", m.Location, m.MountPoint, map[bool]string{true: "rw", false: "ro"}[m.Writable])
	}
}

// claude-args ARG… checks the arguments that the stand-in for Claude was given last.
func claudeArgs(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(filepath.Join(ts.Getenv("FAKE_DIR"), "claude.args"))
	got := strings.Split(text, "\x00")
	if got = got[:len(got)-1]; !slices.Equal(got, args) {
		ts.Fatalf("claude was given %q", got)
	}
}
