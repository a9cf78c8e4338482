package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/themouette/claude-vm/internal/claude"
	"github.com/themouette/claude-vm/internal/config"
	"github.com/themouette/claude-vm/internal/fetch"
	"github.com/themouette/claude-vm/internal/forward"
	"github.com/themouette/claude-vm/internal/git"
	"github.com/themouette/claude-vm/internal/instance"
	"github.com/themouette/claude-vm/internal/launch"
	"github.com/themouette/claude-vm/internal/lima"
	"github.com/themouette/claude-vm/internal/mount"
	"github.com/themouette/claude-vm/internal/network"
	"github.com/themouette/claude-vm/internal/project"
	"github.com/themouette/claude-vm/internal/selfupdate"
	"github.com/themouette/claude-vm/internal/session"
	"github.com/themouette/claude-vm/internal/state"
	"github.com/themouette/claude-vm/internal/template"
	"github.com/themouette/claude-vm/internal/tool"
	"github.com/themouette/claude-vm/internal/trust"
	"github.com/themouette/claude-vm/internal/ui"
)

// The exit codes of our own. A guest command's code is passed on as it is; these lie where few
// programs have theirs, at the numbers that sysexits(3) gives to such causes.
const (
	codeFailure  = 1
	codeUsage    = 2
	codeMissing  = 66
	codeHost     = 69
	codeVM       = 70
	codeBusy     = 75
	codeDownload = 76
	codeRefused  = 77
	codeNoLogin  = 78
	codeSignal   = 128
)

// ExitCodes is what help and manual say of them.
const ExitCodes = `  0    success; agent, shell, exec and attach end with the code of their command
  1    any other failure
  2    wrong usage or configuration
  66   the project has no template yet, or there is no such session
  69   this machine lacks something: Lima, QEMU, ssh, git, an agent to forward,
       disk space, a guest image
  70   the VM did not start, or was lost
  75   another claude-vm is at work on the same thing
  76   a download failed or was not what it should be
  77   refused for safety
  78   Claude is not logged in
  128+n  ended by signal n
`

// usageError is a command line that cannot be understood.
func usageError(command string, err error) error {
	return launch.UsageError{Command: command, Err: err}
}

// advisedError is an error with better advice than its kind has.
func advisedError(err error, advice string) error {
	return launch.AdvisedError{Err: err, Advice: advice}
}

// unknownCommandError is what looks like a command of ours and is none. It may have been meant for
// Claude.
type unknownCommandError struct {
	words  []string
	advice string
}

func (e unknownCommandError) Error() string {
	return fmt.Sprintf("unknown command %q", strings.Join(e.words, " "))
}

// exitCode carries the code of a guest's command, which has said itself what there was to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// fail tells what went wrong and what can be done about it, and returns the exit code.
func fail(to *ui.UI, stdout *os.File, err error) int {
	if code, ok := errors.AsType[exitCode](err); ok {
		return int(code)
	}
	if errors.Is(err, session.ErrStopped) {
		to.Warn("%v", err)
		return codeSignal + int(syscall.SIGTERM)
	}
	if signal, ok := errors.AsType[Interrupted](err); ok {
		to.Warn("%v", err) // and, if it went wrong, what was left to clean up
		return codeSignal + int(signal.Signal)
	}
	if broken, ok := errors.AsType[*fs.PathError](err); ok && broken.Path == stdout.Name() &&
		broken.Err == syscall.EPIPE {
		return codeSignal + int(syscall.SIGPIPE) // who read our output has had enough of it
	}
	code, hint := diagnose(err)
	to.Error(err)
	if hint != "" {
		to.Hint("%s", hint)
	}
	return code
}

