# SPDX-License-Identifier: MIT
"""What Redis does for a fleet in which nobody says anything: 4,000 sessions of 4 members on 4 nodes, each member on
another node. CPU time of Redis and commands a second, once all members know of each other, and beside it what a Redis
costs to which nobody is connected."""
import contextlib
import time

from harness import Result
from lib.waiting import wait_until

from .capacity import drained, enter_session, redis_memory, total
from .redis_cost import commands, cpu_us, fleet

NODES, SESSIONS, WINDOW, SETTLE = 4, 4000, 10.0, 2.0


def enter_spread(nodes, number):
    """Member m of session s is on node (s + m) mod nodes."""
    session, member = divmod(number, 4)
    at = (session + member) % len(nodes)
    return enter_session([nodes[at], nodes[at]], number)


def alone(bench):
    with bench.redis() as redis:
        time.sleep(SETTLE)
        before = cpu_us(redis)
        time.sleep(WINDOW)
        return (cpu_us(redis) - before) / 1000 / WINDOW


def measure(bench, sessions):
    with fleet(bench, NODES) as (nodes, redis), contextlib.ExitStack() as stack:
        links = [stack.enter_context(enter_spread(nodes, number)) for number in range(sessions * 4)]
        with drained(links):
            members = total(nodes, "muster_sync_members")
            wait_until(lambda: members() >= len(links), f"{len(links)} members")
        time.sleep(SETTLE)
        before = cpu_us(redis), commands(redis), time.monotonic()
        time.sleep(WINDOW)
        after = cpu_us(redis), commands(redis), time.monotonic()
        used, asked, seconds = (b - a for a, b in zip(before, after))
        return used / 1000 / seconds, asked / seconds, redis_memory(redis) / (1 << 20)


def run(bench):
    sessions = SESSIONS // 10 if bench.quick else SESSIONS
    floor = alone(bench)
    used, asked, memory = measure(bench, sessions)
    return [Result(f"{sessions:,} sessions of 4 on {NODES} nodes that say nothing: CPU time of Redis", 3.0, used, " ms/s",
                   note=f"{asked:.0f} commands a second, {memory:.0f} MB; a Redis alone {floor:.1f} ms/s")]
