#!/bin/bash
# Measures a shared folder with what projects do in theirs. Prints a name and microseconds on each line.
#
# DIR    the folder, empty and writable
# FILES  how many small files to make, as the installation of a package does
# MB     the size of the large file
set -euo pipefail
measure() {
	local name=$1 begin=${EPOCHREALTIME/[.,]/} end
	"${@:2}" >/dev/null
	end=${EPOCHREALTIME/[.,]/}
	printf '%s\t%d\n' "$name" $((end - begin))
}
# forget has the next reader ask the host again.
forget() { sudo sh -c 'sync; echo 3 >/proc/sys/vm/drop_caches'; }

source=$(mktemp -d -p ~)
for ((i = 0; i < FILES; i++)); do
	if ((i % 20 == 0)); then mkdir "$source/$((i / 20))"; fi
	printf '%01000d\n' $i >"$source/$((i / 20))/$i"
done
tar -C "$source" -cf "$source.tar" .

cd "$DIR"
measure "unpack small files" tar -xf "$source.tar"
git init -q .
git add . && git -c user.name=b -c user.email=b@example.invalid commit -qm bench
forget
measure "git status" git status
forget
measure "find" find . -type f
measure "write a large file" dd if=/dev/zero of=large bs=1M count="$MB" status=none conv=fsync
forget
measure "read a large file" dd if=large of=/dev/null bs=1M status=none
