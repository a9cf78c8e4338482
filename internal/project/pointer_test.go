package project_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// A project may have written what it likes into the files with which git's directories name each other: no directory outside
// of it is ever shared with a guest but the one that names the project in turn, and it never stands for another project.
func FuzzPointers(f *testing.F) {
	w := makeWorld(f)
	w.sh(`repo seed; repo victim; git -C victim worktree add -q ../victim-wt; cp -R seed/.git own; git -C own config core.worktree "$PWD/p"
		mkdir p; cp -R seed/.git p/fake`)
	const other = "@/victim/.git"
	for _, seed := range [][3]string{ // @ is the folder with all of them
		{"gitdir: fake\n", "", ""},
		{"gitdir: @/own\n", "", ""},
		{"gitdir: ../own", "", ""},
		{"gitdir: @/own\n\r\n", "", ""},
		{"gitdir: " + other + "\n", "", ""},
		{"gitdir: " + other + "/worktrees/victim-wt\n", "", ""},
		{"gitdir: @/victim-wt/.git\n", "", ""},
		{"gitdir: fake\n", other + "\n", "@/p/.git\n"},
		{"gitdir: fake\n", "../../victim/.git", "@/p/.git"},
		{"gitdir: fake\n", other, ".git"},
		{"gitdir: @/own\x00\n", "", ""},
		{"gitdir: @/own\ngitdir: " + other + "\n", "", ""},
		{"gitdir: fake/../../victim/.git\n", "", ""},
		{"gitdir:fake\n", "", ""},
		{"gitdir: \n", "\n", "\n"},
		{"\xff", "\x00", "\r"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	own := w.path("p")
	f.Fuzz(func(t *testing.T, pointer, common, back string) {
		w := w
		w.TB = t
		for file, text := range map[string]string{"p/.git": pointer, "p/fake/commondir": common, "p/fake/gitdir": back} {
			err := os.Remove(w.path(file))
			if text != "" {
				err = os.WriteFile(w.path(file), []byte(strings.ReplaceAll(text, "@", w.dir)), 0o600)
			}
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		p, err := w.find("p", true)
		if err != nil {
			return
		}
		if p.Root != own || p.Main != own || slices.ContainsFunc(p.GitDirs, func(dir string) bool { return dir != w.path("own") }) {
			t.Errorf("%q, %q, %q: %+v", pointer, common, back, p)
		}
	})
}
