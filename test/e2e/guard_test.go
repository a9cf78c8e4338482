package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attack is what an agent that was turned against its user could leave in a repository, besides its work.
const attack = `
evil='#!/bin/sh
touch "` + "$OWNED" + `"'
git checkout -q -b work
git -c user.name=g -c user.email=g@example.invalid commit -q --allow-empty -m 'from the guest'
git remote add origin https://example.invalid/x.git
echo "$evil" >.git/hooks/post-checkout; chmod +x .git/hooks/post-checkout
git config core.fsmonitor "$PWD/.git/hooks/post-checkout"
git config core.hooksPath "$PWD/.git/hooks"
git config filter.evil.clean "$PWD/.git/hooks/post-checkout"
git config filter.evil.smudge "$PWD/.git/hooks/post-checkout"
mkdir -p .git/info; echo '* filter=evil' >.git/info/attributes
sudo ln -s /etc .git/hooks/everything
sudo cp /bin/true .git/objects/as-owner; sudo chmod 4755 .git/objects/as-owner
sudo mknod .git/objects/device c 1 3; sudo mknod -m 666 device c 1 3
setxattr=188; [ "$(uname -m)" = x86_64 ] || setxattr=5
sudo cp /bin/true capable; sudo perl -e '
	($file, $name, $rights) = ("capable", "security.capability", pack("H*", "0100000280000000000000000000000000000000"));
	syscall('$setxattr', $file, $name, $rights, length $rights, 0)'
mkdir -p .git/sl docs; echo "$evil" >.git/lazygit.yml; echo "$evil" >.git/sl/config
printf '[core]\n\tfsmonitor = %s\n' "$PWD/.git/hooks/post-checkout" >>.git/included
echo 'gitdir: ../.git' >docs/.git; git config core.worktree ../docs
chmod 777 .git .git/hooks .git/HEAD
git init -q inner; git -C inner config core.fsmonitor "$PWD/.git/hooks/post-checkout"
printf '[[mounts]]\nlocation = "~"\n' >.claude-vm.toml
echo 'touch "` + "$OWNED" + `"' >.envrc
mkdir .helix; echo '[[language]]' >.helix/languages.toml
rm .npmrc; sudo chmod +x notes; echo "$evil" >tools/lib
`

