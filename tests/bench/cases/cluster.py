# SPDX-License-Identifier: MIT
"""What a Redis Cluster costs beside a single server: sessions of 4 on 2 nodes, 1 KB, through one server and through clusters
of 1, 2 and 3 masters, all at the same time, so that what else the machine does is the same to them. CPU time a push, less
what it takes without: of the nodes at 500 pushes a second; of all servers together at 500 a second for each server, since a
server that is woken for every single message spends most on that. And what a node that has nothing to say costs the servers."""
import contextlib
import threading
import time

from harness import Result, median
from lib.redis import Cluster
from lib.waiting import wait_until

from .capacity import SETTLE, total
from .redis_cost import commands, cpu_us

SESSIONS, PERIOD_MS = 250, 500
ALIKE = ((0, SESSIONS), (1, SESSIONS), (2, SESSIONS), (3, SESSIONS))  # masters, 0: one server that is no cluster; sessions
GROWING = ((1, SESSIONS), (2, 2 * SESSIONS), (3, 3 * SESSIONS))
NODES = 2
IDLE, WINDOW = 5.0, 10.0  # seconds


class Side:
    """A fleet on servers of its own."""

    def __init__(self, bench, masters, sessions, stack):
        self.bench, self.masters, self.sessions = bench, masters, sessions
        if masters == 0:
            self.servers = [stack.enter_context(bench.redis())]
            url = self.servers[0].url
        else:
            cluster = Cluster(bench.place("cluster"), masters=masters, replicas=0)
            stack.callback(cluster.stop)
            self.servers, url = cluster.start().members, cluster.url
        self.nodes = [stack.enter_context(bench.node(url)) for _ in range(NODES)]
        away = total(self.nodes, "muster_store_partitions_away")
        wait_until(lambda: away() == 0, "all servers are reached")
        self.pushes = total(self.nodes, "muster_sync_pushes_total")
        self.failure = None
        self.thread = threading.Thread(target=self._load)

    def _load(self):
        try:
            self.bench.load("pushes", sessions=self.sessions, members=4, size=1024, period_ms=PERIOD_MS, seconds=2 * SETTLE + WINDOW + 3,
                            node=[node.address for node in self.nodes], session=f"cluster-{self.masters}")
        except Exception as error:  # told by the one that waits
            self.failure = error

    def read(self):
        """Pushes, microseconds of CPU time of nodes and of servers, commands of servers; and when that was."""
        return (self.pushes(), sum(map(cpu_us, self.nodes)), sum(map(cpu_us, self.servers)), sum(map(commands, self.servers)),
                time.monotonic())


def between(sides, pause):
    """Of each side, what came to what it had read, in `pause` seconds."""
    before = [side.read() for side in sides]
    time.sleep(pause)
    return [[new - old for old, new in zip(first, side.read())] for side, first in zip(sides, before)]


def measure(bench, kinds):
    """Of each side: microseconds a push of nodes and of servers, commands and CPU milliseconds of servers a second for a quiet
    node, pushes a second."""
    with contextlib.ExitStack() as stack:
        sides = [Side(bench, masters, sessions, stack) for masters, sessions in kinds]
        time.sleep(SETTLE)
        quiet = between(sides, IDLE)
        for side in sides:
            side.thread.start()
        wait_until(lambda: all(side.failure or side.pushes() > 0 for side in sides), "the load", 60)
        time.sleep(SETTLE)
        busy = between(sides, WINDOW)
        for side in sides:
            side.thread.join()
            if side.failure is not None:
                raise side.failure
        seen = []
        for (_, own, theirs, asked, idle), (done, mine, served, _, seconds) in zip(quiet, busy):
            seen.append(((mine - own * seconds / idle) / done, (served - theirs * seconds / idle) / done,
                         asked / idle / NODES, theirs / idle / NODES / 1000, done / seconds))
        return seen


def name_of(masters):
    return "one server" if masters == 0 else f"a cluster of {masters} master{'s' if masters > 1 else ''}"


def repeated(bench, kinds):
    """(what each side had, in the middle; function that gives the ratio of two sides in a column)."""
    kept = []
    for number in range(bench.rounds):
        kept.append(measure(bench, kinds))
        told = "; ".join(f"{name_of(masters)} {one[0]:.0f} and {one[1]:.0f} us" for (masters, _), one in zip(kinds, kept[-1]))
        bench.progress.step(f"cluster: round {number + 1} of {bench.rounds}: {told}")
    return ([[median(column) for column in zip(*(one[at] for one in kept))] for at in range(len(kinds))],
            lambda at, to, column: median([one[at][column] / one[to][column] for one in kept]))


def run(bench):
    results = []
    seen, ratio = repeated(bench, ALIKE)
    for at, (masters, _) in enumerate(ALIKE[1:], 1):
        mine, _, asked, used, rate = seen[at]
        results += [
            Result(f"a push through {name_of(masters)}: CPU time of both nodes, times that with one server", 1.15, ratio(at, 0, 0),
                   note=f"{mine:.1f} µs; {seen[0][0]:.1f}; {rate:,.0f} pushes/s"),
            Result(f"commands a second that {name_of(masters)} carries out for a quiet node", None, asked, "",
                   note=f"one server {seen[0][2]:.0f}; CPU time {used:.1f} ms a second, one server {seen[0][3]:.1f}")]
    seen, ratio = repeated(bench, GROWING)
    for at, (masters, _) in enumerate(GROWING[1:], 1):
        results.append(Result(f"a push through {name_of(masters)}: CPU time of all servers, times that of a cluster of one", 1.15,
                              ratio(at, 0, 1), note=f"{seen[at][1]:.1f} µs at {seen[at][4]:,.0f} pushes/s; {seen[0][1]:.1f} at {seen[0][4]:,.0f}"))
    return results
