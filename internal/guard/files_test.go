package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// session returns what a session has changed of the files that run by themselves, a line for each.
func (w world) session(site Site, do func()) (lines []string) {
	w.Helper()
	site.Root, site.Main = w.root, w.root
	watch, _, err := w.store.Begin(w.Context(), site, true)
	if err != nil {
		w.Fatal(err)
	}
	<-watch.walked
	do()
	report, err := watch.End(w.Context())
	if err != nil || len(report.Partial) > 0 || report.Alive != "" {
		w.Fatal(err, report.Partial, report.Alive)
	}
	for _, f := range report.Findings {
		if f.Err != nil {
			w.Fatal(f)
		}
	}
	for _, c := range report.Files {
		line := c.Path + ": " + c.What
		if c.Many > 0 {
			line += fmt.Sprintf(", %d", c.Many)
		}
		lines = append(lines, line)
	}
	return lines
}

func (w world) do(failures ...error) {
	w.Helper()
	if err := errors.Join(failures...); err != nil {
		w.Fatal(err)
	}
}

// To take away what forbids something, or to switch something on, is a change.
func TestRemovalIsAChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{
		".npmrc": "ignore-scripts=true", ".claude/settings.json": `{"permissions":{"deny":["Bash"]}}`,
		".gitattributes":       "* -diff",
		".githooks/pre-commit": "x", "notes": "x", "same.toml": "x", "build/real": "x", "moved/.envrc": "x", "run": "x",
	} {
		w.write(name, text)
	}
	w.do(
		os.Chmod(w.path(".githooks/pre-commit"), 0o644), os.Symlink("build/real", w.path("Makefile")),
		os.Chmod(w.path("run"), 0o755),
	)
	found := w.session(Site{}, func() {
		w.do(
			os.Remove(w.path(".npmrc")), os.RemoveAll(w.path(".claude")), os.Remove(w.path(".gitattributes")),
			os.Mkdir(w.path(".gitattributes"), 0o755),
			os.Chmod(w.path(".githooks/pre-commit"), 0o755), os.Chmod(w.path("notes"), 0o755), os.Remove(w.path("run")),
			os.Rename(w.path("moved"), w.path("here")), os.Symlink("notes", w.path("start")),
			os.Symlink("/etc/passwd", w.path("data")),
			os.WriteFile(w.path("same.toml"), []byte("x"), 0o600),
			os.WriteFile(w.path("build/real"), []byte("y"), 0o600),
		)
	})
	slices.Sort(found)
	if diff := cmp.Diff([]string{
		".claude/settings.json: removed", ".gitattributes: removed", ".githooks/pre-commit: made a program",
		".npmrc: removed",
		"Makefile: changed",
		"data: added", "here/.envrc: added", "moved/.envrc: removed", "notes: a new program",
		"run: removed", "start: a new program",
	}, found); diff != "" {
		t.Error(diff)
	}
}

