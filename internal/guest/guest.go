// Package guest holds every byte of shell that runs inside a VM: scripts in files of their own, and the one renderer that
// puts values into them. It knows nothing of how a script gets into a guest.
package guest

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"al.essio.dev/pkg/shellescape"
)

//go:embed scripts
var scripts embed.FS

// value is a variable that a script expects: one string, or a list.
type value struct {
	name string
	one  string
	list []string
	many bool
}

func one(name, v string) value           { return value{name: name, one: v} }
func many(name string, v []string) value { return value{name: name, list: v, many: true} }

// render returns a script with its variables set in front of it, each quoted so that the guest's shell reads exactly the
// bytes given. No byte but NUL is special.
func render(script string, values ...value) string {
	body, err := scripts.ReadFile("scripts/" + script)
	if err != nil {
		panic(err) // embedded at build time
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteString(v.name + "=")
		if !v.many {
			b.WriteString(shellescape.Quote(v.one) + "\n")
			continue
		}
		b.WriteString("(")
		for i, item := range v.list {
			if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString(shellescape.Quote(item))
		}
		b.WriteString(")\n")
	}
	b.Write(body)
	return b.String()
}

// Ready is what a VM made by Lean prints on its console when its ssh server listens.
const Ready = "claude-vm: ssh is up"

// Base returns the script that installs what every guest has, and makes it trust certificate authorities, each given in PEM
// form. With need9p it gets a kernel that knows 9p. It runs as root, with network.
func Base(packages, certificates []string, need9p bool) string {
	return render("base.sh", many("PACKAGES", packages), many("CERTIFICATES", certificates), one("NEED_9P", flag(need9p)))
}

// Packages returns the script that installs Debian packages, and has them start their services or not. It runs as root.
func Packages(names []string, services bool) string {
	return render("packages.sh", many("PACKAGES", names), one("SERVICES", flag(services)))
}

// Tool returns the script that does what packages cannot do for a tool: it runs the tool's own script, with files of the
// host in reach, and has units started at each boot. It runs as root.
func Tool(name, script, files string, units []string) string {
	return render("tool.sh", one("TOOL", name), one("SCRIPT", script), one("FILES", files), many("UNITS", units))
}

// CheckTool returns the script that proves that a tool works: lines of shell for the guest's user, all of which must
// succeed. It prints what they print. It runs as root.
func CheckTool(name string, checks []string) string {
	return render("check-tool.sh", one("TOOL", name), many("CHECKS", checks))
}

// SetupFiles returns setup scripts as files for Prepare, and the command line that runs each. What they print goes to
// standard error, whose end a failure shows.
//
// The variables are set for all of them. They may hold secrets: the file with them lies in the guest's memory, and no disk
// keeps it.
func SetupFiles(scripts []Script, env []string) (files []File, lines []string) {
	const variables = "/dev/shm/claude-vm-env"
	const exports = folder + "exports"
	files = append(files, File{Path: variables, Mode: "600", Content: Export(env)})
	for i, script := range scripts {
		path := folder + "setup-" + strconv.Itoa(i+1)
		files = append(files, script.files(path, exports)...)
		run := "~/" + path // as its first line wants to be run
		if script.Phase != nil {
			run = ". " + run
		}
		lines = append(lines, "bash -lc '. "+variables+"; if [ -e ~/"+exports+" ]; then . ~/"+exports+"; fi; "+run+"' >&2")
	}
	return files, lines
}

// ForgetFiles is a command line that removes what Prepare and SetupFiles have written for one use.
const ForgetFiles = "rm -rf ~/" + folder

// CannotShare is the exit code of InstallClaude in a guest that cannot see the shared folder.
const CannotShare = 3

// InstallClaude returns the script that installs Claude Code from a shared folder. It runs as root.
func InstallClaude(tag, point string) string {
	return render("install-claude.sh", one("TAG", tag), one("POINT", point))
}

// Lean returns the script that makes all later boots short. It runs as root, last in the first VM. With staticNet the
// guest uses the addresses that QEMU's own network always has.
func Lean(staticNet bool) string {
	return render("lean.sh", one("STATIC_NET", flag(staticNet)))
}

