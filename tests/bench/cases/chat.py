# SPDX-License-Identifier: MIT
"""CPU time of two nodes per delivery: one writer, 5,000 logged-in readers over both, through Redis,
broadcasts of 200 bytes, 8 in flight (a message is done when everybody has it, the writer too). The
yardstick is bench_floor with as many receivers, in alternating rounds."""
from harness import BenchError, Result, median, rounds

READERS, SIZE, WINDOW = 5000, 200, 8


def per_delivery(bench, mode, **settings):
    """Microseconds of CPU time for each delivery, and a text."""
    seen = bench.load(mode, connections=READERS, window=WINDOW, size=SIZE, **settings)
    if seen["deliveries"] == 0:
        raise BenchError("no deliveries")
    each = seen["cpu_ns"] / seen["deliveries"] / 1000
    rate = seen["deliveries"] / seen["seconds"]
    return each, f"{each:.2f} us of CPU per delivery, {rate:,.0f} deliveries/s"


def run(bench):
    def muster():
        settings = {"chat_login": "development", "chat_rate": "100000", "chat_burst": "100000"}
        with bench.redis() as redis, \
                bench.node(f"redis://{redis.address}", **settings) as one, \
                bench.node(f"redis://{redis.address}", **settings) as two:
            return per_delivery(bench, "chat", path="/chat", node=[one.address, two.address],
                                pid=one.pid, second_pid=two.pid)

    def floor():
        with bench.floor() as server:
            return per_delivery(bench, "fanout", node=server.address, pid=server.pid, floor=1)

    ours, least = rounds(bench, "chat", [("muster", muster), ("floor", floor)])
    ratio = median([a / b for a, b in zip(ours, least)])
    return [Result(f"chat: 1 writer, {READERS:,} readers on 2 nodes through Redis, {SIZE}-byte "
                   f"broadcasts, {WINDOW} in flight: CPU of both nodes per delivery, times the "
                   "floor's", 1.2, ratio,
                   note=f"{median(ours):.2f} us per delivery; the floor {median(least):.2f}")]
