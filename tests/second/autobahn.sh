#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: autobahn.sh   installs Autobahn's WebSocket suite in build-tools/autobahn, if it is not there. It is written for
# Python 2.7, the last version of which pyenv still has; without one, or without the package, the test is skipped.
set -eu

cd "$(dirname "$0")/../.."
folder=build-tools/autobahn
[ ! -e $folder/python ] || exit 0
mkdir -p build-tools
for python in "$(command -v python2.7 || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python /usr/bin/python2.7; do
    if [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1; then
        rm -rf $folder
        if "$python" -m pip install -q --target $folder autobahntestsuite==25.10.1 >build-tools/autobahn.log 2>&1; then
            : >$folder/zope/__init__.py # pip's --target makes no package of it
            ln -s "$python" $folder/python
            exit 0
        fi
        echo "Autobahn's suite cannot be installed: see build-tools/autobahn.log"
        exit 0
    fi
done
echo "Autobahn's suite is not installed: no Python 2.7 with pip"
