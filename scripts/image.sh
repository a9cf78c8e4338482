#!/usr/bin/env bash
# Builds a guest image from Debian's packages: disk.qcow2, vmlinuz, initrd.img and cmdline in one folder, which is what
# `vm.image` accepts. For hosts that cannot reach an image server. Prints the folder.
#
# image.sh        our own image, whose boots are short from the first on
# image.sh stock  one with cloud-init and a kernel for clouds, as Debian's own is; make bench compares with it
#
# Runs as root or as an ordinary user with a range in /etc/subuid.
# shellcheck disable=SC2016 # apt and mmdebstrap expand them
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

flavour=${1:-lean}
out=$(image_dir "$flavour")
if [ -f "$out/disk.qcow2" ]; then
	printf '%s\n' "$out"
	exit 0
fi

suite=trixie
arch=$(dpkg --print-architecture)
case $flavour in
lean) kernel=linux-image-$arch ;;
stock) kernel=linux-image-cloud-$arch ;;
*) die "usage: image.sh [lean|stock]" ;;
esac
packages=(
	# a machine that boots and that we can talk to
	"$kernel" systemd-sysv dbus udev openssh-server sudo iproute2 iptables kmod e2fsprogs
	# what makes its boots short
	busybox-static cpio
	# file sharing
	fuse3 sshfs
	# what anyone expects to find
	ca-certificates curl git less procps rsync bash-completion tmux jq ripgrep xz-utils unzip
)
if [ "$flavour" = stock ]; then packages+=(systemd-resolved cloud-init netplan.io cloud-guest-utils uidmap); fi

# The mirror is the one that this host's apt is set up for.
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' |
	grep -v security | sort -u | head -n1 || true)
[ -n "$mirror" ] || die "apt has no mirror with the component main in its sources"

say "building the $flavour guest image from Debian $suite packages (a minute or two)"
work=$(mktemp -d)
chmod 755 "$work"
cleanup() {
	if [ "$(id -u)" = 0 ]; then rm -rf "$work"; else unshare --map-auto --map-root-user rm -rf "$work"; fi
}
trap cleanup EXIT

case $flavour in
lean) # what cloud-init would do at length, seed does
	cat >"$work/finish" <<'EOF'
install -D -m 755 /tmp/seed.sh /usr/local/lib/claude-vm/seed
STATIC_NET=1 ROOT=/dev/vda KERNEL=$(ls /lib/modules) bash /tmp/lean.sh
mv /boot/claude-vm-initrd.img /boot/initrd
sed -i 's/^update_initramfs=.*/update_initramfs=no/' /etc/initramfs-tools/update-initramfs.conf # nobody boots that one
rm /boot/initrd.img-*
EOF
	cmdline='console=ttyS0 quiet rw net.ifnames=0 lsm=landlock,yama sysctl.vm.dirty_writeback_centisecs=30000'
	;;
stock) # cloud-init looks for the seed disk, a CD behind virtio-scsi, before udev has loaded anything
	cat >"$work/finish" <<'EOF'
printf '%s\n' virtio_pci virtio_blk ext4 virtio_scsi sr_mod isofs >>/etc/initramfs-tools/modules
update-initramfs -u
mv /boot/initrd.img-* /boot/initrd
echo '/dev/vda / ext4 errors=remount-ro 0 1' >/etc/fstab
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
EOF
	cmdline='root=/dev/vda rw console=ttyS0 quiet net.ifnames=0'
	;;
esac

scripts=$repo/internal/guest/scripts
IFS=, list="${packages[*]}" && unset IFS
mmdebstrap --quiet --mode="$([ "$(id -u)" = 0 ] && echo root || echo unshare)" --variant=minbase --include="$list" \
	--customize-hook='echo claude-vm >"$1/etc/hostname"; : >"$1/etc/machine-id"' \
	--customize-hook="copy-in $scripts/lean.sh $scripts/seed.sh $work/finish /tmp" \
	--customize-hook='chroot "$1" bash -e /tmp/finish && cd "$1" && rm -f tmp/lean.sh tmp/seed.sh tmp/finish etc/ssh/ssh_host_*' \
	"$suite" "$work/rootfs.tar" "deb $mirror $suite main" "deb $mirror $suite-updates main" >&2

# In one namespace, so that an ordinary user's files get their real owners on the disk.
unpack='
set -eu
mkdir root out
tar -C root --numeric-owner --exclude="./dev/*" -xf rootfs.tar # the kernel makes the devices
cp root/boot/vmlinuz-* out/vmlinuz
mv root/boot/initrd out/initrd.img
truncate -s 4G disk.raw
mke2fs -q -t ext4 -L root -d root disk.raw
qemu-img convert -O qcow2 disk.raw out/disk.qcow2
rm disk.raw
'
cd "$work"
if [ "$(id -u)" = 0 ]; then sh -c "$unpack"; else unshare --map-auto --map-root-user sh -c "$unpack"; fi
printf %s "$cmdline" >out/cmdline

partial=$out.partial.$$
mkdir -p "$cache"
cp -r --no-preserve=mode out "$partial"
rm -rf "$out"
mv "$partial" "$out"
say "guest image in $out"
printf '%s\n' "$out"