// What the scripts run that git runs is as much git's as they are.
func TestScriptsThatHooksCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Dir(w.root)
	files := map[string]string{
		".git/hooks/pre-commit": "#!/bin/sh\n# see docs/guide and tools/unused.sh\n" +
			"ROOT=$(git rev-parse --show-toplevel)\nexec \"$ROOT/tools/check\" --fast\n",
		"tools/check":   ". \"$(dirname \"$0\")/lib.sh\"\ncat README.md tools/notes.txt\nsh -e tools/plain\n",
		"tools/lib.sh":  "python -m tools.lint\n./tools/deep\n",
		"tools/lint.py": "", "tools/deep": "node deeper/index.js",
		"deeper/index.js": "const a = require('./more'); import b from '../b/c.mjs'", "deeper/more.js": "x",
		"b/c.mjs": "x", "tools/plain": "x",
		"tools/unused.sh": "x", "tools/notes.txt": "x",
		".git/hooks/post-merge": "cd sub && ./up.sh\nfor f in hooks.d/*; do . $f; done\n" +
			"eslint -c lint/rules src/*.js\nexec " + dir + "/mine\n",
		"sub/up.sh": "", "hooks.d/one": "", "lint/rules": "", "src/main.js": "",
		"from-mine.sh": "", "README.md": "", "docs/guide": "",
		"../mine":       "#!/bin/sh\n. ./from-mine.sh\nbash later.sh\n./comes\n",
		".envrc":        "source scripts/env\n",
		"scripts/env":   "x",
		"../their/pre":  "sh tools/global\n",
		"tools/global":  "x",
		"tools/monitor": ". tools/for-monitor\n", "tools/for-monitor": "x",
	}
	for name, text := range files {
		w.write(name, text)
	}
	w.git("config", "core.fsmonitor", "tools/monitor")
	found := w.session(Site{Settings: []Setting{{dir + "/.gitconfig", "core.hooksPath", dir + "/their"}}}, func() {
		for name := range files {
			if !strings.HasPrefix(name, ".") {
				w.write(name, "evil")
			}
		}
		w.write("comes", "evil")
	})
	slices.Sort(found)
	var want []string
	for name := range strings.FieldsSeq(`deeper/more.js b/c.mjs tools/check tools/lib.sh tools/lint.py tools/deep deeper/index.js tools/plain
		sub/up.sh hooks.d/one
		lint/rules from-mine.sh scripts/env tools/global tools/monitor tools/for-monitor`) {
		want = append(want, name+": changed")
	}
	want = append(want, "comes: added")
	slices.Sort(want)
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}

// What hooks of ordinary tools mention is not taken for what they run.
func TestOrdinaryHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, text := range map[string]string{
		"pre-push": "#!/bin/sh\ncommand -v git-lfs >/dev/null 2>&1 || { printf >&2 \"\\n%s\\n\\n\" \"This repository is " +
			"configured for Git LFS. See README.md or https://example.org/docs/lfs.sh\"; exit 2; }\ngit lfs pre-push \"$@\"\n",
		"pre-commit": "#!/usr/bin/env bash\nINSTALL_PYTHON=/usr/bin/python3\nARGS=(hook-impl --config=.pre-commit-config.yaml)\n" +
			"HERE=\"$(cd \"$(dirname \"$0\")\" && pwd)\"\nexec \"$INSTALL_PYTHON\" -mpre_commit \"${ARGS[@]}\"\n",
		"commit-msg": "#!/bin/sh\nfiles=$(git diff --cached --name-only | grep -E 'src/.*[.](go|js)$')\ngofmt -l src/*.go\n" +
			"sed -i s/a/b/ \"$1\"\ngrep -q TODO src/main.go docs/notes.md && echo see docs/guide.rst\ngo vet ./...\n" +
			"git diff origin/main -- src/main.go >/dev/null\n",
		"post-checkout": "#!/bin/sh\ncd \"$(git rev-parse --show-toplevel)\" && test -f coverage/lcov.info && cat coverage/lcov.info\n",
	} {
		w.write(".git/hooks/"+name, text)
	}
	files := strings.Fields("README.md src/main.go src/app.js docs/notes.md docs/guide.rst coverage/lcov.info main a b go lfs")
	for _, name := range files {
		w.write(name, "x")
	}
	if found := w.session(Site{}, func() {
		for _, name := range files {
			w.write(name, "y")
		}
	}); len(found) > 0 {
		t.Errorf("found %q", found)
	}
}

// What a session changes before it was noted how it was is not taken for what was there.
func TestFilesYoungerThanTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"old/.envrc", "old/Makefile", "plain/tasks.json"} {
		w.write(name, "mine")
	}
	w.write("mark", "")
	begun := time.Now()
	for i := 0; ; i++ { // clocks of file systems are coarse
		w.write("mark", fmt.Sprint(i))
		if info, err := os.Stat(w.path("mark")); err != nil {
			t.Fatal(err)
		} else if changedSince(info, begun) {
			break
		}
	}
	w.write("old/Makefile", "evil")
	w.do(os.Rename(w.path("plain"), w.path(".vscode")))
	area := &Area{Path: w.root}
	late, err := newScanner(area, nil)
	if err != nil {
		t.Fatal(err)
	}
	late.begun = begun
	late.tree()
	late.root.Close()
	end, err := newScanner(&Area{Path: w.root}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer end.root.Close()
	end.since = begun
	end.again(area)
	found := paths(end.changes(func(rel string) string { return rel }))
	if diff := cmp.Diff([]string{".vscode/tasks.json", "old/Makefile"}, found); diff != "" {
		t.Error(diff)
	}
}

