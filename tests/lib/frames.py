# SPDX-License-Identifier: MIT
"""WebSocket frame by frame: a codec of the tests' own, and a client whose every bit the test chooses."""

import base64
import collections
import hashlib
import os
import struct
import zlib

from lib.sync import new_session, set_session
from lib.tcp import Closed, HttpClient, host_of
from lib.ws import parse

WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
DEFLATE_TAIL = b"\x00\x00\xff\xff"

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
        super().__init__(node.port, receive_buffer, host_of(node))
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


def deaf_pair(node, name):
    """A session of its own, one member that reads nothing, and a leader that can push to it."""
    session = f"{name}-{new_session()}"
    deaf, leader = RawWebSocket(node, receive_buffer=4096), RawWebSocket(node)
    deaf.text(set_session(session))
    leader.text(set_session(session, leader=True))
    while '"playersCount":2' not in leader.next_text():
        pass
    return session, deaf, leader
