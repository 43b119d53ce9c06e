# SPDX-License-Identifier: MIT
"""The three public drivers of today's platform: their own transport (Crystal's HTTP::WebSocket), the paths, ports and
headers that they ask with, what they write, and how they come back. Two nodes, Redis between, one killed."""

import asyncio
import pathlib
import shutil
import socket
import subprocess

import pytest

from lib.dispatch import SECRET, Datagrams, Device, is_open, statistics, until_open
from lib.proxy import Proxy
from lib.shared import made_once
from lib.waiting import until, within

SOURCE = pathlib.Path(__file__).parent / "crystal/driver.cr"
PORTS = "6000-6999, tcp:2020, udp:3671, udp:47808"
MODULE = "mod-EQh4ug~a2b"

pytestmark = pytest.mark.skipif(shutil.which("crystal") is None, reason="crystal is not installed")


@pytest.fixture
def program():
    def build(folder):
        subprocess.run(["crystal", "build", "--no-color", "-o", folder / "driver", SOURCE], check=True, capture_output=True, timeout=280)
    return made_once("crystal", build) / "driver"


class Driver:
    """A process of its own; `lines` is what it told."""

    def __init__(self, process):
        self.process, self.lines = process, []
        self.reader = asyncio.create_task(self.read())

    @classmethod
    async def start(cls, program, front, path, token=SECRET):
        words = [program, "127.0.0.1", str(front.port), path, token, MODULE]
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe))

    async def read(self):
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n").split(" "))

    def of(self, kind):
        return [line[1:] for line in self.lines if line[0] == kind]

    async def told(self, kind, count=1):
        """The last of so many lines of that kind: its words."""
        await until(lambda: len(self.of(kind)) >= count, f"{count} {kind} in {self.lines[-5:]}", 60)
        return self.of(kind)[count - 1]

    def order(self, *words):
        self.process.stdin.write((" ".join(words) + "\n").encode())

    def write(self, ip, id_, data):
        self.order("write", ip, id_, data.hex())

    async def end(self):
        self.order("end")
        assert await within(self.process.wait(), "it ends") == 0


def start_two(yard, redis, **settings):
    """Nodes with the ports that the drivers ask for, and what stands before them for the drivers."""
    nodes = []
    for number in (1, 2):
        bind = f"127.66.0.{number}"
        node = yard.begin(store=redis.url, lease="2s", dispatch_ports=PORTS, dispatch_bind=bind, **settings)
        node.bind = bind
        nodes.append(node.ready())
    return nodes, yard.keep(Proxy(nodes[0].port)).start()


async def test_the_example_driver_and_its_devices(yard, redis, program):
    nodes, front = start_two(yard, redis, ws_ping="500ms")
    driver = await Driver.start(program, front, "/api/dispatch/v1/tcp_dispatch?port=2020&accept=127.0.0.9,127.0.0.8")
    await driver.told("connected")
    assert f"module={MODULE}" in nodes[0].log()
    await until_open(nodes, 2020)
    device = await Device.connect(nodes[1], 2020, source="127.0.0.9")
    ip, id_, _ = await driver.told("OPENED")
    assert ip == "127.0.0.9"
    await device.send(b'{"event":"started"}\r')
    assert await driver.told("RECEIVED") == [ip, id_, b'{"event":"started"}\r'.hex()]
    driver.write(ip, id_, b"\r")  # its keepalive, every ten seconds
    driver.write(ip, id_, b'{"room":"r1","action":"prepare"}\r')
    assert await device.read(34) == b'\r{"room":"r1","action":"prepare"}\r'
    await driver.told("ping", 3)
    assert not driver.of("disconnected")

    nodes[0].kill()
    await driver.told("disconnected")
    assert await device.at_end()  # its driver is gone
    front.move(nodes[1].port)
    await driver.told("connected", 2)
    await until_open(nodes[1:], 2020)
    device = await Device.connect(nodes[1], 2020, source="127.0.0.8")
    ip, id_, _ = await driver.told("OPENED", 2)
    assert ip == "127.0.0.8"
    driver.order("close", ip, id_)
    assert await device.at_end()
    assert (await driver.told("CLOSED"))[:2] == [ip, id_]
    assert await is_open(nodes[1], 2020)
    await driver.end()
    await until(lambda: statistics(nodes[1])["tcp_listeners"] == {}, "its port closes")


