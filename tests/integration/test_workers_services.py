# SPDX-License-Identifier: MIT
"""Every service behind --workers: clients share the ports, one worker is killed in the middle, all are drained."""

import asyncio
import contextlib
import json
import os
import re
import signal
import time

import pytest

from lib.chat import ChatClient
from lib.dispatch import CLOSED, OPENED, RECEIVED, Datagrams, Device, Driver, statistics, until_closed
from lib.node import LEASE
from lib.ports import free_port
from lib.process import muster
from lib.relay import Splitter
from lib.tcp import HttpClient
from lib.waiting import until, wait_until, within
from test_settings import assert_names
from test_tracker import Peer, UNKNOWN, udp_port

LEASE_SECONDS, SLACK = 2.0, 1.5
END = b"\r\nHost: a\r\n\r\n"
MOST = 200  # clients until each worker must have had one


@pytest.fixture
def start(yard, redis):
    """Starts workers with every port open: start(2, drain="5s")."""
    def start(count, **settings):
        relay, tracker = free_port(), udp_port()
        workers = yard.workers(count, **{
            "store": redis.url, "lease": LEASE, "relay": f"127.0.0.1:{relay}", "relay_pacing": "off", "relay_joins": 0,
            "relay_status_token": "look", "tracker": f"127.0.0.1:{tracker}", "tracker_dialect": "sobani",
            "tracker_rate": 0, "dispatch_bind": "127.0.0.1", "dispatch_ports": "15000-31000",
            "chat_login": "development", "chat_rate": 10000, "chat_burst": 10000, **settings})
        workers.relay_port, workers.tracker_port, workers.bind = relay, tracker, "127.0.0.1"
        return workers.ready()
    return start


def gauges(workers, name):
    return [workers.worker_metrics(i)[name] for i in range(workers.count)]


async def one_on_each(workers, gauge, connect, leave):
    """Clients until each worker has one: the kernel chooses whose. The first of each worker; the others have left."""
    found, others = {}, []
    while len(found) < workers.count:
        before = gauges(workers, gauge)
        client = await connect(len(found) + len(others))
        number, = await until(lambda: [i for i, (a, b) in enumerate(zip(before, gauges(workers, gauge))) if b > a],
                              "a worker counts it")
        if number in found:
            others.append(client)
        else:
            found[number] = client
        assert len(others) < MOST
    for client in others:
        await leave(client)
    await until(lambda: gauges(workers, gauge) == [1] * workers.count, "the others have left")
    return [found[number] for number in range(workers.count)]


def kill_worker(workers, number):
    """It is gone on return: connections that the kernel had given it are reset, and it gets no more."""
    ended = f"worker ended worker={number} "
    before = workers.log().count(ended)
    os.kill(workers.worker_pids()[number], signal.SIGKILL)
    wait_until(lambda: workers.log().count(ended) > before, "it is gone")


def name_of(text):
    """The node that a status page speaks of."""
    return text.split("node")[1].split()[0]


async def started_again(workers, number, before):
    await until(lambda: workers.worker_pids()[number] != before and workers.worker_ready(number), "it is back")


# --- cross-server chat

class Server(Splitter):
    """A game server that knows how its connection ended."""

    lost = None

    def connection_lost(self, exc):
        self.lost = exc
        super().connection_lost(exc)

    def heard_of(self, name):
        """What that one said, in the order in which it came: its numbers."""
        return [int(text.split()[1]) for text in self.contents() if text.split()[0] == name]


def connect_server(workers, prefix="server"):
    return lambda number: Server.connect(workers.relay_port, f"{prefix}{number}")


async def leave_relay(server):
    server.close()
    await server.at_end()


async def servers_on_each(workers):
    servers = await one_on_each(workers, "muster_relay_servers", connect_server(workers), leave_relay)
    await all_know_each_other(servers)
    return servers


def directory(workers):
    """The identifiers that a worker tells of."""
    request = b"GET /api/relay HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer look\r\nConnection: close\r\n\r\n"
    with HttpClient(workers.port) as client:
        network, = json.loads(client.ask(request).body)["networks"]
    return {server["identifier"] for server in network["servers"]}


