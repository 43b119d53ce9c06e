# SPDX-License-Identifier: MIT
"""store-replicas: what a client is told is accepted is at a replica; what is not is said to be not."""

import asyncio
import concurrent.futures
import time

import pytest

from lib.chat import ChatClient
from lib.logs import add, stored
from lib.process import muster
from lib.store import STREAM
from lib.waiting import wait_until
from test_settings import assert_not_well

UNDELIVERED = {"error": "the message could not be delivered, please try again later"}


@pytest.fixture
def replica(yard, redis):
    server = yard.redis("--replicaof", f"127.0.0.1 {redis.port}")
    wait_until(lambda: b"master_link_status:up" in server.command("INFO", "replication"), "it replicates")
    return server


def node_of(yard, redis, **settings):
    return yard.node(store=redis.url, lease="2s", store_replicas=1, chat_login="development", chat_rate=1000, chat_burst=1000,
                     **settings)


def is_refused(node):
    began = time.monotonic()
    status, body, _ = add(node, {"msg": "alone", "user": "u"})
    assert (status, "too few replicas" in body) == (503, True), (status, body)
    return time.monotonic() - began


@pytest.mark.parametrize("fault", ["stopped", "left"])
async def test_a_replica_that_does_not_follow(yard, redis, replica, fault):
    node = node_of(yard, redis)
    speaker, hearer = [await ChatClient.member(node, name) for name in ("ann", "ben")]
    await speaker.say("one")
    assert await speaker.texts(1) == await hearer.texts(1) == ["one"]
    await asyncio.to_thread(stored, node, {"msg": "one", "user": "u"})
    if fault == "stopped":
        replica.pause()
    else:
        replica.command("REPLICAOF", "NO", "ONE")
    took = await asyncio.to_thread(is_refused, node)
    assert 1.5 < took < 5, took
    await speaker.say("alone")
    assert UNDELIVERED in [await speaker.next() for _ in range(2)]
    metrics = node.metrics()
    assert metrics["muster_store_replica_timeouts_total"] >= 2
    assert "0 of 1 replicas had what was written within 2000 ms: it is not accepted" in node.log()
    assert node.is_ready(), "what is read, and what needs no replica, goes on"
    if fault == "stopped":
        replica.cont()
    else:
        replica.command("REPLICAOF", "127.0.0.1", str(redis.port))
    await asyncio.to_thread(wait_until, lambda: add(node, {"msg": "again", "user": "u"})[0] == 200, "it is taken again")
    await speaker.say("two")
    assert (await hearer.texts(2))[1] == "two"
    await speaker.close()
    await hearer.close()


async def test_what_was_accepted_is_there_when_the_master_dies_with_the_node(yard, redis, replica):
    """Nobody is left who could bring it back."""
    node = node_of(yard, redis)
    speaker = await ChatClient.member(node, "ann")
    for i in range(50):
        await asyncio.to_thread(stored, node, {"msg": f"m{i}", "user": "u"})
        await speaker.say(f"t{i}")
    assert await speaker.texts(50) == [f"t{i}" for i in range(50)]
    redis.kill()
    node.kill()
    assert replica.command("REPLICAOF", "NO", "ONE").startswith(b"+OK")
    heir = yard.node(store=replica.url, lease="2s", chat_login="development")
    late = await ChatClient.member(heir, "ben")
    told = await late.history(limit=50)
    assert sorted(entry["message"] for entry in told) == sorted(f"t{i}" for i in range(50))
    entries = b"".join(replica.command("XRANGE", f"{STREAM}:{lane}", "-", "+") for lane in range(4))
    assert [i for i in range(50) if f'"m{i}"'.encode() not in entries] == []
    await late.close()


def test_a_batch_waits_once(yard, redis, replica):
    """Forty calls come while the first one waits: the next wait is for all of them."""
    node = node_of(yard, redis)
    stored(node, {"msg": "first", "user": "u"})
    replica.pause()
    with concurrent.futures.ThreadPoolExecutor(40) as callers:
        calls = [callers.submit(add, node, {"msg": f"m{i}", "user": "u"}) for i in range(40)]
        wait_until(lambda: node.metrics()["muster_store_replica_timeouts_total"] > 0, "one gave up")
        replica.cont()
        answers = [call.result()[0] for call in calls]
    assert set(answers) <= {200, 503} and answers.count(200) >= 20, answers
    assert node.metrics()["muster_store_replica_waits_total"] <= 10


def test_too_few_replicas_are_told(redis, replica):
    few = muster("check", "--store", redis.url, "--store-replicas", "2")
    assert few.returncode == 0 and "1 replicas follow it, and store-replicas wants 2" in few.stdout, few.stdout
    enough = muster("check", "--store", redis.url, "--store-replicas", "1")
    assert enough.returncode == 0 and "store-replicas wants" not in enough.stdout, enough.stdout


def test_memory_has_no_replicas():
    assert_not_well(muster("check", "--store-replicas", "1"), "memory: has no replicas to wait for")
