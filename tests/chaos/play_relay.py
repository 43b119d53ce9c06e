# SPDX-License-Identifier: MIT
"""Cross-server chat: game servers that die of a packet they cannot place. None may; none hears a thing twice; when all
is well all know each other and hear everything."""

import asyncio
import socket
import time

from lib.ports import free_port
from lib.relay import Splitter, handshake
from lib.waiting import until
from play import Comer, Play
from world import LEASE, Expired

AGREE_WITHIN = LEASE + 6.0
SAID_IN_CALM = 3
HEARD_WITHIN = 15.0
STUCK_TEXT = 24 * 1024
STUCK_STRETCH = 5  # messages at once: fewer than the node keeps
STUCK_BYTES = 600 * 1024  # more than the node keeps for one client; of a paced one kernels keep little
STUCK_MOST = 15.0  # seconds; after 20 without a sign it would rightly be closed


class GameServer(Splitter):
    """Tells its seat what it hears."""

    def __init__(self, seat):
        super().__init__(seat.name)
        self.seat = seat
        self.last = {}  # of each stay of each other seat: the last number heard on this connection

    def on_message(self, packet):
        super().on_message(packet)
        self.packets.clear()
        self.seat.take(packet["content"], self.last)

    def is_in(self):
        return not (self.closed or self.failure)


class Seat(Comer):
    """One game server's place: a name that is connected whenever that is possible."""

    def __init__(self, play, name, balanced):
        self.play, self.name, self.balanced = play, name, balanced
        self.plugin = None
        self.stay = 0
        self.said = 0
        self.heard = {}  # of each stay of each other seat: the numbers

    mishaps = (OSError, Expired)

    async def once(self):
        world = self.play.world
        visit = world.visit(self.play.rng, self.balanced)
        plugin = GameServer(self)
        await asyncio.get_running_loop().create_connection(lambda: plugin, "127.0.0.1", visit.port("relay"))
        plugin.send(handshake(self.name))
        await until(lambda: plugin.identifier is not None or plugin.failure or plugin.closed, "acknowledged", 15)
        self.stay, self.said = self.stay + 1, 0
        self.plugin = plugin
        while plugin.is_in() and not self.play.stopping:
            self.say()
            await asyncio.sleep(0.5)
        self.plugin = None
        if plugin.failure:
            self.play.tally.broken("relay: packets that a game server cannot place", f"{self.name}: {plugin.failure}")
        elif plugin.closed and plugin.identifier is not None and not self.balanced:
            world.lost("relay", visit, "closed")
        plugin.close()

    def say(self, filler=""):
        self.said += 1
        self.plugin.say(f"{self.name}/{self.stay}/{self.said}/{time.monotonic():.6f}/{filler}")
        self.play.tally.count("relay: messages sent")

    def take(self, content, last):
        name, stay, number, sent, _ = content.split("/")
        tally = self.play.tally
        tally.count("relay: messages received")
        before = last.get((name, int(stay)), 0)
        if int(number) <= before:
            tally.broken("relay: messages doubled or out of order", f"{self.name} hears {content[:60]} after {before}")
        last[name, int(stay)] = int(number)
        self.heard.setdefault((name, int(stay)), set()).add(int(number))
        self.play.latency(time.monotonic() - float(sent))


class RelayPlay(Play):
    name = "relay"
    fills = True
    promises = ("relay: messages doubled or out of order", "relay: packets that a game server cannot place")
    promises_of_calm = ("relay: directories that disagree at the end", "relay: messages lost while all is well",
                        "relay: a stuck game server was closed")

    def __init__(self, tally, count=6):
        super().__init__(tally)
        self.ports = [free_port() for _ in range(4)]
        self.seats = [Seat(self, f"server{i}", i % 3 == 0) for i in range(count)]
        self.latency = lambda seconds: None

    def clients(self):
        return self.seats

    def node_settings(self, number):
        return {"relay": f"127.0.0.1:{self.ports[number]}", "relay_gap": "2ms"}

    def streams(self):
        return {"relay": self.ports}

    async def settle(self, world):
        names = [seat.name for seat in self.seats]
        began = time.monotonic()

        def agrees(seat):
            return seat.plugin is not None and seat.plugin.is_in() and seat.plugin.sees() == sorted(set(names) - {seat.name})
        try:
            await world.until(lambda: all(map(agrees, self.seats)), "directories", AGREE_WITHIN)
        except Expired:
            for seat in self.seats:
                if not agrees(seat):
                    self.tally.broken("relay: directories that disagree at the end",
                                      f"{seat.name} knows {seat.plugin and seat.plugin.sees()}")
            return
        self.tally.took("relay: directories agree", time.monotonic() - began)
        self.tally.count("relay: directories checked", len(self.seats))
        await self._nothing_is_lost()

    async def _nothing_is_lost(self):
        wanted = {(seat.name, seat.stay): set(range(seat.said + 1, seat.said + 1 + SAID_IN_CALM)) for seat in self.seats}

        def missing(seat):
            return {stay: numbers - seat.heard.get(stay, set()) for stay, numbers in wanted.items()
                    if stay[0] != seat.name and not numbers <= seat.heard.get(stay, set())}
        try:
            await self.world.until(lambda: not any(map(missing, self.seats)), "messages", HEARD_WITHIN)
        except Expired:
            for seat in self.seats:
                for stay, numbers in missing(seat).items():
                    self.tally.broken("relay: messages lost while all is well", f"{seat.name}: {stay} {sorted(numbers)}")
        self.tally.count("relay: messages checked while all is well", SAID_IN_CALM * len(wanted) * (len(wanted) - 1))

    async def fill(self, world):
        """A game server reads no more while the others talk on: they hear all, and it, when it reads again, what is
        still kept for it, in order."""
        stuck = GameServer(Seat(self, "stuck", False))
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.connect(("127.0.0.1", self.rng.choice(self.ports)))
        await asyncio.get_running_loop().create_connection(lambda: stuck, sock=link)
        stuck.send(handshake("stuck"))
        await world.until(lambda: stuck.identifier is not None, "acknowledged", AGREE_WITHIN)
        stuck.transport.pause_reading()
        talker = next(seat for seat in self.seats if seat.plugin is not None)
        began = time.monotonic()
        for number in range(STUCK_BYTES // STUCK_TEXT):
            talker.say("x" * STUCK_TEXT)
            if number % STUCK_STRETCH == 0:
                await self._all_hear(talker)
        self.tally.count("fault: fill buffers, relay")
        await self._nothing_is_lost()
        stuck.transport.resume_reading()
        lasted = time.monotonic() - began
        await self._nothing_is_lost()
        if stuck.failure:
            self.tally.broken("relay: packets that a game server cannot place", f"stuck: {stuck.failure}")
        elif stuck.closed and lasted < STUCK_MOST:
            self.tally.broken("relay: a stuck game server was closed", "after some seconds")
        stuck.close()

    async def _all_hear(self, talker):
        """A client that lags is not told everything; so the next message waits for this."""
        stay, number = (talker.name, talker.stay), talker.said
        await self.world.until(lambda: all(number in seat.heard.get(stay, ()) for seat in self.seats if seat is not talker),
                               "all hear", HEARD_WITHIN)
