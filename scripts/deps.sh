#!/usr/bin/env bash
# Installs the Debian packages that building and testing claude-vm needs, those that are missing only.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

case $(uname -m) in
x86_64) qemu="qemu-system-x86" ;;
aarch64) qemu="qemu-system-arm" ;;
*) die "no packages are known for $(uname -m)" ;;
esac

wanted=("$qemu" qemu-utils openssh-client git curl ca-certificates shellcheck tmux gnupg openssl)
# What image.sh needs: mmdebstrap, user namespaces for it, and mke2fs.
wanted+=(mmdebstrap uidmap e2fsprogs)
# Shells whose completion is tested.
wanted+=(zsh fish)

if ! have dpkg-query; then
	have limactl && exit 0
	die "this is not a Debian system: install Lima (https://lima-vm.io/docs/installation/) and QEMU with your package manager"
fi

missing=()
for package in "${wanted[@]}"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

# apt shows what it prints, some hundred lines, if it fails.
apt() {
	local log
	log=$(mktemp)
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" >"$log" 2>&1 || {
		cat "$log" >&2
		die "apt-get $1 failed"
	}
	rm "$log"
}

say "installing ${missing[*]} (a minute or two)"
apt update
apt install -y --no-install-recommends "${missing[@]}"
