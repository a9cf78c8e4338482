#!/usr/bin/env bash
# Measures session starts on the sample project of demo.sh. Expects what env.sh prints.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

sample=$cache/demo/sample-project
export CLAUDE_VM_HOME=${CLAUDE_VM_HOME:-$cache/demo/state}
mkdir -p "$sample"
cd "$sample"
[ -d .git ] || git init -q
plain=()
if [ -n "${CLAUDE_VM_IMAGE:-}" ]; then plain=(--plain-image "$("$repo/scripts/image.sh" stock)"); fi
claude-vm bench --auto-setup "${plain[@]}" "$@"
