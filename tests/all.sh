#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: all.sh NEEDS "MEANWHILE..." TARGET...   Makes each of these targets of the Makefile, whatever came of those before it. NEEDS is
# made before all. MEANWHILE are targets that compute: they go on beside the others, one after the other, with the time that those
# leave, which mostly wait. Says first how long it takes and how much disk, and in the end how long each took, what failed, and what
# was not tried.
set -u

cd "$(dirname "$0")/.." || exit
needs=$1 meanwhile=$2
shift 2
failed=

# Sets `spent`: seconds of CPU time of all that has ended, which the last line of `times` has as minutes and seconds.
look_at_times() {
    times >"$told/times"
    spent=$(sed -n '$ s/[ms]/ /gp' "$told/times" | awk '{ printf "%d", 60 * $1 + $2 + 60 * $3 + $4 }')
}

# Makes a target; its result stands in $told/NAME.result.
part() {
    look_at_times
    began=$(date +%s) before=$spent
    if ${MAKE:-make} --no-print-directory "$1"; then
        result=ok
    else
        result=FAILED
    fi
    look_at_times
    echo "$1: $result, $(($(date +%s) - began)) s, $((spent - before)) s of CPU time" >"$told/$1.result.new"
    mv "$told/$1.result.new" "$told/$1.result"
}

# Its last line, and what it had to say where nobody has seen that yet.
tell() {
    if [ -e "$told/$1.said" ]; then
        echo "--- $1, meanwhile"
        cat "$told/$1.said"
    fi
    tee -a "$told/parts" <"$told/$1.result"
    ! grep -q "^$1: FAILED" "$told/$1.result" || failed="$failed $1"
}

# Runs a command, in place of this shell, when nothing else wants to: a test that wakes up is not kept waiting.
idle() {
    if command -v chrt >/dev/null; then
        exec chrt --idle 0 "$@"
    else
        exec nice -n 19 "$@"
    fi
}

if [ "$needs" = --meanwhile ]; then # this script, started by itself
    told=$1
    for name in $meanwhile; do
        part "$name" >"$told/$name.said" 2>&1
    done
    exit 0
fi

told=$(mktemp -d)
export MUSTER_SKIPS="$told/skips"
free=$(df -Pm . | awk 'NR == 2 { print $4 }')
echo "make test: about 17 minutes on two cores with nothing else to do; 400 MB below build-*/ and up to 500 MB in the"
echo "folder for temporary files or in /dev/shm, $free MB are free here. Parts: $*; meanwhile: $meanwhile"
all=$(date +%s)
${MAKE:-make} --no-print-directory "$needs" || exit
idle setsid "$0" --meanwhile "$meanwhile" "$told" &
other=$!
export MUSTER_MEANWHILE=$other
stop() {
    kill -s CONT -- "-$other" 2>/dev/null
    kill -- "-$other" 2>/dev/null
    rm -rf "$told"
}
trap stop EXIT
trap 'exit 130' INT TERM
for target in "$@"; do
    # A target that goes on meanwhile, and that this one begins with, is waited for.
    case " $meanwhile " in *" build-${target#test-} "*)
        while [ ! -e "$told/build-${target#test-}.result" ] && kill -0 "$other" 2>/dev/null; do
            sleep 1
        done
        ;;
    esac
    echo "--- $target"
    part "$target"
    tell "$target"
done
wait "$other"
echo "---"
for name in $meanwhile; do
    tell "$name"
done
echo "---"
cat "$told/parts"
/usr/bin/python3 tests/untried.py "$MUSTER_SKIPS"
look_at_times
echo "all: $(($(date +%s) - all)) s, $spent s of CPU time${failed:+; failed:$failed}"
[ -z "$failed" ]
