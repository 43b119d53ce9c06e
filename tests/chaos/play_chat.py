# SPDX-License-Identifier: MIT
"""Chat: a client that stays connected hears each message of those that stay connected once and in order, whatever happens to
Redis and to links; when all is well all hear all in the same order."""

import asyncio
import json
import time

import websockets

from lib.frames import RawWebSocket
from lib.tcp import Closed
from play import Comer, Play
from world import LEASE, Expired

HEARD_WITHIN = LEASE + 15.0
SAID_IN_CALM = 3
PAUSE = 0.3
STUCK_TEXT = 30000  # bytes
STUCK_STRETCH = 4  # messages at once
STUCK_BYTES = 6 * 1024 * 1024  # more than the kernel and the node keep for one client


def _log_in_and_stop(node):
    socket = RawWebSocket(node, "/chat", receive_buffer=4096)
    socket.text(json.dumps({"action": "login", "token": "stuck"}))
    while json.loads(socket.next_text()).get("info") != "connected":
        pass
    return socket


def _is_ended(socket):
    """Reads what is left; true when that ends with the connection."""
    end = time.monotonic() + 20
    try:
        while time.monotonic() < end:
            socket.next_frame()
    except (Closed, OSError):
        return True
    return False


class User(Comer):
    def __init__(self, play, name, balanced):
        self.play, self.name, self.balanced = play, name, balanced
        self.stay = self.said = 0
        self.socket = None
        self.heard = {}  # of the present stay: (name, stay) to the last number
        self.order = []
        self.turn = asyncio.Lock()

    async def once(self):
        world = self.play.world
        visit = world.visit(self.play.rng, self.balanced)
        async with websockets.connect(visit.ws("/chat"), compression=None, ping_interval=None, max_queue=None,
                                      open_timeout=10, close_timeout=1) as socket:
            visit.arrived(socket.response_headers)
            await socket.send(json.dumps({"action": "login", "token": self.name}))
            self.heard, self.order = {}, []
            self.stay, self.said = self.stay + 1, 0
            talking = None
            try:
                async for text in socket:
                    message = json.loads(text)
                    if message.get("info") == "connected":
                        self.socket = socket
                        talking = asyncio.create_task(self._talk(socket))
                    elif "message" in message:
                        self._take(message["message"])
                    else:
                        self.play.tally.count("chat: errors answered")
            finally:
                self.socket = None
                if talking is not None:
                    talking.cancel()
            if not self.play.stopping:
                world.lost("chat", visit, f"closed {socket.close_code} {socket.close_reason!r}")

    async def _talk(self, socket):
        while not self.play.stopping:
            await self.say(socket)
            await asyncio.sleep(PAUSE)

    async def say(self, socket, filler=""):
        async with self.turn:
            self.said += 1
            await socket.send(json.dumps({
                "action": "message",
                "message": f"{self.name}/{self.stay}/{self.said}/{time.monotonic():.6f}/{filler}"}))
        self.play.tally.count("chat: messages sent")

    def _take(self, content):
        tally = self.play.tally
        tally.count("chat: messages received")
        name, stay, number, sent, _ = content.split("/")
        self.play.latency(time.monotonic() - float(sent))
        last = self.heard.get((name, stay))
        number = int(number)
        if last is not None and number <= last:
            tally.broken("chat: messages doubled or out of order", f"{self.name} hears {content[:60]} after {last}")
        elif last is not None and number > last + 1:
            tally.broken("chat: messages lost", f"{self.name} hears {content[:60]} after {last}")
        self.heard[name, stay] = number
        self.order.append((name, stay, number))


class ChatPlay(Play):
    name = "chat"
    flag = "--chat-login"
    fills = True
    promises = ("chat: messages lost", "chat: messages doubled or out of order")
    promises_of_calm = ("chat: messages lost while all is well", "chat: another order for some while all is well",
                        "chat: a stuck reader was kept")

    def __init__(self, tally, count=8):
        super().__init__(tally)
        self.users = [User(self, f"user{i}", i % 3 == 0) for i in range(count)]
        self.latency = lambda seconds: None

    def clients(self):
        return self.users

    def node_settings(self, number):
        return {"chat_login": "development", "chat_rate": 10000, "chat_burst": 10000, "chat_text_limit": "32k"}

    async def settle(self, world):
        try:
            await world.until(lambda: all(user.socket is not None for user in self.users), "everybody is in", HEARD_WITHIN)
        except Expired:
            away = [user.name for user in self.users if user.socket is None]
            self.tally.broken("chat: messages lost while all is well", f"not let in: {away}")
            return
        wanted = {(user.name, str(user.stay)): user.said + SAID_IN_CALM for user in self.users}
        marks = [len(user.order) for user in self.users]

        def missing(user):
            return [stay for stay, number in wanted.items() if user.heard.get(stay, 0) < number]
        try:
            await world.until(lambda: not any(map(missing, self.users)), "messages", HEARD_WITHIN)
        except Expired:
            for user in self.users:
                for stay in missing(user):
                    self.tally.broken("chat: messages lost while all is well",
                                      f"{user.name} hears {stay} to {user.heard.get(stay)} of {wanted[stay]}")
            return
        self.tally.count("chat: messages checked while all is well", SAID_IN_CALM * len(self.users) ** 2)
        self._same_order(marks)

    def _same_order(self, marks):
        orders = [user.order[mark:] for user, mark in zip(self.users, marks)]
        common = set.intersection(*map(set, orders))
        first, *others = [[one for one in order if one in common] for order in orders]
        for user, order in zip(self.users[1:], others):
            if order != first:
                self.tally.broken("chat: another order for some while all is well", user.name)

    async def fill(self, world):
        """One logs in and reads no more while the chat goes on: it is closed, and all others hear all."""
        stuck = await asyncio.to_thread(_log_in_and_stop, self.rng.choice(world.nodes))
        talker = next(user for user in self.users if user.socket is not None)
        for number in range(STUCK_BYTES // STUCK_TEXT):
            await talker.say(talker.socket, "x" * STUCK_TEXT)
            if number % STUCK_STRETCH == 0:  # clients that lag would be closed, too
                await self._all_hear(talker)
        self.tally.count("fault: fill buffers, chat")
        await self.settle(world)
        if not await asyncio.to_thread(_is_ended, stuck):
            self.tally.broken("chat: a stuck reader was kept", "it is still told what is said")
        stuck.close()

    async def _all_hear(self, talker):
        stay, number = (talker.name, str(talker.stay)), talker.said
        await self.world.until(lambda: all(user.heard.get(stay, 0) >= number for user in self.users), "all hear", HEARD_WITHIN)
