#!/usr/bin/env bash
# Builds the guest image from Debian's packages: disk.qcow2, vmlinuz, initrd.img and cmdline in one folder, which is
# what `vm.image` accepts. For hosts that cannot reach an image server. Prints the folder.
# Runs as root or as an ordinary user with a range in /etc/subuid.
# shellcheck disable=SC2016 # apt and mmdebstrap expand them
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

out=$(image_dir)
if [ -f "$out/disk.qcow2" ]; then
	printf '%s\n' "$out"
	exit 0
fi

suite=trixie
packages=(
	# a machine that boots and that we can talk to
	"linux-image-$(dpkg --print-architecture)" systemd-sysv dbus udev openssh-server sudo iproute2 iptables kmod e2fsprogs
	# what makes its boots short
	busybox-static cpio
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

# The guest's first boot is as short as all others: what cloud-init would do at length, seed does.
scripts=$repo/internal/guest/scripts
cat >"$work/lean" <<'EOF'
set -e
kernel=$(ls /lib/modules)
install -D -m 755 /tmp/seed.sh /usr/local/lib/claude-vm/seed
STATIC_NET=1 ROOT=/dev/vda KERNEL=$kernel bash /tmp/lean.sh
sed -i 's/^update_initramfs=.*/update_initramfs=no/' /etc/initramfs-tools/update-initramfs.conf # nobody boots that one
rm -f /tmp/*.sh /tmp/lean /boot/initrd.img-* /etc/ssh/ssh_host_*
EOF

IFS=, list="${packages[*]}" && unset IFS
mmdebstrap --quiet --mode="$([ "$(id -u)" = 0 ] && echo root || echo unshare)" --variant=minbase --include="$list" \
	--customize-hook='echo claude-vm >"$1/etc/hostname"' \
	--customize-hook="copy-in $scripts/lean.sh $scripts/seed.sh $work/lean /tmp" \
	--customize-hook='chroot "$1" bash /tmp/lean' \
	"$suite" "$work/rootfs.tar" "deb $mirror $suite main" "deb $mirror $suite-updates main" >&2

# In one namespace, so that an ordinary user's files get their real owners on the disk.
unpack='
set -eu
mkdir root out
tar -C root --numeric-owner -xf rootfs.tar
cp root/boot/vmlinuz-* out/vmlinuz
cp root/boot/claude-vm-initrd.img out/initrd.img
truncate -s 4G disk.raw
mke2fs -q -t ext4 -L root -d root disk.raw
qemu-img convert -O qcow2 disk.raw out/disk.qcow2
rm disk.raw
'
cd "$work"
if [ "$(id -u)" = 0 ]; then sh -c "$unpack"; else unshare --map-auto --map-root-user sh -c "$unpack"; fi
printf 'console=ttyS0 quiet rw net.ifnames=0 lsm=landlock,yama' >out/cmdline

partial=$out.partial.$$
mkdir -p "$cache"
cp -r --no-preserve=mode out "$partial"
rm -rf "$out"
mv "$partial" "$out"
say "guest image in $out"
printf '%s\n' "$out"
