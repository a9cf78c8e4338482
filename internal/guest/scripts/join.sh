#!/bin/bash
# What every shell of a session begins with: session.sh sources it. One that joins the session later reads it in the place of
# ~/.bashrc, if a person is going to type, and otherwise gets the command to run as its arguments.
#
# claude_vm_dir  the working directory
# claude_vm_env  NAME=value of each variable to export
# shellcheck disable=SC2154 # they are set in front of this text
if [[ $- = *i* ]]; then
	for claude_vm_file in /etc/profile ~/.profile; do
		# shellcheck disable=SC1090
		if [ -r "$claude_vm_file" ]; then source "$claude_vm_file"; fi
	done
fi
claude_vm_term=${TERM:-}
if [ ${#claude_vm_env[@]} -gt 0 ]; then export -- "${claude_vm_env[@]}"; fi
# The host's language may have no locale here. Without one all text would count as ASCII, and perl would complain at each start.
# shellcheck disable=SC2030,SC2031 # it is tried in a shell of its own
if [[ -z ${LC_ALL:-} && ${LANG:-C} != C* && -n $({ LC_ALL=$LANG; } 2>&1) ]]; then export LC_ALL=C.UTF-8; fi
if [ -z "${claude_vm_mode:-}" ]; then # it is not the session itself
	# shellcheck disable=SC1090
	if [ -e ~/.claude-vm/exported-all ]; then source ~/.claude-vm/exported 2>/dev/null; fi
	if [ -t 0 ]; then export TERM="$claude_vm_term"; fi
fi
# Of a terminal that nobody here has a description of, programs would know nothing at all.
if [[ -n ${TERM:-} && $TERM != */* ]]; then
	claude_vm_entry=${TERM::1}/$TERM
	if [[ ! -e /usr/share/terminfo/$claude_vm_entry && ! -e /lib/terminfo/$claude_vm_entry && ! -e /etc/terminfo/$claude_vm_entry &&
		! -e ~/.terminfo/$claude_vm_entry ]]; then export TERM=xterm-256color; fi
fi
if [ -z "${claude_vm_done:-}" ]; then cd -- "$claude_vm_dir" || exit; fi
if [ $# -gt 0 ]; then exec -- "$@"; fi
