package session

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/project"
)

// A spare serves no session that differs from it in anything.
func TestFingerprintHasEverything(t *testing.T) {
	t.Parallel()
	shared, exchanged := filepath.Join(t.TempDir(), "shared"), filepath.Join(t.TempDir(), "exchanged")
	for _, dir := range []string{shared, exchanged} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	type inputs struct {
		shape   Shape
		record  instance.Record
		accel   lima.Accel
		reach   []string
		scripts string
	}
	fresh := func() *inputs {
		return &inputs{
			shape: Shape{Project: &project.Project{Dir: "/p"}, Mounts: []mount.Mount{{Host: shared, Guest: "/g"}}},
		}
	}
	seen := map[string]string{}
	note := func(name string, in *inputs) {
		t.Helper()
		r := Runner{Store: instance.Store{Lima: &lima.Client{Accel: in.accel, Wall: lima.Wall{Rules: in.reach}}}}
		print, err := r.fingerprint(in.shape, in.record, in.scripts)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[print]; ok {
			t.Errorf("%q and %q have one fingerprint", name, other)
		}
		seen[print] = name
	}
	note("the same", fresh())
	// set gives a field another value than it has; a kind of field that is new here has to be added.
	set := func(name string, field reflect.Value) {
		t.Helper()
		switch field.Kind() {
		case reflect.Int:
			field.SetInt(field.Int() + 1)
		case reflect.Bool:
			field.SetBool(!field.Bool())
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 2, 2))
		default:
			t.Fatalf("no case for %s, a %s", name, field.Kind())
		}
	}
	for i := range reflect.TypeFor[Shape]().NumField() {
		name := reflect.TypeFor[Shape]().Field(i).Name
		in := fresh()
		switch name {
		case "Project":
			in.shape.Project = &project.Project{Dir: "/q"}
		case "Mounts":
			in.shape.Mounts = nil
		default:
			set(name, reflect.ValueOf(&in.shape).Elem().Field(i))
		}
		note(name, in)
	}
	for name, change := range map[string]func(*inputs){
		"mount point":        func(in *inputs) { in.shape.Mounts[0].Guest = "/h" },
		"mount's mode":       func(in *inputs) { in.shape.Mounts[0].Writable = true },
		"template's disk":    func(in *inputs) { in.record.DiskGB = 3 },
		"template made anew": func(in *inputs) { in.record.Disks = []string{"d"} },
		"accelerator":        func(in *inputs) { in.accel = "tcg" },
		"wider wall":         func(in *inputs) { in.reach = []string{"localhost:5432"} },
		"other scripts":      func(in *inputs) { in.scripts = "x" },
		"another folder":     func(in *inputs) { in.shape.Mounts[0].Host = exchanged },
	} {
		in := fresh()
		change(in)
		note(name, in)
	}
	if err := errors.Join(os.Remove(shared), os.Rename(exchanged, shared)); err != nil {
		t.Fatal(err)
	}
	note("another folder of the same name", fresh())
}
