#!/bin/bash
# Sets the guest's clock. Runs as the guest's user.
#
# NOW  the time in seconds

# What is off by less has nothing to be blamed for: reading the clock of the hardware at boot is not more exact.
if ((EPOCHSECONDS < NOW - 2 || EPOCHSECONDS > NOW + 2)); then
	sudo date --set "@$NOW" >/dev/null
fi
