#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: coverage.sh FOLDER   how much of each parser, which has a target or stands before one, the kept corpora and
# FOLDER/<target>/ (what a run found beside them) reach, in lines and branches. What acts on what was parsed is no part.
set -eu

cd "$(dirname "$0")/../.."
found=$1
CC=clang cmake -S . -B build-coverage -G Ninja -DMUSTER_FUZZ=ON -DMUSTER_COVERAGE=ON >/dev/null
cmake --build build-coverage --target fuzz_all >/dev/null
objects=
for corpus in tests/fuzz/corpus/*; do
    name=$(basename "$corpus")
    target=$(find build-coverage -type f -name "fuzz_$name")
    mkdir -p "$found/$name"
    LLVM_PROFILE_FILE=build-coverage/$name.profraw "$target" -runs=0 "$corpus" "$found/$name" >/dev/null 2>&1
    objects="$objects${objects:+ -object} $target"
done
llvm-profdata merge -o build-coverage/all.profdata build-coverage/*.profraw
# shellcheck disable=SC2086 # a list of words
llvm-cov report $objects -instr-profile build-coverage/all.profdata \
    node/proto/json node/proto/proxy.c node/proto/http/head.c node/proto/http/body.c node/proto/http/forwarded.c \
    node/proto/http/origin.c node/proto/jwt node/proto/ws/deflate.c node/proto/ws/deflate_negotiate.c node/proto/ws/frame.c \
    node/proto/ws/read.c node/core/settings.c node/service/logs/words.c node/service/logs/syslog_message.c \
    node/service/logs/row.c node/service/tracker/message.c node/service/relay/packet.c node/service/dispatch/frame.c \
    node/service/dispatch/mesh/message.c store/roster/note.c store/history/note.c store/redis/url.c |
    awk '/\.c / { printf "  %-40s lines %7s of %5d   branches %7s\n", $1, $10, $8, $13 } /^TOTAL/ {
        printf "coverage of the parsers: lines %s of %d, branches %s\n", $10, $8, $13 }'
