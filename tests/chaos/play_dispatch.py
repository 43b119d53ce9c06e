# SPDX-License-Identifier: MIT
"""Dispatch: what a driver hears of a device, and a device of its driver, are numbers that follow each other; whenever
one would be missing the stream must have been closed instead. When all is well everything arrives."""

import asyncio
import struct

import websockets

from lib.dispatch import (
    CLOSED, OPENED, RECEIVED, WRITE, Device, Driver, bind_of, node_settings, pack, path_of, statistics,
    unpack)
from lib.ports import free_port
from play import Comer, Play
from world import LEASE, Expired

PAUSE = 0.05
PIECE = 64  # numbers
WELL_WITHIN = 3 * LEASE + 6.0
SERIAL = 1 << 32
MOST_SERIALS = 1 << 20
STUCK_BYTES = 12 * 1024 * 1024  # more than kernels and nodes keep on the way
STUCK_FOR = 1.5  # seconds
PROMISES = ("dispatch: bytes of streams corrupted", "dispatch: streams with a hole", "dispatch: things left over")
LOST, STATISTICS, STUCK = PROMISES_OF_CALM = (
    "dispatch: bytes lost while all is well", "dispatch: statistics wrong while all is well",
    "dispatch: bytes lost on the way to a slow reader")


def numbers(first, count):
    return b"".join(struct.pack("!Q", n) for n in range(first, first + count))


class Heard:
    """Numbers as they come in; the upper half names the sender's stay."""

    def __init__(self, tally, who, from_the_start):
        self.tally, self.who, self.from_the_start = tally, who, from_the_start
        self.rest = b""
        self.next = {}  # of each stay: a driver that was lost may be heard beside the one after it

    def take(self, data):
        self.rest += data
        count = len(self.rest) // 8
        taken, self.rest = self.rest[:count * 8], self.rest[count * 8:]
        for (number,) in struct.iter_unpack("!Q", taken):
            serial = number // SERIAL
            first = serial * SERIAL if self.from_the_start else number
            wanted = self.next.get(serial, first)
            if not 0 < serial <= MOST_SERIALS:
                self.tally.broken(PROMISES[0], f"{self.who}: {number:x}")
            elif number != wanted:
                self.tally.broken(PROMISES[1], f"{self.who}: {number:x} and not {wanted:x}")
            self.next[serial] = number + 1
        self.tally.count("dispatch: bytes received", len(taken))


class DriverSeat(Comer):
    """A driver of one port, registered whenever that is possible."""

    def __init__(self, play, port, balanced):
        self.play, self.port, self.balanced = play, port, balanced
        self.socket = None
        self.streams = {}

    def left(self):
        self.socket, self.streams = None, {}

    async def once(self):
        visit = self.play.world.visit(self.play.rng, self.balanced)
        path = path_of(self.port, "127.0.0.0/24")
        async with websockets.connect(visit.ws(path), compression=None, ping_interval=None, max_queue=None,
                                      open_timeout=10, close_timeout=1) as socket:
            self.streams, self.socket = {}, socket
            writing = asyncio.create_task(self._write(socket))
            try:
                async for message in socket:
                    frame = unpack(message)
                    if frame.type == OPENED:
                        self.streams[frame.id] = [Heard(self.play.tally, f"driver of {self.port}", False),
                                                  self.play.serial(), frame]
                    elif frame.type == RECEIVED:
                        self.streams[frame.id][0].take(frame.data)
                    elif frame.type == CLOSED:
                        del self.streams[frame.id]
            finally:
                writing.cancel()

    async def _write(self, socket):
        while True:
            await asyncio.sleep(PAUSE)
            for stream in list(self.streams.values()):
                frame = stream[2]
                await socket.send(pack(WRITE, frame.ip, frame.id, numbers(stream[1], PIECE)))
                stream[1] += PIECE
                self.play.tally.count("dispatch: bytes sent", 8 * PIECE)


class DeviceSeat(Comer):
    def __init__(self, play, port):
        self.play, self.port = play, port
        self.sent = None  # the next number it will send; None while it is away
        self.heard = None

    def left(self):
        self.sent = self.heard = None

    async def once(self):
        visit = self.play.world.visit(self.play.rng)
        place = bind_of(visit.number), self.port
        if visit.how == "door":
            place = "127.0.0.1", visit.port(f"dispatch {self.port}")
        reader, writer = await asyncio.wait_for(asyncio.open_connection(*place, local_addr=("127.0.0.1", 0)), 5)
        self.heard = Heard(self.play.tally, f"device at {self.port}", True)
        reading = asyncio.create_task(self._read(reader))
        sent = self.play.serial()
        try:
            while not reading.done() and not self.play.stopping:
                writer.write(numbers(sent, PIECE))
                self.sent = sent = sent + PIECE
                self.play.tally.count("dispatch: bytes sent", 8 * PIECE)
                await asyncio.wait_for(writer.drain(), 40)
                await asyncio.sleep(PAUSE)
        finally:
            reading.cancel()
            writer.close()

    async def _read(self, reader):
        try:
            while data := await reader.read(65536):
                self.heard.take(data)
        except ConnectionError:
            pass


