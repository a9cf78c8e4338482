#!/bin/sh
# Does at the first boot of our own image what cloud-init does for others: makes the user that Lima's seed disk describes,
# and tells Lima that all is well. lean.sh has the boot call it; it is gone afterwards.
set -eu
modprobe -qa virtio_scsi sr_mod isofs
tries=0
until [ -b /dev/sr0 ] || [ $tries = 200 ]; do
	sleep 0.1
	tries=$((tries + 1))
done
seed=$(mktemp -d)
mount -o ro /dev/sr0 "$seed"
value() { sed -n "s/^LIMA_CIDATA_$1=//p" "$seed/lima.env"; }

user=$(value USER)
home=$(value HOME)
useradd --create-home --home-dir "$home" --uid "$(value UID)" --shell /bin/bash --password '*' "$user"
echo "$user ALL=(ALL) NOPASSWD:ALL" >"/etc/sudoers.d/90-$user"
install -d -m 700 -o "$user" -g "$user" "$home/.ssh"
sed -n 's/^ *- "\(ssh-[^"]*\)"$/\1/p' "$seed/user-data" >"$home/.ssh/authorized_keys"
chown "$user:$user" "$home/.ssh/authorized_keys"
boot=$(sed -n 's/^instance-id: //p' "$seed/meta-data")
for mark in ssh-ready boot-done; do echo "$boot" >"/run/lima-$mark"; done
printf '127.0.0.1 localhost\n127.0.1.1 %s\n' "$(hostname)" >/etc/hosts
umount "$seed"
rm -r "$seed" "$0"
