# SPDX-License-Identifier: MIT
"""Memory of a node per idle TCP device: RSS with 10,000 of them, each known to one driver, less RSS
before, by the count. The bar is that of idle WebSocket connections."""
from harness import Result, median, rounds
from lib.measure import settled_rss
from lib.ports import free_port

from .stream import PATH, dispatch_settings

DEVICES = 10000


def run(bench):
    def muster():
        port = free_port()
        with bench.node(**dispatch_settings(1)) as node:
            before = settled_rss(node.pid)
            path = PATH.format(port=port).replace("accept=127.0.0.1", "accept=127.0.0.0/8")
            with bench.held_load("devices", node=node.address, path=path, device=f"127.0.0.1:{port}",
                                 connections=DEVICES) as load:
                after = settled_rss(node.pid)
                load.stdin.close()
                load.stdin = None
        each = (after - before) / DEVICES
        return each, f"{each:.0f} bytes each ({before / 1024:.0f} KiB before)"

    [seen] = rounds(bench, "devices", [("muster", muster)])
    each = median(seen)
    return [Result(f"{DEVICES:,} idle TCP devices of one driver: KiB of node memory each", 1.0,
                   each / 1024, " KiB", f"{each:.0f} bytes each")]
