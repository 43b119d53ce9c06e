# SPDX-License-Identifier: MIT
"""What the plays have in common."""

import asyncio
import contextlib

import websockets

AGAIN_AFTER = 0.1  # seconds until a client that was disconnected tries again


class Play:
    """Clients of one protocol, and what is promised to them. A protocol is one file with one such class."""

    name = "?"
    flag = ""  # stands in the help of a node that serves the protocol
    fills = False  # has something for fill()
    promises, promises_of_calm = (), ()

    def __init__(self, tally):
        self.tally = tally
        self.stopping = False
        self.world = self.rng = None
        self.tasks = []
        tally.promise(*self.promises)
        tally.promise_in_calm(*self.promises_of_calm)

    @classmethod
    def is_there(cls, help_text):
        """Whether the binary serves it."""
        return cls.flag in help_text

    def node_settings(self, number):
        return {}

    def streams(self):
        """TCP services for the balancer: name to the port on each node."""
        return {}

    def own_ports(self, number):
        """More TCP services of that node, which the balancer does not have: name to (host, port)."""
        return {}

    def build(self, world):
        """Blocking: what has to be there before the nodes."""

    def clients(self):
        """Those that start() makes live and stop() waits for."""
        return []

    async def start(self, world, rng):
        """Starts the clients' tasks."""
        self.world, self.rng = world, rng
        self.tasks = [asyncio.create_task(client.live()) for client in self.clients()]

    async def settle(self, world):
        """All is well again: waits for what is promised then, and counts what is not so."""

    async def fill(self, world):
        """One of its clients stops reading and its buffers are filled: what is promised to the others, and to it."""

    async def stop(self):
        """Ends the clients."""
        self.stopping = True
        for client in self.clients():
            if getattr(client, "socket", None) is not None:
                await client.socket.close()
        await asyncio.gather(*self.tasks)

    async def end(self, world):
        """After all clients of all plays have left: nothing may be left of them."""


@contextlib.asynccontextmanager
async def at_work(plays, world, rng):
    """Their clients live meanwhile; when all have left, each play looks whether nothing is left of them."""
    for play in plays:
        await play.start(world, rng)
    try:
        yield
    finally:
        for play in plays:
            await play.stop()
    for play in plays:
        await play.end(world)


class Comer:
    """A client that comes again whenever it was disconnected, until its play stops. once() is one stay; left() is
    called after each."""

    socket = None
    mishaps = (OSError, asyncio.TimeoutError, websockets.WebSocketException)  # that a fault may bring about

    async def live(self):
        while not self.play.stopping:
            try:
                await self.once()
            except self.mishaps:
                pass
            self.left()
            await asyncio.sleep(AGAIN_AFTER)

    async def once(self):
        raise NotImplementedError

    def left(self):
        self.socket = None
