#!/usr/bin/env bash
# Shows claude-vm at work on a sample project: sets up its template and lets Claude Code do a task in a VM. With a login
# for Claude in the environment it talks to the real service, without one to a stand-in that makes Claude run one command.
# Expects what env.sh prints.
# shellcheck source=scripts/lib.sh
. "$(dirname "$0")/lib.sh"

sample=$cache/demo/sample-project
export CLAUDE_VM_HOME=${CLAUDE_VM_HOME:-$cache/demo/state}
mkdir -p "$sample"
cd "$sample"
if [ ! -d .git ]; then
	git init -q
	printf '# A sample project\n' >README.md
	git add README.md
	git -c user.name=demo -c user.email=demo@example.invalid commit -qm 'a sample'
fi
rm -f made-by-claude.txt

claude-vm list | grep -qF "$sample" || claude-vm setup

task='write the output of uname -a and the date into the file made-by-claude.txt'
if [ -z "${ANTHROPIC_API_KEY:-}${ANTHROPIC_AUTH_TOKEN:-}${CLAUDE_CODE_OAUTH_TOKEN:-}" ]; then
	say "no login for Claude in the environment: a stand-in for the Messages API answers"
	go -C "$repo" build -o "$repo/bin/fakeapi" ./test/fakeapi/cmd/fakeapi
	port_file=$(mktemp)
	"$repo/bin/fakeapi" -listen 127.0.0.1:0 -port-file "$port_file" -command '{ uname -a; date; } >made-by-claude.txt && cat made-by-claude.txt' &
	api=$!
	trap 'kill $api; rm -f "$port_file"' EXIT
	until [ -s "$port_file" ]; do sleep 0.05; done
	ANTHROPIC_BASE_URL=http://host.lima.internal:$(cat "$port_file")
	export ANTHROPIC_BASE_URL ANTHROPIC_API_KEY=stand-in
fi

say "claude-vm -p \"$task\""
claude-vm -p "$task"
say "what is in $sample/made-by-claude.txt now:"
cat made-by-claude.txt
say "this host, for comparison: $(uname -a)"
