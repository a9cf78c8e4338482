#!/bin/bash
# Installs what every guest has. Runs as root in a VM that has come up the ordinary way.
#
# PACKAGES  Debian packages
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

missing=()
for package in "${PACKAGES[@]}"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
	apt-get update -q
	apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

cat >/etc/profile.d/claude-vm.sh <<'EOF'
export PATH="$HOME/.local/bin:$PATH:/usr/sbin:/sbin"
export LANG="${LANG:-C.UTF-8}"
EOF