// Seal returns the script that takes a VM's identity from its disk before it is copied. It runs as root.
func Seal() string { return render("seal.sh") }

// The places in a lean guest where it keeps what it is to be booted with.
const (
	KernelFile  = "/boot/claude-vm-vmlinuz"
	InitrdFile  = "/boot/claude-vm-initrd.img"
	KernelFlags = "console=ttyS0 quiet rw net.ifnames=0 lsm=landlock,yama sysctl.vm.dirty_writeback_centisecs=30000"
)

// ListShares is a command line that prints the kinds of shared folder that the kernel knows that the guest boots next.
const ListShares = "kernel=$(readlink " + KernelFile + "); " +
	"for fs in 9p virtiofs; do if /usr/sbin/modprobe -S \"${kernel#vmlinuz-}\" -qn $fs; then echo $fs; fi; done"

// File is a file in the guest, or a JSON document to be merged into one.
type File struct {
	Path    string // relative: in the home folder
	Mode    string // as chmod takes it
	Content string
}

// Mount is a shared folder as the guest mounts it.
type Mount struct{ Tag, Point, Options string }

// Preparation is what a VM needs after its boot.
type Preparation struct {
	BootID string
	Host   string
	FS     string
	Mounts []Mount
	Grow   bool
	Outfit
}

// Prepare returns the script that makes a VM ready. It runs as the guest's user.
func Prepare(p Preparation) string {
	var points, mounts []string
	for _, m := range p.Mounts {
		points = append(points, m.Point)
		mounts = append(mounts, m.Tag, m.Point, m.Options)
	}
	root := render("prepare-root.sh", one("BOOT_ID", p.BootID), one("HOST", p.Host), one("FS", p.FS), one("GROW", flag(p.Grow)), many("MOUNTS", mounts))
	return render("prepare.sh", one("ROOT_SCRIPT", root), many("POINTS", points)) + "\n" + p.Outfit.Script()
}

// Outfit is what a VM that is ready gets for its use.
type Outfit struct {
	Files []File
	Merge []File
	Steps []string // scripts that the guest's user runs in the end
	// Elsewhere are the .git files of working trees that are on the host and that the guest does not see.
	Elsewhere []string
}

// Script returns the script that brings it. It runs as the guest's user.
func (o Outfit) Script() string {
	var files, merge []string
	for _, f := range o.Files {
		files = append(files, f.Path, f.Mode, f.Content)
	}
	for _, f := range o.Merge {
		merge = append(merge, f.Path, f.Content)
	}
	return render("outfit.sh", many("FILES", files), many("MERGE", merge), many("STEPS", o.Steps), many("ELSEWHERE", o.Elsewhere))
}

// Terminfo returns the step of a preparation that brings the compiled description of a terminal.
func Terminfo(name string, compiled []byte) string {
	return render("terminfo.sh", one("NAME", name), one("TEXT", base64.StdEncoding.EncodeToString(compiled)))
}

// SetClock returns the script that sets the guest's clock if it is off by seconds: a VM does not notice that its host has slept.
// It is to run at once, as the guest's user.
func SetClock(now time.Time) string {
	return render("clock.sh", one("NOW", strconv.FormatInt(now.Unix(), 10)))
}

// Await returns the command line of a login shell that waits for the parts of its work: Rehearse's, Equip's, and then that of
// Begin or BeginOnTerminal. It prints a line end after each part but Begin's, and fails if that does not come.
func Await() string {
	return asJob("bash -l -c 'while " + next + `; do eval "$claude_vm_part"; done; exit 1' ~/` + folder + "session")
}

// terminal is the pipe through which a login shell that waits on a terminal is told what to do. It does not come as if typed:
// the terminal would show it.
const terminal = "~/" + folder + "terminal"

// AwaitTerminal returns the command line of a login shell that waits on a terminal for BeginOnTerminal. It prints a line end when
// it is ready: when it has started the kind of shell once that people type into, and has its pipe.
func AwaitTerminal() string {
	return `exec bash -l -c 'bash --norc -i -c : >/dev/null 2>&1; mkfifo -m 600 ` + terminal + ` && echo && ` +
		`IFS= read -r -d "" claude_vm_part <` + terminal + ` && eval "$claude_vm_part"' ~/` + folder + "session"
}

