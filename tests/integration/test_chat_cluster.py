# SPDX-License-Identifier: MIT
"""The chat of a cluster: one order for all, and what is promised when nodes, links and Redis break."""

import asyncio
import json
import re

import pytest
import websockets

from lib.chat import ChatClient
from lib.waiting import until, wait_until

SETTINGS = {"chat_login": "development", "chat_rate": 10000, "chat_burst": 10000}


@pytest.fixture
def fleet(yard, redis):
    return yard.fleet([redis.url] * 3, **SETTINGS)


async def one_each(nodes, name="user"):
    return [await ChatClient.member(node, f"{name}{i}") for i, node in enumerate(nodes)]


async def write(client, name, count, start=0, pause=0.0):
    """`count` numbered messages, one after the other."""
    for i in range(start, start + count):
        await client.say(f"{name} {i}")
        client.written = i + 1
        await asyncio.sleep(pause)


async def flowing(clients, more=10):
    """Each has written some more: what is done next is done in the middle of a stream."""
    wanted = [getattr(client, "written", 0) + more for client in clients]
    await until(lambda: all(getattr(client, "written", 0) >= count for client, count in zip(clients, wanted)),
                "the stream flows")


async def collect(clients, count, deadline=60):
    """The next `count` texts of each client."""
    return await asyncio.gather(*(client.texts(count, deadline) for client in clients))


def check_whole(texts, writers, count):
    """None lost, none twice, each writer's in order."""
    for name in writers:
        assert [t for t in texts if t.startswith(name + " ")] == [f"{name} {i}" for i in range(count)]
    assert len(texts) == count * len(writers)


async def test_one_order_for_all_and_history_shows_it(fleet):
    clients = await one_each(fleet)
    await asyncio.gather(*(write(client, f"w{i}", 100) for i, client in enumerate(clients)))
    seen = await collect(clients, 300)
    check_whole(seen[0], ["w0", "w1", "w2"], 100)
    assert seen[0] == seen[1] == seen[2]
    for client in clients:
        history = [m["message"] for m in await client.history(limit=100)]
        assert history == seen[0][:-101:-1]


async def test_a_killed_node_harms_only_its_own(fleet):
    a, b, c = await one_each(fleet)
    writing = asyncio.ensure_future(write(a, "a", 200, pause=0.002))
    await c.say("c 0")
    first = await b.texts(50)
    fleet[2].kill()
    await writing
    rest = await b.texts(151)
    texts = [t for t in first + rest if t.startswith("a ")]
    check_whole(texts, ["a"], 200)
    assert [t for t in await a.texts(201) if t.startswith("a ")] == texts
    assert await b.quiet()


async def test_redis_paused_in_a_stream(fleet, redis):
    clients = await one_each(fleet)
    writers = [asyncio.ensure_future(write(client, f"w{i}", 150, pause=0.03)) for i, client in enumerate(clients)]
    await flowing(clients)
    redis.pause()
    await asyncio.sleep(0.4)  # the fault itself: shorter than nodes have patience for
    redis.cont()
    await flowing(clients)
    redis.pause()  # until every node has given it up
    await until(lambda: not any(node.is_ready() for node in fleet), "nobody is ready")
    redis.cont()
    await asyncio.gather(*writers)
    seen = await collect(clients, 450)
    check_whole(seen[0], ["w0", "w1", "w2"], 150)
    assert seen[0] == seen[1] == seen[2]
    for client in clients:
        assert await client.quiet()


@pytest.mark.parametrize("how", ["killed", "shut down"])
async def test_redis_restarted_empty_in_a_stream(fleet, redis, how):
    clients = await one_each(fleet)
    writers = [asyncio.ensure_future(write(client, f"w{i}", 120, pause=0.03)) for i, client in enumerate(clients)]
    for _ in range(2):
        await flowing(clients)
        if how == "killed":
            redis.kill()
        else:
            redis.popen.terminate()
            await until(lambda: not redis.alive(), "redis has ended")
        await asyncio.sleep(0.3)  # the fault itself
        redis.start()
        await until(lambda: all(node.is_ready() for node in fleet), "all are ready")
    await asyncio.gather(*writers)
    for texts in await collect(clients, 360):
        check_whole(texts, ["w0", "w1", "w2"], 120)
    for client in clients:
        assert await client.quiet()


