# SPDX-License-Identifier: MIT
"""Load and faults that one client or the store brings: they cost the others nothing, and are said."""

import struct

import pytest

from lib.frames import RawWebSocket
from lib.sync import SyncClient, close_all, is_warning, new_session, push, set_session
from lib.tcp import HttpClient
from lib.waiting import until, wait_until

FLOOD = 3000
REQUESTS = 500


@pytest.fixture(params=["memory", "redis"])
def crowded(request, yard, redis):
    return yard.node() if request.param == "memory" else yard.fleet([redis.url])[0]


async def test_a_flood_of_sessions_is_taken_one_at_a_time(crowded):
    node = crowded
    before = node.metrics()["process_resident_memory_bytes"]
    flooder = RawWebSocket(node)
    for number in range(FLOOD):
        flooder.send_while_taken(b"".join(flooder_frames(number)))
    honest = await SyncClient.member(node, new_session())
    await honest.in_state(1, False)
    assert node.metrics()["muster_sync_sessions"] <= 2
    await close_all([honest])
    flooder.close()
    wait_until(lambda: node.metrics()["muster_sync_sessions"] == 0, "all sessions are left")
    grown = node.metrics()["process_resident_memory_bytes"] - before
    assert grown < 32 << 20, "memory follows what is, not what was asked for"


def flooder_frames(number):
    text = b'{"type":"SetSession","sessionId":"flood-%d","isLeader":%s}' % (number, b"true" if number % 2 else b"false")
    yield b"\x81" + bytes([0x80 | len(text)]) + b"\0\0\0\0" + text


def test_pipelined_questions_are_all_answered(node):
    with HttpClient(node.port) as client:
        client.send(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * REQUESTS)
        assert [client.response("HEAD").status for _ in range(REQUESTS)] == [200] * REQUESTS


async def test_what_is_pushed_after_a_follower_was_told_reaches_it(yard, redis):
    """Even when the leader's node stood still meanwhile, and knows nothing of the follower yet."""
    first, second = yard.fleet([redis.url] * 2)
    for number in range(5):
        session = new_session()
        leader = await SyncClient.member(first, session, leader=True)
        await leader.in_state(1, True)
        first.pause()
        follower = await SyncClient.member(second, session)
        await follower.in_state(2, True)
        await leader.send(push(session, number))
        first.cont()
        message = await follower.next_of(lambda message: message.get("type") == "Push")
        assert message["data"] == number
        await close_all([leader, follower])


async def test_a_redis_without_memory_is_said(yard, redis):
    [node] = yard.fleet([redis.url], lease="2s")
    redis.command("CONFIG", "SET", "maxmemory", "1")
    client = await SyncClient.connect(node)
    await client.send(set_session(new_session()))
    await client.next_of(is_warning)
    await until(lambda: node.status("/readyz") == 503, "it is not ready")
    assert "OOM" in node.log()
    redis.command("CONFIG", "SET", "maxmemory", "0")
    await client.until_state(1, False)
    await until(lambda: node.status("/readyz") == 200, "it is ready again")
    await close_all([client])


async def test_after_an_outage_everybody_is_told_the_state(yard, redis):
    nodes = yard.fleet([redis.url] * 2, lease="2s")
    session = new_session()
    clients = [await SyncClient.member(node, session) for node in nodes]
    for client in clients:
        await client.in_state(2, False)
    redis.restart_empty()
    for client in clients:
        state = await client.next_of(lambda message: message.get("type") == "SessionState")
        assert state["playersCount"] == 2
    await close_all(clients)


async def test_a_websocket_whose_peer_sends_no_more_has_left(node):
    session = new_session()
    stayer = await SyncClient.member(node, session)
    with RawWebSocket(node, receive_buffer=4096) as leaver:
        leaver.join(session)
        await stayer.in_state(2, False)
        leaver.socket.shutdown(1)
        await stayer.until_state(1, False)
    await close_all([stayer])


async def test_one_message_may_be_larger_than_the_queue_limit(yard):
    node = yard.node(message_limit="2m", queue_limit="64k")
    session = new_session()
    leader = await SyncClient.member(node, session, leader=True)
    follower = await SyncClient.member(node, session)
    await follower.in_state(2, True)
    await leader.in_state(2, True)
    await leader.send(push(session, "x" * 1_000_000))
    message = await follower.next_of(lambda message: message.get("type") == "Push")
    assert len(message["data"]) == 1_000_000
    await close_all([leader, follower])


def test_the_header_limit_holds_where_it_is_set(yard):
    node = yard.node(header_limit="512k")
    for size, status in ((300_000, 200), (600_000, 431)):
        with HttpClient(node.port) as client:
            client.send_while_taken(b"GET /version HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * size + b"\r\n\r\n")
            assert client.response().status == status


def test_over_the_memory_limit_nobody_new_is_let_in(yard):
    node = yard.begin(memory_limit="1k")
    wait_until(lambda: node.alive() and node.status("/healthz") == 503, "it lets nobody in")
    wait_until(lambda: node.status("/version") == 503, "whatever is asked")


def test_a_half_message_keeps_nobody_waiting(node):
    with RawWebSocket(node) as client:
        client.frame(0x9, b"hello")
        assert client.next_frame()[2] == 0xA
        client.send(b"\x81\xfe" + struct.pack("!H", 1000) + b"\0\0\0\0" + b"half")
        with RawWebSocket(node) as other:
            other.frame(0x9, b"other")
            assert other.next_frame()[2] == 0xA
