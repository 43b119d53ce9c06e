# SPDX-License-Identifier: MIT
"""Dispatch on several nodes, and what is promised when things break."""

import asyncio
import contextlib
import re
import time

import pytest
import websockets

from lib.dispatch import (
    CLOSED, OPENED, RECEIVED, SECRET, Datagrams, Device, Driver, is_open, path_of, start_fleet,
    statistics, until_closed, until_open)
from lib.frames import RawWebSocket
from lib.ports import free_port
from lib.waiting import until, until_true

LEASE = 2.0
SLACK = 1.5  # for the loop of a busy test machine
NOTHING = {"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}}


@pytest.fixture
def fleet(yard, redis):
    """Three nodes on one Redis."""
    return start_fleet(yard, [redis.url] * 3)


async def joined(nodes, driver_nodes, device_node, accept="127.0.0.0/24"):
    """A port, a driver on each of the driver nodes, a device, and what it was announced as."""
    port = free_port()
    drivers = [await Driver.connect(node, port, accept) for node in driver_nodes]
    await until_open(nodes, port)
    await known_everywhere(nodes, port, len(drivers))
    device = await Device.connect(device_node, port)
    opened = [await driver.expect(OPENED) for driver in drivers]
    assert len(set(opened)) == 1
    return port, drivers, device, opened[0]


async def known_everywhere(nodes, port, drivers, proto="tcp"):
    for node in nodes:
        await until(lambda node=node: statistics(node)[f"{proto}_listeners"].get(str(port), 0) == drivers,
                    f"{node.name} knows {drivers} drivers of {port}")


async def assert_they_talk(drivers, device, opened):
    await device.send(b"from the device")
    for driver in drivers:
        assert await driver.data_of(opened.id, 15) == b"from the device"
        await driver.write(opened, b"from a driver")
        assert await device.read(13) == b"from a driver"


async def leave(nodes, port, drivers):
    for driver in drivers:
        await driver.close()
    await until_closed(nodes, port)
    for node in nodes:
        await until(lambda node=node: str(port) not in statistics(node)["tcp_listeners"], "the port is forgotten")


async def test_a_device_reaches_its_driver_on_another_node(fleet):
    port, drivers, device, opened = await joined(fleet, [fleet[0]], fleet[1])
    assert (opened.ip, opened.data) == ("127.0.0.1", b"") and opened.id < 2 ** 53
    await assert_they_talk(drivers, device, opened)
    for node in fleet:
        await until(lambda node=node: statistics(node)["tcp_clients"] == {str(port): 1}, "the client is counted")
        assert statistics(node)["tcp_listeners"] == {str(port): 1}
    await device.send(b"last")
    device.close()
    assert await drivers[0].data_of(opened.id, 4) == b"last"
    assert (await drivers[0].expect(CLOSED)).id == opened.id
    shut = await Device.connect(fleet[2], port)
    opened = await drivers[0].expect(OPENED)
    await drivers[0].write(opened, b"read this first")
    await drivers[0].shut(opened)
    assert await shut.read(15) == b"read this first"
    assert await shut.at_end()
    await drivers[0].expect(CLOSED)
    await leave(fleet, port, drivers)
    for node in fleet:
        await until(lambda node=node: statistics(node) == NOTHING, "nothing is left")


async def test_drivers_of_all_nodes_get_everything(fleet):
    port, drivers, device, opened = await joined(fleet, [*fleet, fleet[1]], fleet[2])
    await assert_they_talk(drivers, device, opened)
    await drivers[2].close()  # that on the device's node
    await assert_they_talk([drivers[0], drivers[1], drivers[3]], device, opened)
    late = await Driver.connect(fleet[2], port)
    assert (await late.expect(OPENED)).id == opened.id
    elsewhere = await Driver.connect(fleet[0], port)
    assert (await elsewhere.expect(OPENED)).id == opened.id
    drivers = [drivers[0], drivers[1], drivers[3], late, elsewhere]
    await assert_they_talk(drivers, device, opened)
    for driver in drivers[:-1]:
        await driver.close()
    await assert_they_talk([elsewhere], device, opened)
    await elsewhere.close()
    assert await device.at_end()
    await leave(fleet, port, [])


async def test_a_first_driver_elsewhere_gets_the_devices_that_are_there(fleet):
    port, drivers, device, opened = await joined(fleet, [fleet[0]], fleet[0])
    for node in fleet[1:]:
        late = await Driver.connect(node, port)
        assert (await late.expect(OPENED)).id == opened.id
        drivers.append(late)
    await assert_they_talk(drivers, device, opened)
    for old in drivers[:2]:
        await old.close()
    await assert_they_talk(drivers[2:], device, opened)
    await leave(fleet, port, drivers[2:])


async def test_accept_counts_on_every_node(fleet):
    port = free_port()
    five = await Driver.connect(fleet[0], port, "127.0.0.5")
    six = await Driver.connect(fleet[1], port, "127.0.0.6")
    await known_everywhere(fleet, port, 2)
    devices = {ip: await Device.connect(fleet[2], port, ip) for ip in ("127.0.0.5", "127.0.0.6")}
    assert (await five.expect(OPENED)).ip == "127.0.0.5"
    assert (await six.expect(OPENED)).ip == "127.0.0.6"
    refused = await Device.connect(fleet[2], port, "127.0.0.7")
    assert await refused.at_end()
    await five.close()
    assert await devices["127.0.0.5"].at_end()
    await devices["127.0.0.6"].send(b"here")
    assert (await six.expect(RECEIVED)).data == b"here"
    await leave(fleet, port, [six])


async def test_ids_are_unique_in_the_cluster(fleet):
    port = free_port()
    driver = await Driver.connect(fleet[0], port)
    await known_everywhere(fleet, port, 1)
    devices = [await Device.connect(node, port) for node in fleet * 20]
    ids = {(await driver.expect(OPENED)).id for _ in devices}
    assert len(ids) == len(devices) and max(ids) < 2 ** 53
    for device in devices:
        device.close()
    assert {(await driver.expect(CLOSED)).id for _ in devices} == ids
    await leave(fleet, port, [driver])


async def test_datagrams_between_nodes(fleet):
    port = free_port()
    driver = await Driver.connect(fleet[0], port, proto="udp")
    twin = await Driver.connect(fleet[0], port, proto="udp")
    here = await Driver.connect(fleet[1], port, proto="udp")
    await known_everywhere(fleet, port, 3, "udp")
    device = Datagrams()
    for size in (1, 0, 2049, 65507):
        device.send(fleet[1], port, b"d" * size)
        for one in (driver, twin, here):
            frame = await one.expect(RECEIVED)
            assert (frame.ip, frame.id, len(frame.data)) == ("127.0.0.1", device.port, size)
        await driver.write(frame, b"a" * size)
        data, sender = await device.next()
        assert len(data) == size
        assert sender == (fleet[1].bind, port), "an answer comes from where the question went"
    for one in (driver, twin, here):
        await one.close()
    device.close()
    await until(lambda: statistics(fleet[2]) == NOTHING, "nothing is left")


async def test_a_port_that_one_node_cannot_open_is_told(fleet):
    port = free_port()
    taken = await asyncio.start_server(lambda reader, writer: writer.close(), fleet[1].bind, port)
    driver = await Driver.connect(fleet[0], port)
    await until(lambda: statistics(fleet[2]).get("tcp_unbound") == {str(port): 1}, "the statistics tell")
    assert fleet[1].metrics()["muster_dispatch_unbound_ports"] == 1
    assert "port cannot be opened here" in fleet[1].log()
    device = await Device.connect(fleet[2], port)
    await assert_they_talk([driver], device, await driver.expect(OPENED))
    taken.close()
    await taken.wait_closed()
    await until(lambda: "tcp_unbound" not in statistics(fleet[2]), "it was tried again")
    other = await Device.connect(fleet[1], port)
    await assert_they_talk([driver], other, await driver.expect(OPENED))
    await leave(fleet, port, [driver])


# ------------------------------------------------------------------------------------------ faults

async def test_the_node_of_the_driver_is_killed(fleet):
    port, drivers, device, opened = await joined(fleet, [fleet[0]], fleet[1])
    shared = await Driver.connect(fleet[2], port, "127.0.0.50")
    survivor = await Device.connect(fleet[1], port, "127.0.0.50")
    other = await shared.expect(OPENED)
    assert (await drivers[0].expect(OPENED)).id == other.id
    fleet[0].kill()
    start = time.monotonic()
    assert await device.at_end()
    assert time.monotonic() - start < LEASE + SLACK
    await assert_they_talk([shared], survivor, other)
    await shared.close()
    await until_closed(fleet[1:], port)


async def test_the_node_of_the_device_is_killed(fleet):
    port, drivers, _, opened = await joined(fleet, fleet[:2], fleet[2])
    fleet[2].kill()
    start = time.monotonic()
    for driver in drivers:
        assert (await driver.expect(CLOSED)).id == opened.id
    assert time.monotonic() - start < LEASE + SLACK
    await until(lambda: statistics(fleet[0])["tcp_clients"] == {}, "its clients are not counted")
    await leave(fleet[:2], port, drivers)


async def test_a_drained_node_tells_at_once(fleet):
    port, drivers, device, opened = await joined(fleet, [fleet[0]], fleet[1])
    start = time.monotonic()
    fleet[1].term()
    assert (await drivers[0].expect(CLOSED)).id == opened.id
    assert await device.at_end()
    assert time.monotonic() - start < LEASE
    device = await Device.connect(fleet[2], port)
    opened = await drivers[0].expect(OPENED)
    start = time.monotonic()
    fleet[0].term()
    assert await drivers[0].close_code() == 1001
    assert await device.at_end()
    assert time.monotonic() - start < LEASE
    await until_closed([fleet[2]], port)


@pytest.mark.parametrize("whose", ["driver", "device"])
async def test_a_node_that_stood_still_gives_up_what_the_others_gave_up(fleet, whose):
    port, [driver], device, opened = await joined(fleet, [fleet[0]], fleet[1])
    still, other = (fleet[0], fleet[1]) if whose == "driver" else (fleet[1], fleet[0])
    still.pause()
    if whose == "device":
        assert (await driver.expect(CLOSED)).id == opened.id
    else:
        assert await device.at_end()
    still.cont()
    if whose == "device":
        assert await device.at_end()
    else:
        assert (await driver.expect(CLOSED)).id == opened.id
    assert other.alive()
    await until_open(fleet, port)
    await reaches_again(fleet[1], port, driver)
    await leave(fleet, port, [driver])


async def test_a_driver_that_gives_up_while_it_registers_leaves_nothing(yard, redis):
    proxy = yard.proxy(redis)
    [node] = start_fleet(yard, [proxy.url], lease="10s")
    port = free_port()
    proxy.freeze()
    request = (f"GET {path_of(port, '127.0.0.1')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
               "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(request)
    await until_open([node], port)
    writer.transport.abort()
    proxy.thaw()
    await until_closed([node], port)
    await until(lambda: statistics(node) == NOTHING, "nothing is left")
    driver = await Driver.connect(node, port)
    await leave([node], port, [driver])


async def device_before_its_driver(node, proxy):
    """The driver's claim is on its way, the port is open, and a device came through it and spoke."""
    port = free_port()
    proxy.freeze()
    registering = asyncio.create_task(Driver.connect(node, port, "127.0.0.1"))
    await until_open([node], port)
    device = await Device.connect(node, port)
    await device.send(b"hello")
    return port, registering, device


async def test_a_device_that_comes_while_its_driver_registers_is_not_turned_away(yard, redis):
    proxy = yard.proxy(redis)
    [node] = start_fleet(yard, [proxy.url], lease="10s")
    port, registering, device = await device_before_its_driver(node, proxy)
    proxy.thaw()
    driver = await registering
    opened = await driver.expect(OPENED)
    assert await driver.data_of(opened.id, 5) == b"hello"
    await driver.write(opened, b"welcome")
    assert await device.read(7) == b"welcome"
    await driver.close()
    await device.at_end()
    await until_closed([node], port)


async def test_a_device_whose_driver_gives_up_registering_is_closed(yard, redis):
    proxy = yard.proxy(redis)
    [node] = start_fleet(yard, [proxy.url], lease="10s")
    port, registering, device = await device_before_its_driver(node, proxy)
    with pytest.raises(websockets.InvalidStatusCode) as refusal:
        await registering
    assert refusal.value.status_code == 503
    await device.at_end()
    proxy.thaw()
    await until_closed([node], port)
    await until(lambda: statistics(node) == NOTHING, "nothing is left")


async def stream(device, stop):
    """Sends numbered lines until told, or until the device is closed."""
    number = 0
    try:
        while not stop.is_set():
            await device.send(b"".join(b"%015d\n" % n for n in range(number, number + 64)))
            number += 64
            await asyncio.sleep(0)
    except ConnectionError:
        pass


async def follow(driver, id_, until_closed_):
    """Each line in order, none missing; returns how many when CLOSED comes."""
    number, rest = 0, b""
    driver.lines = 0
    while True:
        frame = await driver.next()
        assert frame.id == id_
        if frame.type == CLOSED:
            assert until_closed_
            return number
        assert frame.type == RECEIVED
        rest += frame.data
        while len(rest) >= 16:
            assert rest[:16] == b"%015d\n" % number, (rest[:16], number)
            number, rest = number + 1, rest[16:]
        driver.lines = number


async def torn(nodes, tear):
    """A device's stream from the second node to a driver at the first, and beside it one that needs the first alone. What carries
    the stream between them is torn: it is closed without a hole, and the other one goes on. (port, its drivers)"""
    port, [driver], device, opened = await joined(nodes, [nodes[0]], nodes[1])
    local = await Device.connect(nodes[0], port, "127.0.0.60")
    opened_local = await driver.expect(OPENED)
    local_driver = await Driver.connect(nodes[0], port, "127.0.0.60")
    assert (await local_driver.expect(OPENED)).id == opened_local.id
    stop = asyncio.Event()
    sending = asyncio.create_task(stream(device, stop))
    following = asyncio.create_task(follow(driver, opened.id, True))
    await until(lambda: getattr(driver, "lines", 0) > 1000, "the stream flows")
    await tear()
    assert await following > 1000
    assert await device.at_end()
    stop.set()
    await sending
    await local.send(b"one node needs no Redis")
    assert (await local_driver.expect(RECEIVED)).data == b"one node needs no Redis"
    return port, [driver, local_driver]


@pytest.mark.parametrize("whose", ["driver", "device"])
@pytest.mark.parametrize("fault", ["drop_links", "cut"])
async def test_a_stream_is_closed_where_redis_was_cut(yard, redis, whose, fault):
    proxies = [yard.proxy(redis), yard.proxy(redis)]
    nodes = start_fleet(yard, [proxy.url for proxy in proxies])
    proxy = proxies[0 if whose == "driver" else 1]
    port, drivers = await torn(nodes, lambda: asyncio.to_thread(getattr(proxy, fault)))
    if fault == "cut":
        proxy.mend()
    await until(lambda: all(node.is_ready() for node in nodes), "all are ready again")
    await reaches_again(nodes[1], port, drivers[0])
    await leave(nodes, port, drivers)


async def reaches_again(node, port, driver):
    """The node takes devices for the driver again; until it can, it closes them."""
    async def try_one():
        device = await Device.connect(node, port, "127.0.0.80")
        while True:
            frame = await driver.next()
            if frame.type == OPENED and frame.ip == "127.0.0.80":
                break
        try:
            await device.send(b"again")
            frame = await driver.next()
            while frame.type == RECEIVED and frame.ip != "127.0.0.80":
                frame = await driver.next()
            return frame.type == RECEIVED and frame.data == b"again"
        except ConnectionError:
            return False

    async def connects():
        try:
            probe = await Device.connect(node, port, "127.0.0.81")
            await asyncio.wait_for(probe.reader.read(1), 0.2)
        except (asyncio.TimeoutError, TimeoutError):
            return True
        except ConnectionError:
            pass
        return False
    await until_true(connects, "devices are taken again")
    await until_true(try_one, "data comes through again")


async def test_redis_is_restarted_empty(yard, redis):
    nodes = start_fleet(yard, [redis.url] * 2)
    port, [driver], device, opened = await joined(nodes, [nodes[0]], nodes[1])
    mine = await Device.connect(nodes[0], port, "127.0.0.60")
    other = await driver.expect(OPENED)
    await asyncio.to_thread(redis.restart_empty)
    assert await device.at_end()
    assert (await driver.expect(CLOSED)).id == opened.id
    await assert_they_talk([driver], mine, other)
    await until(lambda: all(node.is_ready() for node in nodes), "all are ready again")
    await reaches_again(nodes[1], port, driver)
    await known_everywhere(nodes, port, 1)
    assert all([await is_open(node, port) for node in nodes])
    await leave(nodes, port, [driver])


async def test_without_redis_a_driver_is_told(yard, redis):
    proxy = yard.proxy(redis)
    [node] = start_fleet(yard, [proxy.url])

    def ask(port):
        socket_ = RawWebSocket(node, path_of(port, "127.0.0.1"), handshake=False)
        with socket_:
            socket_.send((f"GET {path_of(port, '127.0.0.1')} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
            return socket_.response().status

    proxy.cut()
    await until(lambda: not node.is_ready(), "the node has noticed")
    port = free_port()
    assert await asyncio.to_thread(ask, port) == 503
    await until_closed([node], port)
    proxy.mend()
    await until(node.is_ready, "it is ready again")
    driver = await Driver.connect(node, port)
    await leave([node], port, [driver])


async def test_two_redis_servers_share_the_work(yard):
    servers = [yard.redis(), yard.redis()]
    proxies = [[yard.proxy(server) for server in servers] for _ in range(2)]
    nodes = start_fleet(yard, [",".join(f"{proxy.url}#server{i}" for i, proxy in enumerate(mine)) for mine in proxies])
    for proxy in proxies[1]:
        port, [driver], device, opened = await joined(nodes, [nodes[0]], nodes[1])
        await assert_they_talk([driver], device, opened)
        proxy.drop_links()  # of the device's node, to one of the servers
        with contextlib.suppress(ConnectionError):
            await device.send(b"either it arrives or the stream ends")
        frame = await driver.next()
        if frame.type == CLOSED:
            assert await device.at_end()
        else:
            assert frame.data == b"either it arrives or the stream ends"
            device.close()
        await until(lambda: all(node.is_ready() for node in nodes), "all are ready again")
        await leave(nodes, port, [driver])


def node_topics(server):
    return set(re.findall(r"dispatch:node:[^\s'\",\\]+", str(server.command("PUBSUB", "CHANNELS", "*"))))


async def test_a_link_that_falls_cuts_only_what_went_over_it(yard):
    """Each node's topic is on one of two servers: bytes to that node go over it."""
    servers = [yard.redis(), yard.redis()]
    proxies = [yard.proxy(server) for server in servers]
    nodes, homes = [], []

    async def begin(urls):
        """A node is ready as soon as one of its servers is: the one that has its topic may be the other."""
        before = [node_topics(server) for server in servers]
        [node] = start_fleet(yard, [",".join(urls)], first=len(nodes))
        nodes.append(node)
        new = await until(lambda: [i for i in (0, 1) if node_topics(servers[i]) - before[i]], f"{node.name} has its topic")
        homes.append(new[0])
    await begin([f"{proxy.url}#{at}" for at, proxy in enumerate(proxies)])
    near, away = homes[0], 1 - homes[0]
    while not {near, away} <= set(homes[1:]):
        await begin([f"{server.url}#{at}" for at, server in enumerate(servers)])
    at = {home: nodes[homes.index(home, 1)] for home in (near, away)}
    _, [kept], device, opened = await joined(nodes, [at[near]], nodes[0])
    _, [lost], lost_device, _ = await joined(nodes, [at[away]], nodes[0])
    proxies[away].drop_links()
    assert (await lost.next()).type == CLOSED
    assert await lost_device.at_end()
    await assert_they_talk([kept], device, opened)
    device.close()
    assert (await kept.next()).type == CLOSED
    for driver in (kept, lost):
        await driver.close()


async def test_a_driver_of_todays_platform_comes_back_by_itself(yard, redis):
    """What its transport sends: the token and the module's id as headers, and the newer path. With that transport itself:
    test_dispatch_drivers.py."""
    nodes = start_fleet(yard, [redis.url] * 2)
    port = free_port()

    async def connect(node):
        return await Driver.connect(node, port, "127.0.0.0/24", proto="tcp", token=None, base="/api/dispatch/v1", extra_headers={
            "Authorization": f"Bearer {SECRET}", "X-Module-ID": "mod-EQh4ug~a2b"}, user_agent_header=None)
    driver = await connect(nodes[0])
    await until_open(nodes, port)
    device = await Device.connect(nodes[1], port)
    await driver.expect(OPENED)
    await device.send(b"PWR?")
    frame = await driver.expect(RECEIVED)
    await driver.write(frame, b"PWR=ON")
    assert await device.read(6) == b"PWR=ON"
    device.writer.close()
    await driver.expect(CLOSED)
    nodes[0].kill()
    with pytest.raises(OSError):
        await connect(nodes[0])
    again = await connect(nodes[1])
    await until_open(nodes[1:], port)
    device = await Device.connect(nodes[1], port)
    frame = await again.expect(OPENED)
    await again.shut(frame)
    await again.expect(CLOSED)
    await again.close()
