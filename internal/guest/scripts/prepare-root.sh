#!/bin/bash
# The part of prepare.sh that needs root. Its argument is the ssh server's process that serves this connection.
#
# BOOT_ID   what Lima waits to read before it calls the VM ready
# HOST      the name that the VM goes by
# FS        how folders of the host are shared: 9p, virtiofs, or reverse-sshfs, where Lima itself mounts them
# MOUNTS    tag, mount point and options of each shared folder, parents first
# GROW      1 if the disk is larger than the file system on it
set -euo pipefail
umask 022

# Lima mounts as the guest's user, and begins when it reads the marker.
if [ "$FS" = reverse-sshfs ]; then
	modprobe -qa fuse
	chmod 666 /dev/fuse
	if ! grep -qsx user_allow_other /etc/fuse.conf; then echo user_allow_other >>/etc/fuse.conf; fi
	for ((i = 0; i < ${#MOUNTS[@]}; i += 3)); do
		mkdir -p -- "${MOUNTS[i + 1]}"
		chown -- "$SUDO_USER" "${MOUNTS[i + 1]}"
	done
fi

if [ -n "$BOOT_ID" ]; then
	install -d -m 700 -o "$SUDO_USER" /run/host-services
	for marker in ssh-ready fuse-ready boot-done; do echo "$BOOT_ID" >"/run/lima-$marker"; done
fi

# What the session starts can be ended as a whole, because its user may move processes within this group: from the part for
# connections, to which the ssh server that asks now belongs, to the part for jobs.
jobs=/sys/fs/cgroup/claude-vm
mkdir -p $jobs/jobs $jobs/connections
chown "$SUDO_USER" $jobs/{,*/}cgroup.procs $jobs/jobs/cgroup.kill
echo "$1" >$jobs/connections/cgroup.procs

hostname -- "$HOST"
echo "$HOST" >/etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 %s\n192.168.5.2 host.lima.internal\n' "$HOST" >/etc/hosts

if [ "$GROW" = 1 ]; then
	resize2fs "$(findmnt -no SOURCE /)" >/dev/null 2>&1
fi

for ((i = 0; i < ${#MOUNTS[@]}; i += 3)); do
	tag=${MOUNTS[i]} point=${MOUNTS[i + 1]} options=${MOUNTS[i + 2]}
	mkdir -p -- "$point"
	case $FS in
	9p | virtiofs)
		mount -t "$FS" -o "$options" -- "$tag" "$point"
		;;
	reverse-sshfs)
		for ((tries = 0; tries < 600; tries++)); do
			mountpoint -q -- "$point" && continue 2
			sleep 0.1
		done
		echo "the host did not mount $point" >&2
		exit 1
		;;
	esac
done
