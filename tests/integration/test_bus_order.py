# SPDX-License-Identifier: MIT
"""What a node said over a link to Redis that it has given up may lie somewhere on the way, and get there when the node
has long said more over another link. It is over then, and must not be heard."""

import asyncio

from lib.ports import free_port
from lib.relay import Plugin
from lib.sync import SyncClient, close_all, new_session, push
from lib.waiting import until


def numbers(client):
    return [message["data"] for message in client.seen if message["type"] == "Push"]


async def give_up_link(node, proxy, say):
    """What `say` says is held on the way until the node has another link."""
    before = node.metrics()["muster_store_reconnects_total"]
    proxy.hold()
    await say()
    await until(lambda: node.metrics()["muster_store_reconnects_total"] > before and node.is_ready(), "another link")


async def test_pushes_of_a_given_up_link_do_not_come_after_newer_ones(yard, redis):
    proxy = yard.proxy(redis)
    one, other = yard.fleet([proxy.url, redis.url])
    session = new_session()
    leader = await SyncClient.member(one, session, leader=True)
    follower = await SyncClient.member(other, session)
    await follower.in_state(2, True)
    number = 0

    async def say():
        nonlocal number
        number += 1
        await leader.send(push(session, number))

    async def is_heard():
        await say()
        await follower.next_of(lambda message: message["type"] == "Push" and message["data"] == number)
    await is_heard()
    await give_up_link(one, proxy, say)
    while number not in numbers(follower):  # its node hears of the session again a moment later
        await say()
        await asyncio.sleep(0.05)
        await follower.fence()
    await until(proxy.let_go, "what was held has gone its way")
    await is_heard()
    assert numbers(follower) == sorted(numbers(follower))
    assert other.metrics()["muster_bus_late_total"] >= 1
    await close_all([leader, follower])


async def test_talk_of_a_given_up_link_does_not_come_after_newer_talk(yard, redis):
    proxy = yard.proxy(redis)
    ports = [free_port(), free_port()]
    one, other = (yard.begin(store=store, relay=f"127.0.0.1:{port}", lease="2s")
                  for store, port in zip((proxy.url, redis.url), ports))
    one.ready()
    other.ready()
    talker = await Plugin.connect(ports[0], "talker")
    listener = await Plugin.connect(ports[1], "listener")
    await talker.knows("listener")
    await listener.knows("talker")
    talker.say("1")
    await listener.hears("1")

    async def say():
        talker.say("2")
        await until(lambda: one.metrics()["muster_relay_packets_total"] == 2, "the node has it")
    await give_up_link(one, proxy, say)
    talker.say("3")
    await listener.hears("3")
    await until(proxy.let_go, "what was held has gone its way")
    talker.say("4")
    await listener.hears("4")
    assert listener.contents() == ["1", "3", "4"]
    talker.close()
    listener.close()