async def all_know_each_other(servers):
    for server in servers:
        await server.knows(*(other.name for other in servers if other is not server))


async def talk(server, first, count, pause=0.0):
    for number in range(first, first + count):
        server.say(f"{server.name} {number}")
        await asyncio.sleep(pause)


async def all_hear(servers, speakers, count):
    for server in servers:
        for speaker in speakers:
            if speaker is not server:
                await until(lambda: server.failure or len(server.heard_of(speaker.name)) >= count, "all is heard")
                server.check()
                assert server.heard_of(speaker.name) == list(range(count)), "in order, nothing twice"


async def test_servers_of_all_workers_share_one_chat(start):
    workers = start(3)
    servers = await servers_on_each(workers)
    assert len({server.identifier for server in servers}) == 3
    await asyncio.gather(*(talk(server, 0, 100) for server in servers))
    await all_hear(servers, servers, 100)
    for _ in range(20):  # whichever worker is asked
        assert directory(workers) == {server.identifier for server in servers}
    for server in servers:
        server.close()


async def test_relay_while_a_worker_is_killed(start):
    workers = start(3)
    one, lost, two = await servers_on_each(workers)
    before = workers.worker_pids()[1]
    talking = asyncio.gather(talk(one, 0, 150, 0.01), talk(two, 0, 150, 0.01))
    kill_worker(workers, 1)
    killed = time.monotonic()
    await lost.at_end()
    back = await Server.connect(workers.relay_port, "back")  # before anybody has noticed
    assert set(back.sees()) >= {one.name, two.name}
    await all_know_each_other([one, two, back])
    assert time.monotonic() - killed < LEASE_SECONDS + SLACK
    await talking
    await all_hear([one, two], [one, two], 150)
    await talk(back, 0, 20)
    await all_hear([one, two], [back], 20)
    await started_again(workers, 1, before)
    crowd = []
    while gauges(workers, "muster_relay_servers")[1] == 0:
        crowd.append(await Server.connect(workers.relay_port, f"more{len(crowd)}"))
        assert len(crowd) < MOST
    everybody = [one, two, back, *crowd]
    await all_know_each_other(everybody)
    await talk(crowd[-1], 0, 20)
    await all_hear(everybody, [crowd[-1]], 20)
    for server in everybody:
        server.close()


async def test_a_drain_of_busy_game_servers_resets_none(start):
    """What a server hears of another has no gap, whenever it was closed; each is closed in order."""
    workers = start(2, drain="2s")
    servers = [await Server.connect(workers.relay_port, f"server{i}") for i in range(12)]
    assert min(gauges(workers, "muster_relay_servers")) > 0
    await all_know_each_other(servers)

    async def chatter(server):
        number = 0
        while not server.closed and not server.transport.is_closing():
            await talk(server, number, 1, 0.005)
            number += 1
    talking = asyncio.gather(*map(chatter, servers))
    await until(lambda: all(server.heard_of(other.name) for server in servers for other in servers
                            if other is not server), "all have begun")
    workers.term()
    await asyncio.gather(*(server.at_end() for server in servers))
    await talking
    for server in servers:
        assert server.lost is None, server.lost
        server.check()
        for other in servers:
            heard = server.heard_of(other.name)
            assert heard == list(range(len(heard)))
    await until(lambda: workers.exit_code() == 0, "it ends")


# --- tracker

def peers_on_all(workers, stack, at_least=20):
    """Peers with their share ids, some of them at each worker."""
    peers, ids = [], []
    while len(peers) < at_least or min(gauges(workers, ANNOUNCES)) == 0:
        peers.append(stack.enter_context(Peer(workers)))
        ids.append(peers[-1].announce())
        assert len(peers) < MOST
    return peers, ids


ANNOUNCES = 'muster_tracker_requests_total{action="announce"}'
STORE_FAILURES = "muster_tracker_store_failures_total"


def each_is_found(workers, asker, peers, ids):
    for peer, share_id in zip(peers, ids):
        assert asker.push(share_id) == {"peeraddr": peer.address, "peerShareId": share_id}
        told, port = peer.income()
        assert told["peeraddr"] == asker.address
        assert port == workers.tracker_port, "from where it talked to"


