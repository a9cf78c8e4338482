#!/usr/bin/env bash
# Builds limactl, its guest agent and its templates from Lima's Go module, unless a usable limactl is there already.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

[ -n "$(lima_bin)" ] && exit 0
have go || die "building limactl needs Go 1.26 or newer: https://go.dev/doc/install"

say "building limactl $lima_version from its Go module"
prefix=$cache/lima-$lima_version
partial=$prefix.partial.$$
trap 'rm -rf "$partial"' EXIT
mkdir -p "$partial/bin" "$partial/share/lima"

# Lima asks its own module for the version; without this it calls itself unknown and warns at every start.
stamp="-s -w -X github.com/lima-vm/lima/v2/pkg/version.Version=v$lima_version"
cd "$repo/tools/lima"
CGO_ENABLED=0 go build -ldflags "$stamp" -o "$partial/bin/limactl" github.com/lima-vm/lima/v2/cmd/limactl
CGO_ENABLED=0 GOOS=linux go build -ldflags "$stamp" \
	-o "$partial/share/lima/lima-guestagent.Linux-$(uname -m)" github.com/lima-vm/lima/v2/cmd/lima-guestagent
cp -r "$(go list -m -f '{{.Dir}}' github.com/lima-vm/lima/v2)/templates" "$partial/share/lima/"
chmod -R u+w "$partial"
rm -rf "$prefix"
mv "$partial" "$prefix"
