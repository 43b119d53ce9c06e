# SPDX-License-Identifier: MIT
"""Logs: every entry that a node accepted is in PostgreSQL once; of one whose answer was lost at most one row; nobody
a listener hears an entry twice on one connection, or misses one of which it is not told that it was skipped. Redis is emptied
only when nothing waits there for PostgreSQL, and loses for good only what the world knows of."""

import asyncio
import json
import re
import subprocess
import threading
import time

import websockets

from lib.frames import RawWebSocket
from lib.logs import Listener, add
from lib.node import Sink
from lib.postgres import Postgres
from lib.process import muster
from lib.tcp import Closed
from lib.waiting import until
from play import Play
from world import SINKS_TO_POSTGRES, SINKS_TO_REDIS, Expired

STORED_WITHIN = 30.0
STUCK_TEXT = 8192
STUCK_BYTES = 6 * 1024 * 1024  # more than the kernel and the node keep for one client
SKIPPED = re.compile(r"(\d+) entries were skipped here")
DOUBTED = "entries may have been skipped here"  # Redis was away, or lost the stream; what comes after that is not in doubt


def _read_on(socket, total):
    """How many of the entries it heard, or was told that it did not."""
    count, end = 0, time.monotonic() + 20
    try:
        while count < total and time.monotonic() < end:
            for entry in json.loads(socket.next_text()):
                skipped = SKIPPED.search(entry.get("msg", ""))
                count += int(skipped.group(1)) if skipped else entry.get("user") == "fill"
    except (Closed, OSError, AssertionError):
        pass
    return count


