#!/bin/bash
# Prints two files of the home folder, NUL between them, if they may hold something new. Runs as the guest's user, and somebody
# waits for it: it starts no program.
#
# FILE, KNOWN  a file, and the content that is not new; empty: any content is
# OTHER, WORD  a file that comes along, and that is reason enough if it holds the word
cd || exit
LC_ALL=C
# Whoever has been at work here may have left anything in their place: a pipe, or the whole disk.
most=4194304
content() {
	text=
	if [ -f "$1" ]; then IFS= read -r -N $most text <"$1"; fi
}
content "$FILE"
first=$text
content "$OTHER"
if [ "$first" != "$KNOWN" ] || [[ $text = *"$WORD"* ]]; then printf '%s\0%s' "$first" "$text"; fi
