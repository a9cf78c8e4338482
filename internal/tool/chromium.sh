#!/bin/bash
# Gives Chromium the names that tools look for, and installs the MCP server that drives it for Claude.
set -euo pipefail
for name in google-chrome google-chrome-stable; do ln -sf /usr/bin/chromium "/usr/local/bin/$name"; done
server=/usr/local/lib/node_modules/chrome-devtools-mcp
mkdir -p "$server"
tar -xzf "$FILES/chrome-devtools-mcp.tgz" --strip-components=1 --no-same-owner -C "$server"
main=$server/$(jq -r '.bin["chrome-devtools-mcp"]' "$server/package.json")
chmod 755 "$main"
ln -sf "$main" /usr/local/bin/chrome-devtools-mcp
