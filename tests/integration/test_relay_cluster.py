# SPDX-License-Identifier: MIT
"""Cross-server chat over several nodes: game servers that die of any packet they do not expect must live through
joins, leaves, kills and outages."""

import asyncio
import random
import time

import pytest

from lib.relay import Plugin, handshake, start_nodes
from lib.waiting import until

GAP = "100ms"  # thirty of them share one process here


@pytest.fixture
def start(yard):
    """start(stores, **settings)"""
    return lambda stores, **settings: start_nodes(yard, stores, **{"relay_gap": GAP, **settings})


async def connect(node, name):
    return await Plugin.connect(node.relay_port, name)


async def all_know_each_other(plugins):
    for plugin in plugins:
        await plugin.knows(*[other.name for other in plugins if other is not plugin])


async def test_servers_on_different_nodes_meet(start, redis):
    nodes = start([redis.url] * 3)
    plugins = [await connect(nodes[i % 3], f"server {i}") for i in range(6)]
    await all_know_each_other(plugins)
    assert len({plugin.identifier for plugin in plugins}) == 6
    for plugin in plugins:
        plugin.say(f"by {plugin.name}")
    for plugin in plugins:
        await until(lambda: plugin.failure or len(plugin.contents()) == 5, "all five")
        plugin.check()
        assert sorted(plugin.contents()) == [f"by server {i}" for i in range(6) if f"server {i}" != plugin.name]
    for plugin in plugins[:3]:
        plugin.close()
    await all_know_each_other(plugins[3:])
    for plugin in plugins[3:]:
        assert len(plugin.of("disconnect")) == 3
        plugin.close()


async def test_a_killed_nodes_servers_are_gone_within_a_lease(start, redis):
    nodes = start([redis.url] * 2)
    one, two = await connect(nodes[0], "one"), await connect(nodes[1], "two")
    await one.knows("two")
    nodes[1].kill()
    killed = time.monotonic()
    await one.knows()
    assert time.monotonic() - killed < 2.5
    await two.at_end()
    one.close()


async def test_a_node_that_ends_in_order_says_so_at_once(start, redis):
    nodes = start([redis.url] * 2, lease="30s")
    one, two = await connect(nodes[0], "one"), await connect(nodes[1], "two")
    await one.knows("two")
    nodes[1].term()
    await one.knows()
    await two.at_end()
    one.close()


class Crowd:
    """Game servers that come, go and talk at random on nodes that are killed and started."""

    def __init__(self, nodes, rng):
        self.nodes = nodes
        self.rng = rng
        self.plugins = []  # all there ever were
        self.number = 0

    def living(self):
        return [plugin for plugin in self.plugins
                if plugin.identifier is not None and not plugin.closed and not plugin.transport.is_closing()]

    def check(self):
        for plugin in self.plugins:
            plugin.check()

    async def arrive(self):
        self.number += 1
        plugin = Plugin(f"server {self.number}")
        try:
            plugin = await Plugin.connect(self.rng.choice(self.nodes).relay_port, plugin.name)
        except (OSError, AssertionError):
            return  # the node was killed just then
        self.plugins.append(plugin)

    def leave(self):
        if self.living():
            plugin = self.rng.choice(self.living())
            self.rng.choice([plugin.close, plugin.abort])()

    def talk(self):
        if self.living():
            self.number += 1
            plugin = self.rng.choice(self.living())
            plugin.say(f"number {self.number}", identifier=self.rng.choice([plugin.identifier, 0, 12345]))

    async def live(self, seconds, size):
        arrivals = set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(self.rng.expovariate(40))
            self.check()
            if len(self.living()) + len(arrivals) < size:
                task = asyncio.ensure_future(self.arrive())
                arrivals.add(task)
                task.add_done_callback(arrivals.discard)
            elif self.rng.random() < 0.06:
                self.leave()
            elif self.rng.random() < 0.3:
                self.talk()
        await asyncio.gather(*arrivals)

    async def agree(self):
        await all_know_each_other(self.living())
        self.check()


async def test_thirty_servers_come_and_go_while_nodes_are_killed(start, redis):
    rng = random.Random(1337)
    nodes = start([redis.url] * 3)
    crowd = Crowd(list(nodes), rng)
    await crowd.live(4, 30)
    crowd.nodes.remove(nodes[1])
    nodes[1].kill()
    await crowd.live(4, 30)
    fresh, = await asyncio.to_thread(start, [redis.url])
    crowd.nodes.append(fresh)
    await crowd.live(2, 30)
    crowd.nodes.remove(nodes[0])
    nodes[0].kill()
    await crowd.live(4, 30)
    await crowd.agree()
    assert len(crowd.living()) >= 25
    speaker = crowd.living()[0]
    speaker.say("the end")
    for plugin in crowd.living()[1:]:
        await plugin.hears("the end")
    crowd.check()
    assert sum(len(plugin.of("message")) for plugin in crowd.plugins) > 500
    for plugin in crowd.living():
        plugin.close()


async def test_the_link_to_redis_breaks_while_they_come_and_go(start, yard, redis):
    rng = random.Random(7)
    proxy = yard.proxy(redis)
    nodes = start([proxy.url, redis.url])
    crowd = Crowd(list(nodes), rng)
    await crowd.live(2, 12)
    for _ in range(4):
        proxy.drop_links()
        await crowd.live(1.5, 12)
    await crowd.agree()
    for plugin in crowd.living():
        plugin.close()


async def test_redis_restarted_empty_disconnects_nobody(start, redis):
    nodes = start([redis.url] * 2, relay_timeout="30s")
    plugins = [await connect(nodes[i % 2], f"server {i}") for i in range(4)]
    await all_know_each_other(plugins)
    redis.kill()
    plugins[0].say("among those on this node")
    await plugins[2].hears("among those on this node")
    late = await Plugin.connect(nodes[0].relay_port, "late", say_hello=False)
    late.send(handshake("late"))
    await asyncio.to_thread(redis.start)
    await late.acknowledged()
    plugins.append(late)
    await all_know_each_other(plugins)
    late.say("all is well again")
    for plugin in plugins[:4]:
        await plugin.hears("all is well again")
        assert not plugin.of("disconnect") and not plugin.closed
    for plugin in plugins:
        plugin.close()


async def test_a_handshake_during_an_outage_is_closed_in_time(start, redis):
    node, = start([redis.url], relay_timeout="1s")
    redis.kill()
    late = await Plugin.connect(node.relay_port, "late", say_hello=False)
    late.send({"type": "handshake", "version": 1, "name": "late"})
    await late.at_end()
    assert not late.packets


async def test_a_node_that_stood_still_past_its_lease(start, redis):
    """Its servers were told away meanwhile; they come back with it, and nobody hears of himself."""
    nodes = start([redis.url] * 2)
    one = await connect(nodes[0], "one")
    two, three = await connect(nodes[1], "two"), await connect(nodes[1], "three")
    await all_know_each_other([one, two, three])
    nodes[1].pause()
    await one.knows()
    two.say("said to a node that sleeps")
    nodes[1].cont()
    await all_know_each_other([one, two, three])
    await one.hears("said to a node that sleeps")
    await three.hears("said to a node that sleeps")
    for plugin in (one, two, three):
        plugin.check()
        plugin.close()
