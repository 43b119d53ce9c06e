#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: beside.sh JOBS PYTEST_ARGS...
# Runs the tests, files of them side by side. What failed then is run once more with the machine to itself, and
# shown: the three other files are load that only the tests make. More than a few failures are no matter of load.
set -u
jobs=$1
shift
report=$(mktemp -d)
trap 'rm -rf "$report"' EXIT
beside=0

/usr/bin/python3 -m pytest -q -rs -o cache_dir="$report/cache" -n "$jobs" --dist loadfile "$@" || beside=$?
[ "$beside" = 1 ] || exit "$beside"

failed=$(/usr/bin/python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$report/cache/v/cache/lastfailed")
[ "$failed" -le 5 ] || exit 1
echo "$failed failed beside others; alone:"
/usr/bin/python3 -m pytest -v -o cache_dir="$report/cache" --last-failed --last-failed-no-failures none "$@"
