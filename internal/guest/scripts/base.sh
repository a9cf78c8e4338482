#!/bin/bash
# Installs what every guest has. Runs as root in a VM that has come up the ordinary way. apt says on standard output how
# far it is, by way of a descriptor of its own: it closes that for dpkg.
#
# PACKAGES      Debian packages
# CERTIFICATES  of authorities to trust, each in PEM form
# NEED_9P       1 where folders are shared over 9p
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Before anything is downloaded: it may take them.
if [ ${#CERTIFICATES[@]} -gt 0 ]; then
	if ! command -v update-ca-certificates >/dev/null; then
		apt-get update -q -o APT::Status-Fd=3 3>&1
		apt-get install -y -q -o APT::Status-Fd=3 --no-install-recommends ca-certificates 3>&1
	fi
	mkdir -p /usr/local/share/ca-certificates/claude-vm
	for i in "${!CERTIFICATES[@]}"; do
		printf %s "${CERTIFICATES[i]}" >"/usr/local/share/ca-certificates/claude-vm/$i.crt"
	done
	update-ca-certificates
	# Programs that bring a list of their own take the system's if they are told.
	for variable in NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE SSL_CERT_FILE; do
		echo "export $variable=/etc/ssl/certs/ca-certificates.crt"
	done >/etc/profile.d/claude-vm-certificates.sh
fi

installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "${PACKAGES[@]}" 2>/dev/null | grep -c '^ii' || true)
if [ "$installed" != ${#PACKAGES[@]} ]; then
	apt-get update -q -o APT::Status-Fd=3 -o Acquire::Languages=none 3>&1
	# Should the VM crash half-way, nobody will use it: dpkg need not wait for the disk after each file.
	apt-get install -y -q -o APT::Status-Fd=3 --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "${PACKAGES[@]}" 3>&1
fi

# The kernel of Debian's images for clouds knows no 9p, and what is left to share folders with gives a guest more than those.
# The ordinary kernel is booted from the next time on, with an initrd of our own.
if [ "$NEED_9P" = 1 ] && ! modprobe -qn 9p; then
	kernel=linux-image-$(dpkg --print-architecture)
	apt-get update -q -o APT::Status-Fd=3 -o Acquire::Languages=none 3>&1
	if apt-cache show "$kernel" >/dev/null 2>&1; then
		INITRD=No apt-get install -y -q -o APT::Status-Fd=3 --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$kernel" 3>&1
	fi
fi

# The image is smaller than the disk that it was put on.
resize2fs "$(findmnt -no SOURCE /)"

# Debian's profile starts two programs, and each session waits for them: the shell knows both answers.
# shellcheck disable=SC2016 # the profile's shell expands it
sed -i 's,\$(id -u),${EUID:-$(id -u)},; s,\$(run-parts [^)]* /etc/profile\.d),/etc/profile.d/[!.]*.sh,' /etc/profile
cat >/etc/profile.d/claude-vm.sh <<'EOF'
export PATH="$HOME/.local/bin:$PATH:/usr/sbin:/sbin"
export LANG="${LANG:-C.UTF-8}"
EOF

# Claude keeps its checkpoints and the prompts of the past beside its conversations, and only the folder of these is shared.
home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
install -d -o "$SUDO_USER" -g "$(id -gn "$SUDO_USER")" -m 700 "$home/.claude" "$home/.claude/projects" "$home/.claude/projects/.file-history"
ln -sfn projects/.file-history "$home/.claude/file-history"
ln -sfn projects/.history.jsonl "$home/.claude/history.jsonl"

# sudo forgets what the network is reached with, and apt would go without it.
cat >/etc/sudoers.d/80-claude-vm <<'EOF'
Defaults env_keep += "http_proxy https_proxy all_proxy no_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY"
Defaults env_keep += "NODE_EXTRA_CA_CERTS REQUESTS_CA_BUNDLE SSL_CERT_FILE"
EOF
# Each session is the first that this machine hears of any other one, and there may be nobody to ask.
mkdir -p /etc/ssh/ssh_config.d
echo 'StrictHostKeyChecking accept-new' >/etc/ssh/ssh_config.d/80-claude-vm.conf
