#!/bin/bash
# Installs what every guest has. Runs as root in a VM that has come up the ordinary way.
#
# PACKAGES  Debian packages
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "${PACKAGES[@]}" 2>/dev/null | grep -c '^ii' || true)
if [ "$installed" != ${#PACKAGES[@]} ]; then
	apt-get update -q
	apt-get install -y -q --no-install-recommends "${PACKAGES[@]}"
fi

# The image is smaller than the disk that it was put on.
resize2fs "$(findmnt -no SOURCE /)"

cat >/etc/profile.d/claude-vm.sh <<'EOF'
export PATH="$HOME/.local/bin:$PATH:/usr/sbin:/sbin"
export LANG="${LANG:-C.UTF-8}"
EOF
