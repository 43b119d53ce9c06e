# SPDX-License-Identifier: MIT
"""What a process takes, as the kernel counts it."""

import contextlib
import os
import pathlib
import re

from lib.waiting import wait_until

STEADY = 6  # looks in a row, a tenth of a second between them


def rss(pid):
    """Bytes of memory that are resident."""
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.M)[1]) * 1024


def resident(pid):
    """The same, in pages that the process itself counts now and then: quick, for a caller that asks all the time."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled_rss(pid):
    """rss() once it has stayed the same for half a second."""
    seen = []

    def is_steady():
        seen.append(rss(pid))
        return len(seen) >= STEADY and len(set(seen[-STEADY:])) == 1
    wait_until(is_steady, f"the memory of {pid} settles", 10, pause=0.1)
    return seen[-1]


def cpu_of(pid):
    """Seconds of CPU time of a process and of those of its children that have ended; 0 when it is gone."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0
