#!/bin/bash
# Makes a VM that has just booted ready for use. Runs as the guest's user; the part that needs root is in prepare-root.sh.
#
# ROOT_SCRIPT  prepare-root.sh, rendered
# POINTS       where folders of the host are mounted
set -euo pipefail
umask 077
cd

mkdir -p .claude .claude-vm .config/git # where an outfit writes: now nobody waits for it
for point in "${POINTS[@]}"; do
	(umask 022 && mkdir -p -- "$point" 2>/dev/null) || true # outside the home folder root does it
done
sudo bash -c "$ROOT_SCRIPT" bash "$PPID"
