# SPDX-License-Identifier: MIT
"""The sync protocol: its messages, and members of sessions."""

import asyncio
import collections
import json
import uuid

from lib.waiting import DEADLINE, Expired
from lib.ws import Client, parse


def new_session():
    """A session id no other test has."""
    return uuid.uuid4().hex


def set_session(session, leader=False):
    return json.dumps({"type": "SetSession", "sessionId": session, "isLeader": leader})


def push(session, data="x"):
    return json.dumps({"type": "Push", "sessionId": session, "data": data})


def is_warning(message):
    return message["type"] in ("ServerMessage", "ServerMsg")


State = collections.namedtuple("State", "players leader")


def states_of(messages):
    return [State(m["playersCount"], m["leaderConnected"]) for m in messages if m["type"] == "SessionState"]


class SyncClient(Client):
    """A member of sync sessions."""

    path = "/connect"

    @classmethod
    async def member(cls, node, session, leader=False, **options):
        """Connected, bound, and told its first state."""
        client = await cls.connect(node, **options)
        await client.send(set_session(session, leader))
        await client.next_state()
        return client

    async def next_state(self):
        return states_of([await self.next_of(lambda m: m["type"] == "SessionState")])[0]

    async def until_state(self, players, leader, deadline=DEADLINE):
        """Reads on until this state comes; returns all states on the way, it as the last."""
        def is_it(message):
            return states_of([message]) == [State(players, leader)]
        start = len(self.seen)
        try:
            await self.next_of(is_it, deadline)
        except Expired:
            raise Expired(f"no state {players, leader}, only {states_of(self.seen[start:])}") from None
        return states_of(self.seen[start:])

    async def in_state(self, players, leader):
        """Waits until the last state it was told is this one."""
        if self.states()[-1:] != [State(players, leader)]:
            await self.until_state(players, leader)

    async def next_warning(self, deadline=DEADLINE):
        return await self.next_of(is_warning, deadline)

    async def fence(self):
        """What had been sent to this client before now and was not read yet."""
        await self.send("ping")
        before = []
        while (text := await self.receive()) != "pong":
            before.append(parse(text))
        self.seen += before
        return before

    def states(self):
        """Every state read so far; equal ones in a row count once."""
        states = states_of(self.seen)
        return [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]


async def members(nodes, session, leaders=()):
    """One member on each node, joined one after the other; `leaders` are indexes. All have been told
    of all, and what they had been told before that is forgotten."""
    joined = []
    for index, node in enumerate(nodes):
        joined.append(await SyncClient.member(node, session, leader=index in leaders))
    for client in joined:
        await client.in_state(len(nodes), bool(leaders))
        client.seen = client.seen[-1:]
    return joined


async def pairs(nodes, count):
    """A leader on one node and a follower on the other, for each of so many sessions."""
    return {session: await members(nodes, session, leaders=(0,)) for session in (new_session() for _ in range(count))}


async def close_all(clients):
    await asyncio.gather(*(client.close() for client in clients))
