package trust

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/themouette/claude-vm/internal/config"
)

// world is a home folder with a project in it.
type world struct {
	*testing.T
	home, root string
	store      Store
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := world{t, filepath.Join(dir, "home"), filepath.Join(dir, "home/proj"), Store{filepath.Join(dir, "state/trust")}}
	for _, d := range []string{"home/proj/sub", "home/.ssh", "home/data", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.write("start", "echo start\n")
	w.write("proj/start", "echo inside\n")
	w.write(".ssh/config", "Host *\n")
	return w
}

func (w world) write(name, content string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.home, name), []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
}

// examine reviews a project's file, laid over one of the user's.
func (w world) examine(project, global string, flags ...config.FlagValue) *Review {
	w.Helper()
	w.write("proj/.claude-vm.toml", project)
	w.write(".claude-vm.toml", global)
	in := config.Input{
		Home: w.home, Cwd: w.root, GlobalFile: filepath.Join(w.home, ".claude-vm.toml"), ProjectFile: filepath.Join(w.root, ".claude-vm.toml"), Flags: flags,
	}
	cfg, err := config.Load(in)
	if err != nil {
		w.Fatal(err)
	}
	in.ProjectFile = ""
	without, err := config.Load(in)
	if err != nil {
		w.Fatal(err)
	}
	place := Place{Root: w.root, Dir: w.root, Home: w.home, State: filepath.Dir(w.store.Dir)}
	return Examine(place, cfg, without, []string{filepath.Join(w.root, ".claude-vm.runtime.sh")})
}

