package guest

import "al.essio.dev/pkg/shellescape"

// SSHAgentSocket is where programs in the guest find the host's ssh-agent, relative to the home folder.
const SSHAgentSocket = folder + "ssh-agent.sock"

// GPGSocket is where gpg in the guest looks for its agent, relative to the home folder.
const GPGSocket = ".gnupg/S.gpg-agent"

// GPG returns a step of Prepare: with it gpg in the guest knows the keys of the host, and leaves GPGSocket to the host's agent.
func GPG(keys string, fingerprints []string) string {
	return render("gpg.sh", one("KEYS", keys), many("TRUSTED", fingerprints))
}

// Registries returns a step of Prepare that adds lines to npm's configuration, where it does not say otherwise already.
func Registries(lines []string) string { return render("npmrc.sh", many("LINES", lines)) }

// Export returns shell that exports variables, each NAME=value. In front of a script that runs as root it sets them for that.
func Export(env []string) string {
	if len(env) == 0 {
		return ""
	}
	return "export -- " + shellescape.QuoteCommand(env) + "\n"
}
