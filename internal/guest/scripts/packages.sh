#!/bin/bash
# Installs Debian packages in one transaction. Runs as root. apt says on standard output how far it is, as in base.sh.
#
# PACKAGES  their names
# SERVICES  1 if they may start their services now
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
if [ "$SERVICES" = 0 ]; then
	# Debian asks this program before it starts a service; 101 means no.
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
	chmod 755 /usr/sbin/policy-rc.d
	trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -q -o APT::Status-Fd=3 -o Acquire::Languages=none 3>&1
# Should the VM crash half-way, nobody will use it: dpkg need not wait for the disk after each file.
apt-get install -y -q -o APT::Status-Fd=3 --no-install-recommends -o Dpkg::Options::=--force-unsafe-io \
	-o Dpkg::Options::='--path-exclude=/usr/share/doc/*' -o Dpkg::Options::='--path-exclude=/usr/share/man/*' "${PACKAGES[@]}" 3>&1
apt-get clean
