# SPDX-License-Identifier: MIT
"""Raw sockets that can say anything, and HTTP over them."""

import collections
import select
import socket
import struct

from lib.waiting import DEADLINE, Expired

LOOPBACK = "127.0.0.1"

Response = collections.namedtuple("Response", "version status headers body")


class Closed(Exception):
    """The server ended the connection where more was wanted."""


def host_of(server):
    """Where it is: on loopback, unless it says another place."""
    return getattr(server, "host", LOOPBACK)


class RawSocket:
    """A blocking TCP client with a buffer and deadlines."""

    def __init__(self, port, receive_buffer=None, host=LOOPBACK):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.connect((host, port))
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


def raw_get(node, path, fields=""):
    """Head and body of the answer, as they stand on the wire. `fields` are lines of the request."""
    with socket.create_connection((LOOPBACK, node.port), timeout=DEADLINE) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, body = answer.decode().split("\r\n\r\n", 1)
    return head, body
