# SPDX-License-Identifier: MIT
"""Peer tracker: peers that talk to any node. Nobody is ever told a wrong address or given a share id that another had;
when all is well every peer is found by its id, through every node."""

import asyncio
import json

from lib.ports import free_port
from play import Play

ANSWER_WITHIN = 1.0  # seconds in a storm; UDP owes nothing
IN_CALM = 10.0


class Peer(asyncio.DatagramProtocol):
    """One socket. Each asks always after the same other one, so that a late answer is right, too."""

    def __init__(self, play, number):
        self.play, self.number = play, number
        self.transport = None
        self.answers = asyncio.Queue()
        self.share_id = None

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.answers.put_nowait(json.loads(data))

    def error_received(self, exc):
        """A node that is away."""

    @property
    def address(self):
        return "127.0.0.1:%d" % self.transport.get_extra_info("sockname")[1]

    async def ask(self, action, answer, seconds=ANSWER_WITHIN, port=None, **fields):
        """The next answer of that name, or None."""
        while not self.answers.empty():
            self.answers.get_nowait()
        port = port or self.play.rng.choice(self.play.ports)
        self.transport.sendto(json.dumps({"action": action, **fields}).encode(), ("127.0.0.1", port))
        self.play.tally.count("tracker: datagrams sent")
        try:
            return await asyncio.wait_for(self._answer(answer), seconds)
        except asyncio.TimeoutError:
            return None

    async def _answer(self, names):
        while True:
            answer = await self.answers.get()
            self.play.tally.count("tracker: datagrams received")
            if answer["action"] in names:
                return answer

    async def announce(self, seconds=ANSWER_WITHIN):
        answer = await self.ask("announce", ("announceReceived",), seconds)
        if answer is not None and "shareId" in answer.get("data", {}):
            self.share_id = answer["data"]["shareId"]
            self.play.given(self)
            return True
        return False

    async def look_up(self, other, seconds=ANSWER_WITHIN, port=None):
        """The address it is told, or None."""
        answer = await self.ask("push", ("pushReceived",), seconds, port, shareId=other.share_id)
        address = (answer or {}).get("data", {}).get("peeraddr")
        if address is not None and address != other.address:
            self.play.tally.broken("tracker: wrong addresses told", f"{address} and not {other.address}")
        return address

    async def live(self):
        while not self.play.stopping:
            await asyncio.sleep(0.3)
            if not self.play.world.calm:
                await self._talk()

    async def _talk(self):
        if self.share_id is None and not await self.announce():
            return
        other = self.play.peers[(self.number + 1) % len(self.play.peers)]
        if other.share_id is not None:
            await self.look_up(other)
        answer = await self.ask("alive", ("alived", "expired"))
        if answer is not None and answer["action"] == "expired":
            self.share_id = None


class TrackerPlay(Play):
    name = "tracker"
    flag = "--tracker "
    promises = ("tracker: wrong addresses told", "tracker: share ids given twice")
    promises_of_calm = ("tracker: peers not found while all is well",)

    def __init__(self, tally, count=6):
        super().__init__(tally)
        self.count = count
        self.ports = [free_port() for _ in range(4)]
        self.peers, self.ids = [], {}

    def clients(self):
        return self.peers

    def node_settings(self, number):
        return {"tracker": f"127.0.0.1:{self.ports[number]}"}

    def given(self, peer):
        owner = self.ids.setdefault(peer.share_id, peer)
        if owner is not peer:
            self.tally.broken("tracker: share ids given twice", peer.share_id)

    async def start(self, world, rng):
        loop = asyncio.get_running_loop()
        self.ports = self.ports[:len(world.nodes)]
        for number in range(self.count):
            _, peer = await loop.create_datagram_endpoint(lambda number=number: Peer(self, number),
                                                          local_addr=("127.0.0.1", 0))
            self.peers.append(peer)
        await super().start(world, rng)

    async def settle(self, world):
        await asyncio.sleep(ANSWER_WITHIN)  # what was asked in the storm has its answer, or never will
        for peer in self.peers:
            if not await peer.announce(IN_CALM):
                self.tally.broken("tracker: peers not found while all is well", f"peer {peer.number} cannot announce")
                return
        for peer in self.peers:
            other = self.peers[(peer.number + 1) % self.count]
            for port in self.ports:
                if await peer.look_up(other, IN_CALM, port) != other.address:
                    self.tally.broken("tracker: peers not found while all is well", f"{other.share_id} at port {port}")
                self.tally.count("tracker: peers looked up while all is well")

    async def stop(self):
        await super().stop()
        for peer in self.peers:
            peer.transport.close()
