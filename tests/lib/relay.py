# SPDX-License-Identifier: MIT
"""Game servers of the cross-server chat, as they are: each read is parsed as one packet, and an identifier that is
not in the directory is an exception. Run as a program it is one such server in a process of its own."""

import asyncio
import json
import random
import socket
import sys
import threading
import time

from lib.ports import free_port
from lib.waiting import until

READ = 65536


def start_nodes(yard, stores, relay_host="127.0.0.1", **settings):
    """Nodes with a relay port of their own each, `relay_port`."""
    settings = {"lease": "2s", **settings}
    ports = [free_port() for _ in stores]
    nodes = [yard.begin(store=store, relay=f"{relay_host}:{port}", **settings) for store, port in zip(stores, ports)]
    for node, port in zip(nodes, ports):
        node.ready()
        node.relay_port = port
    return nodes


class Stillness:
    """Whether this process stood still just now. What the node spaces out comes in one read then, through no fault of
    the node: a game server on a machine so slow would need what Splitter does."""

    STEP, LATE, JUST_NOW = 0.005, 0.02, 0.05  # seconds; LATE is less than the gap of any node here that paces

    def __init__(self):
        self.ticked, self.was_late = time.monotonic(), 0.0
        self.thread = None

    def _tick(self):
        while True:
            time.sleep(self.STEP)
            if self._is_late():
                self.was_late = time.monotonic()
            self.ticked = time.monotonic()

    def _is_late(self):
        return time.monotonic() - self.ticked > self.STEP + self.LATE

    def watch(self):
        if self.thread is None:
            self.ticked = time.monotonic()
            self.thread = threading.Thread(target=self._tick, daemon=True)
            self.thread.start()

    def stood(self):
        return self._is_late() or time.monotonic() - self.was_late < self.JUST_NOW


stillness = Stillness()


def packets_of(data):
    """Each packet of a read of its own; what is no packet stays with what is before it."""
    text, starts = data.decode(errors="surrogateescape"), [0]
    while True:
        try:
            _, end = json.JSONDecoder().raw_decode(text, starts[-1])
        except ValueError:
            break
        if end == len(text):
            break
        starts.append(end)
    return [text[a:b].encode(errors="surrogateescape") for a, b in zip(starts, [*starts[1:], len(text)])]


class Failure(Exception):
    """The plugin would have thrown here."""


def handshake(name, **fields):
    packet = {"type": "handshake", "version": 1, "name": name, "color": "00aaff", "prefix": f"[{name}]",
              "playerCount": 3, **fields}
    return {key: value for key, value in packet.items() if value is not None}


class Directory:
    """What the plugin keeps, and how it takes packets."""

    def __init__(self):
        self.identifier = None
        self.host = None
        self.servers = {}
        self.packets = []  # everything that came, as dicts
        stillness.watch()

    def take_read(self, data):
        """One read of the socket: one packet, unless this process did not get to read in time."""
        for packet in packets_of(data) if stillness.stood() else [data]:
            self.take_packet(packet)

    def take_packet(self, data):
        try:
            packet = json.loads(data)
        except ValueError as error:
            raise Failure(f"a read is no packet ({error}): {data[:300]!r}") from None
        self.packets.append(packet)
        getattr(self, "on_" + packet["type"])(packet)

    def on_acknowledge(self, packet):
        if self.identifier is not None:
            raise Failure("acknowledged twice")
        self.identifier = packet["identifier"]
        self.servers = {entry["identifier"]: entry for entry in packet["connections"]}
        if len(self.servers) != len(packet["connections"]) or self.identifier in self.servers:
            raise Failure(f"directory: {packet}")
        self.host = self.servers[packet["hostIdentifier"]]

    def known(self, packet):
        if self.identifier is None or packet["identifier"] not in self.servers:
            raise Failure(f"unknown identifier: {packet}")
        return self.servers[packet["identifier"]]

    def on_connection(self, packet):
        if packet["identifier"] in self.servers or packet["identifier"] == self.identifier:
            raise Failure(f"told twice: {packet}")
        if self.identifier is None:
            raise Failure("told before the acknowledgement")
        self.servers[packet["identifier"]] = packet

    def on_disconnect(self, packet):
        self.known(packet)
        del self.servers[packet["identifier"]]

    def on_message(self, packet):
        self.known(packet)

    on_join = on_leave = on_message

    def of(self, kind):
        return [packet for packet in self.packets if packet["type"] == kind]

    def contents(self):
        return [packet["content"] for packet in self.of("message")]


