# SPDX-License-Identifier: MIT
"""How long all others wait while much is done: the turns of a node's loop (muster_loop_turn_cpu_seconds) while one writer
speaks to 15,000 readers of its chat, two messages on their way. CPU time: what a busy machine takes away is not in it."""
from harness import Result

READERS, SIZE, WINDOW = 15000, 200, 2
SHORT = "0.0025"  # the bucket's bound: seconds
NAME = "muster_loop_turn_cpu_seconds"


def turns(node):
    """(all turns, those that were longer) so far."""
    seen = node.metrics()
    return seen[f"{NAME}_count"], seen[f"{NAME}_count"] - seen[f'{NAME}_bucket{{le="{SHORT}"}}']


def run(bench):
    settings = {"chat_login": "development", "chat_rate": "100000", "chat_burst": "100000"}
    with bench.node(**settings) as node:
        before = turns(node)
        seen = bench.load("chat", connections=READERS, window=WINDOW, size=SIZE, path="/chat", node=[node.address], pid=node.pid)
        count, long = (b - a for a, b in zip(before, turns(node)))
    each = seen["cpu_ns"] / seen["deliveries"] / 1000
    return [Result(f"chat, {READERS:,} readers on one node: of a thousand turns, those over 2.5 ms", 1, 1000 * long / count,
                   note=f"{long:.0f} of {count:,.0f}; {each:.2f} us per delivery")]
