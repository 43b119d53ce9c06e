# SPDX-License-Identifier: MIT
"""A client that does not read is cut, and costs the others nothing."""

import asyncio
import json
import time

from lib.frames import RawWebSocket
from lib.sync import SyncClient, close_all, members, new_session, push
from lib.tcp import Closed
from lib.waiting import until, wait_until

QUEUE_LIMIT = 256 * 1024
PAYLOAD = 16 * 1024
SLOWLY = 13  # seconds
ENOUGH = 48 * 1024 * 1024  # bytes; more than the kernel's buffers take for one socket
RSS_BOUND = 32 * 1024 * 1024
OVERFLOWS = "muster_websocket_overflows_total"
RSS = "process_resident_memory_bytes"
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=4"}  # or freed memory would count as used


class SlowReader(RawWebSocket):
    """A member that stops reading once it is in the session."""

    def __init__(self, node, session, deflate_offer=None):
        super().__init__(node, deflate_offer=deflate_offer, receive_buffer=4096)
        self.join(session)

    def end(self):
        """Reads what is left: the close code, or None after a reset."""
        try:
            while True:
                self.next_data()
        except Closed as end:
            return end.args[0] if end.args else None


async def flood(leader, follower, session, until_done, first=0):
    """Pushes until told to stop; the follower gets each one, in order. Returns the next number."""
    number = first
    filler = "x" * PAYLOAD
    while not until_done(number):
        for number in range(number, number + 16):
            await leader.send(push(session, [number, filler]))
        number += 1
        while first < number:
            message = json.loads(await follower.receive())
            if message["type"] == "Push":
                assert message["data"][0] == first
                first += 1
    return number


def cut_off(node, count):
    return lambda number: number % 256 == 0 and node.metrics()[OVERFLOWS] >= count or number * PAYLOAD > count * ENOUGH


async def test_a_slow_reader_is_cut_without_harm_to_others(yard):
    node = yard.node(queue_limit=str(QUEUE_LIMIT), env=ENV)
    session = new_session()
    leader, follower = await members([node] * 2, session, leaders=(0,))
    bystander = await SyncClient.member(node, new_session())
    slow = await asyncio.to_thread(SlowReader, node, session)
    await follower.until_state(3, True)
    before = node.metrics()[RSS]
    await flood(leader, follower, session, cut_off(node, 1))
    metrics = node.metrics()
    assert metrics[OVERFLOWS] == 1
    assert metrics['muster_queue_dropped_total{reason="slow"}'] > 1
    assert metrics["muster_websocket_messages_sent_total"] > 100
    assert node.metrics()[RSS] - before < RSS_BOUND
    assert await asyncio.to_thread(slow.end) in (1013, 1008, None)
    await bystander.send("ping")
    assert await bystander.receive() == "pong"
    await leader.until_state(2, True)
    await close_all([leader, follower, bystander])


async def test_many_slow_readers_do_not_grow_the_node(yard):
    node = yard.node(queue_limit=str(QUEUE_LIMIT), env=ENV)
    session = new_session()
    leader, follower = await members([node] * 2, session, leaders=(0,))
    slow = [await asyncio.to_thread(SlowReader, node, session, offer)
            for offer in [None, "permessage-deflate"] * 5]
    await follower.until_state(12, True)
    before = node.metrics()[RSS]
    plain = len(slow) // 2  # deflated, the pushes are too small to fill a buffer
    await flood(leader, follower, session, cut_off(node, plain))
    assert node.metrics()[OVERFLOWS] >= plain
    assert node.metrics()[RSS] - before < RSS_BOUND
    for reader in slow:
        reader.close()
    await leader.until_state(2, True)
    await close_all([leader, follower])


async def test_a_slow_reader_on_another_node_is_cut_there(yard, redis):
    near, far = yard.fleet([redis.url] * 2, queue_limit=str(QUEUE_LIMIT))
    session = new_session()
    leader, follower = await members([near, far], session, leaders=(0,))
    slow = await asyncio.to_thread(SlowReader, far, session)
    await follower.until_state(3, True)
    await flood(leader, follower, session, cut_off(far, 1))
    assert (near.metrics()[OVERFLOWS], far.metrics()[OVERFLOWS]) == (0, 1)
    assert near.is_ready() and far.is_ready()
    assert await asyncio.to_thread(slow.end) in (1013, 1008, None)
    await leader.until_state(2, True)
    await close_all([leader, follower])


async def test_a_client_that_asks_and_does_not_read_is_cut(yard):
    """Answers to its own messages count as well."""
    node = yard.node(queue_limit=str(QUEUE_LIMIT), env=ENV)
    other = await SyncClient.member(node, new_session())
    with RawWebSocket(node, receive_buffer=4096) as client:
        before = node.metrics()[RSS]

        def ask():
            question = b"\x81\x84\0\0\0\0ping" * 20000
            client.socket.setblocking(False)
            client.send_while_taken(question)
            return node.metrics()[OVERFLOWS] == 1 or node.metrics()[RSS] - before > RSS_BOUND
        await until(ask, "it is cut", 60)
        assert node.metrics()[OVERFLOWS] == 1
        await other.fence()
    await other.close()


def read_slowly(client, seconds):
    """About 8 KiB a second. The test is about time itself: longer than any linger of a closing connection."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = client.socket.recv(2048)
        assert data, "the connection ended early"
        client.buffer += data
        time.sleep(0.25)


async def test_a_slow_reader_gets_all_before_the_node_leaves(yard):
    """The closing handshake waits behind what was queued for as long as the reader goes on, and not for one that
    stands still."""
    node = yard.node(drain="60s", queue_limit="32m")
    count = 1000  # 16 MB: more than the node's socket holds

    session = new_session()
    leader = await SyncClient.member(node, session, leader=True)
    slow, still = [await asyncio.to_thread(SlowReader, node, session) for _ in range(2)]
    await leader.until_state(3, True)
    for number in range(count):
        await leader.send(push(session, [number, "x" * PAYLOAD]))
        if number % 16 == 0:
            await leader.fence()
    await leader.fence()
    node.term()
    await leader.close()
    read_slowly(slow, SLOWLY)
    pushes = [slow.next_of(lambda m: m["type"] == "Push")["data"][0] for _ in range(count)]
    assert pushes == list(range(count))
    assert slow.end() == 1001
    slow.close()
    wait_until(lambda: not node.alive(), "the other one was let go, long before the drain is over")
    still.close()
