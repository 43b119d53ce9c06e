# SPDX-License-Identifier: MIT
"""Clients of all six protocols, and crowds that come again. They are those of `lib`."""

import asyncio
import collections
import itertools
import select
import socket
import threading
import time

import websockets

from place import TCP_PORT, UDP_PORT
from lib.chat import ChatClient
from lib.dispatch import OPENED, RECEIVED, Datagrams, Device, Driver
from lib.frames import PING, PONG
from lib.logs import Listener, stored
from lib.relay import Splitter
from lib.sync import SyncClient, new_session, push, set_session
from lib.tcp import Closed
from lib.tracker import Peer
from lib.waiting import until_true, within

AGAIN_AFTER = 0.05  # seconds until a client that was closed tries again
ANYBODY = "0.0.0.0/0"


def own_address(way):
    """From which this machine speaks to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((way.host, 9))
        return probe.getsockname()[0]


# ------------------------------------------------------------------------------------ one of each

class Six:
    """Speaks each protocol once, through different machines where there are several."""

    def __init__(self, release, key, stores, token):
        self.key, self.stores, self.token = key, stores, token
        self.here, self.there = itertools.islice(itertools.cycle(release.ways()), 2)

    async def sync(self):
        session = new_session()
        leader, member = await SyncClient.member(self.here, session, leader=True), await SyncClient.member(self.there, session)
        try:
            await member.in_state(2, True)
            await leader.in_state(2, True)
            await leader.send(push(session, "hello"))
            await member.next_of(lambda message: message["type"] == "Push" and message["data"] == "hello")
        finally:
            leader.vanish()
            member.vanish()

    async def chat(self):
        one, other = await ChatClient.member(self.here, self.key.token("alice")), await ChatClient.member(self.there, self.key.token("bob"))
        try:
            text = new_session()
            await one.say(text)
            await other.next_of(lambda message: message.get("message") == text)
        finally:
            one.vanish()
            other.vanish()

    async def relay(self):
        names = new_session()[:12], new_session()[:12]
        one, other = [await Splitter.connect(way.relay_port, name, host=way.host)
                      for way, name in zip((self.here, self.there), names)]
        try:
            while names[0] not in other.sees() or names[1] not in one.sees():
                await asyncio.sleep(0.05)
            one.say("hello from one")
            await other.hears("hello from one")
        finally:
            one.abort()
            other.abort()

    async def tracker(self):
        await asyncio.to_thread(self._peers)

    def _peers(self):
        with Peer(self.here, self.here.host, own_address(self.here)) as one, Peer(self.there, self.there.host, own_address(self.there)) as other:
            told = other.push(one.announce())
            assert told.get("peeraddr") == one.address, f"the tracker tells {told}, the peer is {one.address}"

    async def dispatch(self):
        driver = await Driver.connect(self.here, TCP_PORT, ANYBODY, token=self.token)
        try:
            device = await self._device()
            opened = await driver.expect(OPENED)
            assert opened.ip == own_address(self.there), f"the driver is told {opened.ip}"
            await device.send(b"from the device")
            await driver.data_of(opened.id, 15)
            await driver.write(opened, b"from the driver")
            assert await device.read(15) == b"from the driver"
            device.close()
        finally:
            driver.vanish()
        await self._datagrams()

    async def _device(self):
        async def opened():
            try:
                found.append(await Device.connect(self.there, self.there.ports[f"d-{TCP_PORT}"], source=None, host=self.there.bind))
            except OSError:
                return False
            return True
        found = []
        await until_true(opened, "the device's port is open")
        return found[0]

    async def _datagrams(self):
        driver = await Driver.connect(self.here, UDP_PORT, ANYBODY, proto="udp", token=self.token)
        device = Datagrams(own_address(self.there))
        try:
            for _ in range(20):  # the port opens in a moment, and UDP owes nothing
                device.send(self.there, self.there.ports[f"d-{UDP_PORT}"], b"tick")
                try:
                    frame = await driver.next(1.0)
                    break
                except AssertionError:
                    continue
            assert frame.type == RECEIVED and frame.data == b"tick", frame
        finally:
            device.close()
            driver.vanish()

    async def logs(self):
        listener = await Listener.join(self.here)
        try:
            text = new_session()
            await asyncio.to_thread(stored, self.there, [{"msg": text, "user": "six"}])
            await until_true(lambda: self._is(text in listener.texts()), "the listener hears it")
            await until_true(lambda: asyncio.to_thread(self._is_kept, text), "it is in the table", 60)
        finally:
            await listener.close()

    @staticmethod
    async def _is(value):
        return value

    def _is_kept(self, text):
        return self.stores.value(f"select count(*) from log_entry where msg = '{text}'") == "1"

    async def all(self, limit=120):
        """Names of the protocols that failed, each with why; empty: all well."""
        names = ("sync", "chat", "relay", "tracker", "dispatch", "logs")
        outcomes = await asyncio.gather(*(within(getattr(self, name)(), name, limit) for name in names), return_exceptions=True)
        return {name: f"{outcome!r:.200}" for name, outcome in zip(names, outcomes) if isinstance(outcome, BaseException)}


# ------------------------------------------------------------------------------------ many

class Crowd:
    """So many members of sessions of four, who come again whenever they are closed. `codes` counts how they were closed, `back`
    has the seconds that each return took, `moves` how often each one was moved."""

    def __init__(self, ways, count):
        assert ways, "no pod is ready"
        self.ways, self.count = itertools.cycle(ways), count
        self.codes, self.back, self.moves = collections.Counter(), [], collections.Counter()
        self.inside, self.tasks, self.leaving = 0, [], False

    async def start(self):
        sessions = [new_session() for _ in range((self.count + 3) // 4)]
        gate = asyncio.Semaphore(20)
        self.tasks = [asyncio.ensure_future(self._live(number, sessions[number // 4], gate)) for number in range(self.count)]
        await until_true(self._are_all_in, f"{self.count} clients are in", 120)
        return self

    async def _are_all_in(self):
        for task in self.tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.05)
        return self.inside == self.count

    async def all_in(self, limit=120):
        await until_true(self._are_all_in, f"all {self.count} clients are back, not only {self.inside}", limit)

    async def _live(self, number, session, gate):
        closed_at = None
        while not self.leaving:
            try:
                async with gate:
                    client = await SyncClient.connect(next(self.ways))
                await client.send(set_session(session))
                await client.next_state()
            except (OSError, AssertionError, asyncio.TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(AGAIN_AFTER)
                continue
            self.inside += 1
            if closed_at is not None:
                self.back.append(time.monotonic() - closed_at)
            try:
                code = await client.closed(86400)
            finally:
                self.inside -= 1
                client.vanish()
            closed_at = time.monotonic()
            self.codes[code] += 1
            self.moves[number] += 1

    async def stop(self):
        self.leaving = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def slowest(self):
        return max(self.back, default=0.0)

    def twice(self):
        """How many were moved more than once."""
        return sum(times > 1 for times in self.moves.values())

    def said(self):
        return f"{self.codes.total() if hasattr(self.codes, 'total') else sum(self.codes.values())} of {self.count} closed ({dict(self.codes)}), " \
               f"back within {self.slowest():.2f} s, {self.twice()} moved twice"


def answer_pings(clients):
    """Of raw WebSockets that only stay. Gives those that are still there."""
    there = []
    for one in clients:
        try:
            while select.select([one.socket], [], [], 0)[0]:
                frame = one.next_frame()
                if frame.opcode == PING:
                    one.frame(PONG, frame.payload)
            there.append(one)
        except (OSError, AssertionError, Closed):
            one.close()
    return there


class Talkers:
    """Two in the chat, of whom one says numbered things all the time, through every move: each is heard, or answered with an error."""

    def __init__(self, ways, key):
        self.ways, self.key = itertools.cycle(ways), key
        self.said, self.heard, self.refused, self.leaving = [], collections.Counter(), 0, False
        self.mark = new_session()[:8]
        self.tasks = []

    async def start(self):
        self.tasks = [asyncio.ensure_future(self._talk()), asyncio.ensure_future(self._listen())]
        await until_true(self._are_heard, "the first words are heard", 60)
        return self

    async def _are_heard(self):
        await asyncio.sleep(0.05)
        return len(self.heard) > 3

    async def _come(self, user):
        while True:
            try:
                return await ChatClient.member(next(self.ways), self.key.token(user))
            except (OSError, AssertionError, asyncio.TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(AGAIN_AFTER)

    async def _talk(self):
        """What it says while it is being closed counts as said, unless an error came for it or the link was gone before."""
        while not self.leaving:
            client = await self._come("talker")
            reader = asyncio.ensure_future(self._errors(client))
            try:
                while not self.leaving:
                    text = f"{self.mark}-{len(self.said)}"
                    await client.say(text)
                    self.said.append(text)
                    await asyncio.sleep(0.1)
            except websockets.WebSocketException:
                pass
            await reader

    async def _errors(self, client):
        try:
            while True:
                if "error" in await client.next(86400):
                    self.refused += 1
        except websockets.WebSocketException:
            client.vanish()
        except AssertionError:
            pass

    async def _listen(self):
        """A client that was away asks the history for what it missed."""
        while not self.leaving:
            client = await self._come("listener")
            try:
                await client.send({"action": "history", "limit": 0})
                while True:
                    message = await client.next(86400)
                    for one in message.get("history", [message]):
                        self._hear(one.get("message"))
            except websockets.WebSocketException:
                client.vanish()

    def _hear(self, text):
        if isinstance(text, str) and text.startswith(self.mark):
            self.heard[text] += 1

    def missing(self):
        return [text for text in self.said if text not in self.heard]

    async def stop(self):
        """Waits a moment for what is on its way."""
        self.leaving = True
        await asyncio.sleep(3)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Asking(threading.Thread):
    """A peer of the tracker that asks ten times a second, and an HTTP client that keeps its connection: what each was not told."""

    def __init__(self, ask, pause=0.1):
        super().__init__(daemon=True)
        self.ask, self.pause = ask, pause
        self.asked, self.failures, self.longest = 0, [], 0.0
        self.stopping = threading.Event()

    def run(self):
        last = time.monotonic()
        while not self.stopping.wait(self.pause):
            self.asked += 1
            try:
                self.ask()
            except (OSError, AssertionError, ValueError) as failure:
                self.failures.append(f"{failure!r:.100}")
                continue
            self.longest = max(self.longest, time.monotonic() - last)
            last = time.monotonic()

    def stop(self):
        self.stopping.set()
        self.join(30)
