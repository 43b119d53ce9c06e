#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: coverage.sh [FOLDER]   how much of each parser, which has a target or stands before one, the kept corpora and
# FOLDER/<target>/ (what a run found beside them) reach, in lines and branches. What acts on what was parsed is no part.
# Fails where it is 90 % of a parser's lines or less.
set -eu

cd "$(dirname "$0")/../.."
found=${1:-}
least=90
tests/fuzz/run.sh 0 >/dev/null
counts=build-fuzz/counts
rm -rf "$counts"
mkdir -p "$counts"
objects=
for corpus in tests/fuzz/corpus/*; do
    name=$(basename "$corpus")
    target=$(find build-fuzz -type f -name "fuzz_$name")
    more=
    if [ -n "$found" ]; then
        more=$found/$name
        mkdir -p "$more"
    fi
    # shellcheck disable=SC2086 # none, or one
    LLVM_PROFILE_FILE=$counts/$name.profraw "$target" -runs=0 "$corpus" $more >/dev/null 2>&1
    objects="$objects${objects:+ -object} $target"
done
llvm-profdata merge -o "$counts/all.profdata" "$counts"/*.profraw
# shellcheck disable=SC2086 # a list of words
llvm-cov report $objects -instr-profile "$counts/all.profdata" \
    node/proto/json node/proto/proxy.c node/proto/http/head.c node/proto/http/body.c node/proto/http/forwarded.c \
    node/proto/http/origin.c node/proto/http/host.c node/proto/http/request.c node/proto/http/handshake.c node/proto/http/auth.c node/proto/jwt node/proto/ws/deflate.c node/proto/ws/deflate_negotiate.c node/proto/ws/frame.c \
    node/proto/ws/read.c node/core/settings.c node/service/logs/words.c node/service/logs/syslog_message.c \
    node/service/logs/syslog_frames.c node/service/logs/row.c node/service/tracker/message.c node/service/relay/packet.c node/service/dispatch/frame.c \
    node/service/dispatch/mesh/message.c node/core/settings_value.c node/net/address.c node/net/cidr.c node/service/logs/protobuf.c \
    node/service/logs/shapes.c node/service/logs/intake.c node/service/logs/coding.c node/service/logs/stored.c store/archive/question.c \
    node/service/chat/words.c node/service/chat/account.c \
    node/service/fleet/fleet.c node/service/fleet/self.c node/service/fleet/view.c node/service/fleet/look.c node/service/fleet/events.c node/service/fleet/problems.c node/service/fleet/servers.c \
    node/app/verb_status.c node/app/verb_tail.c node/app/verb_tail_stored.c node/app/terminal.c \
    store/postgres store/sink/batch.c store/sink/claim.c store/sink/foreign.c store/sink/lane.c store/sink/lease.c store/sink/sink.c store/sink/upkeep.c store/sink/writers.c store/archive/archive.c \
    node/service/minigame/request.c store/roster/note.c store/history/note.c store/redis/url.c store/redis/url_list.c \
    store/redis/sentinel.c store/redis/greeting.c store/redis/scout.c store/redis/hush.c store/redis/proof.c store/redis/mover.c store/redis/change.c \
    store/redis/map.c store/redis/moves.c store/redis/inspect.c store/redis/roll.c store/redis/script.c store/redis/eval.c store/redis/find.c store/redis/push.c store/way_read.c store/redis/redirect.c store/redis/values.c store/redis/reply.c store/redis/role.c store/redis/stream.c store/stream_call.c store/base/resp.c store/base/decimal.c |
    awk -v least=$least '
        /\.c / {
            low = 100 * ($8 - $9) <= least * $8
            printf "  %-40s lines %7s of %5d   branches %7s%s\n", $1, $10, $8, $13, low ? "   TOO FEW LINES" : ""
            few += low
        }
        /^TOTAL/ {
            printf "coverage of the parsers: lines %s of %d, branches %s\n", $10, $8, $13
        }
        END {
            if (few > 0 || NR == 0) {
                printf "coverage: %d parsers of which %d %% of the lines or less are reached\n", few, least
                exit 1
            }
        }'
