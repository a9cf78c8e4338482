#!/usr/bin/env bash
# Records a session on a sample project as docs/session.svg: the real program, VM and Claude Code. Without a login for Claude
# in the environment a stand-in for the Messages API makes Claude run one command. Pauses are cut to a second and a half.
# Expects what env.sh prints, and termtosvg.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"
have termtosvg || die "termtosvg is not installed (on Debian: apt-get install termtosvg)"

work=$(mktemp -d)
trap 'kill ${api:-} 2>/dev/null || true; rm -rf "$work"' EXIT
export CLAUDE_VM_HOME=${CLAUDE_VM_HOME:-$cache/demo/state}
project=$work/calculator
mkdir "$project"
cd "$project"
git init -q -b main
# shellcheck disable=SC2016 # that of the sample expands it
printf 'sum() { echo $(($1 - $2)); }\n' >sum.sh
# shellcheck disable=SC2016 # the test's shell expands it
printf '. ./sum.sh\n[ "$(sum 2 3)" = 5 ] && echo ok\n' >test.sh
git add .
git -c user.name=demo -c user.email=demo@example.invalid commit -qm 'a calculator'

if [ -z "${ANTHROPIC_API_KEY:-}${ANTHROPIC_AUTH_TOKEN:-}${CLAUDE_CODE_OAUTH_TOKEN:-}" ]; then
	go -C "$repo" build -o "$repo/bin/fakeapi" ./test/fakeapi/cmd/fakeapi
	"$repo/bin/fakeapi" -port-file "$work/port" -command 'sed -i s/-/+/ sum.sh && sh test.sh' &
	api=$!
	until [ -s "$work/port" ]; do sleep 0.05; done
	ANTHROPIC_BASE_URL=http://host.lima.internal:$(cat "$work/port")
	export ANTHROPIC_BASE_URL ANTHROPIC_API_KEY=stand-in
fi

cat >"$work/script" <<'SCRIPT'
run() {
	printf '\033[1;32m$\033[0m '
	for ((i = 0; i < ${#1}; i++)); do
		printf %s "${1:i:1}"
		sleep 0.04
	done
	echo
	eval "$1"
	echo
	sleep 1.5
}
sleep 0.5
run 'claude-vm setup'
run 'claude-vm -p "make the failing test pass"'
run 'git diff --stat'
SCRIPT
termtosvg "$repo/docs/session.svg" -c "bash $work/script" -g 92x24 -m 50 -M 1500 -D 4000 -t window_frame
