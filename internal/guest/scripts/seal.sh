#!/bin/bash
# The last thing that runs in a VM that others are copied from: each copy gets an identity of its own. Runs as root.
set -euo pipefail
: >/etc/machine-id
rm -f /etc/ssh/ssh_host_*_key* /var/lib/dbus/machine-id /var/lib/systemd/random-seed
