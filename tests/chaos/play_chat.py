"""Chat: whoever stays connected hears each message of whoever stays connected once and in order, whatever happens to
Redis and to links; when all is well all hear all in the same order."""

import asyncio
import json
import time

import websockets

from world import LEASE, Expired, Play, until

HEARD_WITHIN = LEASE + 15.0
SAID_IN_CALM = 3
PAUSE = 0.3


class User:
    def __init__(self, play, name, balanced):
        self.play, self.name, self.balanced = play, name, balanced
        self.stay = self.said = 0
        self.socket = None
        self.heard = {}  # of the present stay: (name, stay) to the last number
        self.order = []

    async def live(self):
        while not self.play.stopping:
            try:
                await self._once()
            except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
                pass
            self.socket = None
            await asyncio.sleep(0.1)

    async def _once(self):
        world = self.play.world
        node = self.play.rng.choice(world.nodes)
        excuse, before = world.excuse(node.name), dict(world.harmed)
        place = world.balancer if self.balanced else node
        async with websockets.connect(place.ws("/chat"), compression=None, ping_interval=None, max_queue=None,
                                      open_timeout=10, close_timeout=1) as socket:
            if self.balanced:
                name = socket.response_headers.get("X-Node", node.name)
                excuse = name, before[name]
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
                world.lost("chat", excuse, f"closed {socket.close_code} {socket.close_reason!r}")

    async def _talk(self, socket):
        while not self.play.stopping:
            self.said += 1
            await socket.send(json.dumps({"action": "message",
                                          "message": f"{self.name}/{self.stay}/{self.said}/{time.monotonic():.6f}"}))
            self.play.tally.count("chat: messages sent")
            await asyncio.sleep(PAUSE)

    def _take(self, content):
        tally = self.play.tally
        tally.count("chat: messages received")
        name, stay, number, sent = content.split("/")
        self.play.latency(time.monotonic() - float(sent))
        last = self.heard.get((name, stay))
        number = int(number)
        if last is not None and number <= last:
            tally.broken("chat: messages doubled or out of order", f"{self.name} hears {content} after {last}")
        elif last is not None and number > last + 1:
            tally.broken("chat: messages lost", f"{self.name} hears {content} after {last}")
        self.heard[name, stay] = number
        self.order.append((name, stay, number))


class ChatPlay(Play):
    name = "chat"

    @classmethod
    def is_there(cls, help_text):
        return "--chat-login" in help_text

    def __init__(self, tally, count=8):
        self.tally, self.count = tally, count
        self.stopping = False
        self.world = self.rng = None
        self.users, self.tasks = [], []
        self.latency = lambda seconds: None
        tally.promise("chat: messages lost", "chat: messages doubled or out of order",
                      "chat: messages lost while all is well", "chat: another order for some while all is well")

    def node_settings(self, number):
        return {"chat_login": "development", "chat_rate": 10000, "chat_burst": 10000}

    async def start(self, world, rng):
        self.world, self.rng = world, rng
        self.users = [User(self, f"user{i}", i % 3 == 0) for i in range(self.count)]
        self.tasks = [asyncio.create_task(user.live()) for user in self.users]

    async def settle(self, world):
        try:
            await until(lambda: all(user.socket is not None for user in self.users), "everybody is in", HEARD_WITHIN)
        except Expired:
            away = [user.name for user in self.users if user.socket is None]
            self.tally.broken("chat: messages lost while all is well", f"not let in: {away}")
            return
        wanted = {(user.name, str(user.stay)): user.said + SAID_IN_CALM for user in self.users}
        marks = [len(user.order) for user in self.users]

        def missing(user):
            return [stay for stay, number in wanted.items() if user.heard.get(stay, 0) < number]
        try:
            await until(lambda: not any(map(missing, self.users)), "messages", HEARD_WITHIN)
        except Expired:
            for user in self.users:
                for stay in missing(user):
                    self.tally.broken("chat: messages lost while all is well",
                                      f"{user.name} hears {stay} to {user.heard.get(stay)} of {wanted[stay]}")
            return
        self.tally.count("chat: messages checked while all is well", SAID_IN_CALM * self.count ** 2)
        self._same_order(marks)

    def _same_order(self, marks):
        orders = [user.order[mark:] for user, mark in zip(self.users, marks)]
        common = set.intersection(*map(set, orders))
        first, *others = [[one for one in order if one in common] for order in orders]
        for user, order in zip(self.users[1:], others):
            if order != first:
                self.tally.broken("chat: another order for some while all is well", user.name)

    async def stop(self):
        self.stopping = True
        for user in self.users:
            if user.socket is not None:
                await user.socket.close()
        await asyncio.gather(*self.tasks)
