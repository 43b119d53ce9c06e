"""Cross-server chat: game servers that die of a packet they cannot place. None may; none hears a thing twice; when all
is well all know each other and hear everything."""

import asyncio
import time

from world import LEASE, Expired, Play, free_port, until

from relay_plugin import Splitter, handshake

AGREE_WITHIN = LEASE + 6.0
SAID_IN_CALM = 3


class GameServer(Splitter):
    """Tells its seat what it hears."""

    def __init__(self, seat):
        super().__init__(seat.name)
        self.seat = seat

    def on_message(self, packet):
        super().on_message(packet)
        self.seat.take(packet["content"])


class Seat:
    """One game server's place: a name that is connected whenever that is possible."""

    def __init__(self, play, name, balanced):
        self.play, self.name, self.balanced = play, name, balanced
        self.plugin = None
        self.stay = 0
        self.said = 0
        self.heard = {}  # of each stay of each other seat: the numbers
        self.last = {}

    async def live(self):
        while not self.play.stopping:
            try:
                await self._once()
            except (OSError, AssertionError, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.1)

    async def _once(self):
        world = self.play.world
        number = self.play.rng.randrange(len(world.nodes))
        port = world.balancer.stream_ports["relay"] if self.balanced else self.play.ports[number]
        excuse = world.excuse(world.nodes[number].name)
        plugin = GameServer(self)
        await asyncio.get_running_loop().create_connection(lambda: plugin, "127.0.0.1", port)
        plugin.send(handshake(self.name))
        await until(lambda: plugin.identifier is not None or plugin.failure or plugin.closed, "acknowledged", 15)
        self.stay, self.said = self.stay + 1, 0
        self.plugin = plugin
        while not (plugin.closed or plugin.failure or self.play.stopping):
            self.said += 1
            plugin.say(f"{self.name}/{self.stay}/{self.said}/{time.monotonic():.6f}")
            self.play.tally.count("relay: messages sent")
            await asyncio.sleep(0.5)
        self.plugin = None
        if plugin.failure:
            self.play.tally.broken("relay: packets that a game server cannot place", f"{self.name}: {plugin.failure}")
        elif plugin.closed and plugin.identifier is not None and not self.balanced:
            world.lost("relay", excuse, "closed")
        plugin.close()

    def take(self, content):
        name, stay, number, sent = content.split("/")
        tally = self.play.tally
        tally.count("relay: messages received")
        last = self.last.get((name, int(stay)), 0)
        if int(number) <= last:
            tally.broken("relay: messages doubled or out of order", f"{self.name} hears {content} after {last}")
        self.last[name, int(stay)] = int(number)
        self.heard.setdefault((name, int(stay)), set()).add(int(number))
        self.play.latency(time.monotonic() - float(sent))


class RelayPlay(Play):
    name = "relay"

    def __init__(self, tally, count=6):
        self.tally = tally
        self.count = count
        self.ports = [free_port() for _ in range(4)]
        self.stopping = False
        self.world = self.rng = None
        self.seats, self.tasks = [], []
        self.latency = lambda seconds: None
        tally.promise("relay: messages doubled or out of order",
                      "relay: packets that a game server cannot place", "relay: directories that disagree at the end",
                      "relay: messages lost while all is well")

    def node_settings(self, number):
        return {"relay": f"127.0.0.1:{self.ports[number]}", "relay_gap": "2ms"}

    def streams(self):
        return {"relay": self.ports}

    async def start(self, world, rng):
        self.world, self.rng = world, rng
        self.seats = [Seat(self, f"server{i}", i % 3 == 0) for i in range(self.count)]
        self.tasks = [asyncio.create_task(seat.live()) for seat in self.seats]

    async def settle(self, world):
        names = [seat.name for seat in self.seats]
        began = time.monotonic()

        def agrees(seat):
            return seat.plugin is not None and seat.plugin.sees() == sorted(set(names) - {seat.name})
        try:
            await until(lambda: all(map(agrees, self.seats)), "directories", AGREE_WITHIN)
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
            await until(lambda: not any(map(missing, self.seats)), "messages", 15)
        except Expired:
            for seat in self.seats:
                for stay, numbers in missing(seat).items():
                    self.tally.broken("relay: messages lost while all is well", f"{seat.name}: {stay} {sorted(numbers)}")
        self.tally.count("relay: messages checked while all is well", SAID_IN_CALM * len(wanted) * (len(wanted) - 1))

    async def stop(self):
        self.stopping = True
        await asyncio.gather(*self.tasks)
