package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	"pgregory.net/rapid"
)

// samples are values of every scalar key, as a variable gives them.
func samples(t testing.TB) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, k := range new(Config).keys() {
		v, ok := k.value.(scalar)
		if !ok {
			continue
		}
		options, enum := strings.CutPrefix(v.want, "one of ")
		_, isBool := v.like.(bool)
		_, isNumber := v.like.(int64)
		switch {
		case enum:
			out[k.path] = strings.Split(options, ", ")
		case isBool:
			out[k.path] = []string{"true", "false"}
		case isNumber:
			out[k.path] = []string{"1", "2", "3", "4"}
		case strings.HasSuffix(k.path, ".version"):
			out[k.path] = []string{"1.2.3", "4.5.6", "20.0.0"}
		case k.path == "vm.image":
			out[k.path] = []string{"template:a", "https://x/y.qcow2", "/a b/#c", "~/\"d'"}
		case k.path == "standby.ttl":
			out[k.path] = []string{"1s", "1h", "90m", "30m"}
		default:
			t.Fatalf("no samples for %s", k.path)
		}
	}
	return out
}

// literal writes a sample in TOML.
func literal(k key, text string) string {
	if _, ok := k.value.(scalar).like.(string); ok {
		return quote(text)
	}
	return text
}

// Whatever layers set a key, the nearest of them has its value and is its origin.
func TestNearestSetWins(t *testing.T) {
	t.Parallel()
	all, dir := samples(t), t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		in := Input{Home: dir, Cwd: dir, GlobalFile: filepath.Join(dir, "global.toml"), ProjectFile: filepath.Join(dir, "project.toml")}
		files := map[Layer]string{}
		want, from := map[string]string{}, map[string]Layer{}
		for _, k := range new(Config).keys() {
			if all[k.path] == nil || strings.HasPrefix(k.path, "tools.") && strings.HasSuffix(k.path, ".version") {
				continue // whether a version counts depends on its tool
			}
			want[k.path] = k.def
			for layer := Global; layer <= Flag; layer++ {
				if !rapid.Bool().Draw(t, "set") {
					continue
				}
				text := rapid.SampledFrom(all[k.path]).Draw(t, k.path)
				want[k.path], from[k.path] = text, layer
				switch layer {
				case Environment:
					in.Environ = append(in.Environ, k.variable()+"="+text)
				case Flag:
					in.Flags = append(in.Flags, FlagValue{Key: k.path, Flag: "--" + k.path, Value: text})
				default:
					files[layer] += fmt.Sprintf("%s = %s\n", k.path, literal(k, text))
				}
			}
		}
		put(t, in.GlobalFile, files[Global])
		put(t, in.ProjectFile, files[Project])
		c, err := Load(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range c.keys() {
			text, ok := want[k.path]
			if !ok {
				continue
			}
			if layer := c.Origin(k.path).Layer; layer != from[k.path] || c.IsSet(k.path) != (layer != Default) {
				t.Errorf("%s comes from layer %d, want %d", k.path, layer, from[k.path])
			}
			got := ""
			if v := k.show(); v != nil {
				got = strings.Replace(fmt.Sprint(v), dir, "~", 1)
			}
			if got != text && !(k.path == "standby.ttl" && text == "90m" && got == "1h30m") {
				t.Errorf("%s is %q, want %q", k.path, got, text)
			}
		}
	})
}