class Plugin(Directory, asyncio.Protocol):
    """A game server in the test's event loop."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.transport = None
        self.failure = None
        self.closed = False

    @classmethod
    async def connect(cls, port, name, say_hello=True, host="127.0.0.1", **fields):
        """Connected, and acknowledged unless `say_hello` is false."""
        plugin = cls(name)
        await asyncio.get_running_loop().create_connection(lambda: plugin, host, port)
        if say_hello:
            plugin.send(handshake(name, **fields))
            await plugin.acknowledged()
        return plugin

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        try:
            self.take_read(data)
        except (Failure, KeyError, AttributeError, TypeError) as failure:
            self.failure = self.failure or failure
            self.transport.abort()

    def connection_lost(self, exc):
        self.closed = True

    def send(self, packet):
        self.transport.write(packet if isinstance(packet, bytes) else json.dumps(packet).encode())

    def say(self, content, **fields):
        self.send({"type": "message", "identifier": self.identifier, "username": self.name, "content": content,
                   **fields})

    def close(self):
        self.transport.close()

    def abort(self):
        self.transport.abort()

    def check(self):
        if self.failure is not None:
            raise self.failure

    def sees(self):
        """The names of the others it knows."""
        return sorted(entry["name"] for number, entry in self.servers.items() if number != 0)

    async def acknowledged(self):
        await until(lambda: self.identifier is not None or self.failure or self.closed, f"{self.name} acknowledged")
        self.check()
        assert not self.closed, f"{self.name} was closed"

    async def knows(self, *names):
        try:
            await until(lambda: self.failure or self.closed or self.sees() == sorted(names), "", 30)
        except AssertionError:
            raise AssertionError(f"{self.name} knows {self.sees()}, not {sorted(names)}") from None
        self.check()
        assert not self.closed, f"{self.name} was closed"

    async def hears(self, content):
        await until(lambda: self.failure or content in self.contents(), f"{self.name} hears {content!r}", 30)
        self.check()

    async def at_end(self):
        await until(lambda: self.closed, f"{self.name} is closed")


class Patient(Plugin):
    """Outlives two packets in one read, and counts such reads."""

    joined = 0

    def take_read(self, data):
        packets = packets_of(data)
        self.joined += len(packets) > 1
        for packet in packets:
            self.take_packet(packet)


class Splitter(Plugin):
    """A game server that takes packets apart itself: for relays without pacing."""

    def __init__(self, name):
        super().__init__(name)
        self.rest = ""

    def take_read(self, data):
        self.rest += data.decode()
        while self.rest:
            try:
                _, end = json.JSONDecoder().raw_decode(self.rest)
            except ValueError:
                return
            self.take_packet(self.rest[:end])
            self.rest = self.rest[end:]


def main(port, name, rate, seconds):
    """Joins and says so; at the next line of input says `rate` things a second for `seconds`, then how many it said;
    the line after that ends it. Its last line is what it heard, how many reads had more than one packet, of which the
    plugin would have died (whose fault that was is for a reader of the packets to say), and of what else it died."""
    seen, joined = Directory(), 0
    over = threading.Event()
    link = socket.create_connection(("127.0.0.1", port))
    link.sendall(json.dumps(handshake(name)).encode())
    seen.take_read(link.recv(READ))

    def talk():
        said, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(random.expovariate(rate))
            said += 1
            link.sendall(json.dumps({"type": "message", "identifier": seen.identifier, "username": name,
                                     "content": f"{name} {said}"}).encode())
        return said

    def follow_orders():
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            print(talk(), flush=True)
        except OSError:
            print(0, flush=True)
        sys.stdin.readline()
        over.set()  # what comes now meets a socket that is shut, and the kernel resets it
        link.shutdown(socket.SHUT_RDWR)

    threading.Thread(target=follow_orders, daemon=True).start()
    failure = None
    try:
        while data := link.recv(READ):
            packets = packets_of(data)
            joined += len(packets) > 1
            for packet in packets:
                seen.take_packet(packet)
    except (Failure, OSError) as error:
        if not (over.is_set() and isinstance(error, ConnectionResetError)):
            failure = str(error)
        link.close()
    print(json.dumps({"heard": len(seen.of("message")), "joined": joined, "failure": failure}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
