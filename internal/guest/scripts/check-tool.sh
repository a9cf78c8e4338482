#!/bin/bash
# Proves that a tool works for the guest's user, as the next one to log in. Runs as root.
#
# TOOL    its name
# CHECKS  lines of shell, all of which must succeed
set -euo pipefail
cd /
for check in "${CHECKS[@]}"; do
	if ! sudo -H -u "$SUDO_USER" bash -lc "$check" </dev/null; then
		echo "this failed: $check" >&2
		exit 1
	fi
done
