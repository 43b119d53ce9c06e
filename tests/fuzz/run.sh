#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: run.sh SECONDS [coverage]   replays each target's corpus, then fuzzes it for so long. What breaks it is left in
# tests/fuzz/found/; mend it and keep the case in corpus/.
set -eu

cd "$(dirname "$0")/../.."
seconds=$1
CC=clang cmake -S . -B build-fuzz -G Ninja -DMUSTER_FUZZ=ON -DMUSTER_SANITIZE=address,undefined >/dev/null
cmake --build build-fuzz --target fuzz_all
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir -p tests/fuzz/found
for corpus in tests/fuzz/corpus/*; do
    name=$(basename "$corpus")
    target=$(find build-fuzz -type f -name "fuzz_$name")
    mkdir "$new/$name"
    log=$new/$name.log
    if ! "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 \
        -artifact_prefix="tests/fuzz/found/$name-" "$new/$name" "$corpus" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "fuzz $name: failed"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "fuzz $name: $(find "$corpus" -type f | wc -l) kept cases replayed, $runs runs in $seconds s, nothing found"
done
if [ "${2:-}" = coverage ]; then
    tests/fuzz/coverage.sh "$new"
fi
rmdir tests/fuzz/found 2>/dev/null || true