func put(t *rapid.T, path, content string) {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// document draws a valid file that sets any keys.
func document(t *rapid.T, all map[string][]string) string {
	word := rapid.StringN(1, 12, -1).Filter(func(s string) bool { return strings.TrimSpace(s) != "" && !strings.Contains(s, "\x00") })
	path := rapid.Map(word, func(s string) string { return "./" + s })
	some := func(name string) bool { return rapid.Bool().Draw(t, name) }
	words := func(name string, g *rapid.Generator[string]) string {
		out := "["
		for _, s := range rapid.SliceOfN(g, 0, 3).Draw(t, name) {
			out += quote(s) + ", "
		}
		return out + "]"
	}
	var b strings.Builder
	versions := map[string]bool{}
	for _, k := range new(Config).keys() {
		parent := k.path[:max(0, strings.LastIndex(k.path, "."))]
		if all[k.path] != nil && parent != "claude" && strings.HasSuffix(k.path, ".version") {
			versions[parent] = some(k.path)
		}
	}
	for _, k := range new(Config).keys() {
		_, isTool := versions[k.path]
		switch k.value.(type) {
		case scalar:
			parent := k.path[:strings.LastIndex(k.path, ".")]
			wanted, isVersion := versions[parent]
			if isTool && versions[k.path] || isVersion && !wanted || !isVersion && !some(k.path) {
				continue
			}
			fmt.Fprintf(&b, "%s = %s\n", k.path, literal(k, rapid.SampledFrom(all[k.path]).Draw(t, k.path)))
		case list:
			if !some(k.path) {
				continue
			}
			g := path
			switch k.path {
			case "claude.share":
				g = rapid.SampledFrom([]string{"settings", "skills"})
			case "network.allow":
				g = rapid.SampledFrom([]string{"localhost:5432", "10.0.0.0/8", "[fd00::1]:22", "nas.local", "*"})
			case "env.inherit":
				g = rapid.StringMatching(`[A-Z_]{1,5}\*?`)
			case "packages.system":
				g = rapid.StringMatching(`[a-z0-9][a-z0-9+]{1,5}`)
			}
			fmt.Fprintf(&b, "%s = %s\n", k.path, words(k.path, g))
		case variables:
			if some(k.path) {
				fmt.Fprintf(&b, "%s = { A = %s }\n", k.path, quote(word.Draw(t, k.path)))
			}
		}
	}
	for _, name := range []string{"mounts", "setup.mounts"} {
		for i := range rapid.IntRange(0, 3).Draw(t, name) {
			fmt.Fprintf(&b, "[[%s]]\nlocation = %s\nwritable = %v\n", name, quote(fmt.Sprintf("%d%s", i, word.Draw(t, "location"))), some("writable"))
			if some("point") {
				fmt.Fprintf(&b, "mount_point = %s\n", quote("/"+word.Draw(t, "mount_point")))
			}
		}
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "ports") {
		fmt.Fprintf(&b, "[[ports]]\nhost = %d\nguest = %d\n", i+1, rapid.IntRange(1, 65535).Draw(t, "guest"))
	}
	for range rapid.IntRange(0, 2).Draw(t, "phases") {
		fmt.Fprintf(&b, "[[phase.runtime]]\nname = %s\nwhen = %s\nenv = { A = %s }\n", quote(word.Draw(t, "name")), quote(word.Draw(t, "when")), quote(word.Draw(t, "A")))
		if some("files") {
			fmt.Fprintf(&b, "script_files = [%s]\n", quote(path.Draw(t, "script_file")))
		} else {
			fmt.Fprintf(&b, "script = %s\n", quote(word.Draw(t, "script")))
		}
	}
	return b.String()
}

// What config show writes is a configuration file that says the same, with only origins of its own.
func TestWrittenLoadsAgain(t *testing.T) {
	t.Parallel()
	all, dir := samples(t), t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		in := Input{Home: dir, Cwd: dir, ProjectFile: filepath.Join(dir, "project\n\x1b.toml")}
		put(t, in.ProjectFile, document(t, all))
		first, err := Load(in)
		if err != nil {
			t.Fatal(err)
		}
		var written strings.Builder
		if err := first.WriteTOML(&written); err != nil {
			t.Fatal(err)
		}
		if err := first.WriteJSON(&strings.Builder{}); err != nil {
			t.Fatal(err)
		}
		put(t, in.ProjectFile, written.String())
		second, err := Load(in)
		if err != nil {
			t.Fatalf("%v\n%s", err, written.String())
		}
		first.origins, second.origins, first.files, second.files = nil, nil, nil, nil
		nowhere := cmp.Transformer("nowhere", func(Origin) string { return "" })
		if diff := cmp.Diff(first, second, nowhere, cmp.AllowUnexported(Config{})); diff != "" {
			t.Errorf("%s\n%s", diff, written.String())
		}
	})
}

// Whatever a file holds, it is either loaded, and then it is TOML, or every problem has a place in it and is printable.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", shownGlobal, shownProject, "a = [[1, {b = 2}], []]", "[[mounts]]\n[mounts.x]\n[[mounts]]", "[[a]]\n[[a.b]]\n[a.b.c]\nd.e = 1",
		"mounts = [[{location = '/x'}]]", "tools = {node = {version = '1'}, gpg = true}", "vm.disk = 99999999999999999999", "vm = {disk = 1, disk = 2}",
		"\ufeff[vm]\r\ndisk = 3\r\n", "x = '''\n\n'''\n[vm]\ndsk = 1", "\"\" = 1\n'.'.\"\\n\" = 2", "a." + strings.Repeat("b.", 600) + "c = 1",
		"a = " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "phase.setup = [{name='a', script='b', env={A='\\u0000'}}]",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var problems Problems
		c := &Config{origins: map[string]Origin{}}
		s := &source{origin: Origin{Layer: Project, File: "/p/x.toml"}, dir: "/p", home: "/h", origins: c.origins, problems: &problems}
		s.defaults(c.keys())
		s.document(c.keys(), data)
		if len(problems) == 0 {
			var m map[string]any
			if err := toml.Unmarshal(data, &m); err != nil {
				t.Errorf("loaded: %v", err)
			}
			var b strings.Builder
			if err := c.WriteJSON(&b); err != nil || !json.Valid([]byte(b.String())) {
				t.Errorf("shown: %v", err)
			}
		}
		if len(s.positions) > maxValues {
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range problems {
			if text := p.Error(); p.Origin.Line < 1 || p.Origin.Line > lines || p.Origin.Column < 1 || printable(text) != text {
				t.Errorf("problem %q", text)
			}
		}
	})
}
