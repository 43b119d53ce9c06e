# SPDX-License-Identifier: MIT
"""What a push costs: 1,000 sessions of 4 over 2 nodes, 1 KB, 2,000 and 5,000 pushes a second. CPU time of Redis and of
both nodes a push, less what they take without."""
from harness import Result, median

from .capacity import LASTS, during, total
from .redis_cost import fleet

BARS = {500: (15.0, 60.0), 200: (10.0, 60.0)}  # by the period of each session's pushes, ms: Redis, nodes


def measure(bench, period):
    with fleet(bench, 2) as (nodes, redis):
        def load():
            bench.load("pushes", sessions=1000, members=4, size=1024, period_ms=period,
                       node=[node.address for node in nodes], session="push", **LASTS)
        return during(load, nodes, redis, total(nodes, "muster_sync_pushes_total"))


def run(bench):
    results = []
    for period, (redis_bar, nodes_bar) in BARS.items():
        seen = [measure(bench, period) for _ in range(1 if bench.quick else 3)]
        mine, theirs, rate = (median([one[at] for one in seen]) for at in range(3))
        work = f"a push of 1 KB to the 3 others of a session, 1,000 sessions on 2 nodes, {rate:,.0f} a second: CPU time of"
        results += [Result(f"{work} Redis", redis_bar, theirs, " µs"), Result(f"{work} both nodes", nodes_bar, mine, " µs")]
    return results
