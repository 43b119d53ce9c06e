# SPDX-License-Identifier: MIT
"""A pooler of PostgreSQL in transaction mode: each transaction of a client goes to the other one of two sessions."""

import contextlib
import socket
import struct
import threading

from lib.ports import free_port

READY, IDLE = b"Z", b"I"


def read_exactly(link, count):
    data = b""
    while len(data) < count:
        more = link.recv(count - len(data))
        if not more:
            raise OSError("it ended")
        data += more
    return data


def read_message(link):
    """(kind, whole message)."""
    head = read_exactly(link, 5)
    return head[:1], head + read_exactly(link, struct.unpack(">I", head[1:])[0] - 4)


class Pooler:
    def __init__(self, target_port):
        self.port, self.target = free_port(), target_port
        self.listener = socket.create_server(("127.0.0.1", self.port))

    def start(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        servers = [socket.create_connection(("127.0.0.1", self.target)) for _ in range(2)]
        with contextlib.suppress(OSError), client, servers[0], servers[1]:
            self._log_in(client, servers)
            turn = 0
            while True:
                _, question = read_message(client)
                if self._carry(client, servers[turn], question):
                    turn = 1 - turn

    @staticmethod
    def _log_in(client, servers):
        """The same start for both; the client hears of the first. A client that asks for encryption gets none."""
        while True:
            head = read_exactly(client, 4)
            start = head + read_exactly(client, struct.unpack(">I", head)[0] - 4)
            if struct.unpack(">I", start[4:8])[0] >> 16 == 3:
                break
            client.sendall(b"N")
        for server in servers:
            server.sendall(start)
            kind = b""
            while kind != READY:
                kind, message = read_message(server)
                if server is servers[0]:
                    client.sendall(message)

    @staticmethod
    def _carry(client, server, question):
        """A simple query, and its answer with what is copied in between; is the transaction over?"""
        server.sendall(question)
        while True:
            kind, message = read_message(server)
            client.sendall(message)
            if kind == READY:
                return message[5:] == IDLE
            if kind == b"G":  # it wants data
                while kind not in (b"c", b"f"):
                    kind, data = read_message(client)
                    server.sendall(data)
