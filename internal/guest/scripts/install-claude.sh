#!/bin/bash
# Installs Claude Code from a folder of the host. Runs as root; ends with code 3 if the guest cannot see the folder.
#
# TAG, POINT  the shared folder, and where it is mounted
set -euo pipefail
if ! mountpoint -q "$POINT"; then
	mkdir -p "$POINT"
	# The file does not change: read it with the page cache, which is more than twice as fast.
	mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose "$TAG" "$POINT" || exit 3
fi
install -m 755 "$POINT/claude" /usr/local/bin/claude
umount "$POINT"
rmdir "$POINT"
claude --version
