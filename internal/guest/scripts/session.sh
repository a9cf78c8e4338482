#!/bin/bash
# What a session runs: the runtime scripts and then the command, all in this one shell. bash reads it as a login shell,
# or in the place of ~/.bashrc when a person is going to type.
#
# claude_vm_join     the path of join.sh, which knows the variables and the working directory
# claude_vm_scripts  name and path of each runtime script, and 1 if its failure is let pass
# claude_vm_mode     exec: the command is an argument vector; line: a line for this shell; shell: a person types
# claude_vm_command  the command
# shellcheck disable=SC2154 # they are set in front of this text
# shellcheck disable=SC1090
source "$claude_vm_join"

# claude_vm_check takes note of the end of a runtime script.
claude_vm_check() {
	trap - EXIT
	if [ "$1" != 0 ] && [ "${claude_vm_scripts[claude_vm_done * 3 + 2]}" = 1 ]; then
		printf 'warning: %q failed with exit code %d\n' "${claude_vm_scripts[claude_vm_done * 3]}" "$1" >&2
	elif [ "$1" != 0 ]; then
		printf 'error: the runtime script %q failed with exit code %d\n' "${claude_vm_scripts[claude_vm_done * 3]}" "$1" >&2
		exit "$1"
	fi
	claude_vm_done=$((claude_vm_done + 1))
}
# claude_vm_resume goes on after a runtime script that has called exit 0 and so ended this shell. What it exported, its
# working directory and its open files stay.
claude_vm_resume() {
	if [ $BASHPID != $$ ]; then return; fi # a background job that ended before it was more than a copy of this shell
	claude_vm_check "$1"
	export claude_vm_done
	exec "${claude_vm_again[@]}" >&"$claude_vm_out" {claude_vm_out}>&-
}

# A runtime script is sourced, so that what it sets is there for the next ones and for the command. What it prints is not
# part of the command's output.
claude_vm_again=(bash -l "${BASH_SOURCE[0]}")
if [ "$claude_vm_mode" = shell ]; then claude_vm_again=(bash --init-file "${BASH_SOURCE[0]}" -i); fi
claude_vm_done=${claude_vm_done:-0}
exec {claude_vm_out}>&1
while ((claude_vm_done * 3 < ${#claude_vm_scripts[@]})); do
	trap 'claude_vm_resume $?' EXIT
	# shellcheck disable=SC1090
	source "${claude_vm_scripts[claude_vm_done * 3 + 1]}" >&2
	claude_vm_check $?
done
exec {claude_vm_out}>&-
export -n claude_vm_done

# Whoever joins the session gets what the runtime scripts have exported, once it is there as a whole.
export -p >|"${claude_vm_join%/*}/exported" && : >|"${claude_vm_join%/*}/exported-all"

case $claude_vm_mode in
exec) exec -- "${claude_vm_command[@]}" ;;
line) eval "${claude_vm_command[0]}" ;;
esac
