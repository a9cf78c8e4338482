package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes the files of a project.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCustomTemplate sets up a project with packages, scripts, phases and folders of its own, whose name Lima alone could
// not carry, and then works in a linked worktree of it.
func TestCustomTemplate(t *testing.T) {
	w := real(t)
	base := filepath.Join(filepath.Dir(w.project), "custom")
	main, tree, data := filepath.Join(base, "odd,\nproject"), filepath.Join(base, "tree"), filepath.Join(base, "data, too")
	write(t, data, map[string]string{"tool": "#!/bin/sh\necho the tool\n"})
	write(t, main, map[string]string{
		".claude-vm.toml": `
[packages]
system = ["hello"]

[[setup.mounts]]
location = "../data, too"
mount_point = "/mnt/assets"
writable = false

[[phase.setup]]
name = "tool"
when = "test -e /mnt/assets/tool && ! command -v tool"
env = { PLACE = "/usr/local/bin" }
script = "sudo cp /mnt/assets/tool $PLACE/tool"

[[phase.runtime]]
name = "greeting"
source = true
script = "export GREETING=$(hello --greeting='from a package')"

[[ports]]
host = PORT
guest = 8000

[[mounts]]
location = "../data, too"
mount_point = "/srv/data"
writable = false
`,
		".claude-vm.setup.sh":   "#!/bin/bash\nset -e\n! touch /mnt/assets/new\necho made by setup >~/made\n",
		".claude-vm.runtime.sh": "export FROM=$(cat ~/made)\n",
		".env":                  "# a comment\nexport QUOTED='two words'\n",
	})
	config, _ := os.ReadFile(filepath.Join(main, ".claude-vm.toml"))
	port := freePort(t)
	write(t, main, map[string]string{".claude-vm.toml": strings.Replace(string(config), "PORT", fmt.Sprint(port), 1)})
	w.git(t, main, "init", "-q", "-b", "main")
	w.git(t, main, "add", ".")
	w.git(t, main, "commit", "-q", "-m", "first")
	w.git(t, main, "worktree", "add", "-q", tree)

	for _, command := range [][]string{{"trust", "--yes"}, {"setup"}} {
		if r := w.runIn(t, main, "", command...); r.code != 0 {
			t.Fatalf("%v: code %d", command, r.code)
		}
	}
	defer w.runIn(t, main, "", "clean", "--yes")
	w.gone(t)

	// Everything in one session, in the worktree. It goes on until its port was asked for.
	write(t, tree, map[string]string{"work.sh": work, "identity.sh": identity})
	ended := make(chan result, 1)
	go func() {
		ended <- w.runIn(t, tree, "", "--env-file", ".env", "--env", "ONE=1", "--inherit-env", "GIT_AUTHOR_NAME", "--memory", "2", "shell", "./work.sh")
	}()
	if text := fetch(t, port, ended); text != "from the VM\n" {
		t.Errorf("the published port gave %q", text)
	}
	write(t, tree, map[string]string{"fetched": ""})
	r := <-ended
	want := strings.Join([]string{
		"tool: the tool", "from: made by setup", "greeting: from a package", "env: two words 1 t", "data: tool", "no /mnt/assets",
		"writable: no", "branch: tree", "commit: in the VM", "memory: 2", "served", "",
	}, "\n")
	if r.code != 0 || r.out != want {
		t.Errorf("code %d, got\n%s, want\n%s", r.code, r.out, want)
	}
	if log := w.git(t, main, "log", "--format=%s", "tree"); log != "in the VM\nfirst\n" {
		t.Errorf("the commit has not arrived: %q", log)
	}
	w.gone(t)

	// Nothing says that another VM of the same template is the same machine, though setup has booted it.
	before, err := os.ReadFile(filepath.Join(tree, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	after := w.runIn(t, tree, "", "shell", "./identity.sh")
	if lines := strings.Fields(after.out); len(lines) != 4 || len(strings.Fields(string(before))) != 4 {
		t.Errorf("identities: %q and %q", before, after.out)
	} else {
		for _, line := range lines {
			if strings.Contains(string(before), line) {
				t.Errorf("two sessions have %s", line)
			}
		}
	}
}

// identity prints what a copy of a machine must not have from it.
const identity = `#!/bin/bash
cat /etc/machine-id
cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub
cat /proc/sys/kernel/random/boot_id /proc/sys/kernel/random/uuid
`

// TestReverseSSHFS shares folders in the way that every guest knows.
func TestReverseSSHFS(t *testing.T) {
	w := real(t)
	data := filepath.Join(filepath.Dir(w.project), "read only")
	write(t, data, map[string]string{"file": "content\n"})
	w.env = append(w.env, "CLAUDE_VM_VM_MOUNT_TYPE=reverse-sshfs")
	defer func() { w.env = w.env[:len(w.env)-1] }()
	r := w.run(t, "", "--mount", data+":/srv/data:ro", "shell",
		`findmnt -no FSTYPE .; echo made >by-sshfs; cat /srv/data/file; touch /srv/data/new 2>/dev/null || echo read-only; git status --short by-sshfs`)
	if want := "fuse.sshfs\ncontent\nread-only\n?? by-sshfs\n"; r.code != 0 || r.out != want {
		t.Errorf("code %d, got %q, want %q", r.code, r.out, want)
	}
	if text, err := os.ReadFile(filepath.Join(w.project, "by-sshfs")); string(text) != "made\n" {
		t.Errorf("on the host: %q, %v", text, err)
	}
	os.Remove(filepath.Join(w.project, "by-sshfs"))
	w.gone(t)
}

const work = `#!/bin/bash
./identity.sh >identity
echo "tool: $(tool)"
echo "from: $FROM"
echo "greeting: $GREETING"
echo "env: $QUOTED $ONE $GIT_AUTHOR_NAME"
echo "data: $(ls /srv/data)"
[ -e /mnt/assets ] && mountpoint -q /mnt/assets || echo "no /mnt/assets"
echo "writable: $(touch /srv/data/new 2>/dev/null && echo yes || echo no)"
echo "branch: $(git rev-parse --abbrev-ref HEAD)"
export GIT_AUTHOR_EMAIL=a@example.invalid GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.invalid
git add work.sh && git commit -q -m "in the VM" && echo "commit: $(git log -1 --format=%s)"
echo "memory: $(free -g --si | awk '$1 == "Mem:" { print $2 }')"
mkdir /tmp/www && echo from the VM >/tmp/www/file
busybox httpd -p 8000 -h /tmp/www -c /dev/null
for ((i = 0; i < 1200; i++)); do
	if [ -e fetched ]; then break; fi
	sleep 0.1
done
echo served
`

// freePort returns a port of the host that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// fetch asks a port of the host for a file until there is an answer, or the session that should give it has ended.
func fetch(t *testing.T, port int, ended chan result) (text string) {
	await(t, "an answer on the published port", func() bool {
		if len(ended) > 0 {
			return true
		}
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/file", port))
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		text = string(body)
		return err == nil && answer.StatusCode == http.StatusOK
	})
	return text
}
