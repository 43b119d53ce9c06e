# SPDX-License-Identifier: MIT
"""Memory of a node per idle WebSocket connection: RSS with 10,000 of them less RSS before, by the
count. They are upgraded and say nothing, and offer permessage-deflate, as browsers do."""
from harness import Result, median, rounds
from lib.measure import settled_rss

CONNECTIONS = 10000


def grown_by(server, bench, deflate):
    before = settled_rss(server.pid)
    with bench.held_load("idle", node=server.address, connections=CONNECTIONS, deflate=deflate):
        after = settled_rss(server.pid)
    each = (after - before) / CONNECTIONS
    return each, f"{each:.0f} bytes each ({before / 1024:.0f} KiB before)"


def run(bench):
    def muster():
        with bench.node() as server:
            return grown_by(server, bench, 1)

    def floor():
        with bench.floor() as server:
            return grown_by(server, bench, 0)

    ours, least = map(median, rounds(bench, "idle", [("muster", muster), ("floor", floor)]))
    return [Result(f"{CONNECTIONS:,} idle WebSocket connections: KiB of node memory each", 1.0,
                   ours / 1024, " KiB", f"{ours:.0f} bytes each; the floor {least:.0f}")]