def test_peers_of_all_workers_find_each_other(start):
    workers = start(3)
    with contextlib.ExitStack() as stack:
        peers, ids = peers_on_all(workers, stack)
        each_is_found(workers, peers[0], peers[1:], ids[1:])
        assert all(peer.ask("pulse")["data"]["status"] == "0" for peer in peers)
        assert peers[0].push("00000000") == UNKNOWN
        handed = gauges(workers, "muster_tracker_incomes_handed_over_total")
        assert handed == [0, 0, 0], "they hold one port: the worker that answers tells the other peer, too"


def test_a_killed_worker_costs_no_share_id(start):
    """Its peers are found and told at once, before they have said anything again, and go on at another worker."""
    workers = start(2)
    with contextlib.ExitStack() as stack:
        peers, ids = peers_on_all(workers, stack)
        asker = stack.enter_context(Peer(workers))
        asker.announce()
        before = workers.worker_pids()[0]
        kill_worker(workers, 0)
        each_is_found(workers, asker, peers, ids)

        def goes_on():
            for peer in peers:
                assert peer.ask("pulse")["data"] == {"status": "0", "overriden": "false"}
            return workers.worker_pids()[0] != before and workers.worker_ready(0)
        wait_until(goes_on, "it is back")
        each_is_found(workers, asker, peers, ids)
        assert gauges(workers, STORE_FAILURES) == [0, 0]


# --- dispatch

def opened_by(workers, port, proto="tcp"):
    """Workers that have that port open."""
    state = {}
    for what, number in re.findall(rf"port (opened|closed) worker=(\d+) port={proto}:{port}\b", workers.log()):
        state[int(number)] = what == "opened"
    return sorted(number for number, is_opened in state.items() if is_opened)


async def opened_by_all(workers, port, proto="tcp"):
    await until(lambda: opened_by(workers, port, proto) == list(range(workers.count)), "all have opened it")


async def devices_on_all(workers, port, drivers, at_least=1):
    """Devices, so many at least on each worker, by the id that the drivers know them by."""
    devices = {}
    while min(gauges(workers, "muster_dispatch_devices")) < at_least:
        device = await Device.connect(workers, port)
        opened = {await driver.expect(OPENED) for driver in drivers}
        assert len(opened) == 1
        devices[opened.pop()] = device
        assert len(devices) < MOST
    return devices


async def they_talk(driver, devices):
    for frame, device in devices.items():
        await device.send(b"question %d" % frame.id)
    for frame in devices:
        received = await driver.expect(RECEIVED)
        assert received.data == b"question %d" % received.id
        await driver.write(received, b"answer %d" % received.id)
    for frame, device in devices.items():
        expected = b"answer %d" % frame.id
        assert await device.read(len(expected)) == expected


async def driver_at(workers, port, proto="tcp"):
    """A driver, and the number of its worker."""
    before = gauges(workers, "muster_dispatch_drivers")
    driver = await Driver.connect(workers, port, proto=proto)
    number, = [i for i, (a, b) in enumerate(zip(before, gauges(workers, "muster_dispatch_drivers"))) if b > a]
    return driver, number


async def test_devices_of_all_workers_have_one_driver(start):
    workers = start(3)
    port = free_port()
    for _ in range(3):  # the port is closed with its driver, and can be opened again
        driver = await Driver.connect(workers, port)
        await opened_by_all(workers, port)
        devices = await devices_on_all(workers, port, [driver], 2)
        await they_talk(driver, devices)
        for _ in range(10):  # whichever worker is asked
            await until(lambda: statistics(workers)["tcp_clients"] == {str(port): len(devices)}, "all are counted")
        await driver.close()
        await asyncio.gather(*(device.at_end() for device in devices.values()))
        await until(lambda: opened_by(workers, port) == [], "all have closed it")
        await until_closed([workers], port)
        for device in devices.values():
            device.close()