async def test_a_node_cut_off_fetches_what_it_missed(yard, redis):
    proxy = yard.proxy(redis)
    far, near = yard.fleet([proxy.url, redis.url], **SETTINGS)

    async def cut_off(cut, mend):
        a, b = await one_each([far, near])
        await write(b, "b", 1)
        assert await a.texts(1) == await b.texts(1) == ["b 0"]
        cut()
        await until(lambda: not far.is_ready(), "it is cut off")
        await write(b, "b", 299, start=1)
        await write(a, "a", 5)
        before = await b.texts(299)
        assert "try again later" in (await a.ask(action="history"))["error"]
        assert await ChatClient.member(far, "a late one")
        mend()
        missed = await a.texts(304)
        assert missed == before + await b.texts(5)
        assert [t for t in missed if t.startswith("a")] == [f"a {i}" for i in range(5)]
        assert await a.quiet() and await b.quiet()
        assert far.metrics()["muster_history_refetched_total"] >= 299
        await asyncio.gather(a.close(), b.close())

    await cut_off(proxy.cut, proxy.mend)
    await cut_off(proxy.freeze, proxy.thaw)


async def test_more_is_said_than_redis_keeps_for_a_node_that_is_cut_off(yard, redis):
    """What its clients never hear is counted there, and told."""
    proxy = yard.proxy(redis)
    far, near = yard.fleet([proxy.url, redis.url], **SETTINGS)
    a, b = await one_each([far, near])
    await write(b, "b", 1)
    assert await a.texts(1) == ["b 0"]
    proxy.cut()
    await until(lambda: not far.is_ready(), "it is cut off")
    await write(b, "b", 1100, start=1)
    assert len(await b.texts(1101)) == 1101, "all of it is in Redis"
    proxy.mend()
    assert await a.texts(1000) == [f"b {i}" for i in range(101, 1101)]
    assert await a.quiet()
    assert (far.metrics()["muster_chat_lost_total"], near.metrics()["muster_chat_lost_total"]) == (100, 0)
    assert re.search("chat messages were lost.* lost=100", far.log())
    await asyncio.gather(a.close(), b.close())


async def test_subscribers_that_stay_behind_at_another_server(yard, redis):
    """A fail-over after which deliveries would stop for good, with every connection healthy."""
    other = yard.redis()
    proxy = yard.proxy(redis)
    nodes = yard.fleet([proxy.url] * 2, **SETTINGS)
    clients = await one_each(nodes)
    await write(clients[0], "w", 10)
    assert await clients[1].texts(10) == await clients[0].texts(10)
    proxy.move(other.port)
    await write(clients[0], "w", 50, start=10, pause=0.02)
    for texts in await collect(clients, 50):
        assert texts == [f"w {i}" for i in range(10, 60)]
    assert await clients[0].quiet() and await clients[1].quiet()


async def test_a_node_that_starts_without_redis(yard, redis):
    redis.kill()
    node = yard.begin(store=redis.url, lease="2s", **SETTINGS)
    wait_until(lambda: node.status("/healthz") == 200, "it is there")
    client = await ChatClient.member(node, "early")
    await write(client, "e", 5)
    assert "try again later" in (await client.ask(action="history"))["error"]
    redis.start()
    assert await client.texts(5) == [f"e {i}" for i in range(5)]
    assert [m["message"] for m in await client.history()] == [f"e {i}" for i in range(4, -1, -1)]


async def test_messages_just_before_a_node_leaves_are_not_lost(fleet):
    a, b, _ = await one_each(fleet)
    await write(a, "a", 100)
    await a.quiet()  # they were read
    fleet[0].term()
    assert await b.texts(100) == [f"a {i}" for i in range(100)]
    assert await a.closed() == 1001