// Rehearse returns the first part: it does all that a session needs once before it matters. What a machine has run before it
// runs faster: the programs are in its memory and, without hardware help, translated.
func Rehearse(home string) string {
	s := Session{Home: home, Dir: "/", Env: []string{"LANG=C.UTF-8"}, Mode: Exec, Command: []string{"true"}}
	document := File{Path: folder + "rehearsal", Content: "{}"}
	outfit := Outfit{Files: s.Files(), Merge: []File{document, document}}
	return part("(" + outfit.Script() + ")\n(source ~/" + folder + "session)\nrm -f ~/" + folder + "{session,join,exported,exported-all,rehearsal}\n")
}

// Equip returns the part that gives the VM its outfit, and the time.
func Equip(o Outfit, now time.Time) string { return part(SetClock(now) + "\n" + o.Script()) }

// Begin returns the part that becomes the session. What is written after it is the session's input.
func Begin() string { return Tell("source ~/" + folder + "session\nexit\n") }

// BeginOnTerminal returns the part that has the shell on the terminal become the session, with variables given as NAME=value.
func BeginOnTerminal(mode Mode, env []string) string {
	run := "source ~/" + folder + "session"
	if mode == Shell {
		run = "exec bash --init-file ~/" + folder + "session -i"
	}
	return part(`printf '%s\0' ` + shellescape.Quote(Export(env)+run) + " >" + terminal)
}

// part is a part that runs in a shell of its own. Its status is looked at afterwards: what an || follows does not stop where
// something in it fails.
func part(script string) string {
	return Tell("(\n" + script + "\n) </dev/null >&2\nclaude_vm_code=$?; if ((claude_vm_code)); then exit $claude_vm_code; fi\necho\n")
}

// Listen is a command line that runs the one script that it is told with Tell. A shell that is given a script on its standard
// input as it is reads it byte by byte.
const Listen = next + ` || exit; eval "$claude_vm_part"`

// next has a shell read what it is told next.
const next = `read -r claude_vm_size && LC_ALL=C IFS= read -r -N "$claude_vm_size" claude_vm_part`

// Tell returns what is to be written to a shell that reads scripts, to have it run one.
func Tell(script string) string { return strconv.Itoa(len(script)) + "\n" + script }

// Changed returns the script that prints the content of a file and of another one, NUL between them, if the first does not
// have the content known, or if the second holds a word. Paths are relative to the home folder. It runs as the guest's user.
func Changed(file, known, other, word string) string {
	return render("changed.sh", one("FILE", file), one("KNOWN", known), one("OTHER", other), one("WORD", word))
}

// Receive is a command line that unpacks a tar archive from its standard input into the home folder.
const Receive = "umask 022; exec tar -x -f - -C ~"

// Replace is a command line that writes its standard input to a private file, whole or not at all.
func Replace(file string) string {
	path := "~/" + shellescape.Quote(file)
	return "umask 077; cat >" + path + ".new && mv " + path + ".new " + path
}

// Mode says what a session's command is.
type Mode string

// The kinds of command.
const (
	Exec  Mode = "exec"  // an argument vector
	Line  Mode = "line"  // one line of shell
	Shell Mode = "shell" // a person types
)

// Script is a setup or runtime script: a file's content, or a phase.
type Script struct {
	Name    string
	Content string
	Phase   *Phase
}

// Phase is a part of setup or of a session's start that is described in the configuration.
type Phase struct {
	When            string   // "always", or a line of shell that must succeed
	Env             []string // NAME=value, for the parts
	Source          bool     // what the parts export stays
	ContinueOnError bool
	Parts           []string // the content of each script
}

