package guard

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/proc"
)

// gitReads returns what git makes of a configuration: key, line end, value, for each entry; false if it does not accept it.
func gitReads(t testing.TB, text []byte) ([]string, bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := proc.Output(t.Context(), proc.Cmd{
		Argv: []string{"git", "config", "--file", file, "--no-includes", "--null", "--list"},
		Env:  []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}, Dir: "/",
	})
	if err != nil {
		return nil, false
	}
	entries := strings.Split(string(out), "\x00")
	return entries[:len(entries)-1], true
}

// weRead returns what we make of it, in the same form.
func weRead(entries []entry) (list []string) {
	for _, e := range entries {
		switch {
		case e.comment != "":
		case e.hasValue:
			list = append(list, e.key()+"\n"+e.value)
		default:
			list = append(list, e.key())
		}
	}
	return list
}

// blanks makes what different releases of git keep of blanks between words the same.
func blanks(list []string) (same []string) {
	same = []string{}
	for _, e := range list {
		same = append(same, strings.NewReplacer("\t", " ", "\r", " ").Replace(e))
	}
	return same
}

var samples = []string{
	"", "\n", "# x\n", "[core]\n\tbare = false\n", "[core] bare = false", "[core]bare", "[core]\nbare\n", "[a \"b c\"]\nx = y z  # comment\n",
	"[a \"\\\"\\\\b\\c\"] x = \"a b\" c\\t\\n\\b\\\\\\\" \"d # e\"", "[A.B.C]\nName-1=1\r\n", "[a]\nx = a\\\n  b\n", "[a]\nx = \"a\\\nb\"\n", "\ufeff[a]\nx=1",
	"[a]\nx = 1 ; c\n; [b]\n", "[a] ; c\nx=1", "[a]\n[b]\n", "[a\t\"x\"]\ny", "[a]\nx =\n", "[a]\nx = \"\"\n", "[a]\nx = '#'\n", "[a]\n x = a  b\tc \n",
	"[include]\npath = x\n", "[a \"\"]\nb=1", "[a]\nb = c\\", "[a]\nx = \"a", "[a", "x = 1", "[a]\n1x=1", "[a \"b\" ]\nx", "[a b]\nx", "[a]\nx y", "[]\nx",
	"[a]\nx = \\q", "[a.]\nx=1", "[.a]\nx=1", "[a \"b\nc\"]\nx", "[a]\rx=1", "[a]\nx=1\r", "[a.b \"c\"]\nx=1", "[a]\n\fx=1", "[a]\nx\x00=1", "[a]\nx=1\x00", "[a]x=1[b]y=2",
}

