#!/bin/sh
# SPDX-License-Identifier: MIT
# Puts Helm at build-tools/helm, from its Go module, where it is not there already and a Go toolchain is (1.21 or
# later, which fetches the version it needs). Without one it says so, and the tests that need Helm are skipped.
set -eu

at=${1:-build-tools}
version=v3.17.3

[ -x "$at/helm" ] && exit 0
command -v helm >/dev/null && exit 0
if ! go version 2>/dev/null | grep -qE 'go1\.(2[1-9]|[3-9][0-9])'; then
    echo "no helm, and no Go 1.21 to build it: the chart's tests are skipped"
    exit 0
fi
echo "building helm $version"
GOBIN=$(mkdir -p "$at" && cd "$at" && pwd) go install "helm.sh/helm/v3/cmd/helm@$version" ||
    echo "helm could not be built: the chart's tests are skipped"
