# SPDX-License-Identifier: MIT
"""A WebSocket client that speaks JSON, over python3-websockets."""

import json
import time

import websockets

from lib.waiting import DEADLINE, within

_opened = set()


def vanish_all():
    """Ends, without a word, each client that the test left open: a loop that ends would wait for their handshakes."""
    for client in list(_opened):
        client.vanish()


def parse(text):
    """A message as a dict; `raw` keeps it as it came."""
    message = json.loads(text)
    message["raw"] = text
    return message


class Client:
    """A WebSocket client that speaks JSON; a protocol derives its own."""

    path = "/"

    def __init__(self, socket_):
        self.socket = socket_
        _opened.add(self)
        self.seen = []  # every JSON message that was read

    @classmethod
    async def connect(cls, node, path=None, **options):
        options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": None,
                   "open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
        return cls(await websockets.connect(node.ws(path or cls.path), **options))

    async def send(self, message):
        """A string goes as it is, a dict as JSON, bytes as a binary message."""
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self, deadline=DEADLINE):
        """The next message's text."""
        return await within(self.socket.recv(), "a message", deadline)

    async def next(self, deadline=DEADLINE):
        message = parse(await self.receive(deadline))
        self.seen.append(message)
        return message

    async def next_of(self, wanted, deadline=DEADLINE):
        """The next message for which `wanted` is true; others are passed over."""
        end = time.monotonic() + deadline
        while True:
            message = await self.next(max(0.0, end - time.monotonic()))
            if wanted(message):
                return message

    async def close(self):
        _opened.discard(self)
        await self.socket.close()

    def vanish(self):
        """Gone without a word, as when the cable is pulled and the kernel resets."""
        _opened.discard(self)
        self.socket.transport.abort()

    async def closed(self, deadline=DEADLINE):
        """The close code the server gave, when it has closed; 1006 when it gave none."""
        async def read_to_end():
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed as end:
                return end.rcvd.code if end.rcvd is not None else 1006
        return await within(read_to_end(), "the server closes", deadline)
