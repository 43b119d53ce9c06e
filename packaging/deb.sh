#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: packaging/deb.sh [FOLDER]   builds the Debian package of the checked-out commit into FOLDER (build-package).
# On the Debian whose package it is to be; what it is built with: `make deb` installs that.
set -eu

cd "$(dirname "$0")/.."
out=${1:-build-package}
mkdir -p "$out"
out=$(cd "$out" && pwd)
commit=$(git rev-parse --short=12 HEAD)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 130' INT TERM
mkdir "$tree/muster"
git archive HEAD | tar -x -C "$tree/muster"
mv "$tree/muster/packaging/debian" "$tree/muster/debian"
(cd "$tree/muster" && MUSTER_COMMIT=$commit dpkg-buildpackage -b -us -uc) >"$out/log" 2>&1 || {
    tail -40 "$out/log" >&2
    exit 1
}
mv "$tree"/*.deb "$tree"/*.buildinfo "$tree"/*.changes "$out/"
ls "$out"/*.deb
