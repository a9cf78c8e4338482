#!/bin/sh
# Installs the latest release of claude-vm for the user who runs it:
#
#   curl -fsSL https://raw.githubusercontent.com/themouette/claude-vm/main/install.sh | bash
#
# Everything stands in functions and begins with the last line, so that half a download does nothing.
set -eu

say() { printf '%s\n' "$*"; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

usage() {
	cat <<'END'
usage: install.sh takes no arguments, but variables:

CLAUDE_VM_VERSION   the version to install, such as 1.2.3, in place of the latest
CLAUDE_VM_BIN       the folder for the program, in place of ~/.local/bin
CLAUDE_VM_RELEASES  the address of another server that has the releases
CLAUDE_VM_UNSIGNED  1: without minisign go by the checksum alone
END
}

have() { command -v "$1" >/dev/null 2>&1; }

# The key that signs releases; a test holds it against internal/selfupdate/release.pub.
release_key=""

# The Lima that claude-vm is tested with; a test holds it against internal/cli/install_hint.go.
lima_version=2.2.0

# platform prints what this system is called in the names of releases.
platform() {
	case $(uname -s) in
	Linux) system=linux ;;
	Darwin) system=macos ;;
	*) die "claude-vm runs on Linux and macOS, and this is $(uname -s)" ;;
	esac
	case $(uname -m) in
	x86_64 | amd64) machine=x86_64 ;;
	aarch64 | arm64) machine=aarch64 ;;
	*) die "there is no claude-vm for $(uname -m) processors" ;;
	esac
	# A shell that is translated for Apple's processors believes that it is on an Intel one.
	if [ "$system-$machine" = macos-x86_64 ] && [ "$(sysctl -n sysctl.proc_translated 2>/dev/null)" = 1 ]; then
		machine=aarch64
	fi
	printf '%s-%s\n' "$system" "$machine"
}

# fetch URL FILE
fetch() {
	if have curl; then
		curl -fsSL --connect-timeout 15 --retry 2 -o "$2" "$1"
	else
		wget -q -T 15 -O "$2" "$1"
	fi
}

# sha256 FILE
sha256() {
	if have sha256sum; then
		sha256sum <"$1"
	else
		shasum -a 256 <"$1"
	fi | cut -d ' ' -f 1
}

# verify ARCHIVE checks the archive, and the list of checksums, in the current folder.
verify() {
	promised=$(sed -n "s/^\([0-9a-f]\{64\}\)  $1\$/\1/p" checksums.txt)
	[ -n "$promised" ] || die "the release has no checksum of $1"
	[ "$(sha256 "$1")" = "$promised" ] || die "$1 is not what its checksum says; nothing was installed"
	if [ -z "$release_key" ]; then
		say "The checksum was verified. The signature was not: releases are not signed yet."
	elif ! have minisign; then
		say "The checksum was verified. The signature was not: minisign is not installed."
	else
		fetch "$from/checksums.txt.minisig" checksums.txt.minisig || die "the release is not signed; nothing was installed"
		signed=$(minisign -V -Q -P "$release_key" -m checksums.txt) || die "the release is not signed by claude-vm's key; nothing was installed"
		if [ -n "$version" ] && [ "$signed" != "claude-vm $version" ]; then
			die "the release is signed as \"$signed\"; nothing was installed"
		fi
		say "The checksum and the signature were verified."
	fi
}

# place FILE FOLDER NAME puts a document of the release where it is looked for.
place() {
	if [ -f "$1" ] && [ ! -L "$1" ]; then
		{ mkdir -p "$2" && cp "$1" "$2/$3"; } || say "Cannot write $2/$3"
	fi
}