// files returns a script as files for Prepare, the first of which is the one to run or to source. What a phase exports for
// later shells is written to keep, unless that is empty.
func (s Script) files(path, keep string) []File {
	if s.Phase == nil {
		return []File{{Path: path, Mode: "700", Content: s.Content}}
	}
	var files []File
	var parts []string
	for i, content := range s.Phase.Parts {
		part := path + "-" + strconv.Itoa(i+1)
		files = append(files, File{Path: part, Mode: "700", Content: content})
		parts = append(parts, part)
	}
	if !s.Phase.Source {
		keep = ""
	}
	return append([]File{{Path: path, Mode: "700", Content: render("phase.sh",
		one("claude_vm_when", s.Phase.When), many("claude_vm_export", s.Phase.Env), one("claude_vm_source", flag(s.Phase.Source)),
		many("claude_vm_parts", parts), one("claude_vm_keep", keep))}}, files...)
}

// flag is how scripts are told yes and no.
func flag(yes bool) string {
	if yes {
		return "1"
	}
	return "0"
}

// Session is what a session runs.
type Session struct {
	Home    string // of the guest's user
	Dir     string
	Env     []string // NAME=value
	Scripts []Script
	Mode    Mode
	Command []string
}

// folder is where the guest finds what a session runs. Nobody else can read it, since it holds secrets.
const folder = ".claude-vm/"

// Files returns the session's scripts as files for Prepare.
func (s Session) Files() []File {
	var files []File
	var scripts []string
	for i, script := range s.Scripts {
		path := folder + "runtime-" + strconv.Itoa(i+1)
		files = append(files, script.files(path, "")...)
		scripts = append(scripts, script.Name, s.Home+"/"+path, flag(script.Phase != nil && script.Phase.ContinueOnError))
	}
	return append(files,
		File{Path: folder + "join", Mode: "600", Content: render("join.sh", one("claude_vm_dir", s.Dir), many("claude_vm_env", s.Env))},
		// The last one: where it is, all others are.
		File{Path: folder + "session", Mode: "600", Content: render("session.sh",
			one("claude_vm_join", s.Home+"/"+folder+"join"), many("claude_vm_scripts", scripts),
			one("claude_vm_mode", string(s.Mode)), many("claude_vm_command", s.Command))})
}

// jobs is the control group that everything belongs to that a session starts, whoever it runs as.
const jobs = "/sys/fs/cgroup/claude-vm/jobs"

// Run returns the command line that runs the session's script. It holds nothing that must stay private. On a terminal the
// end of the command ends the connection.
func (s Session) Run(terminal bool) string {
	run := "bash -l ~/" + folder + "session"
	if s.Mode == Shell {
		run = "bash --init-file ~/" + folder + "session -i"
	}
	if terminal {
		return "exec " + run
	}
	return asJob(run)
}

// asJob returns a command line that runs another one and ends whatever that leaves in the background: ssh waits for everybody
// who could still write to its standard output or error. What the shell around it says, as that it was killed, is for nobody.
func asJob(run string) string {
	return "exec 3>&2 2>/dev/null; (echo $BASHPID >" + jobs + "/cgroup.procs; exec " + run + " 2>&3 3>&-); code=$?; echo 1 >" + jobs + "/cgroup.kill; " +
		"if [ $code = 255 ]; then : >" + chosen + "; fi; exit $code"
}

// chosen is there when a command has ended with the code that ssh has for its own failures.
const chosen = "/dev/shm/claude-vm-255"

// Chosen is a command line that succeeds if it was the session's command that has ended with 255, and not ssh. On a terminal
// nobody takes note of that.
const Chosen = "[ -e " + chosen + " ]"

// Digest names the scripts of this program: what one version has prepared, another may not understand.
func Digest() string {
	hash := sha256.New()
	files, _ := scripts.ReadDir("scripts") // embedded at build time
	for _, file := range files {
		text, _ := scripts.ReadFile("scripts/" + file.Name())
		hash.Write(text)
	}
	hash.Write([]byte(Await() + AwaitTerminal()))
	return hex.EncodeToString(hash.Sum(nil))
}

// BenchMount returns the script that measures an empty shared folder. It runs as the guest's user and prints what it did and how
// many microseconds that took, with a tab between them.
func BenchMount(dir string, files, mb int) string {
	return render("bench-mount.sh", one("DIR", dir), one("FILES", strconv.Itoa(files)), one("MB", strconv.Itoa(mb)))
}
