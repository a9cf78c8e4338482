package guest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec" // the tests run the scripts for real
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"mvdan.cc/sh/v3/syntax"
	"pgregory.net/rapid"
)

// bash runs a rendered script in an empty home folder and returns its output and exit code.
func bash(t testing.TB, script string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.Command("bash", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	if _, failed := err.(*exec.ExitError); err != nil && !failed {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// session writes the files of a session to a home folder and runs it.
func session(t testing.TB, s Session) (string, int) {
	t.Helper()
	s.Home = t.TempDir()
	if s.Dir == "" {
		s.Dir = "/"
	}
	for _, f := range s.Files() {
		path := filepath.Join(s.Home, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return bash(t, "", filepath.Join(s.Home, folder, "session"))
}

func TestEveryScriptParses(t *testing.T) {
	files, err := fs.Glob(scripts, "scripts/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, _ := scripts.ReadFile(file)
		if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(string(text)), file); err != nil {
			t.Error(err)
		}
	}
}

func TestTheReadyMarkIsWhatTheGuestPrints(t *testing.T) {
	if !strings.Contains(Lean(true), "echo "+Ready+" >/dev/console") {
		t.Errorf("lean.sh does not print %q", Ready)
	}
}

func TestAnyArgumentArrivesUnchanged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab \t\n'\"\\$`!*?[]{}()<>|&;#~-=%é漢\x01\x1b\x7f"))).Draw(rt, "argument")
		raw := rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 12).Draw(rt, "bytes")
		want := text + string(raw)
		got, _ := session(t, Session{Mode: Exec, Command: []string{"printf", "%s|", want, ""}})
		if got != want+"||" {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestSession(t *testing.T) {
	t.Parallel()
	script := func(text string) Script { return Script{Name: "a script's.sh", Content: text} }
	tests := map[string]struct {
		session Session
		out     string
		code    int
	}{
		"environment":        {Session{Env: []string{"A=x y", "B='"}, Mode: Line, Command: []string{`echo "$A$B"`}}, "x y'\n", 0},
		"no such locale":     {Session{Env: []string{"LANG=xx_XX.UTF-8"}, Mode: Exec, Command: []string{"sh", "-c", "echo $LANG $LC_ALL"}}, "xx_XX.UTF-8 C.UTF-8\n", 0},
		"a locale":           {Session{Env: []string{"LANG=C.UTF-8"}, Mode: Exec, Command: []string{"sh", "-c", "echo $LANG $LC_ALL"}}, "C.UTF-8\n", 0},
		"the user's locale":  {Session{Env: []string{"LANG=xx_XX.UTF-8", "LC_ALL=POSIX"}, Mode: Exec, Command: []string{"sh", "-c", "echo $LANG $LC_ALL"}}, "xx_XX.UTF-8 POSIX\n", 0},
		"working directory":  {Session{Dir: "/usr", Mode: Exec, Command: []string{"pwd"}}, "/usr\n", 0},
		"code of a command":  {Session{Mode: Exec, Command: []string{"sh", "-c", "exit 7"}}, "", 7},
		"code of a line":     {Session{Mode: Line, Command: []string{"false || (exit 9)"}}, "", 9},
		"empty argument":     {Session{Mode: Exec, Command: []string{"printf", "[%s]", ""}}, "[]", 0},
		"exports":            {Session{Scripts: []Script{script("export FOO=bar")}, Mode: Exec, Command: []string{"sh", "-c", "echo $FOO"}}, "bar\n", 0},
		"variables, cd, fds": {Session{Scripts: []Script{script("v=1; cd /usr; exec 7>&1"), script("v=${v}2")}, Mode: Line, Command: []string{"echo $v $PWD >&7"}}, "12 /usr\n", 0},
		"failing script":     {Session{Scripts: []Script{script("(exit 4)")}, Mode: Exec, Command: []string{"echo", "no"}}, "error: the runtime script a\\ script\\'s.sh failed with exit code 4\n", 4},
		"exit in a script":   {Session{Scripts: []Script{script("exit 5")}, Mode: Exec, Command: []string{"echo", "no"}}, "error: the runtime script a\\ script\\'s.sh failed with exit code 5\n", 5},
		"exit 0 goes on":     {Session{Scripts: []Script{script("export v=1; cd /usr; exit 0"), script("v=${v}2; exit")}, Mode: Line, Command: []string{"echo $v $PWD; (exit 3)"}}, "12 /usr\n", 3},
		"inner failure":      {Session{Scripts: []Script{script("false; true")}, Mode: Exec, Command: []string{"echo", "yes"}}, "yes\n", 0},
		"background job":     {Session{Scripts: []Script{script("sleep 30 >/dev/null 2>&1 & job=$!")}, Mode: Line, Command: []string{"kill -0 $job && echo alive; kill $job"}}, "alive\n", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := session(t, test.session)
			if out != test.out || code != test.code {
				t.Errorf("got %q and code %d, want %q and %d", out, code, test.out, test.code)
			}
		})
	}
}

// A shell that waits becomes the session, byte for byte, and leaves the rest of its input alone.
func TestAwait(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o700), os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\n"), 0o700)); err != nil {
		t.Fatal(err) // on a slow machine the clock is set, by root
	}
	path := "PATH=" + bin + ":" + os.Getenv("PATH")
	every := make([]byte, 255)
	for i := range every {
		every[i] = byte(i + 1)
	}
	rest := strings.Repeat("the session's input\x00\xff", 10_000)
	s := Session{Home: home, Dir: "/", Mode: Line, Command: []string{`printf %s "$X" && cat && exit 7`}, Env: []string{"X=" + string(every)}}
	cmd := exec.Command("bash", "-c", Await())
	cmd.Env = []string{path, "HOME=" + home, "LANG=C.UTF-8"}
	cmd.Stdin = strings.NewReader(Rehearse(home) + Equip(Outfit{Files: s.Files()}, time.Now()) + Begin() + rest)
	out, err := cmd.Output()
	if string(out) != "\n\n"+string(every)+rest || cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v, %d bytes of %d: %.300q", err, len(out), len(every)+len(rest), out)
	}
	for name, input := range map[string]string{"the outfit fails": Equip(Outfit{Steps: []string{"exit 4"}}, time.Now()) + Begin(), "it is discarded": ""} {
		cmd := exec.Command("bash", "-c", Await())
		cmd.Env, cmd.Stdin = []string{path, "HOME=" + home}, strings.NewReader(Rehearse(home)+input)
		if out, _ := cmd.CombinedOutput(); string(out) != "\n" || cmd.ProcessState.ExitCode() == 0 {
			t.Errorf("%s: %q, code %d", name, out, cmd.ProcessState.ExitCode())
		}
	}
}

