#!/bin/bash
# A phase of setup or of a session's start. It is sourced, as a runtime script is.
#
# claude_vm_when    "always", or a line of shell that must succeed
# claude_vm_export  NAME=value of each variable that the phase adds
# claude_vm_source  1: the parts run in this shell, and what they set stays; otherwise each is a program of its own
# claude_vm_parts   the paths of what runs, below the home folder
# claude_vm_keep    where a sourced phase writes what it exported for the shells of later ones; empty: they share this one
# shellcheck disable=SC2154 # they are set in front of this text
if [ "$claude_vm_when" = always ] || (
	if [ ${#claude_vm_export[@]} -gt 0 ]; then export -- "${claude_vm_export[@]}"; fi
	eval "$claude_vm_when"
) </dev/null >/dev/null; then
	for claude_vm_part in "${claude_vm_parts[@]}"; do
		if [ "$claude_vm_source" = 1 ]; then
			if [ ${#claude_vm_export[@]} -gt 0 ]; then export -- "${claude_vm_export[@]}"; fi
			# shellcheck disable=SC1090
			source ~/"$claude_vm_part"
		else
			(
				if [ ${#claude_vm_export[@]} -gt 0 ]; then export -- "${claude_vm_export[@]}"; fi
				~/"$claude_vm_part"
			)
		fi || return
	done
	if [ -n "$claude_vm_keep" ]; then export -p >~/"$claude_vm_keep"; fi
fi
