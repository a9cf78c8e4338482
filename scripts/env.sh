#!/usr/bin/env bash
# Prints the shell exports with which claude-vm works from any folder. Builds the guest image if this host cannot get the
# stock one.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

lima=$(lima_bin)
[ -n "$lima" ] || die "there is no limactl: run make lima"
# shellcheck disable=SC2016 # the reader's shell expands it
printf 'export PATH=%q:%q:"$PATH"\n' "$repo/bin" "$lima"
if [ -n "${CLAUDE_VM_IMAGE:-}" ]; then
	printf 'export CLAUDE_VM_IMAGE=%q\n' "$CLAUDE_VM_IMAGE"
elif ! online "$lima/../share/lima/templates/_images/debian-13.yaml"; then
	image=$("$repo/scripts/image.sh")
	printf 'export CLAUDE_VM_IMAGE=%q\n' "$image"
fi
