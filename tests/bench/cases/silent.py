# SPDX-License-Identifier: MIT
"""Cost as the cluster grows: what a third node, which has no member of any session, receives from
Redis while the pushes of the case `pushes` run. A proxy counts its bytes and looks for the sessions'
ids in them; what the node receives by itself (leases, its proof that the bus lives) is measured
before and taken off."""
import contextlib
import time

from harness import Result
from lib.proxy import Proxy

from . import pushes

MARKER = "silent-bench"
SLACK = 0.25  # of the node's own traffic: a renewal more or less in the time measured


class CountingProxy(Proxy):
    """Counts the chunks from Redis that hold what nobody who has no part in it may see."""

    def __init__(self, target_port, marker):
        super().__init__(target_port)
        self.marker, self.marked = marker, 0
        self.before = {}  # link to the end of what came last

    def on_down(self, link, data):
        self.marked += self.marker in self.before.get(link, b"") + data
        self.before[link] = data[-len(self.marker) + 1:]
        return data


@contextlib.contextmanager
def proxied(to_port, marker):
    proxy = CountingProxy(to_port, marker).start()
    try:
        yield proxy
    finally:
        proxy.stop()


def bytes_during(proxy, seconds, work):
    """Bytes for each second while `work` runs, for `seconds` at least."""
    before, start = proxy.bytes_down, time.monotonic()
    answer = work()
    while time.monotonic() < start + seconds:
        time.sleep(0.05)
    return (proxy.bytes_down - before) / (time.monotonic() - start), answer


def run(bench):
    seconds = 10 if bench.quick else 20  # several renewals of a lease

    def one():
        with bench.redis() as redis, proxied(redis.port, MARKER.encode()) as proxy:
            store = f"redis://{redis.address}"
            with bench.node(store) as a, bench.node(store) as b, \
                    bench.node(f"redis://127.0.0.1:{proxy.port}"):
                bench.progress.step(f"silent: {seconds} s of silence, {seconds} s of pushes")
                idle, _ = bytes_during(proxy, seconds, lambda: None)
                busy, seen = bytes_during(proxy, seconds, lambda: bench.load(
                    "pushes", node=[a.address, b.address], session=MARKER,
                    seconds=seconds - bench.warm_up, **pushes.LOAD))
        pushes.check_nothing_lost(seen)
        extra = max(0.0, busy - idle * (1 + SLACK))
        per_push = extra * seconds / seen["pushes"]
        text = (f"{busy:.0f} bytes/s while {seen['pushes']:,} pushes went, {idle:.0f} before; "
                f"{proxy.marked} reads with a session's id")
        return (per_push + proxy.marked, idle, busy), text

    (value, idle, busy), text = one()
    bench.progress.step(f"silent: third node: {text}")
    return [Result("a node with no member of a session: bytes of it from Redis, per push", 0.0,
                   value, " bytes", f"{busy:.0f} bytes/s from Redis, {idle:.0f} when nothing goes")]
