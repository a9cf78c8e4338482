#!/bin/bash
# Tells npm which registries to use, where nobody has told it before. Runs as the guest's user, without starting a program.
#
# LINES  of an .npmrc
set -euo pipefail
text=
if [ -r ~/.npmrc ]; then IFS= read -r -d '' text <~/.npmrc || true; fi
for line in "${LINES[@]}"; do
	if [[ $'\n'$text =~ $'\n'"${line%%=*}"[[:blank:]]*= ]]; then continue; fi
	if [ -n "$text" ] && [ "${text: -1}" != $'\n' ]; then line=$'\n'$line; fi
	printf '%s\n' "$line" >>~/.npmrc
	text+=$line$'\n'
done