// Where every file is a program, none is one.
func TestWhereEverythingIsAProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range fewFiles {
		w.write(fmt.Sprint("src/", i), "x")
		w.do(os.Chmod(w.path(fmt.Sprint("src/", i)), 0o755))
	}
	found := w.session(Site{}, func() {
		w.write("src/1", "y")
		w.write("src/Makefile", "y")
		w.write("src/new", "y")
		w.do(os.Chmod(w.path("src/new"), 0o755), os.Chmod(w.path("src/Makefile"), 0o755))
	})
	if diff := cmp.Diff([]string{"src/Makefile: added"}, found); diff != "" {
		t.Error(diff)
	}
}

// Ordinary work is not worth a word, or few.
func TestOrdinarySessions(t *testing.T) {
	t.Parallel()
	for name, user := range map[string]struct {
		before, writes, programs string
		want                     []string
	}{
		"go": {
			before:   `go.mod main.go internal/x/x.go Makefile .golangci.yml vendor/a/b.go`,
			writes:   `main.go internal/x/x.go internal/x/x_test.go README.md go.sum vendor/a/b.go .git/ORIG_HEAD`,
			programs: `dist/tool`,
			want:     nil,
		},
		"node": {
			before: `package.json pnpm-lock.yaml packages/a/package.json packages/a/src/i.ts
				node_modules/old/package.json`,
			writes: `packages/a/src/i.ts package.json node_modules/old/package.json node_modules/new/.eslintrc
				.turbo/x .next/server/x .cache/y .eslintcache README.md`,
			programs: `node_modules/.bin/a node_modules/.bin/b dist/cli.js`,
			want:     []string{"package.json: changed", "node_modules: added, 2"},
		},
		"data": {
			before: `pyproject.toml analysis.ipynb data/a.csv .venv/bin/python`,
			writes: `analysis.ipynb data/a.csv data/b.parquet __pycache__/a.pyc .ipynb_checkpoints/a.ipynb
				.pytest_cache/v/x .mypy_cache/x .ruff_cache/x .coverage .venv/lib/x.py .DS_Store`,
			programs: `.tox/py/bin/python`,
			want:     nil,
		},
		"rust": {
			before:   `Cargo.toml Cargo.lock src/main.rs target/debug/app`,
			writes:   `src/main.rs src/lib.rs target/CACHEDIR.TAG target/.rustc_info.json target/debug/.fingerprint/x`,
			programs: `target/debug/app target/debug/build/x/build-script-build`,
			want:     nil,
		},
		"java": {
			before: `build.gradle settings.gradle gradlew src/main/java/A.java .gradle/x`,
			writes: `src/main/java/A.java src/test/java/gradle/B.java .gradle/8/x build/classes/A.class
				build/libs/a.jar`,
			want: nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for file := range strings.FieldsSeq(user.before) {
				w.write(file, "x")
			}
			found := w.session(Site{}, func() {
				for file := range strings.FieldsSeq(user.writes) {
					w.write(file, "y")
				}
				for file := range strings.FieldsSeq(user.programs) {
					w.write(file, "y")
					w.do(os.Chmod(w.path(file), 0o755))
				}
			})
			if diff := cmp.Diff(user.want, found); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// state is what tools could run in a folder, by an account of its own.
func (w world) state() map[string]string {
	files := map[string]string{}
	w.do(filepath.WalkDir(w.root, func(name string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.root, name)
		switch {
		case err != nil:
			return err
		case rel == ".git":
			return fs.SkipDir
		case e.IsDir():
			return nil
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text, _ := os.ReadFile(name)
		link, _ := os.Readlink(name)
		files[rel] = fmt.Sprintf("%v %q %s", isProgram(info), text, link)
		return nil
	}))
	return files
}

// TestEveryChangeIsNamed changes any tree in any way. Every file to which a rule applies, before or
// afterwards, is named, and no other.
func TestEveryChangeIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	parent := w.root
	rapid.Check(t, func(rt *rapid.T) {
		w.root = filepath.Join(parent, "tree")
		w.do(os.Mkdir(w.root, 0o755))
		defer os.RemoveAll(w.root)
		part := rapid.SampledFrom(strings.Fields(
			".envrc .vscode src a .x Makefile tasks.json main.go \xff.toml web pre-commit .githooks foorc a.config.js"))
		place := rapid.Custom(func(t *rapid.T) string {
			return path.Join(rapid.SliceOfN(part, 1, 3).Draw(t, "path")...)
		})
		act := func(name string, ways ...string) {
			full := w.path(name)
			switch rapid.SampledFrom(ways).Draw(rt, "way to "+name) {
			case "write":
				_ = os.MkdirAll(filepath.Dir(full), 0o755)
				mode := rapid.SampledFrom([]fs.FileMode{0o644, 0o644, 0o755}).Draw(rt, "mode")
				_ = os.WriteFile(full, []byte(rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "text")), mode)
			case "remove":
				_ = os.RemoveAll(full)
			case "chmod":
				if info, err := os.Lstat(full); err == nil && info.Mode().IsRegular() {
					_ = os.Chmod(full, info.Mode().Perm()^0o111)
				}
			case "folder":
				_ = os.RemoveAll(full)
				_ = os.MkdirAll(full, 0o755)
			case "link":
				_ = os.RemoveAll(full)
				_ = os.Symlink("no/where", full) // nothing is written through it
			case "rename":
				_ = os.Rename(full, w.path(place.Draw(rt, "to")))
			}
		}
		for range rapid.IntRange(0, 8).Draw(rt, "files") {
			act(place.Draw(rt, "before"), "write")
		}
		before := w.state()
		found := map[string]bool{}
		for _, line := range w.session(Site{}, func() {
			for range rapid.IntRange(1, 8).Draw(rt, "changes") {
				act(place.Draw(rt, "place"), "write", "write", "remove", "chmod", "folder", "link", "rename")
			}
		}) {
			name, _, _ := strings.Cut(line, ": ")
			found[name] = true
		}
		after := w.state()
		for _, all := range []map[string]string{before, after} {
			for name := range all {
				runs := strings.HasPrefix(before[name], "true") || strings.HasPrefix(after[name], "true")
				if want := before[name] != after[name] && (byName(name).when != never || runs); want != found[name] {
					rt.Fatalf("%q was %s and is %s: named %v", name, before[name], after[name], found[name])
				}
			}
		}
	})
}

// However many files a session makes, a report has bounds, says so, and names what is most dangerous.
func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watch := w.begin(true)
	w.do(os.MkdirAll(w.path("a/b"), 0o755))
	for i := range maxChanges + 10 {
		w.do(os.WriteFile(w.path(fmt.Sprintf(".%d", i)), nil, 0o644))
	}
	for i := range maxFiles + 10 {
		w.do(os.WriteFile(w.path(fmt.Sprintf("a/b/.env%d", i)), nil, 0o644))
	}
	w.write(".env.local", "")
	w.write("z/.envrc", "")
	w.write("z/Makefile", "")
	report, err := watch.End(t.Context())
	if err != nil || len(report.Files) != maxChanges || len(report.Partial) != 1 {
		t.Fatalf("%v: %d files, partial %q", err, len(report.Files), report.Partial)
	}
	found := paths(report.Files)
	if diff := cmp.Diff([]string{"z/.envrc", ".env.local"}, found[:2]); diff != "" || !slices.Contains(found, "z/Makefile") {
		t.Error(diff)
	}
}
