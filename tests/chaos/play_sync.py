# SPDX-License-Identifier: MIT
"""Session sync: leaders push numbered messages without a break; followers see that none is doubled or changed, and,
when all is well, that none is missing and the counts are right."""

import asyncio
import json
import time
import uuid

import websockets

from lib.frames import RawWebSocket
from lib.sync import SyncClient, push
from play import Comer, Play
from world import LEASE, Expired

COUNTS_WITHIN = LEASE + 4.0  # seconds; slack for the loop of a busy machine, which plays the clients too
PUSHED_IN_CALM = 5
PAUSE = 0.1
PING_PAUSE = 60.0  # seconds; a client that is silent for five minutes is closed
STUCK_PUSH = 32 * 1024
STUCK_BYTES = 6 * 1024 * 1024  # more than the kernel and the node keep for one client


def push_text(session, epoch, number, sent):
    """White space and number forms that a server that writes JSON again would not keep."""
    return (f'{{"type": "Push",  "sessionId":"{session}", "data":{{"e":{epoch},"n":{number},"t":{sent:.6f},'
            f'"x":1.50e1,"pad":"{"p" * (number % 700)}"}}}}')


class Member(Comer):
    def __init__(self, play, session, leader, balanced):
        self.play, self.session, self.leader, self.balanced = play, session, leader, balanced
        self.socket = None
        self.state = None
        self.epoch = 0
        self.number = 0
        self.seen = {}  # of each of the leader's epochs: the numbers
        self.here = {}  # the last of them on the present connection

    async def once(self):
        world = self.play.world
        visit = world.visit(self.play.rng, self.balanced)
        socket = await websockets.connect(visit.ws("/connect"), compression=None if self.number % 2 else "deflate", ping_interval=None,
                                          open_timeout=10, close_timeout=1, max_queue=None)
        visit.arrived(socket.response_headers)
        try:
            await socket.send(json.dumps({"type": "SetSession", "sessionId": self.session, "isLeader": self.leader}))
            self.state, self.socket, self.here = None, socket, {}
            pushing = asyncio.create_task(self._push(socket) if self.leader else self._ping(socket))
            try:
                async for text in socket:
                    self._take(text)
            finally:
                self.socket = None
                pushing.cancel()
            if not self.play.stopping:
                world.lost("sync", visit, f"closed {socket.close_code} {socket.close_reason!r}")
        except websockets.ConnectionClosed as end:
            if not self.play.stopping:
                world.lost("sync", visit, repr(end))
        finally:
            await socket.close()

    @staticmethod
    async def _ping(socket):
        while True:
            await asyncio.sleep(PING_PAUSE)
            await socket.ping()

    async def _push(self, socket):
        self.epoch += 1
        self.number = 0
        try:
            while not self.play.stopping:
                self.number += 1
                await socket.send(push_text(self.session, self.epoch, self.number, time.monotonic()))
                self.play.tally.count("sync: pushes sent")
                await asyncio.sleep(PAUSE)
        except websockets.ConnectionClosed:
            pass

    def _take(self, text):
        message = json.loads(text)
        if message["type"] == "SessionState":
            self.state = message["playersCount"], message["leaderConnected"]
        elif message["type"] == "Push":
            self._take_push(text, message["data"])

    def _take_push(self, text, data):
        tally = self.play.tally
        tally.count("sync: pushes received")
        self.play.latency(time.monotonic() - data["t"])
        if text != push_text(self.session, data["e"], data["n"], data["t"]):
            tally.broken("sync: pushes changed on the way", text[:200])
        self.seen.setdefault(data["e"], set()).add(data["n"])
        last = self.here.get(data["e"], 0)
        if data["n"] <= last:
            tally.broken("sync: pushes doubled or out of order", f"{self.session} {data['e']}:{data['n']} after {last}")
        self.here[data["e"]] = data["n"]


