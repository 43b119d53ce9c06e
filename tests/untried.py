#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: untried.py FILE   Says in one line how many tests were skipped, and what would have let them run. FILE has the
reason of each, one a line (conftest.py)."""

import collections
import pathlib
import re
import sys

HOW = (  # words of a reason, and what the tests with it need
    (r"[Dd]ocker|no image|compose", "a Docker engine that has debian:trixie-slim"),
    (r"no helm|no Go|Go modules", "Go 1.21 or newer with access to its modules"),
    (r"kubectl", "kubectl"),
    (r"promtool", "promtool (Debian: prometheus)"),
    (r"[Nn]ode.*not installed|node is not", "Node.js 18 or newer"),
    (r"Autobahn", "Python 2.7 with pip, for Autobahn's WebSocket suite"),
    (r"crystal", "Crystal (Debian: crystal)"),
    (r"packets to see", "root, and a kernel that shows packets"),
    (r"namespace", "root, and a kernel that lets it make network namespaces"),
    (r"descriptor limit", "a higher limit of descriptors (ulimit -n)"),
    (r"valkey", "Valkey (valkey-server of Debian 13)"),
    (r"systemd-analyze", "systemd-analyze (Debian: systemd)"),
    (r"MUSTER_MODEL", "MUSTER_MODEL=large and minutes"),
)
NEVER = r"[Ss]anitize|AddressSanitizer"  # these ran in the build without


def needs_of(reasons):
    """What is needed, to how many tests need it."""
    needs = collections.Counter()
    for reason in reasons:
        if not re.search(NEVER, reason):
            needs[next((need for words, need in HOW if re.search(words, reason)), reason)] += 1
    return needs


def main(path):
    reasons = pathlib.Path(path).read_text(encoding="utf-8").splitlines() if pathlib.Path(path).exists() else []
    needs = needs_of(reasons)
    if not needs:
        print("not tried: nothing")
        return
    print(f"not tried: {sum(needs.values())} tests; with " +
          ", ".join(f"{need}: {count}" for need, count in needs.most_common()))


if __name__ == "__main__":
    main(sys.argv[1])