// TestGuard has a session plant what git runs, and looks what is left of it on the host. Its work stays; what the session
// asks of the next one is refused.
func TestGuard(t *testing.T) {
	w := real(t)
	owned := filepath.Join(w.home, "owned")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir, cmd.Env = w.project, w.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("git %q: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	w.run(t, "", "ps") // what the tests before have killed is made up for, before there is something of the user's
	branch := git("symbolic-ref", "--short", "HEAD")
	git("config", "include.path", "included")
	included := filepath.Join(w.project, ".git/included")
	if err := os.WriteFile(included, []byte("[alias]\n\tst = status\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{ // a hook of the user's, and what forbids something
		".git/hooks/pre-commit": "#!/bin/sh\nexec ./tools/check\n", "tools/check": "#!/bin/sh\n. \"$(dirname \"$0\")/lib\"\n",
		"tools/lib": "true\n", ".npmrc": "ignore-scripts=true\n", "notes": "true\n",
	} {
		mode := os.FileMode(0o755)
		if name == "notes" || name == "tools/lib" {
			mode = 0o644
		}
		path := filepath.Join(w.project, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		for _, name := range []string{
			".claude-vm.toml", ".envrc", "inner", "capable", ".helix", "tools", ".npmrc", "notes", ".git/hooks/pre-commit", "docs", ".git/included",
		} {
			os.RemoveAll(filepath.Join(w.project, name))
		}
		git("checkout", "-q", branch)
		git("branch", "-qD", "work")
		git("remote", "remove", "origin")
		git("config", "--unset", "include.path")
	}()

	r := w.run(t, "", "shell", strings.ReplaceAll(attack, "$OWNED", owned))
	if r.code != 0 {
		t.Fatalf("code %d", r.code)
	}
	for _, named := range []string{
		"\n  .git/objects/as-owner: a program that runs as its owner\n",
		"\n  .git/hooks/post-checkout: added\n", "\n  .git/hooks/everything: added, a symbolic link to \"/etc\"\n", "\n  .git/config: core.fsmonitor\n",
		"\n  .git/config: core.hookspath\n", "\n  .git/config: filter.evil.clean\n", "\n  .git/config: filter.evil.smudge\n",
		"\n  .git/info/attributes: added\n", "\n  inner/.git/config: core.fsmonitor\n", "\n  .envrc\n",
		"\n  .helix/languages.toml\n", "\n  .npmrc (removed)\n", "\n  notes (a new program)\n", "\n  tools/lib\n",
		"\n  .git/lazygit.yml: added\n", "\n  .git/sl/config: added\n", "\n  .git/included: core.fsmonitor\n", "\n  docs/.git: added\n",
		"\n  .git/config: core.worktree\n", "\n  .git: others may write to it\n", "\n  .git/hooks: others may write to it\n",
		"\n  .git: others may write to 1 of the files and folders in it\n",
	} {
		if !strings.Contains(r.err, named) {
			t.Errorf("not named: %q", named)
		}
	}
	if all := w.run(t, "", "changes"); !strings.Contains(all.out, "\n  .git/hooks/post-checkout: added\n") ||
		!strings.Contains(all.out, "\n  tools/lib: changed\n") || !strings.Contains(all.out, "\n  .npmrc: removed\n") {
		t.Errorf("claude-vm changes says %q", all.out)
	}
	err := filepath.WalkDir(w.project, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && (info.Mode()&fs.ModeDevice != 0 || info.Mode().IsRegular() && info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0) {
			t.Errorf("the session has left %s: %v", path, info.Mode())
		}
		if size, err := unix.Lgetxattr(path, "security.capability", nil); err == nil {
			t.Errorf("%s has rights of its own, in %d bytes", path, size)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{".git", ".git/hooks", ".git/HEAD"} {
		if info, err := os.Stat(filepath.Join(w.project, name)); err != nil || info.Mode()&0o022 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, name := range []string{".git/lazygit.yml", ".git/sl/config", "docs/.git"} {
		if _, err := os.Lstat(filepath.Join(w.project, name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	git("status")
	git("-C", "inner", "status")
	git("add", ".envrc")
	git("reset", "-q")
	git("checkout", "-q", branch)
	git("checkout", "-q", "work")
	if got := git("log", "-1", "--format=%s"); got != "from the guest" {
		t.Errorf("the session's commit: %q", got)
	}
	if got := git("remote", "get-url", "origin"); got != "https://example.invalid/x.git" {
		t.Errorf("the session's remote: %q", got)
	}
	if _, err := os.Stat(owned); err == nil {
		t.Error("the host ran what the session left")
	}

	for _, args := range [][]string{{"shell", "true"}, {"setup"}, {"trust", "--yes"}} {
		if r := w.run(t, "", args...); r.code != 77 || !strings.Contains(r.err, "the folder "+w.home+", writable") {
			t.Errorf("%q after the session asked for the home folder: code %d", args, r.code)
		}
	}
	w.gone(t)
}

// TestGuardAfterKill has a claude-vm killed in the middle of it, while the guest's root plants the same again and again: until its
// VM is gone nothing is put back.
func TestGuardAfterKill(t *testing.T) {
	w := real(t)
	hook := filepath.Join(w.project, ".git/hooks/post-commit")
	cmd := w.command(t.Context(), "shell", "sudo sh -c 'while :; do [ -e .git/hooks/post-commit ] || echo x >.git/hooks/post-commit; done'")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the session's hook", func() bool { _, err := os.Stat(hook); return err == nil })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if r := w.run(t, "", "ps"); !strings.Contains(r.err, "  .git/hooks/post-commit: added\n") {
		t.Errorf("the next command says nothing of it: %q", r.err)
	}
	w.gone(t)
	if _, err := os.Stat(hook); err == nil {
		t.Error("the hook of the killed session is there")
	}
}
