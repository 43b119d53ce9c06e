# SPDX-License-Identifier: MIT
"""Muster beside other servers for the same work, and beside its floors, in turn: CPU time of the server for each unit, memory
of a connection, what is asked of Redis. The peers come from their registries into a folder beside the build; one that this
machine cannot have is named and left out. docs/compare.md says how each is set up, and has the tables (--write).

The client (bench_load crowd) speaks each one's protocol; its own CPU time does not count. All servers of a part stand at the
same time, and only the one whose turn it is has anything to do."""
import contextlib
import json
import pathlib
import subprocess
import time

from harness import BenchError, Result, median
from lib.waiting import wait_until
from peers import PEERS, page
from peers.peer import Peer, Unavailable, failed, memory, used

from .redis_cost import commands, cpu_us, steady

SIZE, WINDOW, MEMBERS = 200, 8, 4  # bytes of a message of the fan-out, how many are in flight; of a group
PUSH_SIZE, PUSHES = 1024, 2000     # of the groups: bytes, a second
QUIET = 27.0                       # seconds: a little more than the 25 after which several of them ping
CROWD_LIMIT = 1800                 # seconds that a client stands at most


class Crowd:
    """bench_load crowd, which holds its connections and does what it is told."""

    def __init__(self, bench, peer, servers, connections, members, **settings):
        argv = bench.load_argv("crowd", {"dialect": peer.dialect, "node": [server.address for server in servers], "connections": connections,
                                         "members": members, "limit": CROWD_LIMIT, **settings})
        self.popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.entered = self._answer()

    def _answer(self):
        line = self.popen.stdout.readline()
        if not line:
            raise BenchError(self.popen.communicate()[1].strip())
        return json.loads(line)

    def ask(self, what):
        try:
            self.popen.stdin.write(f"{what}\n")
            self.popen.stdin.flush()
        except OSError:
            raise BenchError(self.popen.communicate()[1].strip()) from None
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.communicate()


class BarePair(Peer):
    """A publisher, Redis and a subscriber."""

    name, dialect = "the floor: a bare `PUBLISH`", "floor"


BARE = BarePair()


class Side:
    """A peer in one part of the comparison, and what was seen of it."""

    def __init__(self, bench, peer, part):
        self.bench, self.peer, self.part = bench, peer, part
        self.stack = contextlib.ExitStack()
        self.seen = {}
        self.failure = None

    def step(self, what, work):
        """Runs it, unless the peer has failed before; what a peer cannot do is told, and the others go on."""
        if self.failure is not None:
            return
        try:
            told = work(self)
        except AssertionError as error:
            if self.peer.dialect == "muster":
                raise
            self.failure = told = failed(error)
        self.bench.progress.step(f"{self.part}: {what}, {self.peer.name}: {told}")

    def note(self, **figures):
        """Remembers them, and says them."""
        for name, value in figures.items():
            self.seen.setdefault(name, []).append(value)
        return ", ".join(f"{value:.2f} {name.replace('_', ' ')}" for name, value in figures.items())

    def result(self):
        """The middle of each figure."""
        return {name: median(values) for name, values in self.seen.items()}


@contextlib.contextmanager
def sides(bench, peers, part):
    made = [Side(bench, peer, part) for peer in peers]
    with contextlib.ExitStack() as stack:
        for side in made:
            stack.enter_context(side.stack)
        yield made


