# SPDX-License-Identifier: MIT
"""CPU time of a node per delivery: one sender, 1,000 receivers in its session, messages of 200
bytes, 8 in flight (a message is done when every receiver has it), memory store. The yardstick is
bench_floor, under the same load in alternating rounds."""
from harness import BenchError, Result, median, rounds

RECEIVERS, SIZE, WINDOW = 1000, 200, 8


def per_delivery(server, bench, **settings):
    """Microseconds of CPU time for each delivery, and a text."""
    seen = bench.load("fanout", node=server.address, pid=server.pid, connections=RECEIVERS,
                      window=WINDOW, **settings)
    if seen["deliveries"] == 0:
        raise BenchError("no deliveries")
    each = seen["cpu_ns"] / seen["deliveries"] / 1000
    rate = seen["deliveries"] / seen["seconds"]
    return (each, seen), f"{each:.2f} us of CPU per delivery, {rate:,.0f} deliveries/s"


def run(bench):
    def muster():
        with bench.node() as server:
            return per_delivery(server, bench, size=SIZE)

    def floor():
        with bench.floor() as server:
            return per_delivery(server, bench, size=SIZE, floor=1)

    ours, least = rounds(bench, "fanout", [("muster", muster), ("floor", floor)])
    ratio = median([a[0] / b[0] for a, b in zip(ours, least)])
    note = (f"{median([a[0] for a in ours]):.2f} us per delivery; "
            f"the floor {median([b[0] for b in least]):.2f}")
    return [Result(f"1 sender, {RECEIVERS:,} receivers, {SIZE}-byte messages, {WINDOW} in flight: "
                   "node CPU per delivery, times the floor's", 1.0, ratio, note=note)]
