#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: run.sh SECONDS [coverage]   replays each target's corpus, then fuzzes it for so long. What breaks it is left in
# tests/fuzz/found/; fix it and keep the case in corpus/. 0 seconds: only builds the targets.
set -eu

cd "$(dirname "$0")/../.."
seconds=$1 then=${2:-}
export LLVM_PROFILE_FILE=/dev/null # coverage.sh counts what is kept
CC=clang cmake -S . -B build-fuzz -G Ninja -DMUSTER_FUZZ=ON -DMUSTER_SANITIZE=address,undefined >/dev/null
cmake --build build-fuzz --target fuzz_all
[ "$seconds" != 0 ] || exit 0
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir -p tests/fuzz/found
# One target: what it is said of it stands in $new/NAME.said; fails where it breaks.
fuzz() {
    name=$(basename "$1")
    target=$(find build-fuzz -type f -name "fuzz_$name")
    mkdir "$new/$name"
    log=$new/$name.log
    if ! "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="tests/fuzz/found/$name-" "$new/$name" "$1" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "fuzz $name: failed"
        return 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz $name: $(find "$1" -type f | wc -l) kept cases replayed, $runs runs in $seconds s, nothing found"
}
# As many at a time as there are processors.
jobs=$(nproc) broken=
set -- tests/fuzz/corpus/*
while [ $# -gt 0 ]; do
    running=
    while [ $# -gt 0 ] && [ "$(echo "$running" | wc -w)" -lt "$jobs" ]; do
        fuzz "$1" &
        running="$running $!"
        shift
    done
    for one in $running; do
        wait "$one" || broken=yes
    done
    [ -z "$broken" ] || exit 1
done
if [ "$then" = coverage ]; then
    tests/fuzz/coverage.sh "$new"
fi
rmdir tests/fuzz/found 2>/dev/null || true
