package proc

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func shell(script string) Cmd {
	return Cmd{Argv: []string{"sh", "-c", script}, Env: os.Environ()}
}

func TestFailureShowsCommandCodeAndStderr(t *testing.T) {
	err := Run(t.Context(), shell("echo 'the reason' >&2; exit 7"))
	if got := ExitCode(err); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
	for _, want := range []string{`sh -c 'echo '"'"'the reason'"'"' >&2; exit 7'`, "\nthe reason"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
}

func TestSignalBecomesExitCode(t *testing.T) {
	if got := ExitCode(Run(t.Context(), shell("kill -TERM $$"))); got != 128+15 {
		t.Errorf("exit code %d, want 143", got)
	}
}

func TestOutput(t *testing.T) {
	out, err := Output(t.Context(), shell("printf hello"))
	if err != nil || string(out) != "hello" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	out, err := Output(t.Context(), shell("exec yes"))
	if !errors.Is(err, ErrOutput) || len(out) > maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	few := &Limited{Most: 1000}
	if err := Run(t.Context(), Cmd{Argv: []string{"yes"}, Env: os.Environ(), Stdout: few}); !errors.Is(err, ErrOutput) || len(few.Bytes()) > few.Most {
		t.Errorf("%d bytes, %v", len(few.Bytes()), err)
	}
}

func TestCancelEndsTheWholeGroup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if err := Run(ctx, shell("sleep 60 & sleep 60; wait")); err == nil {
		t.Error("no error after cancellation")
	}
	if took := time.Since(begin); took > grace {
		t.Errorf("took %v: a child survived", took)
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := Find([]string{"PATH=/nonexistent"}, "limactl"); ExitCode(err) != -1 {
		t.Errorf("got %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var kept tail
	for range 10_000 {
		kept.Write([]byte("line\n"))
	}
	kept.Write([]byte("last"))
	if lines := strings.Split(kept.String(), "\n"); len(lines) != tailLines || lines[tailLines-1] != "last" {
		t.Errorf("kept %d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
}
