#!/usr/bin/env bash
# Builds the guest image from Debian's packages: disk.qcow2, vmlinuz, initrd.img and cmdline in one folder, which is
# what `vm.image` accepts. For hosts that cannot reach an image server. Prints the folder.
# Runs as root or as an ordinary user with a range in /etc/subuid.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

out=$(image_dir)
if [ -f "$out/disk.qcow2" ]; then
	printf '%s\n' "$out"
	exit 0
fi

suite=trixie
packages=(
	# a machine that boots, has a network and can be configured by Lima
	"linux-image-$(dpkg --print-architecture)" systemd-sysv systemd-resolved dbus udev cloud-init netplan.io
	openssh-server sudo iproute2 iptables kmod e2fsprogs cloud-guest-utils uidmap busybox-static cpio
	# file sharing
	fuse3 sshfs
	# what anyone expects to find
	ca-certificates curl git less procps rsync bash-completion tmux jq ripgrep xz-utils unzip
)

# The mirror is the one that this host's apt is set up for.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -v security | sort -u | head -n1)
[ -n "$mirror" ] || die "apt knows no mirror: run apt-get update first"

say "building the guest image from Debian $suite packages (a minute or two)"
work=$(mktemp -d)
chmod 755 "$work"
cleanup() {
	if [ "$(id -u)" = 0 ]; then rm -rf "$work"; else unshare --map-auto --map-root-user rm -rf "$work"; fi
}
trap cleanup EXIT

cat >"$work/initramfs" <<'EOF'
# Only what it takes to mount a virtio disk: a small initrd is unpacked in a fraction of the time.
MODULES=list
COMPRESS=lz4
EOF
# The seed disk is a CD behind virtio-scsi. cloud-init looks for it before udev has loaded anything.
printf '%s\n' virtio_pci virtio_blk ext4 virtio_scsi sr_mod isofs >"$work/modules"

IFS=, list="${packages[*]}" && unset IFS
mmdebstrap --quiet --mode="$([ "$(id -u)" = 0 ] && echo root || echo unshare)" --variant=minbase \
	--include="initramfs-tools,$list" \
	--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
	--essential-hook="copy-in $work/initramfs /etc/initramfs-tools/conf.d" \
	--essential-hook="copy-in $work/modules /etc/initramfs-tools" \
	--customize-hook='rm -f "$1/etc/machine-id" && : >"$1/etc/machine-id" && rm -f "$1"/etc/ssh/ssh_host_*' \
	--customize-hook='echo localhost >"$1/etc/hostname"' \
	--customize-hook='echo "/dev/vda / ext4 errors=remount-ro 0 1" >"$1/etc/fstab"' \
	--customize-hook='ln -sf ../run/systemd/resolve/stub-resolv.conf "$1/etc/resolv.conf"' \
	"$suite" "$work/rootfs.tar" "deb $mirror $suite main" "deb $mirror $suite-updates main" >&2

# In one namespace, so that an ordinary user's files get their real owners on the disk.
unpack='
set -eu
mkdir root out
tar -C root --numeric-owner -xf rootfs.tar
cp root/boot/vmlinuz-* out/vmlinuz
cp root/boot/initrd.img-* out/initrd.img
truncate -s 4G disk.raw
mke2fs -q -t ext4 -L root -d root disk.raw
qemu-img convert -O qcow2 disk.raw out/disk.qcow2
rm disk.raw
'
cd "$work"
if [ "$(id -u)" = 0 ]; then sh -c "$unpack"; else unshare --map-auto --map-root-user sh -c "$unpack"; fi
printf 'root=/dev/vda rw console=ttyS0 quiet net.ifnames=0' >out/cmdline

partial=$out.partial.$$
mkdir -p "$cache"
cp -r --no-preserve=mode out "$partial"
rm -rf "$out"
mv "$partial" "$out"
say "guest image in $out"
printf '%s\n' "$out"