// diagnose maps kinds of errors to exit codes and advice.
func diagnose(err error) (code int, hint string) {
	if advised, ok := errors.AsType[launch.AdvisedError](err); ok {
		code, _ = diagnose(advised.Err)
		return code, advised.Advice
	}
	if unsafe, ok := errors.AsType[*project.UnsafeError](err); ok {
		if unsafe.From != unsafe.Dir {
			return codeRefused, "the repository's top folder is the project: make one of your own below it (git " +
				"init), or accept the whole with --allow-home"
		}
		return codeRefused, "go to a project's folder, or accept this one with --allow-home"
	}
	if _, ok := errors.AsType[*project.GitDirError](err); ok {
		return codeRefused, "git's data lies outside the project and does not point back to it; for a repository " +
			"made with --separate-git-dir, run: git config core.worktree \"$PWD\""
	}
	if errors.Is(err, trust.ErrLeadsOut) {
		return codeRefused, ""
	}
	if asked, ok := errors.AsType[*launch.AskedError](err); ok {
		if asked.Refused {
			return codeRefused, "say it in your own ~/.claude-vm.toml or on the command line, if you want it"
		}
		return codeRefused, "if that is all right, run: claude-vm trust"
	}
	if unknown, ok := errors.AsType[unknownCommandError](err); ok {
		return codeUsage, unknown.advice + " To send it to Claude: claude-vm -- " + strings.Join(unknown.words, " ")
	}
	if usage, ok := errors.AsType[launch.UsageError](err); ok {
		if usage.Command == "" {
			return codeUsage, ""
		}
		return codeUsage, "see " + usage.Command + " --help"
	}
	if managed, ok := errors.AsType[*selfupdate.ManagedError](err); ok {
		return codeRefused, "update it there: " + managed.Command
	}
	if _, ok := errors.AsType[config.Problems](err); ok {
		return codeUsage, ""
	}
	if _, ok := errors.AsType[*mount.Error](err); ok {
		return codeUsage, ""
	}
	for _, known := range knownErrors() {
		if errors.Is(err, known.err) {
			return known.code, known.hint
		}
	}
	return codeFailure, ""
}

// knownError is a kind of error with its exit code and its advice. docs/troubleshooting.md says
// more about each.
type knownError struct {
	err  error
	code int
	hint string
}

const noSpaceHint = "free some, remove templates with claude-vm clean-all, or move the folder with CLAUDE_VM_HOME"

// knownErrors returns them all; what comes earlier is looked for first.
func knownErrors() []knownError {
	return slices.Concat(hostErrors(thisSystem(runtime.GOOS)), buildErrors(), sessionErrors())
}

// hostErrors are about what is asked for, and what this computer lacks for it.
func hostErrors(host system) []knownError {
	return []knownError{
		{trust.ErrExchanged, codeRefused, "something that runs may be at it, another session for instance; look " +
			"at the folder, and try again"},
		{trust.ErrState, codeRefused, "share a folder beside it, or choose another one for claude-vm's own with " +
			"CLAUDE_VM_HOME"},
		{launch.ErrStateExposed, codeRefused, "choose another folder with CLAUDE_VM_HOME"},
		{state.ErrForeign, codeRefused, "take the others' right to write away (chmod go-w), or choose another " +
			"folder with CLAUDE_VM_HOME"},
		{state.ErrFolder, codeHost, "choose a folder of your own with CLAUDE_VM_HOME"},
		{mount.ErrSpec, codeUsage, ""},
		{mount.ErrConflict, codeUsage, ""},
		{network.ErrCertificates, codeUsage,
			"vm.ca_certificates names PEM files with certificates and nothing else in them"},
		{session.ErrShrink, codeUsage, "for a smaller disk build the template anew: claude-vm setup --disk N"},
		{instance.ErrNone, codeMissing, "build it with: claude-vm setup"},
		{lima.ErrNoLima, codeHost, "install Lima: " + host.installLima()},
		{lima.ErrOldLima, codeHost, "update Lima: " + host.installLima()},
		{lima.ErrHangs, codeHost, "see what it waits for: limactl list, with LIMA_HOME set to the folder vm of " +
			"claude-vm's own"},
		{lima.ErrNoQEMU, codeHost, "install QEMU: " + host.installQEMU()},
		{launch.ErrNoSSH, codeHost, "install OpenSSH's client: its package is called openssh-client, " +
			"openssh-clients or openssh"},
		{lima.ErrHome, codeHost, "choose a short folder, such as: export CLAUDE_VM_HOME=/var/tmp/cvm"},
		{lima.ErrNoImage, codeHost, "--image takes a Lima template (template:debian-13), a disk image, or a " +
			"folder made by `make image`"},
		{instance.ErrNoShare, codeHost, "use an image whose kernel has 9p; vm.mount_type = \"reverse-sshfs\" in " +
			"your own ~/.claude-vm.toml gives VMs all files of your account"},
		{tool.ErrVersion, codeUsage, "leave the version out for the one that there is"},
		{git.ErrNotInstalled, codeHost, "install git"},
		{git.ErrHangs, codeRefused, "a pipe in the place of .git/config or .git/HEAD makes it wait for ever, and " +
			"a session can put it there: look at .git"},
		{forward.ErrNoSSHAgent, codeHost, "start one and give it your keys: eval \"$(ssh-agent)\" && ssh-add"},
		{forward.ErrNoGPG, codeHost, "install gnupg, or leave the tool gpg out"},
		{forward.ErrNoGPGAgent, codeHost, "see what it says: gpgconf --launch gpg-agent; its extra-socket must " +
			"not be switched off in gpg-agent.conf"},
		{forward.ErrNoGPGKey, codeHost, "make one with gpg --quick-generate-key, or leave the tool gpg out"},
		{launch.ErrNoScreen, codeNoLogin, "without one, set CLAUDE_CODE_OAUTH_TOKEN (from claude setup-token) or " +
			"ANTHROPIC_API_KEY"},
		{claude.ErrNoHostLogin, codeNoLogin, "log in for the VMs with: claude-vm login"},
		{launch.ErrNotKept, codeNoLogin, "log in with claude-vm login, or take over the login of this machine: " +
			"claude-vm login --from-host"},
		{launch.ErrNoSpace, codeHost, noSpaceHint},
		{project.ErrGone, codeHost, "change to a folder that exists"},
		{git.ErrDubiousOwner, codeRefused, "if you trust it: git config --global --add safe.directory FOLDER"},
		{syscall.ENOSPC, codeHost, noSpaceHint},
	}
}