class DispatchPlay(Play):
    name = "dispatch"
    fills = True
    flag = "--dispatch-ports"
    promises, promises_of_calm = PROMISES, PROMISES_OF_CALM

    def __init__(self, tally, ports=3):
        super().__init__(tally)
        self.serials = 0
        self.ports = [free_port() for _ in range(ports)]
        self.drivers = [DriverSeat(self, port, index % 2 == 0) for index, port in enumerate(self.ports)]
        self.devices = [DeviceSeat(self, port) for port in self.ports for _ in range(2)]

    def clients(self):
        return self.drivers + self.devices

    def node_settings(self, number):
        return node_settings(number)

    def own_ports(self, number):
        return {f"dispatch {port}": (bind_of(number), port) for port in self.ports}

    def serial(self):
        """The first number of a stay; no two are the same."""
        self.serials += 1
        return self.serials * SERIAL

    def _all_meet(self):
        return all(driver.socket is not None and len(driver.streams) == 2 for driver in self.drivers) and all(
            device.sent is not None and device.heard is not None and device.heard.next
            for device in self.devices)

    async def settle(self, world):
        try:
            await world.until(self._all_meet, "drivers and devices", WELL_WITHIN)
            # A device of before may be closed yet, a lease after its driver's node was lost.
            await world.until(lambda: all(self._statistics_right(node) for node in world.nodes), "statistics", WELL_WITHIN)
            await world.until(self._all_meet, "drivers and devices", WELL_WITHIN)
        except Expired as missing:
            for node in world.nodes:
                if not self._statistics_right(node):
                    self.tally.broken(STATISTICS, f"{node.name}: {statistics(node)}")
                    return
            self.tally.broken(LOST, missing)
            return
        await self._everything_arrives()

    def _statistics_right(self, node):
        try:
            said = statistics(node)
        except (OSError, AssertionError):
            return False
        return (said["tcp_listeners"] == {str(port): 1 for port in self.ports} and
                said["tcp_clients"] == {str(port): 2 for port in self.ports})

    async def _everything_arrives(self):
        sent = {device.sent // SERIAL: device.sent for device in self.devices if device.sent}
        written = {stream[1] // SERIAL: stream[1] for driver in self.drivers for stream in driver.streams.values()}

        def arrived():
            at_drivers = {serial: number for driver in self.drivers for heard, _, _ in driver.streams.values()
                          for serial, number in heard.next.items()}
            at_devices = {serial: number for device in self.devices if device.heard is not None
                          for serial, number in device.heard.next.items()}
            return (all(at_drivers.get(serial, 0) >= number for serial, number in sent.items()) and
                    all(at_devices.get(serial, 0) >= number for serial, number in written.items()))
        try:
            await self.world.until(arrived, "all bytes", 15)
        except Expired:
            self.tally.broken(LOST, f"sent {sent}, written {written}")
        self.tally.count("dispatch: streams checked while all is well", len(sent) + len(written))

    async def fill(self, world):
        """First a device reads nothing while its driver writes, then the driver while the device sends: who writes is
        slowed down, and every byte comes."""
        port = free_port()
        driver = await Driver.connect(self.rng.choice(world.nodes), port, max_queue=1, read_limit=4096)
        host = bind_of(self.rng.randrange(len(world.nodes)))
        device = await self._connect(world, Device, host, port)
        opened = await driver.expect(OPENED)
        wanted = numbers(SERIAL, STUCK_BYTES // 8)

        async def write():
            for at in range(0, STUCK_BYTES, 16384):
                await driver.write(opened, wanted[at:at + 16384])
        try:
            writing = asyncio.create_task(write())
            await asyncio.sleep(STUCK_FOR)
            first = await device.read(STUCK_BYTES)
            await writing
            sending = asyncio.create_task(device.send(wanted))
            await asyncio.sleep(STUCK_FOR)
            second = b""
            while len(second) < STUCK_BYTES:
                second += (await driver.expect(RECEIVED)).data
            await sending
            for got in (first, second):
                if got != wanted:
                    self.tally.broken(PROMISES[0], f"{len(got)} bytes after a stop")
        except (Expired, AssertionError, OSError, asyncio.IncompleteReadError, websockets.WebSocketException) as trouble:
            self.tally.broken(STUCK, repr(trouble)[:300])
        self.tally.count("fault: fill buffers, dispatch", 2)
        device.close()
        await driver.close()

    @staticmethod
    async def _connect(world, device, host, port):
        """Every node opens the port, though not at once."""
        connected = None

        async def knock():
            nonlocal connected
            while connected is None:
                try:
                    connected = await device.connect(None, port, host=host, source="127.0.0.1", limit=4096)
                except OSError:
                    await asyncio.sleep(0.05)
        knocking = asyncio.create_task(knock())
        await world.until(lambda: connected is not None or knocking.done(), "the port is open", WELL_WITHIN)
        return connected

    async def end(self, world):
        nothing = {"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}}
        for node in world.nodes:
            try:
                await world.until(lambda node=node: statistics(node) == nothing, "nothing is left", 10)
            except Expired:
                self.tally.broken("dispatch: things left over", f"{node.name}: {statistics(node)}")
