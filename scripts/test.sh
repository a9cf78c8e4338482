#!/usr/bin/env bash
# The tests of CI: test.sh quick runs those without a VM, test.sh vm those with the real limactl, QEMU, Debian and Claude
# Code, test.sh both. Expects what env.sh prints. A VM with all tools keeps one core busy for as long as all other VMs
# together, and so has a state of its own.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$repo"
go=${GO:-go}
export CLAUDE_VM_TEST_REAL=1

quick() {
	local packages
	mapfile -t packages < <("$go" list ./... | grep -v '/test/e2e$')
	"$go" test -timeout 45m -p 1 -skip '^TestDeathAtEachStep$' "${packages[@]}"
	# This one is asked for its table: at which steps claude-vm was killed, with what, and whether anything stayed.
	"$go" test -v -timeout 45m -run '^TestDeathAtEachStep$' ./internal/cli | grep -Ev '^ *(=== |--- PASS)'
}

vm() {
	CLAUDE_VM_TEST_HOME=${CLAUDE_VM_TEST_HOME:-$cache/e2e}-tools "$go" test -timeout 60m -run '^TestTools$' ./test/e2e &
	trap 'kill $! 2>/dev/null || true' EXIT
	local code=0
	"$go" test -timeout 60m -skip '^TestTools$' ./test/e2e || code=$?
	wait $! || code=$?
	return $code
}

case ${1:-} in
quick | vm) "$1" ;;
"")
	quick
	vm
	;;
*)
	echo "usage: test.sh [quick | vm]" >&2
	exit 2
	;;
esac
