package template

import (
	"errors"
	"testing"
	"time"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/tool"
)

func TestBlame(t *testing.T) {
	t.Parallel()
	tools := []tool.Choice{
		{Tool: tool.Tool{Name: "docker", Packages: []string{"docker.io", "iptables"}}},
		{Tool: tool.Tool{Name: "node"}},
		{Tool: tool.Tool{Name: "gh", Packages: []string{"gh"}}},
	}
	for said, want := range map[string]string{
		"E: Unable to locate package gh":                                          "gh",
		"E: Package 'docker.io' has no installation candidate":                    "docker",
		"dpkg: error processing package iptables (--configure):":                  "docker",
		"E: Unable to locate package ghostscript":                                 "docker, gh",
		"E: Could not get lock":                                                   "docker, gh",
		"E: Unable to locate package gh\nE: Unable to locate package dockerxio\n": "gh",
	} {
		if got := blame(tools, errors.New(said)); got != want {
			t.Errorf("%q: %s, want %s", said, got, want)
		}
	}
}

// The layer of the tools is another one for everything that makes a difference in it, and for nothing else.
func TestToolsPrint(t *testing.T) {
	t.Parallel()
	choose := func(wanted map[string]string) []tool.Choice {
		choices, err := tool.Choose(wanted)
		if err != nil {
			t.Fatal(err)
		}
		return choices
	}
	seen := map[string]string{}
	for name, print := range map[string]string{
		"node":              toolsPrint("base", choose(map[string]string{"node": ""})),
		"node 22":           toolsPrint("base", choose(map[string]string{"node": "22"})),
		"node and git":      toolsPrint("base", choose(map[string]string{"node": "", "git": ""})),
		"another base":      toolsPrint("base 2", choose(map[string]string{"node": ""})),
		"another script":    toolsPrint("base", []tool.Choice{{Tool: tool.Tool{Name: "node", Script: "true"}}}),
		"other packages":    toolsPrint("base", []tool.Choice{{Tool: tool.Tool{Name: "node", Packages: []string{"nodejs"}}}}),
		"another unit":      toolsPrint("base", []tool.Choice{{Tool: tool.Tool{Name: "node", Units: []string{"node.service"}}}}),
		"another check":     toolsPrint("base", []tool.Choice{{Tool: tool.Tool{Name: "node", Checks: []string{"node --version"}}}}),
		"another home file": toolsPrint("base", []tool.Choice{{Tool: tool.Tool{Name: "node", Merge: []tool.Document{{Path: "a", JSON: "{}"}}}}}),
	} {
		if other, ok := seen[print]; ok {
			t.Errorf("%q and %q have one fingerprint", name, other)
		}
		seen[print] = name
	}
	if toolsPrint("base", choose(map[string]string{"chromium": ""})) != toolsPrint("base", choose(map[string]string{"chromium": "", "node": ""})) {
		t.Error("a tool that is needed anyway makes a difference")
	}
}

// A layer from the future, made before the clock was set back, is not taken for one that has just been made.
func TestSince(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Minute)
	for made, want := range map[time.Duration]bool{-time.Second: false, time.Second: true, time.Hour: false} {
		if got := since(instance.Record{Created: began.Add(made)}, began); got != want {
			t.Errorf("made %v after the beginning: %v", made, got)
		}
	}
}
