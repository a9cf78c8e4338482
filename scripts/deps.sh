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

if ! have dpkg-query; then
	have limactl && exit 0
	die "this is not a Debian system: install Lima (https://lima-vm.io/docs/installation/) and QEMU with your package manager"
fi

missing=()
for package in "${wanted[@]}"; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0

say "installing ${missing[*]}"
as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >&2
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