# documents puts completions and man pages where shells and man look for them.
documents() {
	share=$HOME/.local/share
	tar -xzf "$1" completions man 2>/dev/null || return 0 # an older release may have none
	place completions/claude-vm.bash "$share/bash-completion/completions" claude-vm
	place completions/claude-vm.fish "$share/fish/vendor_completions.d" claude-vm.fish
	place completions/_claude-vm "$share/zsh/site-functions" _claude-vm
	for page in man/*.1; do
		place "$page" "$share/man/man1" "${page#man/}"
	done
	say "Completions and man pages are in $share; zsh needs it in its fpath: fpath+=($share/zsh/site-functions)"
}

# needs says how to get what claude-vm drives, as far as that is missing.
needs() {
	if ! have limactl; then
		say "claude-vm needs Lima, which is not installed yet:"
		if have brew; then
			say "  brew install lima"
		elif [ "$(uname -s)" = Linux ]; then
			say "  curl -fsSL https://github.com/lima-vm/lima/releases/download/v$lima_version/lima-$lima_version-Linux-$(uname -m).tar.gz | sudo tar -xz -C /usr/local"
		else
			say "  https://lima-vm.io/docs/installation/"
		fi
	fi
	if [ "$(uname -s)" = Linux ] && ! have qemu-img; then
		say "claude-vm needs QEMU, which is not installed yet:"
		if have apt-get; then
			say "  sudo apt-get install qemu-system qemu-utils"
		else
			say "  https://www.qemu.org/download/#linux"
		fi
	fi
	have git || say "claude-vm needs git, which is not installed yet."
}

main() {
	if [ $# -gt 0 ]; then
		usage >&2
		exit 2
	fi
	[ -n "${HOME:-}" ] || [ -n "${CLAUDE_VM_BIN:-}" ] || die "HOME is not set; say where to install with CLAUDE_VM_BIN"
	bin=${CLAUDE_VM_BIN:-$HOME/.local/bin}
	case $bin in
	[~]/*) bin=${HOME:?}/${bin#??} ;; # quotes have kept it from the shell
	esac
	base=${CLAUDE_VM_RELEASES:-https://github.com/themouette/claude-vm/releases}
	version=${CLAUDE_VM_VERSION:-}
	version=${version#v}
	case $version in
	"") from=${base%/}/latest/download ;;
	*[!0-9A-Za-z.+-]*) die "CLAUDE_VM_VERSION=$version is not a version such as 1.2.3" ;;
	*) from=${base%/}/download/v$version ;;
	esac
	archive=claude-vm-$(platform).tar.gz
	have curl || have wget || die "curl or wget is needed to download claude-vm"
	have sha256sum || have shasum || die "sha256sum or shasum is needed to verify the download"
	if [ -n "$release_key" ] && ! have minisign && [ "${CLAUDE_VM_UNSIGNED:-}" != 1 ]; then
		die "minisign is needed to verify the signature: install it (its package is called minisign), or go by the checksum alone with CLAUDE_VM_UNSIGNED=1"
	fi

	mkdir -p "$bin" || die "cannot make the folder $bin; choose another one with CLAUDE_VM_BIN"
	bin=$(CDPATH='' cd "$bin" && pwd)
	# Beside the program, so that putting it into place is one rename.
	work=$(mktemp -d "$bin/.claude-vm-install-XXXXXX") || die "cannot write to $bin; choose another folder with CLAUDE_VM_BIN"
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	cd "$work"

	say "Downloading $archive from $from"
	fetch "$from/checksums.txt" checksums.txt || die "cannot download $from/checksums.txt${version:+; if there is no version $version, see which there are: $base}"
	fetch "$from/$archive" "$archive" || die "cannot download $from/$archive"
	verify "$archive"
	tar -xzf "$archive" claude-vm || die "$archive has no claude-vm; nothing was installed"
	if [ ! -f claude-vm ] || [ -L claude-vm ]; then
		die "the claude-vm in $archive is not a file; nothing was installed"
	fi
	chmod 755 claude-vm
	installed=$(./claude-vm --version) || die "the program does not run on this system; nothing was installed"
	if [ -n "$version" ] && [ "$installed" != "claude-vm $version" ]; then
		die "the release of $version has $installed in it; nothing was installed"
	fi
	before=$("$bin/claude-vm" --version 2>/dev/null) || before=
	mv -f claude-vm "$bin/claude-vm"
	say "$installed is installed: $bin/claude-vm${before:+ (before: $before)}"
	case :$PATH: in
	*":$bin:"*) ;;
	*) say "$bin is not on your PATH. Add this line to your shell's profile:" && say "  export PATH=\"$bin:\$PATH\"" ;;
	esac
	first=$(command -v claude-vm) || first=$bin/claude-vm
	[ "$first" = "$bin/claude-vm" ] || say "Another claude-vm comes first on your PATH: $first"
	[ -z "${HOME:-}" ] || documents "$archive"
	needs
	say "See what else is missing with: claude-vm doctor"
	say "Begin in a project with: claude-vm setup"
}

main "$@"
