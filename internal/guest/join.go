package guest

import "al.essio.dev/pkg/shellescape"

// Join returns the command line that runs a command in a session, or without one a shell for a person to type into. It waits
// until the session has its files. What it starts belongs to the session's control group, and ends with the session.
// The token, letters and digits, is what Interrupt knows it by.
func Join(token string, command []string) string {
	run := "bash -l ~/" + folder + "join " + shellescape.QuoteCommand(command)
	if len(command) == 0 {
		run = "bash --init-file ~/" + folder + "join -i"
	}
	// The outer shell outlives an interrupt from the keyboard to pass on how the command has ended.
	return "{ echo $$ >" + joined(token) + "; } 2>/dev/null; until [ -e ~/" + folder + "session ]; do sleep 0.1; done; trap : INT QUIT; " +
		"({ echo $BASHPID >" + jobs + "/cgroup.procs; } 2>/dev/null; exec " + run + "); exit $?"
}

// Interrupt is a command line that asks what Join has started to end.
func Interrupt(token string) string { return "kill -s TERM -- -$(<" + joined(token) + ")" }

// joined is the file with the process group of what has joined a session. sshd gives each command one of its own.
func joined(token string) string { return "/dev/shm/claude-vm-" + token }
