# SPDX-License-Identifier: MIT
"""Several Redis as shards: each session lives on one of them, and shares only its fate."""

import asyncio
import time

import pytest

from lib.process import muster
from lib.sync import State, SyncClient, close_all, is_warning, pairs, push, set_session
from lib.waiting import until, wait_until
from test_settings import assert_not_well
from test_sync_cluster import (LEASE_SECONDS, SLACK, all_ready, assert_a_newcomer_is_counted, assert_pushes_arrive,
                               until_pushes_arrive)

SESSIONS = 16
PAIR = State(2, True)


@pytest.fixture
def shards(yard):
    return [yard.redis(), yard.redis()]


@pytest.fixture
def nodes(yard, shards):
    return yard.fleet([",".join(shard.url for shard in shards)] * 2)


async def reached(sessions):
    """The sessions whose pushes still come from one node to the other."""
    alive = set()
    for session, (leader, _) in sessions.items():
        await leader.send(push(session, "who hears this?"))
    for session, (_, follower) in sessions.items():
        for _ in range(3):
            alive |= {session for message in await follower.fence() if message.get("data") == "who hears this?"}
    return alive


def up(node, shard):
    return node.metrics()[f'muster_store_server_up{{server="127.0.0.1:{shard.port}"}}']


def is_away(node, shard):
    """It says so of this shard alone."""
    text = node.get("/readyz")[1]
    return text.startswith(f"ready\naway: 127.0.0.1:{shard.port} (") and up(node, shard) == 0


def keys_of(shard):
    return int(shard.command("DBSIZE")[1:].split()[0])


async def test_both_servers_hold_some(nodes, shards):
    sessions = await pairs(nodes, SESSIONS)
    counts = [keys_of(shard) for shard in shards]
    assert all(count > 0 for count in counts) and sum(counts) >= SESSIONS, counts
    for session, (leader, follower) in sessions.items():
        await assert_pushes_arrive(leader, [follower], session)
    await close_all(client for pair in sessions.values() for client in pair)


async def test_a_killed_shard_takes_no_session_of_the_other_with_it(nodes, shards):
    sessions = await pairs(nodes, SESSIONS)
    await asyncio.to_thread(shards[1].kill)
    await until(lambda: all(is_away(node, shards[1]) for node in nodes), "/readyz says which is away")
    assert [node.status("/readyz") for node in nodes] == [200] * 2
    assert [node.status("/healthz") for node in nodes] == [200] * 2
    alive = await reached(sessions)
    assert 0 < len(alive) < SESSIONS
    for session in alive:
        await assert_a_newcomer_is_counted(nodes[1], sessions[session], session)
    await asyncio.sleep(LEASE_SECONDS + SLACK)  # the fault itself: longer than a lease
    for session, pair in sessions.items():
        for client in pair:
            await client.fence()
            assert set(client.states()) <= ({PAIR, State(3, True)} if session in alive else {PAIR})
    await asyncio.to_thread(shards[1].start)
    await all_ready(nodes)
    for session, (leader, follower) in sessions.items():
        await until_pushes_arrive(leader, [follower], session)
        await assert_a_newcomer_is_counted(nodes[0], [leader, follower], session)
        for client in (leader, follower):
            assert set(client.states()) <= {PAIR, State(3, True)}
    await close_all(client for pair in sessions.values() for client in pair)


async def test_not_ready_when_all_are_away(nodes, shards):
    for shard in shards:
        await asyncio.to_thread(shard.kill)
    await until(lambda: [node.status("/readyz") for node in nodes] == [503] * 2, "/readyz says 503")
    assert nodes[0].metrics()["muster_store_partitions_away"] == 256
    for shard in shards:
        await asyncio.to_thread(shard.start)
    await all_ready(nodes)
    await until(lambda: all(node.get("/readyz")[1] == "ready\n" for node in nodes), "nothing is away")
    assert nodes[0].metrics()["muster_store_partitions_away"] == 0 and all(up(nodes[0], shard) == 1 for shard in shards)


def test_a_node_with_another_list_is_not_let_in(yard, nodes, shards):
    stray = yard.begin(store=shards[0].url)
    wait_until(lambda: stray.status("/readyz") == 503 and "this node one server" in stray.get("/readyz")[1], "it is told")
    assert_not_well(muster("check", "--store", shards[1].url), "the fleet has the servers 127.0.0.1:")
    assert all(node.is_ready() for node in nodes)


async def test_a_node_killed_while_a_shard_is_gone(nodes, shards):
    sessions = await pairs(nodes, SESSIONS)
    await asyncio.to_thread(shards[1].kill)
    await until(lambda: is_away(nodes[0], shards[1]), "/readyz says which is away")
    alive = await reached(sessions)
    nodes[1].kill()
    for session in alive:
        await sessions[session][0].until_state(1, True, deadline=LEASE_SECONDS + SLACK)
    await asyncio.to_thread(shards[1].start)
    for session in set(sessions) - alive:
        await sessions[session][0].in_state(1, True)
    await all_ready(nodes[:1])
    await close_all(leader for leader, _ in sessions.values())


async def test_who_comes_to_a_session_of_a_living_shard_hears_of_no_outage(nodes, shards):
    sessions = await pairs(nodes, SESSIONS)
    await asyncio.to_thread(shards[1].kill)
    await until(lambda: all(is_away(node, shards[1]) for node in nodes), "/readyz says which is away")
    assert [node.status("/readyz") for node in nodes] == [200] * 2
    warned = {}
    for session in sessions:
        client = await SyncClient.connect(nodes[1])
        await client.send(set_session(session))
        first = await client.next()
        warned[session] = is_warning(first)
        await client.close()
    alive = await reached(sessions)
    assert {session for session in sessions if not warned[session]} == alive and 0 < len(alive) < SESSIONS
    await close_all(client for pair in sessions.values() for client in pair)


async def test_a_shard_that_refuses_is_named(nodes, shards):
    """What the other one takes meanwhile says nothing about it."""
    sessions = await pairs(nodes, SESSIONS)
    shards[1].command("CONFIG", "SET", "maxmemory", "1")
    await until(lambda: is_away(nodes[0], shards[1]), "it is named")
    end = time.monotonic() + LEASE_SECONDS
    while time.monotonic() < end:
        assert is_away(nodes[0], shards[1])
        await asyncio.sleep(0.02)
    shards[1].command("CONFIG", "SET", "maxmemory", "0")
    await all_ready(nodes)
    await close_all(client for pair in sessions.values() for client in pair)
