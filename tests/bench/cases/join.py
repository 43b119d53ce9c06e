# SPDX-License-Identifier: MIT
"""What a member costs that joins a session: CPU time of Redis and of two nodes over 4,000 joins into sessions of 4, one
member after the other, less what they take without."""
import contextlib
import time

from harness import Result, median
from lib.waiting import wait_until

from .capacity import drained, say, total, websocket
from .redis_cost import cpu_us, fleet, steady

NODES, SESSIONS, IDLE = 2, 1000, 2.0


def measure(bench, sessions):
    with fleet(bench, NODES) as (nodes, redis), contextlib.ExitStack() as stack:
        links = [stack.enter_context(websocket(nodes[number % NODES].address, "/connect")) for number in range(sessions * 4)]
        members = total(nodes, "muster_sync_members")

        def used():
            return cpu_us(redis), sum(cpu_us(node) for node in nodes), time.monotonic()

        start = used()
        time.sleep(IDLE)
        before = used()
        with drained(links):
            for number, link in enumerate(links):
                say(link, {"type": "SetSession", "sessionId": f"join-{number // 4}", "isLeader": number % 4 == 0})
            wait_until(lambda: members() >= len(links), f"{len(links)} members")
            wait_until(steady(redis), "Redis has carried it out")
        after = used()
        rest = [(b - a) / (before[2] - start[2]) * (after[2] - before[2]) for a, b in zip(start, before)]
        return [(b - a - quiet) / len(links) for a, b, quiet in zip(before[:2], after[:2], rest)]


def run(bench):
    seen = [measure(bench, SESSIONS // 4 if bench.quick else SESSIONS) for _ in range(1 if bench.quick else 3)]
    theirs, mine = (median([one[at] for one in seen]) for at in range(2))
    return [Result("a join of a session of 4 on 2 nodes: CPU time of Redis", 25.0, theirs, " µs", note=f"both nodes {mine:.0f} µs")]