async def test_ten_writers_on_three_nodes_with_links_cut_all_the_time(yard, redis):
    proxies = [yard.proxy(redis) for _ in range(3)]
    nodes = yard.fleet([proxy.url for proxy in proxies], **SETTINGS)
    clients = [await ChatClient.member(nodes[i % 3], f"user{i}") for i in range(9)]
    names = [f"w{i}" for i in range(9)]
    writing = asyncio.gather(*(write(client, name, 60, pause=0.05) for client, name in zip(clients, names)))
    n = 0
    while not writing.done():
        proxies[n % 3].drop_links()
        n += 1
        await asyncio.sleep(0.3)  # the pace of the faults
    await writing
    seen = await collect(clients, 540)
    check_whole(seen[0], names, 60)
    assert all(texts == seen[0] for texts in seen)


def commands_of(redis):
    return int(re.search(r"total_commands_processed:(\d+)", redis.command("info", "stats").decode())[1])


async def test_a_node_that_watches_knows_the_history(yard, redis):
    """What was there before, what others say and what its own clients say, without asking Redis for each."""
    first, second = yard.fleet([redis.url] * 2, **SETTINGS)
    writer = await ChatClient.member(first, "writer")
    for i in range(5):
        await writer.say(f"before {i}")
    await writer.texts(5)
    late = yard.node(store=redis.url, **SETTINGS)
    here, there = await ChatClient.member(late, "here"), await ChatClient.member(second, "there")
    expected = [f"before {i}" for i in range(4, -1, -1)]
    assert [m["message"] for m in await here.history(limit=100)] == expected
    for number in range(20):
        speaker = (here, there)[number % 2]
        await speaker.say(f"now {number}")
        assert [await client.texts(1) for client in (here, there)] == [[f"now {number}"]] * 2
        expected.insert(0, f"now {number}")
        for client in (here, there):
            assert [m["message"] for m in await client.history(limit=100)] == expected
    assert [m["message"] for m in await here.history(limit=3, offset=2)] == expected[2:5]
    before = commands_of(redis)
    for _ in range(300):
        assert len(await here.history(limit=100)) == 25
    # A script for each would be 900 commands and more; a quiet fleet asks for tens a second, however long this takes.
    assert commands_of(redis) - before < 700, "beats and the like, not one for each"
    await asyncio.gather(*(client.close() for client in (writer, here, there)))


async def heard_until_closed(client):
    """All that it was told until the node closed it: texts of messages, and answers to what it asked."""
    heard = []
    try:
        while True:
            heard.append(json.loads(await client.socket.recv()))
    except websockets.ConnectionClosed as end:
        assert end.rcvd is not None and end.rcvd.code == 1001
    return heard


async def test_a_crowd_hears_all_in_order_until_its_node_says_goodbye(fleet):
    """So many readers on one node that a message takes several turns to reach them (node/fanout/group.h). Some ask for
    the history in the midst, and the node goes in the midst: nobody misses what others of that node heard before."""
    crowd = []
    for _ in range(22):
        crowd += await asyncio.gather(*(ChatClient.member(fleet[0], f"reader{i}") for i in range(50)))
    reading = [asyncio.ensure_future(heard_until_closed(client)) for client in crowd]
    writer = await ChatClient.member(fleet[1], "writer")
    writing = asyncio.ensure_future(write(writer, "w", 120, pause=0.02))
    for client in crowd[::100]:
        await client.send({"action": "history", "limit": 5})
    await until(lambda: getattr(writer, "written", 0) >= 60, "half is said")
    fleet[0].term()
    heard = await asyncio.gather(*reading)
    await writing
    check_whole(await writer.texts(120), ["w"], 120)
    for said in heard:
        texts = []
        for message in said:
            if "history" in message:  # what it was told before, and not what it is told after
                assert [m["message"] for m in message["history"]] == texts[:-6:-1]
            else:
                texts.append(message["message"])
        assert texts == [f"w {i}" for i in range(len(texts))]
    assert max(map(len, heard)) >= 60
