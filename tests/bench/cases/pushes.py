# SPDX-License-Identifier: MIT
"""Delay of pushes through Redis: 250 sessions of 4 members, spread round robin over 2 nodes; each
leader pushes 1 KB every 150 ms. p99 from push to receipt (of all receivers, also those on the
leader's node), by the p99 of a bare PUBLISH to a bare subscriber on the same Redis, of as many
messages of that size, sent and timed by the same program.

What counts is the ratio with both at the same time: what else the machine does then delays both
alike. The note also tells the ratio with each alone, in turn: on two cores that leaves the bare pair
the machine for itself, and moves with whatever else runs there."""
from harness import BenchError, Result, median, rounds

LOAD = {"sessions": 250, "members": 4, "size": 1024, "period_ms": 150}
BARE_RATE = LOAD["sessions"] * 1000 // LOAD["period_ms"]


def check_nothing_lost(seen):
    if seen["lost"] or seen["bare_lost"]:
        raise BenchError(f"lost: {seen['lost']} deliveries, {seen['bare_lost']} bare messages")
    return seen


def describe(name, seen):
    return f"{name} p99 {seen['p99']:.0f} us (p50 {seen['p50']:.0f})"


def measure(bench):
    """One round on fresh servers: pushes alone, the bare pair alone, both together."""
    with bench.redis() as redis:
        store = f"redis://{redis.address}"
        with bench.node(store) as a, bench.node(store) as b:
            def load(**settings):
                return check_nothing_lost(bench.load("pushes", **{**LOAD, **settings}))

            nodes = [a.address, b.address]
            ours = load(node=nodes, session="alone")
            bare = load(sessions=0, rate=BARE_RATE, redis=redis.address)
            both = load(node=nodes, redis=redis.address, session="beside")
    text = (f"{describe('pushes', ours['all'])}, {describe('bare', bare['bare'])}; together "
            f"{describe('pushes', both['all'])}, {describe('bare', both['bare'])}")
    return (ours, bare["bare"], both), text


def run(bench):
    [seen] = rounds(bench, "pushes", [("2 nodes", lambda: measure(bench))])
    apart = median([ours["all"]["p99"] / bare["p99"] for ours, bare, _ in seen])
    together = median([both["all"]["p99"] / both["bare"]["p99"] for _, _, both in seen])

    def mid(which, what):
        return median([both[which][what] for _, _, both in seen])

    note = (f"p99 {mid('all', 'p99'):.0f} us, bare {mid('bare', 'p99'):.0f}; "
            f"p50 {mid('remote', 'p50'):.0f} across nodes, {mid('local', 'p50'):.0f} on one, "
            f"bare {mid('bare', 'p50'):.0f}; p99 with each alone: {apart:.2f} times")
    return [Result("250 sessions of 4 on 2 nodes through Redis, 1 KB pushes: p99 from push to "
                   "receipt, times that of a bare publish", 2.5, together, note=note)]
