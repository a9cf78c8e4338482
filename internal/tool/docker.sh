#!/bin/bash
# Lets the guest's user use Docker, whose daemon starts when somebody first speaks to its socket.
set -euo pipefail
usermod -aG docker "$SUDO_USER"
# Without this each of them would start everything that an ordinary boot does, which here nobody else has asked for.
for unit in docker.socket docker.service containerd.service; do
	mkdir -p "/etc/systemd/system/$unit.d"
	cat >"/etc/systemd/system/$unit.d/claude-vm.conf" <<'EOF'
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
EOF
done
