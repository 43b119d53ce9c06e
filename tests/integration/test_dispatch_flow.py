# SPDX-License-Identifier: MIT
"""Much data through slow readers: all of it arrives, and nothing piles up in the nodes."""

import asyncio
import hashlib
import random

import pytest

from lib.dispatch import CLOSED, OPENED, RECEIVED, WRITE, Device, Driver, pack, start_fleet, statistics
from lib.ports import free_port
from lib.waiting import Expired, until

MIB = 1024 * 1024
TOTAL = 200 * MIB
PIECE = 128 * 1024
RSS = "process_resident_memory_bytes"
RSS_BOUND = 24 * MIB  # what the nodes may grow by, kernel buffers excluded
ENV = {"ASAN_OPTIONS": "quarantine_size_mb=4"}  # or freed memory would count as used
STALLED = "muster_dispatch_stalled_total"


@pytest.fixture
def nodes(yard, redis):
    return start_fleet(yard, [redis.url] * 2, env=ENV, dispatch_stall="10s")


class Watch:
    """The most memory that nodes took since it began."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.before = self.most = self.now()

    def now(self):
        return [node.metrics()[RSS] for node in self.nodes]

    async def look(self):
        self.most = [max(pair) for pair in zip(self.most, await asyncio.to_thread(self.now))]

    def judge(self):
        for node, before, most in zip(self.nodes, self.before, self.most):
            assert most - before < RSS_BOUND, f"{node.name} grew by {(most - before) / MIB:.1f} MiB"


def pieces():
    """TOTAL bytes that no two places have alike, piece by piece."""
    seed = random.Random(1).randbytes(PIECE + 65536)
    for number in range(TOTAL // PIECE):
        start = number * 7919 % 65536
        yield seed[start:start + PIECE]


def checksum():
    sum_ = hashlib.sha256()
    for piece in pieces():
        sum_.update(piece)
    return sum_.hexdigest()


class Slow:
    """Reads nothing for a second, and then in small steps."""

    def __init__(self, watch):
        self.watch = watch
        self.sum = hashlib.sha256()
        self.size = 0
        self.looked = 0

    async def begin(self):
        for _ in range(10):
            await asyncio.sleep(0.1)  # time itself: what nobody reads must not gather meanwhile
            await self.watch.look()

    async def take(self, data):
        self.sum.update(data)
        self.size += len(data)
        if self.size - self.looked > 8 * MIB:
            self.looked = self.size
            await self.watch.look()
            await asyncio.sleep(0.02)  # it is slow


@pytest.mark.parametrize("device_node", [0, 1], ids=["same node", "other node"])
async def test_much_data_for_a_slow_driver(nodes, device_node):
    port = free_port()
    driver = await Driver.connect(nodes[0], port, max_queue=2, read_limit=65536)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    device = await Device.connect(nodes[device_node], port)
    opened = await driver.expect(OPENED)
    watch = Watch(nodes)

    async def send():
        for piece in pieces():
            await device.send(piece)
        device.close()
    sending = asyncio.create_task(send())
    slow = Slow(watch)
    await slow.begin()
    while (frame := await driver.next()).type == RECEIVED:
        assert frame.id == opened.id
        await slow.take(frame.data)
    assert (frame.type, slow.size, slow.sum.hexdigest()) == (CLOSED, TOTAL, checksum())
    await sending
    watch.judge()
    await driver.close()


@pytest.mark.parametrize("device_node", [0, 1], ids=["same node", "other node"])
async def test_much_data_for_a_slow_device(nodes, device_node):
    port = free_port()
    driver = await Driver.connect(nodes[0], port, write_limit=65536)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    device = await Device.connect(nodes[device_node], port, limit=32768)
    opened = await driver.expect(OPENED)
    watch = Watch(nodes)

    async def send():
        for piece in pieces():
            await driver.write(opened, piece)
        await driver.shut(opened)
    sending = asyncio.create_task(send())
    slow = Slow(watch)
    await slow.begin()
    while data := await device.reader.read(65536):
        await slow.take(data)
    assert (slow.size, slow.sum.hexdigest()) == (TOTAL, checksum())
    await sending
    watch.judge()
    await driver.expect(CLOSED)
    await driver.close()


@pytest.mark.parametrize("device_node", [0, 1], ids=["same node", "other node"])
async def test_a_device_that_never_reads_is_closed_and_its_driver_goes_on(yard, redis, device_node):
    nodes = start_fleet(yard, [redis.url] * 2, env=ENV, dispatch_stall="2s")
    port = free_port()
    driver = await Driver.connect(nodes[0], port)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    deaf = await Device.connect(nodes[device_node], port, limit=1024)
    opened = await driver.expect(OPENED)
    other = await Device.connect(nodes[0], port)
    opened_other = await driver.expect(OPENED)
    watch = Watch(nodes)

    async def send():
        for piece in pieces():
            await driver.write(opened, piece)
    sending = asyncio.create_task(send())
    assert (await driver.expect(CLOSED, 30)).id == opened.id
    await watch.look()
    watch.judge()
    assert sum(node.metrics()[STALLED] for node in nodes) == 1
    sending.cancel()
    await other.send(b"still heard")
    assert (await driver.expect(RECEIVED)).id == opened_other.id
    deaf.reset()
    other.close()
    driver.vanish()


async def test_many_devices_and_a_driver_that_stops_reading(nodes):
    """Devices of both nodes send for all they are worth; then the driver gets every byte."""
    each, count = 4 * MIB, 16
    port = free_port()
    driver = await Driver.connect(nodes[0], port, max_queue=2, read_limit=65536)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    watch = Watch(nodes)
    devices = [await Device.connect(node, port) for node in nodes for _ in range(count)]
    data = random.Random(2).randbytes(each)

    async def send(device):
        await device.send(data)
        device.close()
    sending = [asyncio.create_task(send(device)) for device in devices]
    for _ in range(10):
        await asyncio.sleep(0.1)  # time itself, as in Reading.begin
        await watch.look()
    got, ended = {}, 0
    while ended < len(devices):
        frame = await driver.next()
        if frame.type == OPENED:
            got[frame.id] = bytearray()
        elif frame.type == RECEIVED:
            got[frame.id] += frame.data
        else:
            assert got.pop(frame.id) == data
            ended += 1
    await asyncio.gather(*sending)
    watch.judge()
    await driver.close()


async def test_a_fast_driver_waits_for_a_slow_one_of_the_same_device(nodes):
    port = free_port()
    fast = await Driver.connect(nodes[0], port)
    slow = await Driver.connect(nodes[1], port, max_queue=2, read_limit=65536)
    await until(lambda: statistics(nodes[0])["tcp_listeners"].get(str(port)) == 2, "both are known")
    device = await Device.connect(nodes[0], port)
    opened = await fast.expect(OPENED)
    await slow.expect(OPENED)
    data = random.Random(3).randbytes(40 * MIB)
    sending = asyncio.create_task(device.send(data))
    got = bytearray()
    with pytest.raises(Expired):
        while True:
            got += (await fast.next(1)).data
    assert len(got) < 24 * MIB, "the slow one's node and socket hold so much at most"
    rest = asyncio.create_task(fast.data_of(opened.id, len(data) - len(got)))
    assert await slow.data_of(opened.id, len(data)) == data
    assert got + await rest == data
    await sending
    device.close()


async def test_a_driver_that_never_reads_is_closed_and_the_others_go_on(yard, redis):
    nodes = start_fleet(yard, [redis.url] * 2, env=ENV, dispatch_stall="2s")
    port = free_port()
    fine = await Driver.connect(nodes[0], port)
    deaf = [await Driver.connect(node, port, max_queue=2, read_limit=65536) for node in nodes]
    await until(lambda: statistics(nodes[0])["tcp_listeners"].get(str(port)) == 3, "all are known")
    device = await Device.connect(nodes[0], port)
    opened = await fine.expect(OPENED)
    data = random.Random(4).randbytes(40 * MIB)
    sending = asyncio.create_task(device.send(data))
    assert await fine.data_of(opened.id, len(data)) == data
    await sending
    assert statistics(nodes[1])["tcp_listeners"] == {str(port): 1}
    for driver in (fine, *deaf):
        driver.vanish()
    assert await device.at_end()


async def test_messages_larger_than_every_bound_for_deaf_devices(yard, redis):
    nodes = start_fleet(yard, [redis.url] * 2, message_limit="4m", queue_limit="64k", dispatch_stall="2s")
    port = free_port()
    driver = await Driver.connect(nodes[0], port)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    for node in nodes:
        device = await Device.connect(node, port, limit=1024)
        opened = await driver.expect(OPENED)
        for _ in range(8):
            await driver.socket.send(pack(WRITE, opened.ip, opened.id, b"x" * (4 * MIB - 100)))
        assert (await driver.expect(CLOSED)).id == opened.id
        device.reset()
    driver.vanish()
