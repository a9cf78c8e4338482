package cli

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/themouette/claude-vm/internal/selfupdate"
)

// Process is all that comes from outside: nothing below main asks the operating system for it.
type Process struct {
	Args   []string // without the program's name
	Env    []string
	Dir    string // the working directory; empty if it is gone
	Home   string
	Stdin  *os.File
	Stdout *os.File
	Stderr *os.File

	Executable string // the path of this program, with no link in it; empty if it is not known
	ReleaseKey string // what releases of this program are signed with; empty: none is to be trusted
}

// OS returns what this process was started with.
func OS() Process {
	dir, _ := os.Getwd()
	home, _ := os.UserHomeDir()
	executable, err := os.Executable()
	if err == nil {
		executable, _ = filepath.EvalSymlinks(executable)
	}
	return Process{
		Args: os.Args[1:], Env: os.Environ(), Dir: dir, Home: home,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Executable: executable, ReleaseKey: selfupdate.Key(),
	}
}

// Interrupted is the cause of a context that a signal has ended.
type Interrupted struct{ Signal syscall.Signal }

func (i Interrupted) Error() string { return "stopped: " + i.Signal.String() }

// Signals returns a context that ends when somebody wants us to. What is running is then undone;
// further signals do not cut that short.
func Signals() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Whoever reads our output may go away first. Then writing fails, and we live on to clean up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		if caught, ok := (<-stops).(syscall.Signal); ok {
			cancel(Interrupted{caught})
		}
	}()
	return ctx, func() { cancel(nil) }
}

// version is set when a release is built.
var version string // the linker sets it

// Version returns our version: that of the release, or what the Go tool knows of the source.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && len(info.Main.Version) > 1 && info.Main.Version[0] == 'v' {
		return info.Main.Version[1:]
	}
	return "0.0.0-dev"
}