// TestConfigIsReadAsGitReadsIt is what all else depends on: of what we accept git reads the same, and what we write is read
// as it was meant.
func TestConfigIsReadAsGitReadsIt(t *testing.T) {
	t.Parallel()
	for _, text := range samples {
		compareWithGit(t, []byte(text))
	}
	// Most of what people have must be understood, not just put back as a whole.
	for _, text := range samples[:20] {
		if _, err := parseConfig([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func compareWithGit(t testing.TB, text []byte) {
	t.Helper()
	entries, err := parseConfig(text)
	if err != nil {
		return
	}
	ours := weRead(entries)
	theirs, ok := gitReads(t, text)
	if !ok {
		return // worse than nothing cannot be read into it
	}
	if diff := cmp.Diff(blanks(theirs), blanks(ours)); diff != "" {
		t.Errorf("%q: git and we differ:\n%s", text, diff)
	}
	written := writeConfig(entries)
	theirs, ok = gitReads(t, written)
	if diff := cmp.Diff(theirs, append([]string{}, ours...)); diff != "" || !ok {
		t.Errorf("%q was written as %q, which git reads differently:\n%s", text, written, diff)
	}
}

func FuzzConfig(f *testing.F) {
	for _, text := range samples {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { compareWithGit(t, text) })
}

func TestMergeConfig(t *testing.T) {
	t.Parallel()
	const plain = "[core]\n\tbare = false\n"
	for _, test := range []struct {
		name, before, after string
		want                string // empty: nothing is done
		keys                []string
	}{
		{name: "nothing", before: plain, after: plain},
		{name: "harmless", before: plain, after: plain + "[remote \"o\"]\nurl = git@host:x\nfetch = +refs/*:refs/*\n[branch \"a.b\"]\nremote = o\nmerge = refs/heads/x\n"},
		{name: "added", before: plain, after: plain + "[core]\nfsmonitor = x\n", want: "[core]\n\tbare = \"false\"\n", keys: []string{"core.fsmonitor"}},
		{name: "whatever the case", before: plain, after: "[CORE]\nFSMonitor = x\n", want: "", keys: []string{"core.fsmonitor"}},
		{name: "by the old way of writing", before: "", after: "[filter.x]\nclean = y\n", keys: []string{"filter.x.clean"}},
		{name: "changed", before: "[core]\npager = less\n", after: "[core]\npager = evil\nbare = true\n", want: "[core]\n\tbare = \"true\"\n\tpager = \"less\"\n", keys: []string{"core.pager"}},
		{name: "one more value", before: "[include]\npath = a\n", after: "[include]\npath = a\npath = b\n", want: "[include]\n\tpath = \"a\"\n", keys: []string{"include.path"}},
		{name: "removed", before: "[credential]\nhelper = a\n", after: "", want: "[credential]\n\thelper = \"a\"\n", keys: []string{"credential.helper"}},
		{name: "true without a value", before: "", after: "[core]\nfsmonitor\n", keys: []string{"core.fsmonitor"}},
		{name: "unknown", before: "", after: "[new \"thing\"]\ncommand = x\n", keys: []string{"new.thing.command"}},
		{name: "a remote that runs", before: "[remote \"o\"]\nurl = a\n", after: "[remote \"o\"]\nurl = ext::sh -c x\n", want: "[remote \"o\"]\n\turl = \"a\"\n", keys: []string{"remote.o.url"}},
		{name: "a remote that is an option", before: "", after: "[remote \"o\"]\nurl = --upload-pack=x\n", keys: []string{"remote.o.url"}},
		{name: "a remote in the project", before: "", after: "[remote \"o\"]\nurl = ./.git/zz\n", keys: []string{"remote.o.url"}},
		{name: "a remote on this computer", before: "", after: "[remote \"o\"]\nurl = file:///p/zz\n", keys: []string{"remote.o.url"}},
		{name: "a branch of a folder", before: "", after: "[branch \"b\"]\nremote = ./zz\npushremote = zz\n", keys: []string{"branch.b.remote", "branch.b.pushremote"}},
		{name: "a branch of a remote that goes", before: "", after: "[branch \"b\"]\nremote = zz\n[remote \"zz\"]\nurl = ../zz\n", keys: []string{"branch.b.remote", "remote.zz.url"}},
		{name: "a branch of a remote that was there", before: "[remote \"o\"]\nurl = /srv/o\n", after: "[remote \"o\"]\nurl = /srv/o\n[branch \"b\"]\nremote = o\n"},
		{name: "a branch of an address", before: "", after: "[branch \"b\"]\nremote = https://example.org/x\npushremote = .\n"},
		{name: "a push of everything", before: "", after: "[remote \"o\"]\nmirror = true\npush = +refs/*:refs/*\n", keys: []string{"remote.o.mirror", "remote.o.push"}},
		{name: "an update that runs", before: "", after: "[submodule \"o\"]\nupdate = !x\n", keys: []string{"submodule.o.update"}},
		{name: "another working tree", before: "", after: "[core]\nworktree = /etc\n", keys: []string{"core.worktree"}},
		{name: "git data as a working tree", before: "", after: "[core]\nworktree = /p/.git/hooks\n", keys: []string{"core.worktree"}},
		{name: "a submodule's working tree", before: "", after: "[core]\nworktree = ../../../lib\n"},
		{name: "comments stay", before: "", after: "# mine\n[core]\nbare = true\npager = x\n", want: "# mine\n[core]\n\tbare = \"true\"\n", keys: []string{"core.pager"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			merged, keys, err := mergeConfig([]byte(test.before), []byte(test.after), judge("/p/.git/modules/lib", []string{"/p"}, []byte(test.before), []byte(test.after)))
			if err != nil || string(merged) != test.want || !slices.Equal(keys, test.keys) {
				t.Errorf("got %q, %q, %v", merged, keys, err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	harmless := judge("/p/.git", []string{"/p"}, nil, nil)
	check := func(section, name, value string, want bool) {
		if got := harmless(entry{section: section, sub: "x", hasSub: true, name: name, value: value, hasValue: true}); got != want {
			t.Errorf("%s.x.%s = %q: harmless %v", section, name, value, got)
		}
	}
	for _, address := range []string{
		"https://example.org/x.git", "http://u:p@example.org:8080/x", "ssh://git@example.org:22/x", "git://example.org/x", "git@example.org:x.git", "example.org:/srv/x",
		"work:x", "ssh://git@[::1]:22/x", "https://dev.example.org/a%20b/_git/c", "git@host:a b.git", "https://token@example.org/x?y",
	} {
		check("remote", "url", address, true)
		check("remote", "pushurl", address, true)
		check("branch", "remote", address, true)
	}
	for _, address := range []string{
		"", ".", "..", "./.git/zz", ".git/zz", "../x", "/srv/x", "~/x", "a/b:c", "file:///srv/x", "file://x", "ext::sh -c x", "fd::7", "host::x", "foo://x", "HTTPS://x/y",
		"https:///x", "ssh://-oProxyCommand=x/y", "-u:x", "--upload-pack=x", "-x@host:y", "x:", "x.bundle", "https://", "host://x", "host:", "ssh://a$(x)b@host/", "ssh://a`x`@host/x", "ssh://h\n/x", "git@h;x:y", "ssh://host-/x", "https://a b/x",
	} {
		check("remote", "url", address, false)
		check("submodule", "url", address, false)
		check("branch", "remote", address, address == ".")
	}
}

// TestExecutingKeysAreNotHarmless names the keys that git's own documentation says run something, lead to another
// configuration or repository, or lift a protection.
func TestExecutingKeysAreNotHarmless(t *testing.T) {
	t.Parallel()
	harmless := judge("/p/.git", []string{"/p"}, nil, nil)
	for _, key := range strings.Fields(`
		core.hooksPath core.fsmonitor core.sshCommand core.editor core.pager core.askPass core.attributesFile core.gitProxy core.worktree
		core.alternateRefsCommand core.excludesFile core.protectHFS core.protectNTFS core.sharedRepository core.untrackedCacheX
		pager.log alias.x filter.x.clean filter.x.smudge filter.x.process filter.x.required diff.external diff.x.command diff.x.textconv
		diff.tool diff.guitool diff.orderFile merge.x.driver merge.tool mergetool.x.cmd mergetool.x.path difftool.x.cmd difftool.x.path gpg.program gpg.x.program
		gpg.ssh.defaultKeyCommand gpg.ssh.allowedSignersFile user.signingKey credential.helper credential.https://x.helper include.path includeIf.gitdir:/.path
		url.x.insteadOf url.x.pushInsteadOf remote.x.uploadpack remote.x.receivepack remote.x.push remote.x.mirror remote.x.promisor remote.x.proxy remote.x.vcs protocol.allow protocol.ext.allow
		sequence.editor uploadpack.packObjectsHook uploadpack.allowAnySHA1InWant sendemail.smtpServer sendemail.toCmd browser.x.cmd man.x.cmd web.browser help.browser
		interactive.diffFilter trailer.x.command trailer.x.cmd init.templateDir receive.denyCurrentBranch receive.procReceiveRefs http.proxy http.x.proxy http.sslVerify
		http.sslCAInfo http.cookieFile imap.tunnel instaweb.httpd guitool.x.cmd gc.recentObjectsHook submodule.x.update fsmonitor.socketDir safe.directory
		safe.bareRepository extensions.partialClone extensions.refStorage tar.x.command hook.x.command lfs.customtransfer.x.path lfs.url annex.x commit.template
		branch.x.mergeOptions pull.octopus pull.twohead log.showSignature svn-remote.x.url gitweb.x core.preferSymlinkRefs transfer.fsckObjects maintenance.x.schedule user.name user.email author.email committer.name commit.gpgSign tag.gpgSign push.gpgSign gc.pruneExpire gc.reflogExpire
		gc.x.reflogExpireUnreachable core.logAllRefUpdates branch.x.pushRemoteX
		bundle.x.uri difftool.guiDefault rebase.instructionFormat tig.bind.x http.extraHeader`) {
		parts := strings.Split(strings.ToLower(key), ".")
		e := entry{section: parts[0], name: parts[len(parts)-1], value: "!/x", hasValue: true}
		if len(parts) > 2 {
			e.hasSub, e.sub = true, strings.Join(parts[1:len(parts)-1], ".")
		}
		if harmless(e) {
			t.Errorf("%s passes for harmless", key)
		}
	}
}

// TestMergedConfigHoldsNothingNew: whatever the session wrote, what can make git run something is what it was.
func TestMergedConfigHoldsNothingNew(t *testing.T) {
	t.Parallel()
	line := rapid.SampledFrom([]string{
		"[core]\n", "[Core]\n", "[remote \"o\"]\n", "[remote.o]\n", "[alias]\n", "[include]\n", "url = a\n", "url = ext::x\n", "fsmonitor = x\n", "bare = true\n",
		"pager\n", "path = a\n", "x = \"!y\" # z\n", "# c\n", "\tworktree = ..\\\n/x\n", "\n", "fetch = r", ";", "\"", "]", "\\",
	})
	text := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(line, 0, 12).Draw(t, "lines"), "") })
	harmless := judge("/p/.git", []string{"/p"}, nil, nil)
	rapid.Check(t, func(t *rapid.T) {
		before, after := text.Draw(t, "before"), text.Draw(t, "after")
		merged, keys, err := mergeConfig([]byte(before), []byte(after), harmless)
		if err != nil || before == after {
			return
		}
		if len(keys) == 0 {
			merged = []byte(after)
		}
		old, _ := parseConfig([]byte(before))
		now, err := parseConfig(merged)
		if err != nil {
			t.Fatalf("%q cannot be read: %v", merged, err)
		}
		was, is := serious(old, harmless), serious(now, harmless)
		for key := range is {
			if !sameValues(was[key], is[key]) {
				t.Fatalf("%s: %v, and before %v, in %q", key, is[key], was[key], merged)
			}
		}
		for key := range was {
			if len(is[key]) == 0 {
				t.Fatalf("%s is lost in %q", key, merged)
			}
		}
		if again, keys, err := mergeConfig([]byte(before), merged, harmless); err != nil || len(keys) > 0 || again != nil {
			t.Fatalf("%q is not at rest: %q, %v", merged, keys, err)
		}
	})
}

func TestHugeConfigIsNoWork(t *testing.T) {
	t.Parallel()
	if _, err := parseConfig(bytes.Repeat([]byte("[a]x=1\n"), maxEntries+2)); err == nil {
		t.Error("any number of entries is accepted")
	}
}
