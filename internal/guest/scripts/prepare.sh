#!/bin/bash
# Makes a session VM that has just booted ready for its command. Runs as the guest's user; the part that needs root is in
# prepare-root.sh.
#
# ROOT_SCRIPT  prepare-root.sh, rendered
# POINTS       where folders of the host are mounted
# FILES        path, mode and content of each file to write; a relative path lies in the home folder
# MERGE        path and content of each JSON document whose members are added to what the template has there
# STEPS        further scripts
set -euo pipefail
umask 077
cd

for point in "${POINTS[@]}"; do
	(umask 022 && mkdir -p -- "$point" 2>/dev/null) || true # outside the home folder root does it
done
sudo bash -c "$ROOT_SCRIPT" bash "$PPID"

for ((i = 0; i < ${#FILES[@]}; i += 3)); do
	mkdir -p -- "$(dirname -- "${FILES[i]}")"
	printf %s "${FILES[i + 2]}" >"${FILES[i]}"
	chmod "${FILES[i + 1]}" -- "${FILES[i]}"
done
for ((i = 0; i < ${#MERGE[@]}; i += 2)); do
	mkdir -p -- "$(dirname -- "${MERGE[i]}")"
	if [ -s "${MERGE[i]}" ]; then
		merged=$(jq -s '.[0] * .[1]' "${MERGE[i]}" - <<<"${MERGE[i + 1]}")
		printf '%s\n' "$merged" >"${MERGE[i]}"
	else
		printf '%s\n' "${MERGE[i + 1]}" >"${MERGE[i]}"
	fi
done
for step in "${STEPS[@]}"; do
	(eval "$step")
done
