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
	// A shell that came before there was a control group may not move itself into it. The outer one outlives an interrupt from
	// the keyboard to pass on how the command has ended, and says nothing about that itself.
	return "{ echo $$ >" + joined(token) + "; } 2>/dev/null; until [ -e ~/" + folder + "session ]; do sleep 0.1; done; trap : INT QUIT; exec 3>&2 2>/dev/null; " +
		"(echo $BASHPID >" + jobs + "/cgroup.procs || sudo -n sh -c \"echo $BASHPID >" + jobs + "/cgroup.procs\"; exec " + run + " 2>&3 3>&-); exit $?"
}

// Interrupt is a command line that asks what Join has started to end.
func Interrupt(token string) string { return "kill -s TERM -- -$(<" + joined(token) + ")" }

// joined is the file with the process group of what has joined a session. sshd gives each command one of its own.
func joined(token string) string { return "/dev/shm/claude-vm-" + token }
