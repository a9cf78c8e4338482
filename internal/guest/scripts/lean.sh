#!/bin/bash
# Makes the next boot a short one: no cloud-init, no probing for devices, no unit that a session does not need. Runs as
# root at the end of the build of the base layer, and in the making of our own image.
#
# STATIC_NET    1 where QEMU's own network answers: its addresses never change, so nobody has to ask for one
# KERNEL, ROOT  the kernel's version and the disk to boot from, where they are not those that run now
set -euo pipefail
kernel=${KERNEL:-$(uname -r)}
if ! modprobe -S "$kernel" -qn 9p; then # unless another one knows how to share folders
	for other in /lib/modules/*; do
		if modprobe -S "${other##*/}" -qn 9p; then kernel=${other##*/}; fi
	done
fi
root=${ROOT:-$(findmnt -no SOURCE /)}

# cloud-init has done its work. Lima gives every boot a new instance id, and it would do all of it again.
mkdir -p /etc/cloud
touch /etc/cloud/cloud-init.disabled
# The project of someone who works as root lies below /root, and there the shared folder is mounted.
chmod 711 /root

install -d /usr/local/lib/claude-vm
cat >/usr/local/lib/claude-vm/boot <<EOF
#!/bin/sh
# The few things that systemd and udev would find out by themselves, said outright.
modprobe -qa virtio_net virtio_rng
STATIC_NET=${STATIC_NET:-0}
EOF
cat >>/usr/local/lib/claude-vm/boot <<'EOF'
hostname "$(cat /etc/hostname)"
ip link set lo up
if [ "$STATIC_NET" = 1 ]; then
	ip -batch - <<'NET'
addr add 192.168.5.15/24 dev eth0
link set eth0 up
route add default via 192.168.5.2
NET
fi
if [ -e /usr/local/lib/claude-vm/seed ]; then /usr/local/lib/claude-vm/seed; fi
[ -s /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
EOF
chmod 755 /usr/local/lib/claude-vm/boot

cat >/etc/systemd/system/claude-vm-boot.service <<'EOF'
[Unit]
Description=network and identity of a claude-vm session
DefaultDependencies=no
Before=claude-vm-ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/lib/claude-vm/boot
StandardOutput=null
StandardError=append:/run/claude-vm-boot.log
EOF
cat >/etc/systemd/system/claude-vm-ssh.service <<'EOF'
[Unit]
Description=ssh server of a claude-vm session
DefaultDependencies=no
Requires=claude-vm-boot.service
After=claude-vm-boot.service

[Service]
Type=notify
# Who connects is the host, over a wire of its own: the cheapest key exchange will do, and nobody is locked out for
# trying too early. Without PAM a login does not wait for services that are not running.
ExecStart=/usr/sbin/sshd -D -o UsePAM=no -o UseDNS=no -o PrintMotd=no -o PerSourcePenalties=no -o MaxStartups=100 -o KexAlgorithms=curve25519-sha256 -o HostKey=/etc/ssh/ssh_host_ed25519_key
# The host reads this on the serial console, and need not knock all the time.
ExecStartPost=/bin/sh -c 'echo claude-vm: ssh is up >/dev/console'
RuntimeDirectory=sshd
RuntimeDirectoryMode=0755
KillMode=process
Restart=on-failure
StandardOutput=null
StandardError=append:/run/claude-vm-boot.log
EOF
# Without PAM, sshd takes an account with a locked password for a closed one.
if [ -n "${SUDO_USER:-}" ]; then usermod -p '*' "$SUDO_USER"; fi
# A database of who has logged in, which sshd writes with each terminal, and waits until that is on the disk.
ln -sf /run/wtmp.db /var/log/wtmp.db
# Nothing else is started: what a unit that somebody starts later depends on, systemd starts then.
cat >/etc/systemd/system/claude-vm.target <<'EOF'
[Unit]
Description=claude-vm session
Wants=claude-vm-ssh.service
AllowIsolate=yes
EOF
if [ "$STATIC_NET" = 1 ]; then
	rm -f /etc/resolv.conf
	echo 'nameserver 192.168.5.3' >/etc/resolv.conf
else
	mkdir -p /etc/systemd/system/claude-vm.target.wants
	rm -f /etc/netplan/*.yaml
	printf '[Match]\nType=ether\n[Network]\nDHCP=ipv4\n' >/etc/systemd/network/10-claude-vm.network
	ln -sf /usr/lib/systemd/system/systemd-networkd.service /usr/lib/systemd/system/systemd-resolved.service \
		/etc/systemd/system/claude-vm.target.wants/
fi
systemctl set-default claude-vm.target
# Logins do not wait for units that are not there.
ln -sf /dev/null /etc/tmpfiles.d/systemd-nologin.conf
for generator in /usr/lib/systemd/system-generators/*; do
	mkdir -p /etc/systemd/system-generators
	case ${generator##*/} in
	systemd-fstab-generator | systemd-sysv-generator) ;;
	*) ln -sf /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
	esac
done
: >/etc/fstab

# An initrd that loads what it takes to mount the disk, and nothing that looks for anything.
work=$(mktemp -d)
mkdir -p "$work"/{bin,dev,proc,sys,root,modules}
cp "$(command -v busybox)" "$work/bin/busybox" # the static one: there are no libraries in here
n=100
modprobe -S "$kernel" -aD virtio_pci virtio_blk ext4 crc32c_generic virtio_net virtio_rng 9pnet_virtio 9p 2>/dev/null | awk '$1=="insmod" && !seen[$2]++ {print $2}' |
	while read -r module; do
		n=$((n + 1))
		case $module in
		*.xz) xz -dc "$module" >"$work/modules/$n.ko" ;;
		*.zst) zstd -qdc "$module" >"$work/modules/$n.ko" ;;
		*) cp "$module" "$work/modules/$n.ko" ;;
		esac
	done
cat >"$work/init" <<EOF
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in /modules/*; do /bin/busybox insmod \$module; done
# After a crash nobody uses this disk again: what is written may wait, and need not reach the host's disk at once, nor in order.
until /bin/busybox mount -t ext4 -o noatime,commit=300,barrier=0,noauto_da_alloc $root /root 2>/dev/null; do /bin/busybox sleep 0.05; done
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
EOF
chmod 755 "$work/init"
(cd "$work" && find . | cpio --quiet -o -H newc) >/boot/claude-vm-initrd.img
ln -sf "vmlinuz-$kernel" /boot/claude-vm-vmlinuz
rm -rf "$work"
