#!/bin/bash
# Uses each tool for what it is there for. Each function is a part, called by its name; what it prints is compared. How
# long each part takes goes to standard error.
set -uo pipefail

docker_runs() {
	mkdir -p ~/box/bin ~/composed
	cp /bin/busybox ~/box/bin/
	ln -s busybox ~/box/bin/echo
	tar -C ~/box -c . | docker import - box >/dev/null || return
	docker run --rm box /bin/echo docker runs || return
	printf 'services:\n  one:\n    image: box\n    command: /bin/echo compose runs\n' >~/composed/compose.yaml
	cd ~/composed || return
	docker compose up --no-log-prefix 2>/dev/null | grep -o 'compose runs' || return
	docker-compose down 2>/dev/null
}

node_installs() {
	node -p 'process.release.lts ? "node is LTS" : "node is " + process.version' || return
	mkdir ~/package && cd ~/package || return
	npm install --no-audit --no-fund --prefix . is-number >&2 || return
	node -p '"npm installs " + require("is-number")(5)'
}

python_has_venv() { python3 -m venv ~/venv && ~/venv/bin/pip --version | grep -o '^pip'; }

chromium_renders() {
	google-chrome --headless --screenshot="$HOME/shot.png" --window-size=400,300 "file://$PWD/page.html" 2>/dev/null
	python3 - ~/shot.png <<'EOF'
import struct, sys
data = open(sys.argv[1], "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 1000, len(data)
print("chromium renders %d x %d" % struct.unpack(">II", data[16:24]))
EOF
}

server_drives_chromium() {
	python3 -m http.server 8123 --bind 127.0.0.1 >/dev/null 2>&1 &
	node mcp.js
}

rust_compiles() {
	echo 'fn main() { println!("rust runs"); }' >~/hello.rs
	rustc -o ~/hello ~/hello.rs && ~/hello
}

others_are_there() { for tool in cargo gh gpg git; do $tool --version >/dev/null && echo "$tool is there"; done; }

for part in docker_runs node_installs python_has_venv chromium_renders server_drives_chromium rust_compiles others_are_there; do
	SECONDS=0
	($part) || echo "$part failed"
	echo "$part took $SECONDS s" >&2
done
