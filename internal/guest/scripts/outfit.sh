#!/bin/bash
# Gives a VM that is ready what a session brings. Runs as the guest's user. Somebody waits for it: each program that it need
# not start saves a twentieth of a second without hardware help.
#
# FILES  path, mode and content of each file to write; a relative path lies in the home folder
# MERGE  path and content of each JSON document whose members are added to what the template has there
# STEPS  further scripts
# ELSEWHERE  the .git files of working trees that stay on the host. Git in the guest sees what it has of them in the repository,
#            and would remove that if there were nothing in their place
set -euo pipefail
umask 077
cd

# claude_vm_folder makes the folder of a file.
claude_vm_folder() {
	if [[ $1 = */* && ! -d ${1%/*} ]]; then mkdir -p -- "${1%/*}"; fi
}
for ((i = 0; i < ${#FILES[@]}; i += 3)); do
	claude_vm_folder "${FILES[i]}"
	mode=${FILES[i + 1]} change=
	if [ -e "${FILES[i]}" ] || ((8#$mode & 8#111)); then change=1; fi # otherwise the mask makes it so
	printf -v mask %03o $((8#777 & ~8#$mode))
	umask "$mask"
	printf %s "${FILES[i + 2]}" >"${FILES[i]}"
	umask 077
	if [ -n "$change" ]; then chmod "$mode" -- "${FILES[i]}"; fi
done
for ((i = 0; i < ${#MERGE[@]}; i += 2)); do
	claude_vm_folder "${MERGE[i]}"
	merged=${MERGE[i + 1]}
	if [ -s "${MERGE[i]}" ]; then merged=$(jq -s '.[0] * .[1]' "${MERGE[i]}" - <<<"$merged"); fi
	printf '%s\n' "$merged" >"${MERGE[i]}"
done
missing=()
for file in "${ELSEWHERE[@]}"; do
	if [ ! -e "$file" ]; then missing+=("$file"); fi # a VM that has waited has most of them
done
if ((${#missing[@]})); then
	# shellcheck disable=SC2016 # root's shell is to expand them
	sudo bash -c 'umask 022
		for file; do
			mkdir -p -- "${file%/*}"
			[ -e "$file" ] || echo "This working tree is on the host." >"$file"
		done' bash "${missing[@]}" 2>/dev/null || true # where something else stands the session goes on without it
fi
for step in "${STEPS[@]}"; do
	(eval "$step")
done
