"""Clients: the sync protocol over python3-websockets, and raw sockets that can say anything."""

import asyncio
import base64
import collections
import hashlib
import json
import os
import select
import socket
import struct
import time
import uuid
import zlib

import websockets

from waiting import DEADLINE, Expired, within

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DEFLATE_TAIL = b"\x00\x00\xff\xff"


def new_session():
    """A session id no other test has."""
    return uuid.uuid4().hex


def set_session(session, leader=False):
    return json.dumps({"type": "SetSession", "sessionId": session, "isLeader": leader})


def push(session, data="x"):
    return json.dumps({"type": "Push", "sessionId": session, "data": data})


def parse(text):
    """A message as a dict; `raw` keeps it as it came."""
    message = json.loads(text)
    message["raw"] = text
    return message


def is_warning(message):
    return message["type"] in ("ServerMessage", "ServerMsg")


State = collections.namedtuple("State", "players leader")


def states_of(messages):
    return [State(m["playersCount"], m["leaderConnected"]) for m in messages if m["type"] == "SessionState"]


class Client:
    """A WebSocket client that speaks JSON; a protocol derives its own."""

    path = "/"

    def __init__(self, socket_):
        self.socket = socket_
        self.seen = []  # every JSON message that was read

    @classmethod
    async def connect(cls, node, path=None, **options):
        options = {"compression": None, "ping_interval": None, "max_size": None, "max_queue": None,
                   "open_timeout": DEADLINE, "close_timeout": DEADLINE, **options}
        return cls(await websockets.connect(node.ws(path or cls.path), **options))

    async def send(self, message):
        """A string goes as it is, a dict as JSON, bytes as a binary message."""
        await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self, deadline=DEADLINE):
        """The next message's text."""
        return await within(self.socket.recv(), "a message", deadline)

    async def next(self, deadline=DEADLINE):
        message = parse(await self.receive(deadline))
        self.seen.append(message)
        return message

    async def next_of(self, wanted, deadline=DEADLINE):
        """The next message for which `wanted` is true; others are passed over."""
        end = time.monotonic() + deadline
        while True:
            message = await self.next(max(0.0, end - time.monotonic()))
            if wanted(message):
                return message

    async def close(self):
        await self.socket.close()

    def vanish(self):
        """Gone without a word, as when the cable is pulled and the kernel resets."""
        self.socket.transport.abort()

    async def closed(self, deadline=DEADLINE):
        """The close code the server gave, when it has closed; 1006 when it gave none."""
        async def read_to_end():
            try:
                while True:
                    await self.socket.recv()
            except websockets.ConnectionClosed as end:
                return end.rcvd.code if end.rcvd is not None else 1006
        return await within(read_to_end(), "the server closes", deadline)


class SyncClient(Client):
    """A member of sync sessions."""

    path = "/connect"

    @classmethod
    async def member(cls, node, session, leader=False, **options):
        """Connected, bound, and told its first state."""
        client = await cls.connect(node, **options)
        await client.send(set_session(session, leader))
        await client.next_state()
        return client

    async def next_state(self):
        return states_of([await self.next_of(lambda m: m["type"] == "SessionState")])[0]

    async def until_state(self, players, leader, deadline=DEADLINE):
        """Reads on until this state comes; returns all states on the way, it as the last."""
        def is_it(message):
            return states_of([message]) == [State(players, leader)]
        start = len(self.seen)
        try:
            await self.next_of(is_it, deadline)
        except Expired:
            raise Expired(f"no state {players, leader}, only {states_of(self.seen[start:])}") from None
        return states_of(self.seen[start:])

    async def in_state(self, players, leader):
        """Waits until the last state it was told is this one."""
        if self.states()[-1:] != [State(players, leader)]:
            await self.until_state(players, leader)

    async def next_warning(self, deadline=DEADLINE):
        return await self.next_of(is_warning, deadline)

    async def fence(self):
        """What had been sent to this client before now and was not read yet."""
        await self.send("ping")
        before = []
        while (text := await self.receive()) != "pong":
            before.append(parse(text))
        self.seen += before
        return before

    def states(self):
        """Every state read so far; equal ones in a row count once."""
        states = states_of(self.seen)
        return [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]


async def members(nodes, session, leaders=()):
    """One member on each node, joined one after the other; `leaders` are indexes. All have been told
    of all, and what they had been told before that is forgotten."""
    joined = []
    for index, node in enumerate(nodes):
        joined.append(await SyncClient.member(node, session, leader=index in leaders))
    for client in joined:
        await client.in_state(len(nodes), bool(leaders))
        client.seen = client.seen[-1:]
    return joined


