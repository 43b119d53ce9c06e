#!/bin/sh
# SPDX-License-Identifier: MIT
# Static analysis of all that is shipped: gcc -fanalyzer, cppcheck, and shellcheck for the scripts. Any finding
# fails. One that is false is suppressed where it stands, with its reason beside it.
set -eu

cd "$(dirname "$0")/.."
CC=gcc cmake -S . -B build-lint -G Ninja -DMUSTER_ANALYZE=ON -DMUSTER_WERROR=ON >/dev/null
cmake --build build-lint >build-lint/log 2>&1 || {
    cat build-lint/log
    exit 1
}
echo "gcc -fanalyzer: nothing found"

# The files embedded at build time are bytes, not code.
cppcheck --project=build-lint/compile_commands.json --quiet --error-exitcode=1 --inline-suppr --std=c11 \
    --enable=warning,performance,portability -j "$(nproc)" -i build-lint/generated \
    --suppress='*:*/generated/*' --template='{file}:{line}: {severity} {id}: {message}'
echo "cppcheck: nothing found"

git ls-files '*.sh' .ci/run | xargs shellcheck
echo "shellcheck: nothing found"