def counts(bench):
    """How many of what."""
    asked = bench.options
    sessions = asked.sessions or (100 if bench.quick else 1000)
    return {"receivers": asked.receivers or (200 if bench.quick else 1000), "sessions": sessions, "pushes": min(asked.pushes or PUSHES, sessions * 10),
            "idle": (asked.idle or (400 if bench.quick else 6000)) // MEMBERS * MEMBERS}


# ------------------------------------------------------------------------------------ one server

def fan_out(bench, peers):
    """One sender, all others of its group hear it."""
    receivers = counts(bench)["receivers"]

    def begin(side):
        side.servers = side.stack.enter_context(side.peer.service(bench))
        side.crowd = side.stack.enter_context(Crowd(bench, side.peer, side.servers, receivers + 1, receivers + 1, size=SIZE))
        side.crowd.ask(f"window {WINDOW} {bench.warm_up}")
        return f"{receivers:,} are in"

    def delivery(side, window):
        before = used(side.servers)
        seen = side.crowd.ask(f"window {window} {min(bench.seconds, 1.5)}")
        if seen["lost"]:
            raise BenchError(f"{seen['lost']:,} of {seen['lost'] + seen['deliveries']:,} deliveries were lost")
        return (used(side.servers) - before) / seen["deliveries"]

    def measure(side):
        return side.note(us_a_delivery=delivery(side, 1), us_a_delivery_of_several=delivery(side, WINDOW))

    with sides(bench, [peer for peer in peers if peer.fanout], "fan-out") as made:
        for side in made:
            side.step("start", begin)
        for number in range(bench.rounds):
            for side in made:
                side.step(f"round {number + 1} of {bench.rounds}", measure)
    return made


def idle(bench, peers):
    """All come at once and join groups of four; then nobody says anything."""
    count = counts(bench)["idle"]
    quiet = 2.0 if bench.quick else QUIET
    kept = {peer: Side(bench, peer, "idle") for peer in peers}

    def begin(side):
        side.servers = side.stack.enter_context(side.peer.service(bench))
        time.sleep(1)
        side.empty = memory(side.servers)
        before = used(side.servers)
        side.crowd = side.stack.enter_context(Crowd(bench, side.peer, side.servers, count, MEMBERS, all_join=1))
        return side.note(us_a_join=(used(side.servers) - before) / count, seconds_until_all_are_in=side.crowd.entered["seconds"])

    def end(side):
        return side.note(ms_a_second=(used(side.servers) - side.before) / 1000 / (time.monotonic() - side.since),
                         KiB_each=(memory(side.servers) - side.empty) / count / 1024, MiB_empty=side.empty / (1 << 20))

    def look(side):
        side.before, side.since = used(side.servers), time.monotonic()
        return "quiet"
    for number in range(min(3, bench.rounds)):
        with sides(bench, [peer for peer in peers if kept[peer].failure is None], "idle") as made:
            for side in made:
                side.seen = kept[side.peer].seen
                side.step(f"round {number + 1}, all come", begin)
            time.sleep(2)
            for side in made:
                side.step("all are in", look)
            time.sleep(quiet)
            for side in made:
                side.step(f"round {number + 1}, quiet", end)
                kept[side.peer].failure = side.failure
    return list(kept.values())


# ------------------------------------------------------------------------------------ several, and Redis

def groups(bench, peers):
    """Groups of four over two nodes and Redis; the first of each says something now and then."""
    sessions, rate = counts(bench)["sessions"], counts(bench)["pushes"]
    quiet = 2.0 if bench.quick else QUIET

    def read(side):
        redis = (cpu_us(side.redis), commands(side.redis)) if side.redis else (0, 0)
        return used(side.servers), *redis, time.monotonic()

    def since(side, before):
        return [new - old for old, new in zip(before, read(side))]

    def begin(side):
        side.redis = side.stack.enter_context(bench.redis()) if side.peer.redis else None
        if side.peer is BARE:
            side.servers = []
            return "there"
        side.servers = side.stack.enter_context(side.peer.service(bench, 2, side.redis))
        time.sleep(1)
        before = read(side)
        side.crowd = side.stack.enter_context(Crowd(bench, side.peer, side.servers, sessions * MEMBERS, MEMBERS, size=PUSH_SIZE,
                                                    period_ms=sessions * 1000 // rate))
        if side.redis:
            wait_until(steady(side.redis), "Redis has carried out the joins", 60)
        nodes, redis, _, _ = since(side, before)
        members = side.crowd.entered["members"]
        return side.note(us_of_nodes_a_join=nodes / members, us_of_Redis_a_join=redis / members)

    def look(side):
        side.before = read(side)
        return "quiet"

    def rest(side):
        nodes, redis, asked, seconds = since(side, side.before)
        side.quiet = nodes / seconds, redis / seconds
        if side.servers:
            side.note(ms_a_second_of_nodes=nodes / 1000 / seconds)
        return side.note(ms_a_second_of_Redis=redis / 1000 / seconds, commands_a_second=asked / seconds)

    def publish(side):
        """As many messages from one connection to another."""
        before = cpu_us(side.redis)
        seen = bench.load("pushes", sessions=0, rate=rate, size=PUSH_SIZE, redis=side.redis.address, warm_up=0)
        return side.note(us_of_Redis_a_push=(cpu_us(side.redis) - before - side.quiet[1] * bench.seconds) / seen["bare"]["count"])

    def warm(side):
        if side.peer is BARE:
            return "nothing to do"
        return side.crowd.ask(f"paced {bench.warm_up * 2}")

    def measure(side):
        if side.peer is BARE:
            return publish(side)
        before = read(side)
        seen = side.crowd.ask(f"paced {bench.seconds}")
        nodes, redis, _, seconds = since(side, before)
        return side.note(us_of_nodes_a_push=(nodes - side.quiet[0] * seconds) / seen["pushes"],
                         us_of_Redis_a_push=(redis - side.quiet[1] * seconds) / seen["pushes"], lost=seen["lost"],
                         seconds_behind=max(0, seen["seconds"] - bench.seconds))

    with sides(bench, [*(peer for peer in peers if peer.fleet), BARE], "groups") as made:
        for side in made:
            side.step("all come", begin)
        time.sleep(2)
        for side in made:
            side.step("all are in", look)
        time.sleep(quiet)
        for side in made:
            side.step("quiet", rest)
        for side in made:
            side.step("warm", warm)
        for number in range(bench.rounds):
            for side in made:
                side.step(f"round {number + 1} of {bench.rounds}", measure)
    return made


# ------------------------------------------------------------------------------------ the case

def ready(bench):
    """(peers that this machine has, name to the reason why not of the others)."""
    shelf = pathlib.Path(bench.tools).parents[1] / "peers"
    wanted = bench.options.only.split(",") if bench.options.only else [peer.name for peer in PEERS]
    unknown = set(wanted) - {peer.name for peer in PEERS}
    if unknown:
        raise BenchError(f"no peer named {', '.join(unknown)}; there are {', '.join(peer.name for peer in PEERS)}")
    have, without = [], {}
    for peer in PEERS:
        if peer.name not in wanted:
            without[peer.name] = "not asked for"
            continue
        try:
            peer.install(shelf.resolve())
            bench.progress.step(f"peers: {peer.name} {peer.version()}")
            have.append(peer)
        except Unavailable as reason:
            without[peer.name] = failed(reason)
            bench.progress.line(f"peers: without {peer.name}: {without[peer.name]}")
    return have, without


def run(bench):
    have, without = ready(bench)
    parts = {"fan-out": fan_out(bench, have), "idle": idle(bench, have), "groups": groups(bench, have)}
    found = page.Found(have, without, parts, counts(bench))
    if bench.options.write:
        page.write(found)
    for line in page.tables(found):
        bench.progress.line(line)
    return [ratio for name, what in COMPARED.items() for ratio in beside(name, what, parts)]


COMPARED = {
    "us_a_delivery": "CPU time of a delivery, one message at a time",
    "us_a_delivery_of_several": "CPU time of a delivery, 8 messages at a time",
    "us_a_join": "CPU time of a connection that joins",
    "KiB_each": "memory of an idle connection",
    "us_of_nodes_a_push": "CPU time of two nodes for a push",
    "us_of_Redis_a_push": "CPU time of Redis for a push",
    "us_of_Redis_a_join": "CPU time of Redis for a join",
    "ms_a_second_of_Redis": "CPU time of Redis while nobody says anything",
}


def beside(name, what, parts):
    """Muster's figure by that of the best peer."""
    found = {side.peer: side.result()[name] for made in parts.values() for side in made if name in side.seen}
    if name.endswith(("Redis", "Redis_a_push", "Redis_a_join")):
        found = {peer: value for peer, value in found.items() if peer.redis}
    ours = next((value for peer, value in found.items() if peer.dialect == "muster"), None)
    theirs = {peer.name: value for peer, value in found.items() if peer.dialect not in ("muster", "floor")}
    if ours is not None and theirs:
        best = min(theirs, key=theirs.get)
        yield Result(f"{what}, times that of the best peer", None, ours / theirs[best] if theirs[best] > 0 else float("inf"),
                     note=f"{ours:.2f}; {best} {theirs[best]:.2f}")