func TestExamine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, project, global string
		want                  []string // beginnings; ! for refused
	}{
		{name: "nothing"},
		{name: "the inside of the VM", project: "vm.disk = 1000\nvm.memory = 64\nvm.cpus = 64\ntools.docker = true\ntools.node.version = \"22\"\npackages.system = [\"jq\"]\ndefaults.claude_args = []\nsetup.scripts = [\"./start\", \"sub/../start\"]\nstandby.count = 4"},
		{name: "a folder in the project", project: `mounts = [{ location = "sub", mount_point = "/etc/x" }]`},
		{name: "a folder outside", project: `mounts = [{ location = "../data" }]`, want: []string{"the folder HOME/data, writable"}},
		{name: "for setup", project: `setup.mounts = [{ location = "~/data", writable = false }]`, want: []string{"the folder HOME/data, read-only during setup"}},
		{name: "that the user shares too", project: `mounts = [{ location = "~/data" }]`, global: `mounts = [{ location = "~/data" }]`},
		{name: "that the user lets be read", project: `mounts = [{ location = "~/data" }]`, global: `mounts = [{ location = "~/data", writable = false }]`,
			want: []string{"the folder HOME/data, writable"}},
		{name: "the home folder", project: `mounts = [{ location = "~" }]`, want: []string{"!the folder HOME, writable"}},
		{name: "what contains it", project: `mounts = [{ location = "/" }]`, want: []string{"!the folder /, writable"}},
		{name: "keys", project: `mounts = [{ location = "~/.ssh", writable = false }]`, want: []string{"!the folder HOME/.ssh, read-only"}},
		{name: "a script outside", project: `runtime.scripts = ["~/start"]`, want: []string{"the script HOME/start, sha256 "}},
		{name: "that the user runs too", project: `runtime.scripts = ["~/start"]`, global: `runtime.scripts = ["~/start"]`},
		{name: "a key as a script", project: `runtime.scripts = ["~/.ssh/config"]`, want: []string{"!the script HOME/.ssh/config"}},
		{name: "a system file as a script", project: `setup.scripts = ["/etc/passwd"]`, want: []string{"!the script /etc/passwd"}},
		{name: "a phase", project: "[[phase.runtime]]\nname = \"x\"\nscript_files = [\"start\", \"~/start\"]", want: []string{"the script HOME/start, sha256 "}},
		{name: "gpg", project: "tools.gpg = true", want: []string{"the use of your GnuPG agent"}},
		{name: "gpg as a table", project: "[tools.gpg]", want: []string{"the use of your GnuPG agent"}},
		{name: "no gpg", project: "tools.gpg = false", global: "tools.gpg = true"},
		{name: "gpg as the user", project: "tools.gpg = true", global: "tools.gpg = true"},
		{name: "ports", project: "ports = [{ host = 1, guest = 2 }]", want: []string{"the VM's port 2 as 127.0.0.1:1"}},
		{name: "an image", project: `vm.image = "../image"`, want: []string{`vm.image = "HOME/image", state `}},
		{name: "an image that a VM can write", project: `vm.image = "./image"`, want: []string{`!vm.image = "HOME/proj/image"`}},
		{name: "keys as an image", project: `vm.image = "~/.ssh/config"`, want: []string{`!vm.image = "HOME/.ssh/config"`}},
		{name: "an authority that is not there", project: `vm.ca_certificates = ["none.pem"]`},
		{name: "an authority of the user's", project: `vm.ca_certificates = ["../start"]`, want: []string{"trust in the certificates of HOME/start, sha256 "}},
		{name: "a key as an authority", project: `vm.ca_certificates = ["~/.ssh/config"]`, want: []string{"!trust in the certificates of HOME/.ssh/config"}},
		{name: "the image that is taken anyway", project: `vm.image = "template:debian-13"`},
		{name: "no proxies", project: `vm.proxy = "none"`},
		{name: "proxies all the same", project: `vm.proxy = "host"`, global: `vm.proxy = "none"`, want: []string{"the proxies of your environment (vm.proxy)"}},
		{name: "an authority", project: `vm.ca_certificates = ["start"]`, want: []string{"trust in the certificates of HOME/proj/start, sha256 "}},
		{name: "this computer", project: `network.allow = ["localhost:5432"]`, want: []string{"that the VM reaches localhost:5432, of this computer and its network (network.allow)"}},
		{name: "what the user reaches too", project: `network.allow = ["localhost:5432"]`, global: `network.allow = ["localhost:5432", "10.0.0.0/8"]`},
		{name: "all files by a way to share some", project: `vm.mount_type = "reverse-sshfs"`, want: []string{`!vm.mount_type = "reverse-sshfs"`}},
		{name: "as the user", project: `vm.mount_type = "reverse-sshfs"`, global: `vm.mount_type = "reverse-sshfs"`},
		{name: "another way to share", project: `vm.mount_type = "virtiofs"`},
		{name: "no guard", project: `guard.git = "off"`, want: []string{`guard.git = "off"`}},
		{name: "less guard", project: `guard.git = "warn"`, global: `guard.git = "restore"`, want: []string{`guard.git = "warn"`}},
		{name: "more guard", project: `guard.git = "warn"`, global: `guard.git = "off"`},
		{name: "restoring", project: `guard.git = "restore"`},
		{name: "no conversations", project: `claude.conversations = "none"`},
		{name: "conversations of its own", project: `claude.conversations = "own"`},
		{name: "the usual conversations", project: `claude.conversations = "filtered"`},
		{name: "more conversations", project: `claude.conversations = "filtered"`, global: `claude.conversations = "own"`, want: []string{
			`claude.conversations = "filtered": that sessions and Claude on this computer know more of each other than you have set`}},
		{name: "conversations kept", project: `claude.conversations = "own"`, global: `claude.conversations = "none"`, want: []string{
			`claude.conversations = "own": that sessions and Claude on this computer know more of each other than you have set`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.examine(test.project, test.global)
			var got []string
			for _, q := range r.Requests {
				what := strings.ReplaceAll(q.What, w.home, "HOME")
				if what, sum, ok := strings.Cut(what, "sha256 "); ok && len(sum) == 32 {
					got = append(got, what+"sha256 ")
					continue
				}
				if what, sum, ok := strings.Cut(what, "state "); ok && len(sum) == 32 {
					got = append(got, what+"state ")
					continue
				}
				if q.Refused != "" {
					what = "!" + what
				}
				got = append(got, strings.TrimSuffix(strings.SplitN(what, " (tools", 2)[0], ": what a session leaves in git's data is not taken out"))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What programs keep in a home folder no project is handed, be it known to anybody or not, itself,
// in it, around it or by a link; other folders it may ask for.
func TestPlacesOfPrograms(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{
		".ssh": true, ".local/bin": true, "bin": true, ".cargo/bin": true, ".config/fish": true, ".config/nvim/lua": true, ".config/rclone": true,
		".m2": true, ".gradle": true, ".terraform.d": true, ".codex": true, ".gemini": true, ".vscode/extensions": true, ".oh-my-zsh": true,
		".local/share/applications": true, ".nobody-knows-it/yet": true, "Library/LaunchAgents": true, "Library/Preferences": true,
		"go/bin": true, "go": true, "snap/firefox": true, "dotfiles": true, "dotfiles/zsh": true,
		".cache": false, ".cache/pip": false, "Library/Caches/pip": false, "data": false, "data/.hidden": false, "src/other": false,
		"go/pkg/mod": false, "dotfiles/notes": false,
	} {
		w := newWorld(t)
		for _, dir := range []string{name, "go/bin", "dotfiles/zsh", "dotfiles/notes"} {
			if err := os.MkdirAll(filepath.Join(w.home, dir), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("dotfiles/zsh", filepath.Join(w.home, ".zsh")); err != nil {
			t.Fatal(err)
		}
		r := w.examine(`mounts = [{ location = "~/`+name+`", writable = false }]`, "")
		if len(r.Requests) != 1 || (r.Requests[0].Refused != "") != refused {
			t.Errorf("%s: %+v", name, r.Requests)
		}
		if r := w.examine("", `mounts = [{ location = "~/`+name+`" }]`); len(r.Requests) > 0 {
			t.Errorf("the user's own file asks for %s: %+v", name, r.Requests)
		}
	}
	for _, name := range []string{".pgpass", ".bashrc", ".netrc", ".future"} {
		w := newWorld(t)
		w.write(name, "echo\n")
		if r := w.examine(`runtime.scripts = ["~/`+name+`"]`, ""); len(r.Refused()) != 1 {
			t.Errorf("%s: %+v", name, r.Requests)
		}
	}
}

// TestEveryKeyIsDecidedOn fails when a key is new, until somebody has said whether a project may set it without a question.
func TestEveryKeyIsDecidedOn(t *testing.T) {
	t.Parallel()
	asks := []string{"vm.image", "vm.mount_type", "vm.proxy", "vm.ca_certificates", "network.allow", "env.inherit", "claude.conversations", "claude.share", "tools.gpg", "setup.scripts", "setup.mounts", "runtime.scripts", "mounts", "ports", "guard.git", "update.check", "phase.setup", "phase.runtime"}
	for _, key := range config.Keys() {
		if inside(key) == slices.Contains(asks, key) {
			t.Errorf("%s: inside says %v; what it does to the host has to be decided, here and there", key, inside(key))
		}
	}
}

func TestLinksDoNotLeadOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, target := range map[string]string{
		"proj/inner": "start", "proj/outer": "../start", "proj/keys": "../.ssh", ".link": "proj", "proj/loop": "loop", "proj/nowhere": "none",
	} {
		if err := os.Symlink(target, filepath.Join(w.home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(w.root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.write("proj/large", strings.Repeat("#", maxScript+1))
	for _, test := range []struct {
		path    string
		content string
		asks    bool
	}{
		{path: "start", content: "echo inside\n"},
		{path: "inner", content: "echo inside\n"},
		{path: "outer", content: "echo start\n", asks: true},
		{path: "~/.link/outer", content: "echo start\n", asks: true},
		{path: "keys/config", asks: true},
		{path: "~/.link/keys/config", asks: true},
		{path: "loop"}, {path: "nowhere"}, {path: "none"}, {path: "pipe"}, {path: "large"}, {path: "sub"},
	} {
		flag := config.FlagValue{Key: "runtime.scripts", Flag: "--runtime-script", Value: test.path}
		r := w.examine("", "", flag)
		path := strings.Replace(test.path, "~", w.home, 1)
		if !filepath.IsAbs(path) {
			path = filepath.Join(w.root, path)
		}
		text, err := r.Script(path)
		if string(text) != test.content || len(r.Requests) > 0 != test.asks || test.content == "" && !test.asks && err == nil {
			t.Errorf("%s: %q, %v, %+v", test.path, text, err, r.Requests)
		}
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, target := range map[string]string{"proj/out": "../start", "in": "proj/start", "pipe": "proj/pipe"} {
		if err := os.Symlink(target, filepath.Join(w.home, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(w.root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"proj/start": "echo inside\n", "start": "echo start\n", "in": "echo inside\n", "proj/out": "", "proj/pipe": "", "pipe": "",
	} {
		path = filepath.Join(w.home, path)
		text, err := ReadFile(w.root, path)
		if string(text) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if inside := path != filepath.Join(w.home, "start"); InProject(w.root, path) != inside {
			t.Errorf("%s lies in the project: %v", path, !inside)
		}
	}
}

func TestConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	covers := func(project string) bool { t.Helper(); return w.store.Read(w.root).Covers(w.examine(project, "")) }
	agree := func(project string) error { return w.store.Agree(w.root, w.examine(project, ""), time.Now()) }
	both := "vm.image = \"template:a\"\nruntime.scripts = [\"~/start\"]"
	if covers(both) {
		t.Error("covered before anybody agreed")
	}
	if err := agree(both); err != nil || !covers(both) || !covers(`vm.image = "template:a"`) {
		t.Errorf("not covered: %v", err)
	}
	if w.store.Read(w.root + "x").Covers(w.examine(both, "")) {
		t.Error("another project is covered")
	}
	w.write("start", "echo other\n")
	if covers(both) {
		t.Error("another content is covered")
	}
	added, removed := w.store.Read(w.root).Changes(w.examine(both, ""))
	if len(added) != 1 || len(removed) != 1 || added[0] == removed[0] {
		t.Errorf("changes: %q, %q", added, removed)
	}
	if err := agree(`mounts = [{ location = "~" }]`); err == nil {
		t.Error("one can agree to what is refused")
	}
	files, _ := os.ReadDir(w.store.Dir)
	if info, err := files[0].Info(); len(files) != 1 || err != nil || info.Mode() != 0o600 {
		t.Errorf("files: %v, %v", files, err)
	}
	if err := os.WriteFile(filepath.Join(w.store.Dir, files[0].Name()), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if covers(both) {
		t.Error("a broken file covers something")
	}
	if found, err := w.store.Revoke(w.root); !found || err != nil {
		t.Errorf("revoke: %v, %v", found, err)
	}
}

// A consent to an image or to certificates is one to what they are.
func TestConsentIsToWhatIsThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.Mkdir(filepath.Join(w.home, "image"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ project, file string }{
		{`vm.image = "~/disk"`, "disk"},
		{`vm.image = "~/image"`, "image/disk.qcow2"},
		{`vm.ca_certificates = ["./ca.pem"]`, "proj/ca.pem"},
	} {
		w.write(test.file, "one")
		if err := w.store.Agree(w.root, w.examine(test.project, ""), time.Now()); err != nil {
			t.Fatal(err)
		}
		if !w.store.Read(w.root).Covers(w.examine(test.project, "")) {
			t.Errorf("%s: asked again", test.project)
		}
		w.write(test.file, "another")
		if w.store.Read(w.root).Covers(w.examine(test.project, "")) {
			t.Errorf("%s: another content is covered", test.project)
		}
	}
	if err := os.Remove(filepath.Join(w.root, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../.ssh/config", filepath.Join(w.root, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if r := w.examine("", `vm.ca_certificates = ["proj/ca.pem"]`); len(r.Refused()) != 1 {
		t.Errorf("a link out of the project is followed: %+v", r.Requests)
	}
}

// TestConsentIsASet holds for any requests: what was agreed to covers exactly its subsets.
func TestConsentIsASet(t *testing.T) {
	t.Parallel()
	things := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}), rapid.ID)
	rapid.Check(t, func(t *rapid.T) {
		agreed, asked := things.Draw(t, "agreed"), things.Draw(t, "asked")
		r := &Review{}
		subset := true
		for _, thing := range asked {
			r.Requests = append(r.Requests, Request{What: thing})
			subset = subset && slices.Contains(agreed, thing)
		}
		if got := (Project{Consents: []Consent{{Things: agreed}}}).Covers(r); got != subset {
			t.Fatalf("covers: %v, want %v", got, subset)
		}
	})
}