class Adder(threading.Thread):
    """Adds numbered entries to whichever node; knows which were accepted."""

    SIZE = 3

    def __init__(self, play, name):
        super().__init__(daemon=True)
        self.play, self.label = play, name
        self.number = 0
        self.accepted = []
        self.begun = {}  # of each: when it was sent
        self.in_table = 0  # so many of them
        self.allowed = threading.Event()
        self.allowed.set()
        self.idle = threading.Event()
        self.stopping = False

    def run(self):
        while not self.stopping:
            if not self.allowed.is_set():
                self.idle.set()
                self.allowed.wait(1)
                continue
            self.idle.clear()
            node = self.play.places[self.number // self.SIZE % len(self.play.places)]
            ids = [f"{self.label}-{self.number + i}" for i in range(self.SIZE)]
            self.number += self.SIZE
            entries = [{"msg": one, "room": f"room-{i}", "user": "chaos", "level": "info"} for i, one in enumerate(ids)]
            began = time.monotonic()
            try:
                status = add(node, entries)[0]
            except OSError:
                status = None
            self.play.tally.count("logs: entries sent", self.SIZE)
            if status == 200:
                self.accepted += ids
                self.begun.update(dict.fromkeys(ids, began))
            else:
                self.play.tally.count("logs: entries refused or unsure", self.SIZE)
            time.sleep(0.05)
        self.idle.set()


class Ear:
    """One connection that listens."""

    def __init__(self, place):
        self.place = place
        self.heard, self.skipped = set(), False
        self.since = time.monotonic() + 1.0  # what is sent from then on is surely behind the place where it began


class LogsPlay(Play):
    name = "logs"
    fills = True
    flag = "--logs-bound"
    promises = ("logs: rows missing in PostgreSQL", "logs: rows doubled in PostgreSQL", "logs: rows put aside",
                "logs: entries heard twice on a connection", "logs: entries neither heard nor told to be skipped")
    promises_of_calm = ("logs: a stuck listener cost another an entry",
                        "logs: entries that a stuck listener neither heard nor was told of")

    def __init__(self, tally, adders=2, sinks=2):
        super().__init__(tally)
        self.sinks = sinks
        self.adders = [Adder(self, f"adder{i}") for i in range(adders)]
        self.places = []
        self.ears = []
        self.filled = 0

    def build(self, world):
        self.world = world
        world.postgres = Postgres("postgres", world.folder).make().start()
        done = muster("migrate", "--postgres", world.postgres.uri)
        assert done.returncode == 0, done.stderr
        for number in range(self.sinks):
            uri = world.postgres.uri_at(world.link(SINKS_TO_POSTGRES, world.postgres.port))
            world.sinks.append(Sink(f"sink{number}", world.folder, store=world.link_to_redis(SINKS_TO_REDIS),
                                    postgres=uri, lease="2s"))
        world.postgres.psql("create table accepted (msg text primary key)")

    async def start(self, world, rng):
        self.rng = rng
        self.places = [*world.nodes, *world.doors, world.front or world.balancer]
        for adder in self.adders:
            adder.start()
        self.tasks = [asyncio.create_task(self._listen()) for _ in range(2)]

    async def _listen(self):
        while not self.stopping:
            try:
                place = self.rng.choice(self.places)
                async with websockets.connect(place.ws("/logs/listen"), ping_interval=None, max_size=None, close_timeout=1) as socket:
                    await self._hear(socket, place)
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(0.1)

    async def _hear(self, socket, place):
        ear = Ear(place)
        self.ears.append(ear)
        try:
            while not self.stopping:
                try:
                    entries = json.loads(await asyncio.wait_for(socket.recv(), 0.5))
                except asyncio.TimeoutError:
                    continue
                for entry in entries:
                    if entry.get("user") == "chaos":
                        self.tally.count("logs: entries received by listeners")
                        if entry["msg"] in ear.heard:
                            self.tally.broken("logs: entries heard twice on a connection", entry["msg"])
                        ear.heard.add(entry["msg"])
                    elif SKIPPED.search(entry.get("msg", "")):
                        ear.skipped = True
                    elif entry.get("msg", "").startswith(DOUBTED):
                        ear.since = max(ear.since, time.monotonic())
        finally:
            self.ears.remove(ear)

    def begins_now(self, name):
        """Who listens at that node hears all from now on; what came before it may have missed without a word."""
        for ear in self.ears:
            if ear.place.name == name:
                ear.since = max(ear.since, time.monotonic() + 1.0)

    def _unheard(self):
        """What was accepted while somebody listened, who neither heard it nor was told that something is missing."""
        lost = self.world.lost_for_good
        return [f"{one} at {ear.place.name}, {began - ear.since:.1f} s after it came" for ear in self.ears if not ear.skipped
                for adder in self.adders for one, began in adder.begun.items() if began > ear.since and one not in ear.heard and one not in lost]

    # --- Redis may be emptied when nothing is there that PostgreSQL has not

    async def let_redis_be_emptied(self):
        for adder in self.adders:
            adder.allowed.clear()
        try:
            await until(lambda: all(adder.idle.is_set() for adder in self.adders), "adders rest", 8)
            await asyncio.wait_for(self._until_stored(), 4)
            return True
        except (Expired, asyncio.TimeoutError):
            self.redis_was_emptied()
            return False

    async def _until_stored(self):
        while await self._missing() != 0:
            await asyncio.sleep(0.1)

    def redis_was_emptied(self):
        for adder in self.adders:
            adder.allowed.set()

    # --- what PostgreSQL has

    async def _missing(self):
        """How many accepted entries have no row, but for those that Redis lost; None when PostgreSQL does not answer."""
        try:
            return await asyncio.to_thread(self._count_missing)
        except (AssertionError, subprocess.TimeoutExpired):
            return None

    def _count_missing(self):
        postgres = self.world.postgres
        for adder in self.adders:
            fresh = adder.accepted[adder.in_table:]
            for i in range(0, len(fresh), 2000):
                postgres.psql("insert into accepted values " + ",".join(f"('{one}')" for one in fresh[i:i + 2000]) +
                              " on conflict do nothing")
            adder.in_table += len(fresh)
        missing = postgres.ask("select a.msg, 0 from accepted a where not exists "
                               "(select from log_entry l where l.msg = a.msg and l.user_name = 'chaos')")
        return sum(row[0] not in self.world.lost_for_good for row in missing)

    async def settle(self, world):
        missing = None
        end = world.patience.lived + STORED_WITHIN
        began = time.monotonic()
        for adder in self.adders:
            adder.allowed.clear()
        while world.patience.lived < end and missing != 0:
            missing = await self._missing()
            await asyncio.sleep(0.1)
        self.tally.took("logs: all accepted entries stored", time.monotonic() - began)
        if missing != 0:
            self.tally.broken("logs: rows missing in PostgreSQL", f"{missing} of {self._accepted()}")
        try:
            await world.until(lambda: not self._unheard(), "listeners hear all", STORED_WITHIN)
        except Expired:
            unheard = self._unheard()
            self.tally.broken("logs: entries neither heard nor told to be skipped", f"{len(unheard)}: {unheard[:3]}")
        doubled = await asyncio.to_thread(world.postgres.ask, "select msg, count(*) from log_entry where "
                                          "user_name = 'chaos' group by msg having count(*) > 1")
        for row in doubled:
            self.tally.broken("logs: rows doubled in PostgreSQL", row)
        aside = int(await asyncio.to_thread(world.postgres.value, "select count(*) from log_entry_rejected"))
        if aside:
            self.tally.broken("logs: rows put aside", aside)
        for adder in self.adders:
            adder.allowed.set()

    def _accepted(self):
        return sum(len(adder.accepted) for adder in self.adders)

    # --- a listener that reads no more

    async def fill(self, world):
        """It skips entries and is told how many; a listener beside it hears all."""
        self.filled += 1
        node, room = self.rng.choice(world.nodes), f"fill-{self.filled}"
        stuck = await asyncio.to_thread(lambda: RawWebSocket(node, f"/logs/listen?room={room}", receive_buffer=4096))
        honest = await Listener.join(node, f"?room={room}")
        total = 0
        for _ in range(STUCK_BYTES // STUCK_TEXT // 16):
            entries = [{"msg": f"{total + i}", "room": room, "user": "fill", "text": "x" * STUCK_TEXT} for i in range(16)]
            if (await asyncio.to_thread(add, node, entries))[0] == 200:
                total += 16
            if not await self._hears(honest, total):
                break
        self.tally.count("fault: fill buffers, logs")
        told = await asyncio.to_thread(_read_on, stuck, total)
        lines = sum(entry.get("user") != "fill" for entry in honest.entries())  # of nodes, which all listeners get: they are skipped, too
        if not total <= told <= total + lines:
            self.tally.broken("logs: entries that a stuck listener neither heard nor was told of", f"{told} of {total}, {lines} lines of nodes")
        stuck.close()
        await honest.close()

    async def _hears(self, listener, total):
        """So far. One that lags would skip, too; so the next entries wait for this."""
        def heard():
            return [entry["msg"] for entry in listener.entries() if entry.get("user") == "fill"]
        try:
            await self.world.until(lambda: len(heard()) >= total, "entries", 15)
        except Expired:
            pass
        if heard() != [str(number) for number in range(total)]:
            self.tally.broken("logs: a stuck listener cost another an entry", f"{len(heard())} of {total}")
            return False
        return True

    async def stop(self):
        self.stopping = True
        for adder in self.adders:
            adder.stopping = True
            adder.allowed.set()
        for adder in self.adders:
            await asyncio.to_thread(adder.join, 30)
        await asyncio.gather(*self.tasks)
        await self.settle(self.world)
        self.tally.count("logs: entries accepted, each in one row", self._accepted())
