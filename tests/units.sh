#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: units.sh BUILD_FOLDER JOBS SECONDS   Runs the C tests side by side, none longer than that. What failed then runs
# once more with the machine to itself, and that counts; what tests/all.sh does meanwhile stands still for it.
set -u

beside=$(mktemp)
meanwhile() {
    [ -z "${MUSTER_MEANWHILE:-}" ] || kill -s "$1" -- "-$MUSTER_MEANWHILE" 2>/dev/null || true
}
trap 'rm -f "$beside"; meanwhile CONT' EXIT
if ctest --test-dir "$1" -j "$2" --timeout "$3" --output-on-failure >"$beside" 2>&1; then
    tail -n 3 "$beside"
    exit 0
fi
cat "$beside"
echo "$(grep -c . "$1/Testing/Temporary/LastTestsFailed.log") failed beside others; alone:"
meanwhile STOP
ctest --test-dir "$1" --timeout "$3" --output-on-failure --rerun-failed
