#!/bin/bash
# Does for a tool what packages cannot do. Runs as root in a VM that has booted lean.
#
# TOOL    its name
# SCRIPT  its own script
# FILES   the mount point of what the host has downloaded for it, or empty
# UNITS   systemd units to start at each boot
set -euo pipefail
export FILES
if [ -n "$SCRIPT" ]; then bash -c "$SCRIPT"; fi
if [ -n "$FILES" ]; then
	umount "$FILES"
	rmdir "$FILES"
fi
if [ ${#UNITS[@]} -gt 0 ]; then
	wants=/etc/systemd/system/claude-vm.target.wants
	mkdir -p "$wants"
	for unit in "${UNITS[@]}"; do ln -sf "/usr/lib/systemd/system/$unit" "$wants/$unit"; done
	systemctl daemon-reload
	systemctl start "${UNITS[@]}"
fi
