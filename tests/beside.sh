#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: beside.sh JOBS PYTEST_ARGS...
# Runs the tests side by side, those of a file behind each other (tests/conftest.py says which not). What failed then is
# run once more with the machine to itself, and that counts: the others are load that only the tests make. The second run
# ends at the fifth test that fails again, so that a program that is broken is told soon. What tests/all.sh does meanwhile
# (the process group MUSTER_MEANWHILE) stands still for it.
# (Tracebacks of the first run are plain ones: with its own, pytest under Python 3.11 can break down, and all with it.)
set -u
jobs=$1
shift
report=$(mktemp -d)
meanwhile() {
    [ -z "${MUSTER_MEANWHILE:-}" ] || kill -s "$1" -- "-$MUSTER_MEANWHILE" 2>/dev/null || true
}
trap 'rm -rf "$report"; meanwhile CONT' EXIT
beside=0
# Each worker reads all tests: the first to do so leaves them compiled.
unset PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX="$PWD/build-tools/pycache"
/usr/bin/python3 -m pytest -q -o cache_dir="$report/none" --collect-only "$@" >/dev/null 2>&1

/usr/bin/python3 -m pytest -q -rs --tb=native -o cache_dir="$report/cache" -n "$jobs" --dist loadscope "$@" || beside=$?
[ "$beside" = 1 ] || exit "$beside"

failed=$(/usr/bin/python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$report/cache/v/cache/lastfailed")
echo "$failed failed beside others; alone:"
meanwhile STOP
/usr/bin/python3 -m pytest -v --maxfail=5 -o cache_dir="$report/cache" --last-failed --last-failed-no-failures none "$@"