async def test_dispatch_when_the_worker_of_devices_is_killed(start):
    workers = start(2)
    port = free_port()
    driver, at = await driver_at(workers, port)
    other = 1 - at
    await opened_by_all(workers, port)
    devices = await devices_on_all(workers, port, [driver], 2)
    theirs = int(gauges(workers, "muster_dispatch_devices")[other])
    before = workers.worker_pids()[other]
    kill_worker(workers, other)
    start_ = time.monotonic()
    gone = {(await driver.expect(CLOSED)).id for _ in range(theirs)}
    assert time.monotonic() - start_ < LEASE_SECONDS + SLACK
    left = {frame: device for frame, device in devices.items() if frame.id not in gone}
    await asyncio.gather(*(device.at_end() for frame, device in devices.items() if frame.id in gone))
    await they_talk(driver, left)
    await started_again(workers, other, before)
    await until(lambda: workers.log().count(f"port opened worker={other} port=tcp:{port}") == 2, "it opens it again")
    more = await devices_on_all(workers, port, [driver])
    await they_talk(driver, {**left, **more})
    await driver.close()
    await until_closed([workers], port)


async def test_dispatch_when_the_worker_of_the_driver_is_killed(start):
    workers = start(2)
    port = free_port()
    driver, at = await driver_at(workers, port)
    await opened_by_all(workers, port)
    devices = await devices_on_all(workers, port, [driver], 2)
    kill_worker(workers, at)
    start_ = time.monotonic()
    assert await driver.close_code() == 1006
    again = await Driver.connect(workers, port)
    await asyncio.gather(*(device.send(b"still here?") for device in devices.values()), return_exceptions=True)
    device = await Device.connect(workers, port)
    await device.send(b"mark")
    while (frame := await again.next()).data != b"mark":
        pass  # the devices that are left, and what they say
    await again.write(frame, b"seen")
    assert await device.read(4) == b"seen"
    assert time.monotonic() - start_ < LEASE_SECONDS + SLACK, "the dead one holds nobody back for longer"
    await again.close()
    await until_closed([workers], port)
    await asyncio.gather(*(device.at_end() for device in devices.values()))


@pytest.mark.parametrize("slow", [0, 1])
async def test_a_worker_that_comes_back_turns_no_device_away(yard, start, redis, slow):
    """The kernel gives it devices as soon as it listens; until it can reach the driver it does not, however long it has
    heard of it. Of two servers one is slow: what the workers learn comes in any order."""
    proxies = [yard.proxy(redis), yard.proxy(yard.redis())]
    workers = start(2, store=",".join(proxy.url for proxy in proxies), lease="10s")
    proxies[slow].delay = 0.05
    port = free_port()
    driver, at = await driver_at(workers, port)
    other = 1 - at
    await opened_by_all(workers, port)

    async def echo():
        with contextlib.suppress(Exception):
            while True:
                frame = await driver.next(60)
                if frame.type == RECEIVED:
                    await driver.write(frame, frame.data)
    echoing = asyncio.ensure_future(echo())

    async def ask():
        device = await Device.connect(workers, port)
        await device.send(b"question")
        answer = await device.read(8)
        device.close()
        return answer
    kill_worker(workers, other)
    while workers.log().count(f"port opened worker={other} port=tcp:{port}") < 2:
        assert await asyncio.gather(*(ask() for _ in range(8))) == [b"question"] * 8
    for _ in range(3):
        assert await asyncio.gather(*(ask() for _ in range(8))) == [b"question"] * 8
    await driver.close()
    await echoing


async def datagrams_on_all(workers, port, driver, at_least=12):
    """UDP devices that the driver heard of: frame to device."""
    devices = {}
    while len(devices) < at_least:
        device = Datagrams()
        device.send(workers, port, b"question")
        frame = await driver.expect(RECEIVED)
        assert frame.id == device.port
        devices[frame] = device
    counts = gauges(workers, "muster_dispatch_received_bytes_total")
    assert min(counts) > 0, counts
    return devices


async def each_is_answered(workers, port, driver, devices):
    for frame, device in devices.items():
        await driver.write(frame, b"answer")
        assert await device.next() == (b"answer", (workers.bind, port)), "from where the question went"


