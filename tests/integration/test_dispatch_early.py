# SPDX-License-Identifier: MIT
"""A device whose node is not known yet, or cannot be spoken to: what is on one of several Redis servers comes later than
what is on another, or not at all."""

import asyncio
import contextlib
import re
import struct
import time

from lib.dispatch import (
    CLOSED, OPENED, RECEIVED, Datagrams, Device, Driver, is_open, node_settings, start_fleet, until_closed,
    until_open)
from lib.ports import free_port
from lib.store import key
from lib.waiting import until, until_true, wait_until, within
from test_dispatch_cluster import SLACK, assert_they_talk, known_everywhere

HEARD = "muster_bus_received_total"
ROOM = 1 << 20  # bytes of messages that wait for their node to be known
KEPT_SECONDS = 5.0  # for so long
SMALL, SMALLEST = 32000, 1000  # bytes of a datagram; how many of one byte fill what room others leave


def named(servers):
    """A list of them that is the same whatever way leads to each."""
    return ",".join(f"{server.url}#server{number}" for number, server in enumerate(servers))


class SeveralServers:
    """A node whose way to each server can be slow; other nodes have a good one."""

    def __init__(self, yard, count=2):
        self.yard = yard
        self.servers = [yard.redis() for _ in range(count)]
        self.proxies = [yard.proxy(server) for server in self.servers]

    def begin_near(self):
        node = self.yard.begin(store=named(self.proxies), lease="20s", **node_settings(0))
        node.bind = "127.0.0.1"
        return node

    def start_near(self):
        return self.begin_near().ready()

    def start_far(self, number=1):
        [node] = start_fleet(self.yard, [named(self.servers)], lease="20s", first=number)
        return node

    def start_until(self, start, suits):
        """A node that suits: its name, chosen at random, decides."""
        node = start()
        while not suits(node):
            self.yard.dismiss(node)
            node = start()
        return node

    def where(self, question, thing):
        """The number of the server whose answer has that in it."""
        return wait_until(lambda: [i for i in range(len(self.servers)) if thing in self.servers[i].command(*question)],
                          f"{thing} is there")[0]

    def tells(self):
        """The number of the server that tells which nodes there are."""
        return self.where(["KEYS", "*"], b"dispatch:nodes")

    def standings(self):
        """Numbers and epochs of the nodes, as it tells them."""
        return re.findall(rb"\n\d+ (\d+ \d+)\r", self.servers[self.tells()].command("HGETALL", key("r", "dispatch:nodes")))

    def late(self):
        """The way to the server that tells which nodes there are, when what the near one is told comes on the other."""
        nodes = self.tells()
        hears = self.where(["PUBSUB", "CHANNELS"], b"dispatch:node:")
        return self.proxies[nodes] if hears != nodes else None

    def hears(self, node):
        """The number of the server on which that node is spoken to."""
        name = re.search(r"serving node=(\S+)", node.log()).group(1)
        return self.where(["PUBSUB", "CHANNELS"], b"dispatch:node:" + name.encode())


