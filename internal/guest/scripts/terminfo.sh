#!/bin/bash
# Brings the description of the user's terminal, unless the guest has one. Runs as the guest's user.
#
# NAME  of the terminal
# TEXT  the compiled description, in base64
for dir in /etc/terminfo /lib/terminfo /usr/share/terminfo; do
	if [ -e "$dir/${NAME::1}/$NAME" ]; then exit; fi
done
mkdir -p -- ~/.terminfo/"${NAME::1}"
base64 -d <<<"$TEXT" >~/.terminfo/"${NAME::1}/$NAME"
