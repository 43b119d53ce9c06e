# SPDX-License-Identifier: MIT
"""A drain with 2,000 clients on a cluster: nobody is cut off, nobody is counted twice, nothing is left."""

import asyncio
import collections
import json
import resource
import struct
import time

import pytest

from lib import frames as wire
from lib.sync import State, new_session, set_session
from lib.waiting import until, within

CLIENTS = 2000
SESSIONS = 100
DRAIN = 4  # seconds
HANDSHAKE = ("GET /connect HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()


@pytest.fixture(autouse=True)
def descriptors():
    """Each client needs one here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CLIENTS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"the descriptor limit is {hard}, and {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Cheap(asyncio.Protocol):
    """A member of a session in as little as can be: it knows its last state and how it was closed."""

    def __init__(self, session):
        self.session = session
        self.buffer = b""
        self.upgraded = False
        self.state = None
        self.code = None  # of the close frame
        self.closed_at = None
        self.gone = asyncio.get_running_loop().create_future()
        self.transport = None

    @classmethod
    async def join(cls, node, session):
        _, self = await asyncio.get_running_loop().create_connection(lambda: cls(session), "127.0.0.1", node.port)
        return self

    def connection_made(self, transport):
        self.transport = transport
        transport.write(HANDSHAKE)

    def frame(self, opcode, payload):
        """Masked with zeros: the payload as it is."""
        self.transport.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + b"\0\0\0\0" + payload)

    def data_received(self, data):
        self.buffer += data
        if not self.upgraded:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            assert b" 101 " in head, head
            self.upgraded, self.buffer = True, rest
            self.frame(wire.TEXT, set_session(self.session).encode())
        while len(self.buffer) >= 2 and len(self.buffer) >= 2 + self.buffer[1]:
            opcode, length = self.buffer[0] & 0xF, self.buffer[1]
            assert length < 126, "all that comes here is short"
            payload, self.buffer = self.buffer[2:2 + length], self.buffer[2 + length:]
            self.take(opcode, payload)

    def take(self, opcode, payload):
        if opcode == wire.TEXT:
            message = json.loads(payload)
            self.state = State(message["playersCount"], message["leaderConnected"])
        elif opcode == wire.CLOSE:
            self.code = struct.unpack(">H", payload[:2])[0]
            self.closed_at = time.monotonic()
            self.frame(wire.CLOSE, payload[:2])

    def connection_lost(self, error):
        if not self.gone.done():
            self.gone.set_result(error)

    def leave(self):
        self.frame(wire.CLOSE, struct.pack(">H", 1000))


async def join_all(node, sessions):
    """Some at a time, as far as the accept queue goes."""
    joined = []
    for start in range(0, len(sessions), 100):
        joined += await asyncio.gather(*(Cheap.join(node, session) for session in sessions[start:start + 100]))
    return joined


async def move(client, node):
    """What any client does that is sent away: it comes back, and the balancer has another node for it."""
    await client.gone
    return await Cheap.join(node, client.session)


def counted(clients, sizes):
    return all(client.state == State(sizes[client.session], False) for client in clients)


def assert_spread(clients, start):
    ends = sorted(client.closed_at - start for client in clients)
    assert ends[-1] <= DRAIN + 1, ends[-1]
    assert ends[len(ends) * 3 // 4] - ends[len(ends) // 4] > DRAIN * 0.2, "not all at one moment"
    per_tenth = collections.Counter(int(end * 10) for end in ends)
    assert max(per_tenth.values()) < len(ends) / 5, per_tenth


async def test_two_thousand_clients_are_sent_elsewhere(yard, redis):
    nodes = yard.fleet([redis.url] * 2, drain=f"{DRAIN}s", lease="30s")
    sessions = [new_session() for _ in range(SESSIONS)]
    members = [sessions[number % SESSIONS] for number in range(CLIENTS)]
    sizes = collections.Counter(members)
    leaving = await join_all(nodes[1], members[:CLIENTS // 2])
    staying = await join_all(nodes[0], members[CLIENTS // 2:])
    await until(lambda: counted(leaving + staying, sizes), "all are told of all", 60)
    start = time.monotonic()
    nodes[1].term()
    moved = await within(asyncio.gather(*(move(client, nodes[0]) for client in leaving)), "all move", 60)
    assert {client.code for client in leaving} == {1001}
    assert {client.gone.result() for client in leaving} == {None}, "no connection was reset"
    assert_spread(leaving, start)
    await until(lambda: nodes[1].exit_code() == 0, "the node ends")
    await until(lambda: counted(moved + staying, sizes), "all are told of all again", 60)
    assert {client.code for client in staying + moved} == {None}
    assert nodes[0].metrics()["muster_sync_members"] == CLIENTS
    for client in moved + staying:
        client.leave()
    await within(asyncio.gather(*(client.gone for client in moved + staying)), "all leave", 60)
    await until(lambda: nodes[0].metrics()["muster_sync_sessions"] == 0, "no session is left")
    keys = redis.command("KEYS", "*")
    assert not [session for session in sessions if session.encode() in keys], "and none at Redis"


async def test_all_two_thousand_at_one_node_without_another(yard):
    """Nowhere to go is no reason to cut anybody off either."""
    node = yard.node(drain=f"{DRAIN}s")
    session = new_session()
    leaving = await join_all(node, [f"{session}{number % SESSIONS}" for number in range(CLIENTS)])
    await until(lambda: all(client.state for client in leaving), "all have joined", 60)
    start = time.monotonic()
    node.term()
    await within(asyncio.gather(*(client.gone for client in leaving)), "all go", 60)
    assert {client.code for client in leaving} == {1001}
    assert_spread(leaving, start)
    await until(lambda: node.exit_code() == 0, "the node ends")