// buildErrors are about what is built, updated or downloaded.
func buildErrors() []knownError {
	return []knownError{
		{instance.ErrUnknownDisks, codeFailure,
			"build it anew with claude-vm setup, in the project that it belongs to, or remove everything: " +
				"claude-vm clean-all"},
		{template.ErrScript, codeFailure, "no template was changed; --verbose shows all that the script prints"},
		{instance.ErrBusy, codeBusy, "wait until it is done"},
		{state.ErrLocked, codeBusy, "wait until it is done"},
		{instance.ErrRunning, codeBusy, "somebody started the template with limactl; stop it there, or build it " +
			"anew: claude-vm setup"},
		{selfupdate.ErrNoKey, codeRefused, "install.sh gets the newest: curl -fsSL " +
			"https://raw.githubusercontent.com/themouette/claude-vm/main/install.sh | bash"},
		{selfupdate.ErrUnverified, codeDownload,
			"nothing was changed; try again later, and if it stays so, tell the maintainers"},
		{selfupdate.ErrUnreachable, codeDownload, "check the network and the proxy variables"},
		{selfupdate.ErrNoRelease, codeDownload, "see which there are: " + selfupdate.DefaultBase},
		{selfupdate.ErrNotWritable, codeHost,
			"update as the user to whom it belongs, or install claude-vm into a folder of your own"},
		{selfupdate.ErrNoPrevious, codeHost, "a certain version can be installed with: claude-vm update --version X"},
		{fetch.ErrIntegrity, codeDownload, "nothing was installed; try again, or for Claude Code choose another " +
			"source with claude.source"},
		{fetch.ErrUnreachable, codeDownload,
			"check the network, the proxy variables and npm's registry; claude.source chooses where Claude Code " +
				"comes from"},
		{fetch.ErrNotFound, codeDownload, "see claude.version, claude.source and the versions below tools in the " +
			"configuration"},
	}
}

// sessionErrors are about VMs that run, and what is known of them.
func sessionErrors() []knownError {
	return []knownError{
		{lima.ErrBoot, codeVM, "claude-vm doctor shows what may be missing, --verbose shows Lima's log; if a disk " +
			"is damaged, build it anew: claude-vm setup --rebuild"},
		{session.ErrLost, codeVM, ""},
		{session.ErrEnded, codeVM, ""},
		{session.ErrStuck, codeBusy, "the claude-vm that has it does not react: end that one (claude-vm ps shows " +
			"its PID), and the next command removes the VM"},
		{errNoSession, codeMissing, "claude-vm ps shows the sessions that are running"},
		{errNoReport, codeMissing, "claude-vm changes --list shows the sessions of which something is kept"},
		{errManySessions, codeUsage, "name one of them; the last part of the name will do"},
		{lima.ErrShare, codeUsage, "rename it, or choose another vm.mount_type"},
		{lima.ErrPort, codeHost, "another program, or another session, listens there: choose another host port"},
		{ui.ErrNotInteractive, codeUsage, ""},
	}
}
