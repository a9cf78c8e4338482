package guard

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds for the scripts that are read to find those that they call.
const (
	maxCalls  = 8       // scripts that call scripts
	maxScript = 1 << 17 // bytes of one of them
)

// interpreters are words behind which a script or a configuration is named, whatever its name.
// Options may stand between.
var interpreters = strings.Fields(`sh bash dash zsh ksh fish source . exec env python python2 python3 uv run node
	nodejs deno bun npx tsx ts-node ruby perl php lua Rscript tclsh pwsh osascript make gmake just awk gawk -c
	--file --config --rcfile --makefile --require`)

// importers are words behind which a script names another one without its ending, and endings are
// what languages put there.
var (
	importers = strings.Fields("-m import from require require_relative load use")
	endings   = strings.Fields(".js .cjs .mjs .ts .py .rb .pl .sh /index.js /__main__.py /__init__.py")
)

// scriptEnds are the ends of names that a script can call another one by, though that may not be a
// program.
var scriptEnds = strings.Fields(`.sh .bash .zsh .ksh .fish .py .js .cjs .mjs .ts .mts .cts .rb .pl .pm .php .lua
	.r .ps1 .tcl .awk .sed .mk .jq`)

// script finds what a script calls, or each script of a folder: of the area, or the user's own by
// an absolute path.
func (s *scanner) script(name, worktree string, depth int) {
	if rel, ok := s.within(name); ok {
		name = rel
	}
	if depth > maxCalls || s.scripts[name] || s.words <= 0 {
		return
	}
	s.scripts[name] = true
	if names := s.listing(name); names != nil {
		for _, inner := range names {
			s.script(path.Join(name, inner), worktree, depth+1)
		}
		return
	}
	if text := s.text(name); len(text) <= maxScript {
		s.calls(text, worktree, path.Dir(name), depth)
	}
}

// calls finds the files of the project that a script seems to run. To be sure of it would take to
// run it, so that every word counts that looks like one; which of them a session changes later will
// be few. What is mentioned in a comment, and what no interpreter takes for a script, a text for
// instance, does not.
func (s *scanner) calls(text []byte, worktree, dir string, depth int) {
	if bytes.IndexByte(text, 0) >= 0 || len(text) > maxScript {
		return // a compiled program
	}
	from := []string{worktree, dir}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") {
			continue
		}
		before := ""
		for _, word := range words(line, separators+"[],") {
			if s.words--; s.words <= 0 {
				s.words, s.unlisted = 0, true
				return
			}
			called := slices.Contains(interpreters, before) && (before != "." || strings.Contains(" "+line, " . "))
			switch {
			case before == "cd" || before == "pushd" || before == "-C":
				if at := join(worktree, bare(word)); s.isFolder(at) {
					from = append(from, at)
				}
			case slices.Contains(importers, before) && !strings.Contains(word, "/"):
				s.call(from, strings.ReplaceAll(word, ".", "/"), worktree, true, depth)
			case !seen[word] && (called || strings.ContainsAny(word, "/.")):
				s.call(from, word, worktree, called, depth)
				seen[word] = true
			}
			if !called || !strings.HasPrefix(word, "-") { // an option of the interpreter
				before = word
			} else if slices.Contains(interpreters, word) || slices.Contains(importers, word) {
				before = word
			}
		}
	}
}

// words are those of a text between separators.
func words(text, separators string) []string {
	return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(separators, c) })
}

// bare takes a variable from the beginning of a path: scripts name folders so, and mostly that of
// the project or their own.
func bare(word string) string {
	if first, rest, ok := strings.Cut(word, "/"); ok && strings.ContainsAny(first, "$%") {
		return rest
	}
	return word
}

func (s *scanner) isFolder(rel string) bool {
	if !filepath.IsLocal(rel) {
		return false
	}
	info, err := s.root.Stat(rel)
	return err == nil && info.IsDir()
}

// call notes the file that a word of a script means, seen from any of some folders, and goes on
// with what that calls. Called is what stands behind an interpreter.
func (s *scanner) call(from []string, word, worktree string, called bool, depth int) {
	word = fromHome(word)
	if strings.Contains(word, "://") || strings.Trim(word, "./") == "" {
		return
	}
	if filepath.IsAbs(word) {
		if info, err := os.Lstat(word); err == nil && info.Mode().IsRegular() && info.Size() < maxScript {
			s.refer(".", word)
			s.script(word, worktree, depth+1)
			return
		}
		word = strings.TrimLeft(word, "/") // what stands before it is the output of a command
	}
	if folder, all := path.Split(bare(word)); strings.Contains(all, "*") {
		word = strings.TrimSuffix(folder, "/") // all of a folder, if it is made for scripts
		if called = false; !strings.HasSuffix(word, ".d") && !strings.Contains(word, "hook") {
			return
		}
	}
	likely := called || isScript(word) || strings.Contains(word, "/") && (word[0] == '.' || path.Ext(word) == "")
	for _, dir := range from {
		name := s.withEnding(join(dir, bare(word)), called || word[0] == '.')
		if !filepath.IsLocal(name) && likely { // in another area, perhaps
			s.refer(dir, bare(word))
		}
		if s.runnableFile(name, called) {
			if rel, ok := s.refer(".", name); ok {
				s.script(rel, worktree, depth+1)
			}
			return
		}
	}
	missing := strings.HasPrefix(word, "./") || strings.Contains(word, "/") && isScript(word)
	if name := join(worktree, bare(word)); missing && filepath.IsLocal(name) {
		if _, err := s.root.Lstat(name); err != nil {
			s.refer(".", name) // it can come
		}
	}
}

// withEnding returns the name of the script that is meant by one without its ending.
func (s *scanner) withEnding(name string, meant bool) string {
	if !meant || path.Ext(name) != "" || !filepath.IsLocal(name) {
		return name
	}
	for _, end := range append([]string{""}, endings...) {
		if info, err := s.root.Stat(name + end); err == nil && info.Mode().IsRegular() {
			return name + end
		}
	}
	return name
}

func isScript(name string) bool {
	return slices.Contains(scriptEnds, strings.ToLower(path.Ext(name)))
}

// runnableFile says whether a script can run what stands at a path of the area: a program, a
// script, or what it gives to an interpreter. A folder can be run if it is one of scripts.
func (s *scanner) runnableFile(rel string, called bool) bool {
	if !filepath.IsLocal(rel) {
		return false
	}
	info, err := s.root.Stat(rel)
	switch {
	case err != nil:
		return false
	case info.IsDir():
		return strings.HasSuffix(rel, ".d") || strings.Contains(path.Base(rel), "hook")
	}
	return called || info.Mode().Perm()&0o111 != 0 || isScript(rel) || path.Ext(rel) == ""
}