async def test_datagrams_of_all_workers_have_one_driver(start):
    workers = start(2)
    port = free_port()
    driver, at = await driver_at(workers, port, "udp")
    other = 1 - at
    await opened_by_all(workers, port, "udp")
    devices = await datagrams_on_all(workers, port, driver)
    await each_is_answered(workers, port, driver, devices)
    before = workers.worker_pids()[other]
    kill_worker(workers, other)
    await each_is_answered(workers, port, driver, devices)  # also those that only it had heard of
    for device in devices.values():
        device.send(workers, port, b"question")
        assert (await driver.expect(RECEIVED)).id == device.port
    await started_again(workers, other, before)
    await until(lambda: workers.log().count(f"port opened worker={other} port=udp:{port}") == 2, "it opens it again")
    devices.update(await datagrams_on_all(workers, port, driver))
    await each_is_answered(workers, port, driver, devices)
    await driver.close()
    await until(lambda: opened_by(workers, port, "udp") == [], "all have closed it")
    for device in devices.values():
        device.close()


async def test_a_drain_of_busy_devices_resets_none(start):
    """What a driver wrote before arrives whole, and what it got of a device has no gap."""
    workers = start(2, drain="2s")
    block, answers = b"0123456789abcdef" * 512, 64
    port = free_port()
    driver, _ = await driver_at(workers, port)
    await opened_by_all(workers, port)
    devices = await devices_on_all(workers, port, [driver], 2)
    got = {frame.id: bytearray() for frame in devices}

    async def listen():
        with contextlib.suppress(Exception):
            while True:
                frame = await driver.next(60)
                if frame.type == RECEIVED:
                    got[frame.id] += frame.data
    listening = asyncio.ensure_future(listen())

    async def ask(device):
        """Sends until its connection ends, reads it to its end: how it ended, and what it got."""
        async def send():
            with contextlib.suppress(ConnectionError):
                while True:
                    await device.send(block)
                    await asyncio.sleep(0.01)
        sending = asyncio.ensure_future(send())
        try:
            return await device.reader.read(-1)
        finally:
            sending.cancel()
    asking = {frame: asyncio.ensure_future(ask(device)) for frame, device in devices.items()}
    for frame in devices:
        for _ in range(answers):
            await driver.write(frame, block)
    await until(lambda: all(len(data) > 10 * len(block) for data in got.values()), "all have begun")
    workers.term()
    for frame, task in asking.items():
        data = await within(task, "it is closed in order")
        assert data == block * answers, len(data)
        devices[frame].close()
    await within(listening, "the driver is closed")
    assert driver.socket.close_code == 1001
    for data in got.values():
        assert bytes(data) == (block * (len(data) // len(block) + 1))[:len(data)]
    await until(lambda: workers.exit_code() == 0, "it ends")


# --- chat

async def test_chat_over_all_workers_while_one_is_killed(start):
    workers = start(3)
    clients = await one_on_each(workers, "muster_chat_logged_in",
                                lambda number: ChatClient.member(workers, f"user{number}"), ChatClient.close)
    stays, lost, too = clients

    async def write(client, name, count):
        for number in range(count):
            await client.say(f"{name} {number}")
            await asyncio.sleep(0.01)
    await lost.say("lost 0")
    writing = asyncio.gather(write(stays, "a", 150), write(too, "b", 150))
    before = workers.worker_pids()[1]
    first = await stays.texts(50)
    kill_worker(workers, 1)
    assert await lost.closed() == 1006
    seen = first + await stays.texts(251)
    assert await too.texts(301) == seen, "one order"
    assert sorted(seen) == sorted(["lost 0"] + [f"{name} {number}" for name in "ab" for number in range(150)])
    for name in "ab":
        assert [text for text in seen if text[0] == name] == [f"{name} {number}" for number in range(150)]
    await writing
    await started_again(workers, 1, before)
    late = []
    while gauges(workers, "muster_chat_logged_in")[1] == 0:
        late.append(await ChatClient.member(workers, f"late{len(late)}"))
        assert len(late) < MOST
    for client in (stays, too, *late):
        assert [message["message"] for message in await client.history(limit=100)] == seen[:-101:-1]
    await late[-1].say("from the one that came back")
    assert await stays.texts(1) == await too.texts(1) == ["from the one that came back"]
    assert await stays.quiet() and await too.quiet()


# --- what each worker says of itself

async def test_metrics_are_each_workers_own(start):
    workers = start(2)
    for path in ("/metrics", "/healthz", "/readyz"):
        assert workers.get(path)[0] == 404, "the shared port leads to anybody"
    names = [name_of(workers.worker_get(i, "/")) for i in range(2)]
    assert {name_of(workers.get("/")[1]) for _ in range(40)} == set(names)
    assert len({re.match(r"(.*)-w[01]-[0-9a-f]{8}$", name)[1] for name in names}) == 1, "of one group"
    servers = [await Server.connect(workers.relay_port, f"server{i}") for i in range(8)]
    assert sum(gauges(workers, "muster_relay_servers")) == 8
    for i in range(2):
        await until(lambda i=i: {node["name"] for node in json.loads(workers.worker_get(i, "/api/status"))["nodes"]}
                    == set(names), "each knows all")
    for server in servers:
        server.close()


# --- ports

def test_a_worker_takes_clients_when_it_has_found_the_store(start, redis):
    workers = start(2)
    before = workers.worker_pids()
    redis.pause()
    kill_worker(workers, 0)
    wait_until(lambda: workers.worker_pids()[0] != before[0], "it is started again")
    wait_until(lambda: "503" in worker_answer(workers, 0), "it answers at its own port")
    assert all("-w1-" in name_of(workers.get("/")[1]) for _ in range(20)), "the other one has all clients"
    redis.cont()
    wait_until(lambda: workers.worker_ready(0), "it is ready")
    names = {name_of(workers.get("/")[1]).split("-")[-2] for _ in range(40)}
    assert names == {"w0", "w1"}


def worker_answer(workers, number):
    """The status line of /readyz, or nothing when nobody is there."""
    with contextlib.suppress(OSError), HttpClient(workers.admin + number) as client:
        return f"{client.ask(b'GET /readyz HTTP/1.1' + END).status}"
    return ""


def test_without_a_store_workers_tell_their_clients(yard, redis):
    redis.kill()
    workers = yard.workers(2, store=redis.url)
    wait_until(lambda: workers.status("/version") == 200, "they do not wait for ever")
    assert not workers.is_ready()
    workers.term()
    wait_until(lambda: workers.exit_code() == 0, "they end")


@pytest.mark.parametrize("which", ["http", "relay", "tracker", "admin"])
def test_no_port_is_shared_with_strangers(yard, start, redis, which):
    """Two groups of workers of one user could: the kernel would give each a part of the clients."""
    first = start(2)
    taken = {"http": first.port, "relay": first.relay_port, "tracker": first.tracker_port, "admin": first.admin}[which]
    settings = {name: f"127.0.0.1:{free_port()}" for name in ("http", "relay", "tracker", "admin")}
    settings["relay"] = f"{settings['relay']},other={settings['relay']}" if which != "relay" else \
        f"{settings['relay']},other=127.0.0.1:{taken}"
    settings["relay"] = settings["relay"] if which == "relay" else settings["relay"].split(",")[0]
    settings[which] = settings["relay"] if which == "relay" else f"127.0.0.1:{taken}"
    flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
    result = muster("node", "--workers", "2", "--store", redis.url, *flags)
    assert result.returncode == 1
    assert_names(result, str(taken), "in use")


@pytest.mark.parametrize("which", ["http", "relay", "dispatch"])
async def test_who_waits_to_be_accepted_is_taken_by_a_drain(start, which):
    """More clients than are accepted in one turn wait for workers that stand still, SIGTERM comes before they go on."""
    workers = start(2, drain="5s")
    driver, port = None, {"http": workers.port, "relay": workers.relay_port, "dispatch": free_port()}[which]
    if which == "dispatch":
        driver, _ = await driver_at(workers, port)
        await opened_by_all(workers, port)
    for pid in workers.worker_pids().values():
        os.kill(pid, signal.SIGSTOP)
    links = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
    if which == "http":
        for _, writer in links:
            writer.write(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
    workers.term()
    for pid in workers.worker_pids().values():
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
    for reader, writer in links:
        answer = await within(reader.read(-1), "closed in order, not reset")
        assert answer.startswith(b"HTTP/1.1 200") if which == "http" else answer == b""
        writer.close()
    if driver is not None:
        assert await driver.close_code() == 1001
    await until(lambda: workers.exit_code() == 0, "it ends")
