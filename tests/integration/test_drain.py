# SPDX-License-Identifier: MIT
"""SIGTERM: clients are sent elsewhere, claims released, and the process ends in order."""

import asyncio
import json
import signal
import time

import pytest

from lib.frames import CLOSE, RawWebSocket, close_payload
from lib.sync import SyncClient, close_all, members, new_session
from lib.tcp import HttpClient
from lib.waiting import until, wait_until

CLIENTS = 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_node_ends_at_once(yard, number):
    node = yard.node(drain="60s")
    node.term(number)
    wait_until(lambda: node.exit_code() == 0, "it ends")


async def test_every_client_is_closed_with_1001(yard):
    node = yard.node(drain="2s")
    clients = [await SyncClient.member(node, new_session()) for _ in range(CLIENTS)]
    start = time.monotonic()
    node.term()
    ends = []

    async def end_of(client):
        code = await client.closed()
        ends.append(time.monotonic() - start)
        return code
    assert await asyncio.gather(*map(end_of, clients)) == [1001] * CLIENTS
    await until(lambda: node.exit_code() == 0, "the node ends")
    assert ends[-1] - ends[0] > 0.2, "they are not all sent away at one moment"


def test_no_new_clients_while_draining(yard):
    node = yard.node(drain="30s")
    with RawWebSocket(node) as client, HttpClient(node.port) as kept:
        kept.ask(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        node.term()
        wait_until(lambda: node.status("/version") is None, "its listener closes")
        assert kept.at_end()
        assert client.failed_with() == 1001
    wait_until(lambda: node.exit_code() == 0, "the node ends")


def test_a_client_that_does_not_answer_cannot_hold_it(yard):
    node = yard.node(drain="1s")
    with RawWebSocket(node):
        node.term()
        wait_until(lambda: node.exit_code() == 0, "the node ends")


@pytest.mark.parametrize("question", ["history", "nothing of the kind"])
def test_nothing_is_said_behind_the_farewell(yard, question):
    """A client that asks all the same, before it has read it, gets no frame behind the close frame (RFC 6455, 5.5.1)."""
    node = yard.node(drain="3s", chat_login="development")
    with RawWebSocket(node, "/chat") as client:
        client.text(json.dumps({"action": "login", "token": "a"}))
        assert "connected" in client.next_text()
        client.text(json.dumps({"action": "history", "limit": 1, "offset": 0}))
        assert "history" in client.next_text()
        node.term()
        assert client.next_frame().opcode == CLOSE
        client.text(json.dumps({"action": question, "limit": 1, "offset": 0}))
        client.frame(CLOSE, close_payload(1001))
        assert client.at_end(), "it ends"
    wait_until(lambda: node.exit_code() == 0, "the node ends")


def test_the_second_sigterm_ends_it_at_once(yard):
    node = yard.node(drain="1h")
    node.expected_exit = None
    clients = [RawWebSocket(node) for _ in range(CLIENTS)]
    node.term()
    wait_until(lambda: node.status("/version") is None, "it drains")
    assert node.alive()
    node.term()
    wait_until(lambda: node.exit_code() is not None, "it ends")
    assert node.exit_code() >= 0
    for client in clients:
        client.close()


async def test_without_time_all_are_closed_at_once(yard):
    node = yard.node(drain="0s")
    clients = await members([node] * 3, new_session())
    node.term()
    assert [await client.closed() for client in clients] == [1001] * 3


async def test_peers_of_a_draining_node_have_right_counts(yard, redis):
    nodes = yard.fleet([redis.url] * 2, drain="2s", lease="60s")
    session = new_session()
    stays = await SyncClient.member(nodes[0], session)
    leaving = [await SyncClient.member(nodes[1], session, leader=True) for _ in range(5)]
    await stays.until_state(6, True)
    nodes[1].term()
    assert await asyncio.gather(*(client.closed() for client in leaving)) == [1001] * 5
    states = await stays.until_state(1, False)
    players = [state.players for state in states]
    assert players == sorted(players, reverse=True)
    await until(lambda: nodes[1].exit_code() == 0, "the node ends")
    await close_all([stays])


async def test_clients_that_come_back_find_the_other_node(yard, redis):
    """A rolling restart: a client that is sent away joins again elsewhere."""
    nodes = yard.fleet([redis.url] * 2)
    session = new_session()
    clients = await members([nodes[1]] * 6, session, leaders=(0,))
    nodes[1].term()

    async def move(client, leader):
        assert await client.closed() == 1001
        return await SyncClient.member(nodes[0], session, leader)
    moved = await asyncio.gather(*(move(client, number == 0) for number, client in enumerate(clients)))
    for client in moved:
        await client.in_state(6, True)
    await close_all(moved)


async def test_sigterm_while_redis_is_gone(yard, redis):
    node = yard.node(store=redis.url)
    client = await SyncClient.member(node, new_session())
    redis.kill()
    node.term()
    assert await client.closed() == 1001
    await until(lambda: node.exit_code() == 0, "the node ends")
