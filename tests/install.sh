#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: install.sh PACKAGE...   installs those Debian packages that are not there yet.
# NO_INSTALL=1: installs nothing; the build itself then says which library is missing.
set -eu

[ "${NO_INSTALL:-0}" = 0 ] || exit 0
if ! { command -v dpkg-query && command -v apt-get; } >/dev/null; then
    echo "This is no Debian: nothing can be installed by apt-get. Install what docs/build.md lists, then: make NO_INSTALL=1" >&2
    exit 1
fi
missing=
for package in "$@"; do
    status=$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null || true)
    case $status in
    ii*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "These packages are needed; install them as root:$missing (or build with NO_INSTALL=1)" >&2
        exit 1
    }
    as_root="sudo env DEBIAN_FRONTEND=noninteractive"
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # lists of words
$as_root apt-get update -qq
# shellcheck disable=SC2086 # lists of words
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
