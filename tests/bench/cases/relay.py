# SPDX-License-Identifier: MIT
"""CPU time of the nodes per delivery in cross-server chat: 200 game servers on two nodes through Redis,
talking in turn, each to all others, messages of 200 bytes, pacing off; 8 in flight, of which a node
may join some in one write, and 1, where it cannot. The yardstick is relay_floor, one process that
writes what it reads to every other connection."""
from harness import BenchError, Result, median, rounds
from lib.ports import free_port

SERVERS, SIZE, WINDOWS = 200, 200, (8, 1)


def per_delivery(bench, **settings):
    """(microseconds of CPU time for each delivery, deliveries a second), and a text."""
    seen = bench.load("relay", connections=SERVERS, size=SIZE, **settings)
    if seen["deliveries"] == 0:
        raise BenchError("no deliveries")
    each = seen["cpu_ns"] / seen["deliveries"] / 1000
    rate = seen["deliveries"] / seen["seconds"]
    return (each, rate), f"{each:.2f} us of CPU per delivery, {rate:,.0f} deliveries/s"


def compare(bench, window):
    def muster():
        ports = [free_port(), free_port()]
        common = {"relay_pacing": "off", "relay_rate": "0", "relay_joins": "0"}
        with bench.redis() as redis:
            store = f"redis://{redis.address}"
            with bench.node(store, relay=f"127.0.0.1:{ports[0]}", **common) as one, \
                    bench.node(store, relay=f"127.0.0.1:{ports[1]}", **common) as two:
                return per_delivery(bench, node=[f"127.0.0.1:{port}" for port in ports],
                                    pid=one.pid, second_pid=two.pid, window=window)

    def floor():
        with bench.floor("relay_floor") as server:
            return per_delivery(bench, node=server.address, pid=server.pid, floor=1, window=window)

    ours, least = rounds(bench, f"relay, {window}", [("muster", muster), ("floor", floor)])
    ratio = median([a[0] / b[0] for a, b in zip(ours, least)])
    note = (f"{median([a[0] for a in ours]):.2f} us per delivery, "
            f"{median([a[1] for a in ours]):,.0f} deliveries/s; "
            f"the floor {median([b[0] for b in least]):.2f} us, "
            f"{median([b[1] for b in least]):,.0f}/s")
    return Result(f"cross-server chat, {SERVERS} servers on 2 nodes, {SIZE}-byte messages, "
                  f"{window} in flight: CPU of the nodes per delivery, times the floor's", 1.5,
                  ratio, note=note)


def run(bench):
    return [compare(bench, window) for window in WINDOWS]
