#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the checked-out commit twice, in folders of different names and depth, in different time zones and locales, with
# another umask and number of jobs, and compares the two programs byte for byte.
set -eu

cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
commit=$(git rev-parse HEAD)
build() {
    mkdir -p "$1"
    git archive "$commit" | tar -x -C "$1"
    (cd "$1" && cmake -S . -B "$2" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo >/dev/null &&
        cmake --build "$2" -j "$3" --target muster >/dev/null)
}
(umask 022 && TZ=UTC LC_ALL=C build "$work/a" build 2)
(umask 077 && TZ=Pacific/Auckland LC_ALL=C.UTF-8 build "$work/another/place" out/of/tree 1)
one=$work/a/build/muster two=$work/another/place/out/of/tree/muster
if ! cmp "$one" "$two"; then
    echo "the same commit gave two programs" >&2
    exit 1
fi
echo "$(sha256sum <"$one" | cut -d' ' -f1)  muster, twice, of $(git rev-parse --short=12 HEAD)"
