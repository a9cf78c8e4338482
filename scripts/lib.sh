# Sourced by the scripts beside it: where built things are cached, and how a step is announced.
# shellcheck shell=bash
set -euo pipefail

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${CLAUDE_VM_DEV_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/claude-vm-dev}
lima_version=2.2.0

say() { printf '==> %s\n' "$*" >&2; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root runs a command as root: directly, or through sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		die "$* needs root and there is no sudo"
	fi
}

# digest prints a short name for the content of the files given, so that a
# cached build is used exactly as long as what it was built from is unchanged.
digest() { cat "$@" | sha256sum | cut -c1-12; }

# lima_bin prints the folder of a limactl that is new enough, if there is one:
# the user's own, or the one that lima.sh has built.
lima_bin() {
	local found version
	found=$(command -v limactl || true)
	if [ -n "$found" ]; then
		version=$("$found" --version 2>/dev/null | sed -n 's/^limactl version v\{0,1\}\([0-9]*\)\..*/\1/p')
		if [ "${version:-0}" -ge 2 ]; then
			dirname "$found"
			return
		fi
	fi
	if [ -x "$cache/lima-$lima_version/bin/limactl" ]; then
		printf '%s\n' "$cache/lima-$lima_version/bin"
	fi
}

# image_dir prints where image.sh puts the guest image of a flavour that is made from its present text.
image_dir() { printf '%s/image-%s-%s-%s\n' "$cache" "$1" "$(uname -m)" "$(digest "$repo/scripts/image.sh" "$repo"/internal/guest/scripts/{lean,seed}.sh)"; }

# online says whether the stock guest image can be fetched from where Lima's template points.
online() {
	local url
	url=$(sed -n 's/^- location: "\{0,1\}\(https:[^"]*\)"\{0,1\}$/\1/p' "$1" | head -n1)
	[ -n "$url" ] && curl -fsI --connect-timeout 3 --max-time 8 -o /dev/null "$url" 2>/dev/null
}
