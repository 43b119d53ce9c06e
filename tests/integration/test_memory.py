# SPDX-License-Identifier: MIT
"""Clients who do not read what they are sent: when memory gets short the largest queues go first, and everybody else stays."""

import asyncio
import os
import pathlib
import struct

import pytest

from lib.frames import CLOSE, RawWebSocket
from lib.measure import resident
from lib.node import Node
from lib.sync import SyncClient, close_all, new_session, push, set_session
from lib.waiting import until, wait_until

MIB = 1 << 20
DATA = "x" * 200_000
PUSHES = 30  # of DATA to each; the kernel takes the first megabytes
QUEUE = "16m"  # so that each one's own bound closes nobody
ATTACKERS = 60  # who together are told more than the limit
pytestmark = pytest.mark.skipif(b"libasan" in Node.binary.read_bytes(), reason="a sanitizer's own memory is most of it")
CLOSED = "clients with the most to read were closed"
GROUPS = pathlib.Path("/sys/fs/cgroup")


class Attack:
    """Sessions of one member each who does not read what its leader pushes."""

    def __init__(self, node):
        self.node = node
        self.deaf, self.leaders = [], []
        self.most = 0

    async def run(self, honest):
        leader, follower = honest
        for number in range(ATTACKERS):
            session = new_session()
            deaf = RawWebSocket(self.node, receive_buffer=4096)
            deaf.text(set_session(session))
            self.deaf.append(deaf)
            attacker = await SyncClient.member(self.node, session, leader=True)
            self.leaders.append(attacker)
            await attacker.in_state(2, True)
            for _ in range(PUSHES):
                await attacker.send(push(session, DATA))
            await attacker.fence()
            self.most = max(self.most, resident(self.node.pid))
            if CLOSED in self.node.log_tail():
                return
            await leader.send(push(leader.session, str(number)))
            heard = await follower.next_of(lambda message: message.get("type") == "Push")
            assert heard["data"] == str(number)

    async def first_code(self):
        """The close code of the first that was told to go, read behind what it had not read before. Leaders leave
        first, so that one who was not told hears of that instead."""
        for leader in self.leaders:
            leader.vanish()
        # In a thread: a leader's socket closes when the loop comes round.
        return await asyncio.to_thread(lambda: next(code for code in map(close_code, self.deaf) if code is not None))

    def close(self):
        for deaf in self.deaf:
            deaf.close()


def close_code(client):
    """None where the session's leader is seen to leave first: nobody told this one to go."""
    led = False
    while True:
        frame = client.next_frame()
        if frame.opcode == CLOSE:
            return struct.unpack("!H", frame.payload[:2])[0]
        led = led or b'"leaderConnected":true' in frame.payload
        if led and b'"leaderConnected":false' in frame.payload:
            return None


async def honest_pair(node):
    session = new_session()
    pair = [await SyncClient.member(node, session, leader=True), await SyncClient.member(node, session)]
    for client in pair:
        client.session = session
        await client.in_state(2, True)
    return pair


async def judge(node, honest, attack, limit):
    assert CLOSED in node.log_tail(), f"nobody was closed; {attack.most / MIB:.0f} MiB at most"
    await until(lambda: node.status("/readyz") == 200, "there is room again")
    metrics = node.metrics()
    assert metrics["muster_memory_closed_total"] > 0
    assert metrics["muster_memory_limit_bytes"] == limit
    leader, follower = honest
    await leader.send(push(leader.session, "after"))
    assert (await follower.next_of(lambda message: message.get("type") == "Push"))["data"] == "after"


async def test_the_largest_queues_go_when_the_limit_is_reached(yard):
    node = yard.begin(memory_limit="70m", queue_limit=QUEUE)
    node.ready()
    honest, attack = await honest_pair(node), Attack(node)
    await attack.run(honest)
    await judge(node, honest, attack, 70 * MIB)
    assert attack.most < 80 * MIB, f"{attack.most / MIB:.0f} MiB"
    assert await attack.first_code() == 1013, "and are told why, once they read"
    attack.close()
    await close_all(honest)


@pytest.fixture
def container(tmp_path):
    """(a program that runs muster inside a control group of its own, its bound in bytes); as a container would."""
    limit = 80 * MIB
    version = "memory" if (GROUPS / "memory").exists() else ""
    names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if version else ("memory.max", "memory.swap.max")
    group = GROUPS / version / f"muster-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / names[0]).write_text(str(limit))
    except OSError as fault:
        if group.exists():
            group.rmdir()
        pytest.skip(f"no control group can be made here: {fault}")
    if (group / names[1]).exists():
        (group / names[1]).write_text(str(limit if version else 0))
    program = tmp_path / "muster-in-a-group"
    program.write_text(f'#!/bin/sh\necho $$ >{group}/cgroup.procs\nexec {Node.binary} "$@"\n')
    program.chmod(0o755)
    yield program, limit
    wait_until(lambda: not (group / "cgroup.procs").read_text().split(), "its processes are gone")
    group.rmdir()


async def test_a_containers_limit_is_known_and_not_gone_over(container, yard):
    """Without a setting: the kernel would kill the node, and all clients with it."""
    program, limit = container
    node = Node("contained", yard.folder, queue_limit=QUEUE)
    node.binary = program
    yard.keep(node).start()
    node.ready()
    honest, attack = await honest_pair(node), Attack(node)
    await attack.run(honest)
    await judge(node, honest, attack, limit // 10 * 9)
    attack.close()
    await close_all(honest)
