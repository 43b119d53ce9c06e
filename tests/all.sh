#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: all.sh TARGET...   Makes each of these targets of the Makefile, whatever came of those before it. Says first how
# long it takes and how much disk, and in the end how long each took, what failed, and what was not tried.
set -u

cd "$(dirname "$0")/.." || exit
told=$(mktemp -d)
trap 'rm -rf "$told"' EXIT
export MUSTER_SKIPS="$told/skips"
failed=

# Sets `spent`: seconds of CPU time of all that has ended, which the last line of `times` has as minutes and seconds.
look_at_times() {
    times >"$told/times"
    spent=$(sed -n '$ s/[ms]/ /gp' "$told/times" | awk '{ printf "%d", 60 * $1 + $2 + 60 * $3 + $4 }')
}

free=$(df -Pm . | awk 'NR == 2 { print $4 }')
echo "make test: about 15 minutes on two cores with nothing else to do; 400 MB below build-*/ and up to 500 MB in the"
echo "folder for temporary files, $free MB are free here. Parts: $*"
all=$(date +%s)
for part in "$@"; do
    echo "--- $part"
    look_at_times
    began=$(date +%s) before=$spent
    if ${MAKE:-make} --no-print-directory "$part"; then
        result=ok
    else
        result=FAILED
        failed="$failed $part"
    fi
    look_at_times
    echo "$part: $result, $(($(date +%s) - began)) s, $((spent - before)) s of CPU time" | tee -a "$told/parts"
done
echo "---"
cat "$told/parts"
/usr/bin/python3 tests/untried.py "$MUSTER_SKIPS"
echo "all: $(($(date +%s) - all)) s, $spent s of CPU time${failed:+; failed:$failed}"
[ -z "$failed" ]