async def close_all(clients):
    await asyncio.gather(*(client.close() for client in clients))


Response = collections.namedtuple("Response", "version status headers body")


class Closed(Exception):
    """The server ended the connection where more was wanted."""


class RawSocket:
    """A blocking TCP client with a buffer and deadlines."""

    def __init__(self, port, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_bytewise(self, data):
        for byte in data:
            self.socket.sendall(bytes([byte]))

    def send_while_taken(self, data):
        """Sends to one who may stop listening: whether it took all does not matter."""
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def trickle(self, data, pause=0.05):
        """Sends byte by byte, each after `pause` seconds of silence, until the other side answers."""
        for byte in data:
            if select.select([self.socket], [], [], pause)[0]:
                return
            self.send_while_taken(bytes([byte]))

    def fill(self):
        """Reads some more; raises Closed at the end."""
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            raise Expired(f"nothing more came; so far {self.buffer[:200]!r}") from None
        except ConnectionError:
            data = b""
        if not data:
            raise Closed
        self.buffer += data

    def read(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_to(self, mark):
        while mark not in self.buffer:
            self.fill()
        data, self.buffer = self.buffer.split(mark, 1)
        return data

    def read_to_end(self):
        """Everything up to the end of the connection, in order or by reset."""
        try:
            while True:
                self.fill()
        except Closed:
            data, self.buffer = self.buffer, b""
            return data

    def at_end(self):
        """True when the server ends the connection with nothing more said."""
        return self.read_to_end() == b""


class HttpClient(RawSocket):
    """HTTP/1.1 with nothing added: the test writes every byte of the request."""

    def ask(self, request, method="GET"):
        self.send(request)
        return self.response(method)

    def response(self, method="GET"):
        """The next response, interim ones (1xx) passed over."""
        response = self.response_head()
        while 100 <= response.status < 200 and response.status != 101:
            response = self.response_head()
        bodyless = method == "HEAD" or response.status in (101, 204, 304)
        return response if bodyless else response._replace(body=self.body(response.headers))

    def response_head(self):
        head = self.read_to(b"\r\n\r\n").decode("latin-1")
        status_line, *fields = head.split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        headers = {}
        for field in fields:
            name, value = field.split(":", 1)
            assert name and name == name.strip(), f"malformed field {field!r}"
            assert name.lower() not in headers, f"field twice: {field!r}"
            headers[name.lower()] = value.strip()
        return Response(version, int(status), headers, b"")

    def body(self, headers):
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.read_to(b"\r\n"), 16):
                body += self.read(size)
                assert self.read(2) == b"\r\n"
            assert self.read_to(b"\r\n") == b""
            return body
        if "content-length" in headers:
            return self.read(int(headers["content-length"]))
        return self.read_to_end()


Frame = collections.namedtuple("Frame", "fin rsv opcode payload")


def mask_bytes(payload, key):
    """Payload and key combined as RFC 6455 5.3 says; the same call takes the mask off."""
    repeated = (key * (len(payload) // 4 + 1))[:len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return mixed.to_bytes(len(payload), "big")


def length_field(length, masked, width=None):
    """The length as RFC 6455 5.2 writes it; `width` 7, 16 or 64 forces one of the three forms."""
    if width is None:
        width = 7 if length < 126 else 16 if length < 65536 else 64
    bit = 0x80 if masked else 0
    if width == 7:
        return bytes([bit | length])
    if width == 16:
        return bytes([bit | 126]) + struct.pack("!H", length)
    return bytes([bit | 127]) + struct.pack("!Q", length)


def frame_bytes(opcode, payload=b"", fin=True, rsv=0, key=b"\x12\x34\x56\x78", width=None):
    """One frame; `rsv` is the three bits as a number, 4 being RSV1; `key` None leaves it unmasked."""
    if isinstance(payload, str):
        payload = payload.encode()
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode]) + length_field(len(payload), key is not None, width)
    return head + (payload if key is None else key + mask_bytes(payload, key))


def fragments(opcode, pieces, rsv=0):
    """The frames of one message cut into `pieces`."""
    last = len(pieces) - 1
    return b"".join(frame_bytes(opcode if i == 0 else CONTINUATION, piece, fin=i == last, rsv=rsv if i == 0 else 0)
                    for i, piece in enumerate(pieces))


def close_payload(code, reason=b""):
    return struct.pack("!H", code) + reason


def deflate(data, level=6, window=15, final=False):
    """One message as RFC 7692 7.2.1 says; `final` ends it with a BFINAL block instead."""
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -window)
    if final:
        return squeeze.compress(data) + squeeze.flush(zlib.Z_FINISH) + b"\x00"
    out = squeeze.compress(data) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    assert out.endswith(DEFLATE_TAIL)
    return out[:-4]