async def test_the_knx_driver_hears_its_interface(yard, redis, program):
    """It speaks to the interface from a socket of its own; what comes back comes through dispatch, on any node."""
    nodes, front = start_two(yard, redis)
    driver = await Driver.start(program, front, "/api/dispatch/v1/udp_dispatch?port=3671&accept=127.0.0.9")
    await driver.told("connected")
    await until(lambda: all(statistics(node)["udp_listeners"] == {"3671": 1} for node in nodes), "all have opened it")
    interface, stranger = Datagrams("127.0.0.9"), Datagrams("127.0.0.7")
    answer = bytes.fromhex("06100206001415000801c0a8000a0e5704041101")
    stranger.send(nodes[0], 3671, answer)
    for count, node in enumerate(nodes, 1):
        interface.send(node, 3671, answer)
        assert await driver.told("RECEIVED", count) == ["127.0.0.9", str(interface.port), answer.hex()]
    nodes[0].kill()
    await driver.told("disconnected")
    front.move(nodes[1].port)
    await driver.told("connected", 2)
    await until(lambda: statistics(nodes[1])["udp_listeners"] == {"3671": 1}, "the dead one's is forgotten")
    interface.send(nodes[1], 3671, answer)
    assert await driver.told("RECEIVED", 3) == ["127.0.0.9", str(interface.port), answer.hex()]
    interface.close(), stranger.close()
    await driver.end()


async def test_the_bacnet_driver_speaks_first(yard, redis, program):
    """It asks with the older path, and writes to port 47808 of a device that has said nothing yet."""
    nodes, front = start_two(yard, redis)
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.setblocking(False)
    device.bind(("127.66.0.9", 47808))
    loop = asyncio.get_running_loop()
    driver = await Driver.start(program, front, "/api/server/udp_dispatch?port=47808&accept=127.66.0.9")
    who_is, i_am = bytes.fromhex("810b000c0120ffff00ff1008"), bytes.fromhex("810b0015010020ffff00ff1000c4020000")
    for alive in (nodes, nodes[1:]):
        await driver.told("connected", 1 + len(nodes) - len(alive))
        await until(lambda alive=alive: all(statistics(node)["udp_listeners"] == {"47808": 1} for node in alive), "open")
        driver.write("127.66.0.9", "47808", who_is)
        data, sender = await within(loop.sock_recvfrom(device, 2048), "the question")
        assert (data, sender) == (who_is, (alive[0].bind, 47808))
        heard = len(driver.of("RECEIVED"))
        for count, node in enumerate(alive, 1):
            device.sendto(i_am, (node.bind, 47808))
            assert await driver.told("RECEIVED", heard + count) == ["127.66.0.9", "47808", i_am.hex()]
        if alive is nodes:
            nodes[0].kill()
            await driver.told("disconnected")
            front.move(nodes[1].port)
    device.close()
    await driver.end()


@pytest.mark.parametrize("token, path, status", [
    ("secret", "/api/dispatch/v1/tcp_dispatch?port=2020&accept=192.168.0.1", 401),
    (SECRET, "/api/dispatch/v1/udp_dispatch?port=2020&accept=192.168.0.1", 400),
])
async def test_who_is_refused_tries_again_for_ever(yard, redis, program, token, path, status):
    """As the public drivers are set at first: a secret that is not ours, a port that is not ours."""
    nodes, front = start_two(yard, redis)
    driver = await Driver.start(program, front, path, token)
    refusal = await driver.told("refused", 2)
    assert refusal[-1] == f"{status}.", refusal
    assert nodes[0].alive() and nodes[0].is_ready()
    await driver.end()
