#!/bin/bash
# Prints two files of the home folder, NUL between them, if they may hold something new. Runs as the guest's user.
#
# FILE, KNOWN  a file, and the SHA-256 of the content that is not new; empty: any content is
# OTHER, WORD  a file that comes along, and that is reason enough if it holds the word
cd || exit
# Whoever has been at work here may have left anything in their place: a pipe, or the whole disk.
most=4194304
sum=
if [ -f "$FILE" ]; then sum=$(sha256sum <"$FILE"); fi
if [ "${sum%% *}" = "$KNOWN" ] && ! { [ -f "$OTHER" ] && grep -qF -- "$WORD" "$OTHER"; }; then exit 0; fi
if [ -f "$FILE" ]; then head -c $most -- "$FILE"; fi
printf '\0'
if [ -f "$OTHER" ]; then head -c $most -- "$OTHER"; fi
