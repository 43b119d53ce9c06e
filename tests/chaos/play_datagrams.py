# SPDX-License-Identifier: MIT
"""Dispatch over UDP: a datagram comes whole or not at all, only to drivers of its port that accept its sender, and an
answer only to the device it names, from the port it spoke to. None is owed; when all is well they do get through."""

import asyncio
import hashlib
import ipaddress
import socket
import struct

import websockets

from lib.dispatch import RECEIVED, WRITE, bind_of, pack, path_of, statistics, unpack
from lib.ports import free_port
from play import Comer, Play
from world import LEASE, Expired

PAUSE = 0.1
WELL_WITHIN = 3 * LEASE + 6.0
LARGEST = 65507
HEAD = struct.Struct("!4sHHIH")  # mark, the dispatch port, the device's own port, number, who answers
MARK = b"mst1"
DIGEST = 8
SOURCES = ("127.0.0.1", "127.0.99.1")
ACCEPTED = ("127.0.0.0/24", "127.0.99.0/24", "127.0.0.0/16")  # of the drivers of one port
CHANGED, ASTRAY, STATISTICS, THROUGH = (
    "datagrams: changed, cut or joined", "datagrams: at a driver or a device they were not meant for",
    "datagrams: statistics wrong while all is well", "datagrams: none gets through while all is well")


def make(port, device, number, size, answers=0):
    body = HEAD.pack(MARK, port, device, number, answers) + bytes([number % 251]) * max(0, size - HEAD.size - DIGEST)
    return body + hashlib.blake2b(body, digest_size=DIGEST).digest()


def read(data):
    """(port, device, number, answers), or None for what nobody made."""
    body, digest = data[:-DIGEST], data[-DIGEST:]
    if len(body) < HEAD.size or hashlib.blake2b(body, digest_size=DIGEST).digest() != digest:
        return None
    mark, *fields = HEAD.unpack_from(body)
    return tuple(fields) if mark == MARK else None


class DatagramDriver(Comer):
    """Answers each datagram with one of its own."""

    def __init__(self, play, port, accept, number):
        self.play, self.port, self.accept, self.number = play, port, ipaddress.ip_network(accept), number
        self.socket = None

    async def once(self):
        visit = self.play.world.visit(self.play.rng, self.number == 0)
        path = path_of(self.port, str(self.accept), "udp")
        async with websockets.connect(visit.ws(path), compression=None, ping_interval=None, max_size=None,
                                      max_queue=None, open_timeout=10, close_timeout=1) as socket_:
            self.socket = socket_
            async for message in socket_:
                await self._take(socket_, unpack(message))

    async def _take(self, socket_, frame):
        tally = self.play.tally
        tally.count("datagrams: received")
        fields = read(frame.data)
        if frame.type != RECEIVED or fields is None or fields[3] != 0:
            tally.broken(CHANGED, f"driver of {self.port}: type {frame.type}, {len(frame.data)} bytes")
            return
        port, device, number, _ = fields
        if port != self.port or device != frame.id or ipaddress.ip_address(frame.ip) not in self.accept:
            tally.broken(ASTRAY, f"driver of {self.port} for {self.accept} has one for {port} from {frame.ip}:{frame.id}")
        tally.count("datagrams: sent")
        await socket_.send(pack(WRITE, frame.ip, frame.id, make(port, device, number, len(frame.data), self.number + 1)))


class DatagramDevice(asyncio.DatagramProtocol):
    """One socket that speaks to its port on any node."""

    def __init__(self, play, port, source):
        self.play, self.port, self.source = play, port, source
        self.transport = None
        self.number = 0
        self.answered = {}  # of each driver: the highest number it answered

    def connection_made(self, transport):
        self.transport = transport

    def error_received(self, exc):
        """A node that is away."""

    @property
    def own_port(self):
        return self.transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        tally = self.play.tally
        tally.count("datagrams: received")
        fields = read(data)
        if fields is None:
            tally.broken(CHANGED, f"device of {self.port}: {len(data)} bytes")
            return
        port, device, number, answers = fields
        if (port, device, addr[1]) != (self.port, self.own_port, self.port) or answers == 0:
            tally.broken(ASTRAY, f"device {self.own_port} of {self.port} has one for {device} of {port} from {addr}")
        self.answered[answers] = max(number, self.answered.get(answers, 0))

    def send(self, size, node):
        self.number += 1
        self.play.tally.count("datagrams: sent")
        self.transport.sendto(make(self.port, self.own_port, self.number, size), (bind_of(node), self.port))

    async def live(self):
        rng = self.play.rng
        while not self.play.stopping:
            size = rng.randrange(HEAD.size + DIGEST, 1400) if rng.random() < 0.9 else rng.randrange(1400, LARGEST + 1)
            self.send(size, rng.randrange(len(self.play.world.nodes)))
            await asyncio.sleep(PAUSE)


class DatagramsPlay(Play):
    name = "datagrams"
    flag = "--dispatch-ports"
    promises = (CHANGED, ASTRAY)
    promises_of_calm = (STATISTICS, THROUGH)

    def __init__(self, tally, ports=2):
        super().__init__(tally)
        self.ports = [free_port() for _ in range(ports)]
        self.drivers = [DatagramDriver(self, port, accept, number) for port in self.ports
                        for number, accept in enumerate(ACCEPTED)]
        self.devices = []

    def clients(self):
        return self.drivers + self.devices

    async def start(self, world, rng):
        loop = asyncio.get_running_loop()
        for port in self.ports:
            for source in SOURCES:
                _, device = await loop.create_datagram_endpoint(
                    lambda port=port, source=source: DatagramDevice(self, port, source), sock=_bound(source))
                self.devices.append(device)
        await super().start(world, rng)

    async def settle(self, world):
        wanted = {str(port): len(ACCEPTED) for port in self.ports}
        counts = {}

        def right():
            counts.update({node.name: _listeners(node) for node in world.nodes})
            return all(driver.socket is not None for driver in self.drivers) and all(
                count == wanted for count in counts.values())
        try:
            await world.until(right, "statistics", WELL_WITHIN)
        except Expired:
            self.tally.broken(STATISTICS, f"{counts} and not {wanted}")
            return
        marks = {device: device.number for device in self.devices}
        due = [(device, driver.number + 1) for device in self.devices for driver in self.drivers
               if driver.port == device.port and ipaddress.ip_address(device.source) in driver.accept]
        try:
            await world.until(lambda: all(device.answered.get(driver, 0) > marks[device] for device, driver in due),
                              "an answer of each driver", 15)
        except Expired:
            for device, driver in due:
                if device.answered.get(driver, 0) <= marks[device]:
                    self.tally.broken(THROUGH, f"{device.source} at {device.port}, driver {driver}")
        self.tally.count("datagrams: ways checked while all is well", 2 * len(due))

    async def stop(self):
        await super().stop()
        for device in self.devices:
            device.transport.close()


def _listeners(node):
    try:
        return statistics(node)["udp_listeners"]
    except (OSError, AssertionError):
        return None


def _bound(source):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
    one.setblocking(False)
    one.bind((source, 0))
    return one