// A shell that waits on a terminal becomes the session there, once another one has made everything ready.
func TestAwaitTerminal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		session Session
		typed   string
		want    []string
		code    int
	}{
		"a command":           {Session{Mode: Exec, Command: []string{"sh", "-c", `tty >&2 && stty size && echo "$TERM $X" && read -r line && echo "<$line>" && exit 7`}}, "a line\n", []string{"40 120\r\n", "vt52 it's\r\n", "<a line>\r\n"}, 7},
		"a line":              {Session{Mode: Line, Command: []string{`stty size; echo "$TERM $X"; (exit 3)`}}, "", []string{"40 120\r\nvt52 it's\r\n"}, 3},
		"somebody types":      {Session{Mode: Shell}, "stty size\necho $TERM $X; exit 5\n", []string{"\r40 120\r\n", "\rvt52 it's\r\n"}, 5},
		"its end is a signal": {Session{Mode: Exec, Command: []string{"sh", "-c", "kill -TERM $$"}}, "", nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TERM=dumb"}
			test.session.Home, test.session.Dir, test.session.Env = home, "/", []string{"X=it's"}
			waiting, onTerminal := exec.Command("bash", "-c", Await()), exec.Command("bash", "-c", AwaitTerminal())
			waiting.Env, onTerminal.Env = env, env
			waiting.Stdin = strings.NewReader(Equip(Outfit{Files: test.session.Files()}, time.Now()) + BeginOnTerminal(test.session.Mode, []string{"TERM=vt52"}))
			if err := os.Mkdir(filepath.Join(home, folder), 0o700); err != nil {
				t.Fatal(err)
			}
			tty, err := pty.Start(onTerminal)
			if err != nil {
				t.Fatal(err)
			}
			defer tty.Close()
			screen := bufio.NewReader(tty)
			if first, err := screen.ReadString('\n'); err != nil || first != "\r\n" {
				t.Fatalf("%q, %v", first, err)
			}
			if err := pty.Setsize(tty, &pty.Winsize{Rows: 40, Cols: 120}); err != nil {
				t.Fatal(err)
			}
			if out, _ := waiting.Output(); string(out) != "\n\n" {
				t.Errorf("the one that makes it ready printed %q", out)
			}
			if _, err := io.WriteString(tty, test.typed); err != nil {
				t.Fatal(err)
			}
			shown, _ := io.ReadAll(screen)
			_ = onTerminal.Wait()
			if code := onTerminal.ProcessState.ExitCode(); code != test.code {
				t.Errorf("code %d", code)
			}
			for _, want := range test.want {
				if !strings.Contains(string(shown), want) {
					t.Errorf("no %q in %q", want, shown)
				}
			}
		})
	}
}

