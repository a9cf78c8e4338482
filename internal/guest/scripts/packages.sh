#!/bin/bash
# Installs Debian packages in one transaction. Runs as root.
#
# PACKAGES  their names
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "${PACKAGES[@]}"
apt-get clean
