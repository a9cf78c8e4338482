#!/bin/bash
# Installs Node.js and npm below /usr/local.
set -euo pipefail
modules=/usr/local/lib/node_modules
mkdir -p "$modules" /usr/local/share/man
# OpenSSL's headers of other platforms are five files in six.
tar -xzf "$FILES/node.tgz" --strip-components=1 --no-same-owner -C /usr/local --exclude='*.md' --exclude='*/LICENSE' --exclude=package/package.json \
	--exclude='*/archs/[!l]*' --exclude='*/archs/linux[!-]*' --exclude='*/archs/linux-[!ax]*'
chmod 755 /usr/local/bin/node
if [ -e "$FILES/npm.tgz" ]; then # the package of the registry, other than the project's own archive, comes without npm
	mkdir -p "$modules/npm"
	tar -xzf "$FILES/npm.tgz" --strip-components=1 --no-same-owner -C "$modules/npm"
	for name in npm npx; do ln -sf "../lib/node_modules/npm/bin/$name-cli.js" "/usr/local/bin/$name"; done
	chmod 755 "$modules"/npm/bin/*-cli.js
fi
# npm install -g needs no sudo. Nobody else is in here, and who installs may use sudo anyway.
chown "$SUDO_USER" "$modules" /usr/local/bin /usr/local/share/man
