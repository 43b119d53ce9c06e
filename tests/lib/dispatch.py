# SPDX-License-Identifier: MIT
"""Clients of dispatch: drivers over python3-websockets, devices as plain sockets."""

import asyncio
import collections
import json
import socket
import struct
import urllib.parse

import websockets

from lib.waiting import DEADLINE, Expired, until_true, within

OPENED, CLOSED, RECEIVED, WRITE, CLOSE = range(5)
SECRET = "testing"

Frame = collections.namedtuple("Frame", "type ip id data")


def pack(type_, ip, id_, data=b""):
    return struct.pack("!B", type_) + ip.encode() + b"\0" + struct.pack("!QI", id_, len(data)) + data


def unpack(message):
    assert isinstance(message, bytes), message
    end = message.index(b"\0", 1)
    id_, size = struct.unpack_from("!QI", message, end + 1)
    data = message[end + 13:]
    assert len(data) == size, (len(data), size)
    return Frame(message[0], message[1:end].decode(), id_, data)


def bind_of(number):
    """Nodes of one machine cannot share ports: each has its own loopback address."""
    return f"127.0.0.{number + 1}"


def node_settings(number, **settings):
    return {"dispatch_bind": bind_of(number), "dispatch_ports": "15000-31000", **settings}


def start_fleet(yard, stores, lease="2s", first=0, **settings):
    """Nodes that each open ports on an address of their own, `node.bind`: 127.0.0.1 is that of number 0."""
    nodes = []
    for number, store in enumerate(stores, first):
        node = yard.begin(store=store, lease=lease, **node_settings(number, **settings))
        node.bind = bind_of(number)
        nodes.append(node)
    return [node.ready() for node in nodes]


def start_node(yard, **settings):
    node = yard.node(**node_settings(0, **settings))
    node.bind = "127.0.0.1"
    return node


def path_of(port, accept, proto="tcp", token=SECRET, base="/api/server"):
    query = {"bearer_token": token, "port": port, "accept": accept}
    query = {name: value for name, value in query.items() if value is not None}
    return f"{base}/{proto}_dispatch?{urllib.parse.urlencode(query)}"


def statistics(node, token=SECRET):
    status, body = node.get(f"/api/server?bearer_token={token}")
    assert status == 200, (status, body)
    return json.loads(body)


class Driver:
    """One driver; `frames` keeps all it was told."""

    def __init__(self, socket_):
        self.socket = socket_

    @classmethod
    async def connect(cls, node, port, accept="127.0.0.0/24", proto="tcp", token=SECRET, base="/api/server", **options):
        options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": None,
                   "open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
        return cls(await websockets.connect(node.ws(path_of(port, accept, proto, token, base)), **options))

    async def next(self, deadline=DEADLINE):
        return unpack(await within(self.socket.recv(), "a frame", deadline))

    async def expect(self, type_, deadline=DEADLINE):
        frame = await self.next(deadline)
        assert frame.type == type_, frame
        return frame

    async def data_of(self, id_, size):
        """RECEIVED of that device until there are so many bytes."""
        data = bytearray()
        while len(data) < size:
            frame = await self.expect(RECEIVED)
            assert frame.id == id_, frame
            data += frame.data
        assert len(data) == size
        return data

    async def nothing(self, seconds=0.2):
        """Nothing is there; for what must not come, after a frame of another way proved that it would have."""
        try:
            frame = await self.next(seconds)
        except Expired:
            return
        raise AssertionError(f"unexpected {frame}")

    async def write(self, frame, data):
        """To the device that `frame` spoke of."""
        await self.socket.send(pack(WRITE, frame.ip, frame.id, data))

    async def shut(self, frame):
        await self.socket.send(pack(CLOSE, frame.ip, frame.id))

    async def close(self):
        await self.socket.close()

    def vanish(self):
        """Gone without a word."""
        self.socket.transport.abort()

    async def close_code(self):
        async def read_to_end():
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed:
                return self.socket.close_code
        return await within(read_to_end(), "the driver is closed")


class Device:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, node, port, source="127.0.0.1", host=None, limit=2 ** 16):
        local = (source, 0) if source else None
        return cls(*await within(asyncio.open_connection(host or node.bind, port, local_addr=local, limit=limit),
                                 "the port accepts"))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, size):
        return await within(self.reader.readexactly(size), f"{size} bytes")

    async def at_end(self, deadline=DEADLINE):
        """The server has closed it; what came before is read away."""
        async def read_to_end():
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass
            return True
        return await within(read_to_end(), "the device is closed", deadline)

    def close(self):
        self.writer.close()

    def reset(self):
        self.writer.transport.abort()


async def is_open(node, port, host=None):
    try:
        _, writer = await asyncio.open_connection(host or node.bind, port, local_addr=("127.0.99.1", 0))
    except (ConnectionRefusedError, ConnectionResetError):
        return False
    writer.close()
    return True


async def until_open(nodes, port):
    for node in nodes:
        await until_true(lambda node=node: is_open(node, port), f"{node.name} has opened {port}")


async def until_closed(nodes, port):
    async def closed(node):
        return not await is_open(node, port)
    for node in nodes:
        await until_true(lambda node=node: closed(node), f"{node.name} has closed {port}")


class Datagrams:
    """A UDP device."""

    def __init__(self, source="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        self.port = self.socket.getsockname()[1]

    def send(self, node, port, data):
        self.socket.sendto(data, (node.bind, port))

    async def next(self):
        """(data, sender)"""
        return await within(asyncio.get_running_loop().sock_recvfrom(self.socket, 65536), "a datagram")

    def close(self):
        self.socket.close()