func TestMissingCommandIsNotFound(t *testing.T) {
	t.Parallel()
	if out, code := session(t, Session{Mode: Exec, Command: []string{"no-such-program"}}); code != 127 || !strings.Contains(out, "not found") {
		t.Errorf("got %q and code %d", out, code)
	}
}

func TestOutfitWritesAndMergesFiles(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "state.json"), []byte(`{"kept": 1, "deep": {"a": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "known"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-s")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home}
	cmd.Stdin = strings.NewReader(Outfit{
		Files: []File{{Path: "a b/it's", Mode: "640", Content: "x\n\n'"}, {Path: "secret", Mode: "600"}, {Path: "known", Mode: "600"}},
		Merge: []File{{Path: "state.json", Content: `{"deep": {"b": 2}}`}, {Path: "new/one.json", Content: `{"c": 3}`}},
	}.Script())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := map[string]string{"a b/it's": "x\n\n'", "new/one.json": "{\"c\": 3}\n"}
	for path, content := range want {
		if got, _ := os.ReadFile(filepath.Join(home, path)); string(got) != content {
			t.Errorf("%s holds %q, want %q", path, got, content)
		}
	}
	for path, mode := range map[string]fs.FileMode{"a b/it's": 0o640, "secret": 0o600, "known": 0o600} {
		if info, err := os.Stat(filepath.Join(home, path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("mode of %s: %v, %v", path, info, err)
		}
	}
	merged, _ := os.ReadFile(filepath.Join(home, "state.json"))
	if flat := strings.Join(strings.Fields(string(merged)), ""); flat != `{"kept":1,"deep":{"a":1,"b":2}}` {
		t.Errorf("merged into %s", flat)
	}
}

func TestSetClock(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\necho \"$@\" >&2\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, off := range []time.Duration{0, time.Second, -time.Second, time.Hour, -time.Hour} {
		now := time.Now().Add(off)
		cmd := exec.Command("bash", "-c", SetClock(now))
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		want := ""
		if off.Abs() > 2*time.Second {
			want = fmt.Sprintf("date --set @%d\n", now.Unix())
		}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("off by %v: %v, %q, want %q", off, err, out, want)
		}
	}
}

// A terminal that the guest does not know is described to it; one that nobody knows becomes an ordinary one.
func TestTerminfo(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	run := func(script, variable string) string {
		t.Helper()
		cmd := exec.Command("bash", "-c", script)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, variable}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	compiled := []byte("\x1a\x01\x00\xff\n")
	run("("+Terminfo("zz-mine", compiled)+"); ("+Terminfo("linux", compiled)+")", "X=")
	if got, err := os.ReadFile(filepath.Join(home, ".terminfo/z/zz-mine")); err != nil || !bytes.Equal(got, compiled) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(home, ".terminfo/l")); err == nil {
		t.Error("what was there is described once more")
	}
	for name, want := range map[string]string{"zz-mine": "zz-mine", "zz-nobody": "xterm-256color", "linux": "linux", "../x": "../x"} {
		s := Session{Home: home, Dir: "/", Mode: Line, Command: []string{"printf %s $TERM"}, Env: []string{"TERM=" + name}}
		if got, code := session(t, s); code != 0 || got != want && name != "zz-mine" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
