#!/usr/bin/env bash
# Looks for known vulnerabilities in what the program calls. Where the Go project's database of them cannot be reached, it
# says so and has no opinion.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$repo"
if found=$(bin/govulncheck ./... 2>&1); then
	say "no known vulnerability is called"
elif [[ $found = *"fetching vulnerabilities: "* ]]; then
	say "nobody has looked for known vulnerabilities: ${found#*fetching vulnerabilities: }"
else
	printf '%s\n' "$found" >&2
	exit 1
fi
