# SPDX-License-Identifier: MIT
"""Dispatch and peers that are slow but not gone, that leave early, or that all speak at once."""

import asyncio
import socket

import pytest

from lib.dispatch import CLOSED, OPENED, Device, Driver, start_fleet, start_node, statistics
from lib.ports import free_port
from lib.waiting import Expired, until, within

KIB = 1024
PIECE, FLOOD = 128 * KIB, 100 * 128 * KIB  # bytes
CUT = "muster_dispatch_cut_total"
STALLED = "muster_dispatch_stalled_total"


def narrow_socket(source="127.0.0.1"):
    """A client whose kernel takes little: what it has not read stays with the server."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    client.setblocking(False)
    client.bind((source, 0))
    return client


async def narrow_device(node, port):
    client = narrow_socket()
    await within(asyncio.get_running_loop().sock_connect(client, (node.bind, port)), "the port accepts")
    return client


async def sip(client, seconds, step, pause):
    """Reads a little again and again; the bytes, or what there was when the server closed it."""
    loop, size = asyncio.get_running_loop(), 0
    end = loop.time() + seconds
    while loop.time() < end:
        data = await within(loop.sock_recv(client, step), "data")
        if not data:
            return size, True
        size += len(data)
        await asyncio.sleep(pause)
    return size, False


@pytest.mark.parametrize("device_node", [0, 1], ids=["same node", "other node"])
async def test_a_slow_device_that_reads_is_no_deaf_one(yard, redis, device_node):
    """A device behind a serial line takes minutes for what its driver writes in one go."""
    nodes = start_fleet(yard, [redis.url] * 2, dispatch_stall="1s")
    port = free_port()
    driver = await Driver.connect(nodes[0], port, write_limit=64 * KIB)
    await until(lambda: str(port) in statistics(nodes[1])["tcp_listeners"], "both know")
    device = await narrow_device(nodes[device_node], port)
    opened = await driver.expect(OPENED)

    async def send():
        for _ in range(100):
            await driver.write(opened, bytes(128 * KIB))
    sending = asyncio.create_task(send())
    size, ended = await sip(device, 6, 2 * KIB, 0.02)
    assert not ended and size > 100 * KIB
    assert sum(node.metrics()[STALLED] for node in nodes) == 0
    sending.cancel()
    device.close()
    driver.vanish()


async def test_a_slow_driver_that_reads_is_no_deaf_one(yard):
    """Held back are more devices than are let go at once, so that some always are."""
    node = start_node(yard, dispatch_stall="1s")
    port = free_port()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
    client.connect(("127.0.0.1", node.port))
    driver = await Driver.connect(node, port, sock=client, max_queue=1, read_limit=4 * KIB)
    devices = [await Device.connect(node, port) for _ in range(300)]

    async def send(device):
        while True:
            await device.send(bytes(64 * KIB))
    sending = [asyncio.create_task(send(device)) for device in devices]
    end = asyncio.get_running_loop().time() + 6
    while asyncio.get_running_loop().time() < end:
        await driver.next()
        await asyncio.sleep(0.1)
    for task in sending:
        task.cancel()
    for device in devices:
        device.reset()
    driver.vanish()


async def test_what_a_device_sent_before_it_closed_arrives_though_it_was_answered(yard):
    """Its system refuses the answer; its bytes lie in our socket while a slow driver holds it back."""
    node = start_node(yard)

    async def fill(device):
        while True:
            await within(device.send(bytes(64 * KIB)), "room", 0.5)

    async def read_all(driver):
        while True:
            await driver.next()

    port, total = free_port(), 50 * KIB
    slow = await Driver.connect(node, port, "127.0.0.1,127.0.0.2", max_queue=1, read_limit=4 * KIB)
    quick = await Driver.connect(node, port, "127.0.0.1")
    flood = await Device.connect(node, port, "127.0.0.2")
    with pytest.raises(Expired):
        await fill(flood)
    device = await Device.connect(node, port, "127.0.0.1")
    device.writer.write(bytes(total))
    device.close()
    opened = await quick.expect(OPENED)
    for _ in range(3):
        await quick.write(opened, b"ack")
        await asyncio.sleep(0.1)  # for the refusal to come back: nobody tells
    reading = asyncio.create_task(read_all(slow))
    assert len(await quick.data_of(opened.id, total)) == total
    await quick.expect(CLOSED)
    reading.cancel()
    flood.reset()
    slow.vanish()
    quick.vanish()


async def test_a_burst_of_many_drivers_is_no_reason_to_cut_streams(yard, redis):
    """More than the way to Redis holds comes in within one turn of the loop."""
    nodes = start_fleet(yard, [redis.url] * 2, lease="20s")
    count, piece = 400, 60 * KIB
    port = free_port()
    drivers = [await Driver.connect(nodes[0], port, f"127.0.{1 + i // 200}.{1 + i % 200}") for i in range(count)]
    await until(lambda: statistics(nodes[1])["tcp_listeners"].get(str(port)) == count, "both know")
    devices = [await Device.connect(nodes[1], port, f"127.0.{1 + i // 200}.{1 + i % 200}") for i in range(count)]
    opened = [await driver.expect(OPENED) for driver in drivers]
    for size in [1] * 6 + [piece]:  # the loop learns to take hundreds of them at once
        nodes[0].pause()
        for driver, frame in zip(drivers, opened):
            await driver.write(frame, bytes(size))
        await until(lambda: not any(driver.socket.transport.get_write_buffer_size() for driver in drivers),
                    "the node's system has all")
        nodes[0].cont()
        for device in devices:
            assert len(await device.read(size)) == size
    assert sum(node.metrics()[CUT] for node in nodes) == 0
    for driver, device in zip(drivers, devices):
        device.close()
        driver.vanish()


async def flood(node, port):
    """A driver that writes FLOOD bytes to a device that takes few of them; the task that does."""
    driver = await Driver.connect(node, port, write_limit=64 * KIB)
    device = await narrow_device(node, port)
    opened = await driver.expect(OPENED)

    async def send():
        for _ in range(FLOOD // PIECE):
            await driver.write(opened, bytes(PIECE))
    return driver, device, asyncio.create_task(send())


async def test_a_device_can_tell_that_not_all_for_it_came_through(yard):
    """A clean end after a part of what its driver wrote would be a stream cut silently."""
    node = start_node(yard, dispatch_stall="1s")
    port = free_port()
    driver, device, sending = await flood(node, port)
    await driver.expect(CLOSED)
    with pytest.raises(ConnectionResetError):
        await sip(device, 60, 256 * KIB, 0)
        raise AssertionError("the stream ended as if it were whole")
    sending.cancel()
    driver.vanish()


async def test_a_node_that_leaves_does_not_end_a_stream_as_if_it_were_whole(yard):
    """Its drain is over before a device that stands still has taken all."""
    node = start_node(yard, drain="1s")
    port = free_port()
    driver, device, sending = await flood(node, port)
    taken = [0, -1]
    while taken[-1] != taken[-2] or taken[-1] == 0:
        await asyncio.sleep(0.2)  # until it stands still: the device takes no more
        taken.append(node.metrics()["muster_dispatch_sent_bytes_total"])
    assert taken[-1] < FLOOD
    node.term()
    await until(lambda: not node.alive(), "the node has left")
    with pytest.raises(ConnectionResetError):
        await sip(device, 60, 256 * KIB, 0)
        raise AssertionError("the stream ended as if it were whole")
    sending.cancel()
    driver.vanish()
