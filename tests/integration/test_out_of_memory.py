# SPDX-License-Identifier: MIT
"""Where there is no memory the process ends with a message, and the cluster goes on."""

import asyncio
import re
import resource
import signal
import struct

import pytest

from lib.chat import ChatClient
from lib.frames import BINARY as BINARY_FRAME, RawWebSocket, frame_bytes
from lib.node import LEASE
from lib.process import BINARY
from lib.sync import SyncClient, close_all, new_session, push, set_session
from lib.waiting import until, wait_until

PRELOAD = BINARY.parent / "out_of_memory.so"
MESSAGE = re.compile(r"^muster: out of memory \(\d+ bytes wanted\)$", re.MULTILINE)
LEASE_SECONDS, SLACK = 2.0, 4.0
ROOM = 24 * 1024 * 1024  # bytes that the node may still get
PART = 4 * 1024 * 1024  # of a message that never ends

SANITIZED = b"libasan" in BINARY.read_bytes()
pytestmark = pytest.mark.skipif(SANITIZED, reason="AddressSanitizer has an allocator of its own")


def ended_with_message(node):
    """How a process has to end that has no memory."""
    wait_until(lambda: not node.alive(), f"{node.name} ends")
    assert node.exit_code() == -signal.SIGABRT, node.log_tail()
    assert len(MESSAGE.findall(node.log())) == 1, node.log_tail()
    node.expected_exit = -signal.SIGABRT


def limit_address_space(node, more):
    """RLIMIT_AS of the running process: what it has, and so many bytes."""
    with open(f"/proc/{node.pid}/statm", encoding="ascii") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize() + more
    resource.prlimit(node.pid, resource.RLIMIT_AS, (size, size))


def fill(node):
    """Messages that begin and do not end, as many as it takes."""
    links = []
    while node.alive() and len(links) < 3 * ROOM // PART:
        try:
            link = RawWebSocket(node)
        except (OSError, AssertionError, Exception):  # noqa: BLE001: it may end in the midst of it
            break
        link.send_while_taken(frame_bytes(BINARY_FRAME, b"x" * PART, fin=False))
        links.append(link)
    return links


async def test_a_node_at_its_limit_ends_and_the_others_go_on(yard, redis):
    one, other = yard.fleet([redis.url] * 2, message_limit="16m")
    session = new_session()
    leader = await SyncClient.member(other, session, leader=True)
    stays = await SyncClient.member(other, session)
    lost = [await SyncClient.member(one, session) for _ in range(2)]
    for client in (leader, stays, *lost):
        await client.in_state(4, True)
    limit_address_space(one, ROOM)
    links = await asyncio.to_thread(fill, one)
    for client in lost:
        assert await client.closed() == 1006
    await asyncio.to_thread(ended_with_message, one)
    for client in (leader, stays):
        await client.until_state(2, True, LEASE_SECONDS + SLACK)
    await leader.send(push(session, "goes on"))
    assert (await stays.next_of(lambda message: message["type"] == "Push"))["data"] == "goes on"
    assert other.is_ready() and leader.socket.open and stays.socket.open
    for link in links:
        link.close()
    one.expected_exit = 0
    one.start()
    await until(one.is_ready, "the node is back")
    back = await SyncClient.member(one, session)
    for client in (back, leader, stays):
        await client.in_state(3, True)
    await close_all([back, leader, stays])
    assert LEASE == f"{LEASE_SECONDS:.0f}s"


class Account:
    """What preload/out_of_memory.c reads: how many allocations are left, and how many failed."""

    def __init__(self, path):
        self.path = path
        self.leave(-1)

    def leave(self, count):
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            file.write(struct.pack("qq", count, 0))

    def failed(self):
        return struct.unpack("qq", self.path.read_bytes())[1]


async def ask_everything(node):
    """A little of what allocates: until it is gone."""
    async def sync():
        client = await SyncClient.connect(node)
        for number in range(3):
            await client.send(set_session(new_session(), number == 0))

    async def minigame():
        game = await ChatClient.connect(node, "/minigame")
        for _ in range(3):
            await game.send({"action": "scheduler_start", "period": 60, "offset": 5})
            await game.send({"action": "online_players"})

    async def chat():
        user = await ChatClient.connect(node, "/chat")
        for _ in range(3):
            await user.send({"action": "login", "token": "somebody"})
            await user.send({"action": "message", "message": "hello"})
            await user.send({"action": "history"})

    async def http():
        for path in ("/", "/metrics", "/api/gaming/events"):
            await asyncio.to_thread(node.get, path)

    async def tried(scene):
        try:
            await asyncio.wait_for(scene(), 10)
        except Exception:  # noqa: BLE001: whatever a client sees of a node that ends
            pass
    while node.alive():
        for scene in (minigame, sync, chat, http):
            await tried(scene)


@pytest.mark.skipif(not SANITIZED and not PRELOAD.exists(), reason=f"{PRELOAD.name} is not built: -DMUSTER_TESTS=ON makes it")
@pytest.mark.parametrize("left", [*range(0, 40, 2), 55, 89, 144, 233])
async def test_whichever_allocation_fails_the_node_ends_with_a_message(yard, tmp_path, left):
    account = Account(tmp_path / "account")
    node = yard.node(chat_login="development", env={"LD_PRELOAD": str(PRELOAD), "OUT_OF_MEMORY": str(account.path)})
    account.leave(left)
    await ask_everything(node)
    assert account.failed() > 0
    ended_with_message(node)