class SyncPlay(Play):
    name = "sync"
    fills = True
    promises = ("sync: pushes doubled or out of order", "sync: pushes changed on the way")
    promises_of_calm = ("sync: counts wrong a lease after the faults", "sync: pushes lost while all is well",
                        "sync: a stuck reader cost another a push", "sync: a stuck reader was kept")

    def __init__(self, tally, sessions=8):
        super().__init__(tally)
        self.count = sessions
        self.sessions = {}
        self.latency = lambda seconds: None

    async def start(self, world, rng):
        for number in range(self.count):
            session = uuid.UUID(int=rng.getrandbits(128)).hex
            self.sessions[session] = [Member(self, session, index == 0, index % 2 == number % 2) for index in range(4)]
        await super().start(world, rng)

    def clients(self):
        return [member for members in self.sessions.values() for member in members]

    async def settle(self, world):
        if not await self._counts_are_right():
            return
        await asyncio.gather(*(self._nothing_is_lost(members) for members in self.sessions.values()))

    async def _counts_are_right(self):
        began = time.monotonic()
        try:
            await self.world.until(lambda: all(member.state == (4, True) for member in self.clients()), "counts", COUNTS_WITHIN)
        except Expired:
            for member in self.clients():
                if member.state != (4, True):
                    self.tally.broken("sync: counts wrong a lease after the faults",
                                      f"{member.session} {'leader' if member.leader else 'follower'} knows {member.state}")
            return False
        self.tally.took("sync: counts right", time.monotonic() - began)
        self.tally.count("sync: counts checked", len(self.clients()))
        return True

    async def _nothing_is_lost(self, members):
        leader, *followers = members
        epoch, first = leader.epoch, leader.number + 1
        wanted = set(range(first, first + PUSHED_IN_CALM))
        try:
            await self.world.until(lambda: all(wanted <= follower.seen.get(epoch, set()) for follower in followers), "pushes", 15)
        except Expired:
            for follower in followers:
                for number in wanted - follower.seen.get(epoch, set()):
                    self.tally.broken("sync: pushes lost while all is well", f"{follower.session} {epoch}:{number}")
        self.tally.count("sync: pushes checked while all is well", PUSHED_IN_CALM * len(followers))

    async def fill(self, world):
        """A reader stops reading while its session is pushed full: it is closed, and costs its neighbour nothing."""
        node = self.rng.choice(world.nodes)
        session = f"stuck-{self.rng.random()}"
        stuck = await asyncio.to_thread(lambda: RawWebSocket(node, receive_buffer=4096).join(session))
        honest = await SyncClient.member(node, session)
        leader = await SyncClient.member(node, session, leader=True)
        count = STUCK_BYTES // STUCK_PUSH
        try:
            await honest.in_state(3, True)
            for number in range(count):
                await leader.send(push(session, f"{number} " + "x" * STUCK_PUSH))
                message = await honest.next_of(lambda m: m["type"] == "Push", 15)
                if not message["data"].startswith(f"{number} "):
                    raise Expired(f"{message['data'][:20]} and not {number}")
            self.tally.count("fault: fill buffers, sync")
            self.tally.count("sync: pushes beside a stuck reader", count)
        except (Expired, websockets.WebSocketException) as trouble:
            self.tally.broken("sync: a stuck reader cost another a push", trouble)
        try:
            await honest.in_state(2, True)
        except Expired:
            self.tally.broken("sync: a stuck reader was kept", node.name)
        await asyncio.to_thread(stuck.close)
        await honest.close()
        await leader.close()

    async def stop(self):
        await super().stop()
        for members in self.sessions.values():
            followers = members[1:]
            for epoch in {epoch for follower in followers for epoch in follower.seen}:
                most = max(max(follower.seen.get(epoch, {0})) for follower in followers)
                self.tally.count("sync: pushes missed in faults (not promised)",
                                 sum(most - len(follower.seen.get(epoch, ())) for follower in followers))

    async def end(self, world):
        self.tally.promise("sync: members left over")
        for node in world.nodes:
            try:
                await world.until(lambda node=node: node.metrics()["muster_sync_members"] == 0, "all have gone", 10)
            except Expired:
                self.tally.broken("sync: members left over", f"{node.name}: {node.metrics()['muster_sync_members']}")