async def test_a_device_may_come_before_its_node_is_known(yard):
    two = SeveralServers(yard)
    near = two.start_until(two.start_near, lambda node: two.late() is not None)
    late = two.late()
    port = free_port()
    driver, datagrams = [await Driver.connect(near, port, proto=proto) for proto in ("tcp", "udp")]
    late.freeze()
    far = two.start_far()
    await until_open([far], port)
    with contextlib.closing(Datagrams()) as other:  # has no need to wait, and takes no room from those that have
        for i in range(ROOM // SMALL + SMALLEST):
            data = bytes(SMALL if i < ROOM // SMALL else 1)
            other.send(far, port, data)
            assert (await datagrams.expect(RECEIVED)).data == data
    heard = near.metrics()[HEARD]
    device = await Device.connect(far, port)
    await device.send(b"from the device")
    await until(lambda: near.metrics()[HEARD] > heard, "it has been told of the device")
    late.thaw()
    opened = await driver.expect(OPENED)
    assert await driver.data_of(opened.id, 15) == b"from the device"
    await assert_they_talk([driver], device, opened)
    device.close()
    assert (await driver.next()).type == CLOSED
    await driver.close()
    await datagrams.close()
    await until_closed([near, far], port)


async def test_who_cannot_be_answered_costs_nobody_else_his_device(yard):
    """A node has lost its way to one server, on which one of the others is spoken to. What that one says waits; before,
    each time that there was no answering it, the devices of all were given up."""
    two = SeveralServers(yard)
    near = two.start_until(two.start_near, lambda node: two.hears(node) == two.tells())
    there = two.start_until(lambda: two.start_far(1), lambda node: two.hears(node) == two.tells())
    away = two.start_until(lambda: two.start_far(2), lambda node: two.hears(node) != two.tells())
    broken = two.proxies[1 - two.tells()]
    port = free_port()
    driver = await Driver.connect(near, port)
    await until_open([there, away], port)
    for node in (there, away):
        device = await Device.connect(node, port)
        await driver.expect(OPENED)
        device.close()
        await driver.expect(CLOSED)
    before = two.standings()
    broken.cut()
    await until(lambda: two.standings() != before, "it has noticed, and said so")
    well = await Device.connect(there, port)
    opened = await driver.expect(OPENED)
    lost = await Device.connect(away, port)
    await lost.send(b"from the device")
    end = time.monotonic() + KEPT_SECONDS + SLACK  # the fault itself: longer than what is said waits for an answer
    while time.monotonic() < end:
        await assert_they_talk([driver], well, opened)
        await asyncio.sleep(0.2)
    broken.mend()
    opened = await driver.expect(OPENED)
    assert await driver.data_of(opened.id, 15) == b"from the device"
    await assert_they_talk([driver], lost, opened)
    assert "could not be answered" not in near.log()


async def test_a_node_that_hears_nothing_holds_nobody_up(yard):
    """A node has lost its way to the server on which it is spoken to, and says so on the other one: devices that come
    meanwhile go to the drivers of other nodes, and to its own when it hears again."""
    two = SeveralServers(yard)
    near = two.start_until(two.start_near, lambda node: two.hears(node) != two.tells())
    far = two.start_far()
    broken = two.proxies[1 - two.tells()]
    port = free_port()
    deaf = await Driver.connect(near, port)
    driver = await Driver.connect(far, port)
    await known_everywhere([near, far], port, 2)
    before = two.standings()
    broken.cut()
    await until(lambda: two.standings() != before, "it has noticed, and said so")
    device = await Device.connect(far, port)
    opened = await driver.expect(OPENED)
    await assert_they_talk([driver], device, opened)
    broken.mend()
    assert await deaf.expect(OPENED) == opened
    await assert_they_talk([driver, deaf], device, opened)


async def test_a_device_of_a_node_that_has_just_come_is_shown_to_all(yard):
    """The node learns of the others, and has a way to them, before it knows its own number: a third server, on which it
    is spoken to, is a little slower than the one that tells which nodes there are."""
    three = SeveralServers(yard, 3)
    far = three.start_until(three.start_far, lambda node: three.hears(node) != three.tells())
    tells = three.tells()
    third = 3 - tells - three.hears(far)

    async def device_comes(near, port):
        """As soon as the port is open, which a driver does before it is one."""
        await until(lambda: near.status("/healthz") == 200, "it serves")
        mine = asyncio.ensure_future(Driver.connect(near, port))
        await until_true(lambda: is_open(near, port), "its driver opens the port")
        return await Device.connect(near, port), await mine

    port = free_port()
    driver = await Driver.connect(far, port)
    suits = False
    while not suits:  # the name of the near one, chosen at random, decides
        three.proxies[tells].delay, three.proxies[third].delay = 0.2, 0.22
        near = three.begin_near()
        device, mine = await device_comes(near, port)
        suits = await asyncio.to_thread(three.hears, near) == third
        await mine.expect(OPENED)
        opened = await driver.expect(OPENED)
        three.proxies[tells].delay = three.proxies[third].delay = 0
        await assert_they_talk([driver], device, opened)
        device.close()
        await driver.expect(CLOSED)
        await mine.close()
        await asyncio.to_thread(yard.dismiss, near)
    await driver.close()
    await until_closed([far], port)


class Stranger:
    """Speaks to a node over the bus and stands in no roster. The messages: node/service/dispatch/mesh/message.h."""

    NAME = b"stranger"
    OPEN, DATA, END, LOST = 0, 1, 3, 9
    ADDRESS = bytes(2 + 16 + 2)

    def __init__(self, redis):
        self.redis = redis
        [self.to_node] = wait_until(self.topics, "the node hears its topic")

    def topics(self):
        answer = self.redis.command("PUBSUB", "CHANNELS", "*dispatch:node:*")
        return [line for line in answer.split(b"\r\n") if b"dispatch:node:" in line]

    async def listen(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.redis.port)
        self.node = self.to_node.partition(b"dispatch:node:")[2]
        self.writer.write(f"SUBSCRIBE {key('b', 'dispatch:node:' + self.NAME.decode())}\r\n".encode())
        await within(self.reader.readuntil(b":1\r\n"), "it is subscribed")

    def frame(self, type_, leg, body=b""):
        return struct.pack(">BQII", type_, leg, 0, len(body)) + body

    def opening(self, leg):
        return self.frame(self.OPEN, leg, struct.pack(">Q", leg) + self.ADDRESS)

    def message(self, *frames):
        return struct.pack(">BQB", 1, 1, len(self.NAME)) + self.NAME + b"".join(frames)

    def say(self, *frames):
        self.redis.command("PUBLISH", self.to_node, b"1 " + self.NAME + b" 1\n" + self.message(*frames))

    async def leg_refused(self):
        """The next leg that is lost."""
        await within(self.reader.readuntil(self.node + bytes([self.LOST])), "an answer")
        return struct.unpack(">Q", await within(self.reader.readexactly(8), "its leg"))[0]


async def test_a_node_that_stays_unknown_is_refused(yard, redis):
    """What it says is kept for seconds, and as far as there is room."""
    [node] = start_fleet(yard, [redis.url])
    stranger = Stranger(redis)
    await stranger.listen()
    room = ROOM - len(stranger.message(stranger.opening(5), stranger.frame(stranger.DATA, 5)))
    stranger.say(stranger.opening(5), stranger.frame(stranger.DATA, 5, bytes(room - 1)))
    stranger.say(stranger.opening(6))
    assert [await stranger.leg_refused() for _ in range(3)] == [6, 5, 5], "6 found no room, 5 had its time"
    stranger.say(stranger.frame(stranger.END, 5))  # as a node may that left: nothing to answer, nothing to tell
    stranger.say(stranger.opening(7))
    assert await stranger.leg_refused() == 7
    assert re.findall(r"could not be answered messages=(\d+)", node.log()) == ["1", "1"]
    stranger.writer.close()
