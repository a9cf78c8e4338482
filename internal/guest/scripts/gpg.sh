#!/bin/bash
# Lets the guest's gpg sign with keys of the host, whose agent will listen in the place of the guest's own. Runs as the
# guest's user. There is no login manager, so that gpg looks for its agent in the home folder.
#
# KEYS     public keys, armored
# TRUSTED  the fingerprints of those to trust as one's own
set -euo pipefail
umask 077
if ! command -v gpg >/dev/null; then
	echo "there is no gpg in this template: build it anew with claude-vm setup" >&2
	exit 1
fi
mkdir -p ~/.gnupg
rm -f ~/.gnupg/S.gpg-agent # what an agent left while the template was built
{
	echo no-autostart
	printf 'trusted-key %s\n' "${TRUSTED[@]}"
} >>~/.gnupg/gpg.conf
gpg --batch --quiet --import <<<"$KEYS"