def inflate(data, window=15):
    """A message with nothing remembered of those before it."""
    return zlib.decompressobj(-window).decompress(data + DEFLATE_TAIL)


def handshake_request(path="/connect", key=None, **fields):
    """The upgrade request; keyword arguments replace or add fields, None leaves one out."""
    headers = {"Host": "127.0.0.1", "Upgrade": "websocket", "Connection": "Upgrade",
               "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Version": "13"}
    headers.update({name.replace("_", "-"): value for name, value in fields.items()})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")


def accept_for(key):
    return base64.b64encode(hashlib.sha1((key + WEBSOCKET_GUID).encode()).digest()).decode()


class RawWebSocket(HttpClient):
    """A WebSocket whose every bit the test chooses. Sent frames are masked unless told otherwise."""

    def __init__(self, node, path="/connect", deflate_offer=None, receive_buffer=None, handshake=True):
        super().__init__(node.port, receive_buffer)
        self.extensions = None
        if handshake:
            self.extensions = self.shake_hands(path, deflate_offer).headers.get("sec-websocket-extensions")

    def shake_hands(self, path, offer):
        key = base64.b64encode(os.urandom(16)).decode()
        response = self.ask(handshake_request(path, key, Sec_WebSocket_Extensions=offer))
        assert response.status == 101, response
        assert response.headers["sec-websocket-accept"] == accept_for(key)
        return response

    def frame(self, opcode, payload=b"", **how):
        self.send(frame_bytes(opcode, payload, **how))

    def text(self, payload):
        self.frame(TEXT, payload)

    def next_frame(self):
        first, second = self.read(2)
        assert not second & 0x80, "a server must not mask (RFC 6455 5.1)"
        length = second & 0x7F
        if length == 126:
            length, = struct.unpack("!H", self.read(2))
            assert length > 125, "not the shortest length"
        elif length == 127:
            length, = struct.unpack("!Q", self.read(8))
            assert length > 65535, "not the shortest length"
        return Frame(bool(first & 0x80), first >> 4 & 7, first & 0xF, self.read(length))

    def next_data(self):
        """The next data message as (opcode, bytes), inflated; pings are answered, pongs passed over."""
        opcode, rsv, payload = None, 0, b""
        while True:
            frame = self.next_frame()
            if frame.opcode == PING:
                self.frame(PONG, frame.payload)
            elif frame.opcode == CLOSE:
                raise Closed(close_code(frame))
            elif frame.opcode != PONG:
                if opcode is None:
                    opcode, rsv = frame.opcode, frame.rsv
                else:
                    assert frame.opcode == CONTINUATION and frame.rsv == 0
                payload += frame.payload
                if frame.fin:
                    return opcode, inflate(payload) if rsv else payload

    def next_text(self):
        opcode, payload = self.next_data()
        assert opcode == TEXT
        return payload.decode()

    def next_message(self):
        return parse(self.next_text())

    def next_of(self, wanted):
        while not wanted(message := self.next_message()):
            pass
        return message

    def join(self, session, leader=False):
        self.text(set_session(session, leader))
        self.next_of(lambda m: m["type"] == "SessionState")
        return self

    def fence(self):
        """Texts that came before the answer to a ping of ours."""
        mark = os.urandom(8)
        self.frame(PING, mark)
        texts = []
        while (frame := self.next_frame()).opcode != PONG or frame.payload != mark:
            assert frame.opcode == TEXT, frame
            texts.append((inflate(frame.payload) if frame.rsv else frame.payload).decode())
        return texts

    def close_frame(self):
        """The server's close frame; what comes before it is passed over."""
        while (frame := self.next_frame()).opcode != CLOSE:
            pass
        return frame

    def failed_with(self):
        """The code the server fails the connection with; afterwards it ends the connection."""
        code = close_code(self.close_frame())
        self.send_while_taken(frame_bytes(CLOSE, close_payload(code)))
        assert self.at_end()
        return code


def close_code(frame):
    """1005 stands for a close frame without a code (RFC 6455 7.1.5)."""
    assert len(frame.payload) != 1
    assert len(frame.payload) < 126 and frame.fin and frame.rsv == 0
    frame.payload[2:].decode()
    return struct.unpack("!H", frame.payload[:2])[0] if frame.payload else 1005
