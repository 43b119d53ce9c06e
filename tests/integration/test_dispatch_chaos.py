# SPDX-License-Identifier: MIT
"""Drivers and devices that come, speak and go at random on three nodes, while links to Redis fall: what a driver hears
of a device is OPENED, its bytes from some point on without a hole, CLOSED; and in the end nothing is left."""

import asyncio
import random
import struct
import time

import pytest
import websockets

from lib.dispatch import CLOSED, OPENED, RECEIVED, Device, Driver, start_fleet, statistics, unpack
from lib.ports import free_port
from lib.waiting import until

SECONDS = 8
NOTHING = {"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}}


def numbers(first, count):
    return b"".join(struct.pack("!I", n) for n in range(first, first + count))


class Stream:
    """What one driver hears of one device: numbers that follow each other."""

    def __init__(self):
        self.rest, self.next = b"", None

    def take(self, data):
        self.rest += data
        if self.next is None:  # a late driver begins anywhere, but says so with no byte: devices send whole numbers
            self.next = struct.unpack_from("!I", self.rest)[0] if len(self.rest) >= 4 else None
        if self.next is not None:
            count = len(self.rest) // 4
            assert self.rest[:count * 4] == numbers(self.next, count), "a hole in the stream"
            self.next, self.rest = self.next + count, self.rest[count * 4:]


async def listen(driver, rng):
    streams = {}
    try:
        async for message in driver.socket:
            frame = unpack(message)
            if frame.type == OPENED:
                assert frame.id not in streams
                streams[frame.id] = Stream()
            elif frame.type == RECEIVED:
                streams[frame.id].take(frame.data)
                if rng.random() < 0.1:
                    await driver.write(frame, b"x" * rng.choice((1, 1000, 100_000)))
                elif rng.random() < 0.02:
                    await driver.shut(frame)
            else:
                assert frame.type == CLOSED
                del streams[frame.id]
    except websockets.ConnectionClosed:
        pass


async def one_driver(nodes, ports, rng):
    driver = await Driver.connect(rng.choice(nodes), rng.choice(ports), "127.0.0.0/24")
    listening = asyncio.create_task(listen(driver, rng))
    await asyncio.sleep(rng.random() * 1.5)
    if rng.random() < 0.5:
        driver.vanish()
    else:
        await driver.close()
    await listening


async def one_device(nodes, ports, rng):
    device = await Device.connect(rng.choice(nodes), rng.choice(ports))

    async def read():
        while await device.reader.read(65536):
            pass
    reading = asyncio.create_task(read())
    number, end = 0, time.monotonic() + rng.random()
    try:
        while time.monotonic() < end:
            # One number a piece: a late driver may begin at the edge of any piece, so that edge must be one of numbers.
            count = rng.choice((1, 16, 256))
            await device.send(numbers(number, count))
            number += count
            await asyncio.sleep(rng.random() * 0.02)
    finally:
        reading.cancel()
        if rng.random() < 0.5:
            device.reset()
        else:
            device.close()


async def again_and_again(work, nodes, ports, rng, end):
    while time.monotonic() < end:
        try:
            await work(nodes, ports, rng)
        except (OSError, websockets.InvalidStatusCode, websockets.InvalidMessage, websockets.ConnectionClosed):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", [1, 2])
async def test_anything_in_any_order(yard, redis, seed):
    proxies = [yard.proxy(redis) for _ in range(3)]
    nodes = start_fleet(yard, [proxy.url for proxy in proxies])

    rng = random.Random(seed)
    ports = [free_port() for _ in range(3)]
    end = time.monotonic() + SECONDS
    works = [again_and_again(one_driver, nodes, ports, rng, end) for _ in range(10)]
    works += [again_and_again(one_device, nodes, ports, rng, end) for _ in range(20)]

    async def break_links():
        while time.monotonic() < end:
            await asyncio.sleep(0.5 + rng.random())
            await asyncio.to_thread(rng.choice(proxies).drop_links)
    await asyncio.gather(*works, break_links())
    for node in nodes:
        await until(lambda node=node: statistics(node) == NOTHING, f"{node.name} has nothing left")
        await until(lambda node=node: node.metrics()["muster_dispatch_devices"] == 0, "no device is left")
    total = {name: sum(node.metrics()[f"muster_dispatch_{name}_total"] for node in nodes)
             for name in ("received_bytes", "sent_bytes", "cut", "refused")}
    print(total)
    del total["refused"]  # a device between two drivers, now and then
    assert min(total.values()) > 0, total
