# SPDX-License-Identifier: MIT
"""Peers of the tracker."""

import json
import socket

from lib.waiting import DEADLINE, Expired

RESEND = 0.5  # seconds; UDP may lose what is asked on a busy machine


class Peer:
    """A peer's one socket. It may talk to any node, and to other peers."""

    def __init__(self, node=None, host="127.0.0.1", source=None):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.host = host
        self.node = node
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((source or host, 0))
        self.incomes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def address(self):
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def send(self, message, node=None):
        data = message if isinstance(message, bytes) else json.dumps(message, separators=(",", ":")).encode()
        self.socket.sendto(data, (self.host, (node or self.node).tracker_port))
        return data

    def read(self, limit=DEADLINE):
        """(message, sender's port) of the next datagram, or None."""
        self.socket.settimeout(limit)
        try:
            data, sender = self.socket.recvfrom(2048)
        except socket.timeout:
            return None
        return json.loads(data), sender[1], len(data)

    def ask(self, message, node=None, **fields):
        """The answer; what was told meanwhile is kept in `incomes`. Asks again when nothing comes."""
        if isinstance(message, str):
            message = {"action": message, **fields}
        for _ in range(int(DEADLINE / RESEND)):
            asked = self.send(message, node)
            while (answer := self.read(RESEND)) is not None:
                told, port, size = answer
                if told["action"] == "income":
                    self.incomes.append((told["data"], port))
                    continue
                assert port == (node or self.node).tracker_port
                assert size + 28 <= 3 * (len(asked) + 28), (asked, told)
                return told
        raise Expired(f"no answer to {message}")

    def announce(self, node=None):
        return self.ask("announce", node)["data"]["shareId"]

    def alive(self, node=None):
        return self.ask("alive", node) == {"action": "alived"}

    def push(self, share_id, node=None):
        return self.ask("push", node, shareId=share_id)["data"]

    def income(self):
        """The next one, and the port that it came from."""
        while not self.incomes:
            answer = self.read()
            assert answer is not None, "no income"
            assert answer[0]["action"] == "income", answer
            self.incomes.append((answer[0]["data"], answer[1]))
        return self.incomes.pop(0)

    def is_silent(self, node):
        """Nothing came, or comes before what is asked now is answered."""
        self.send({"action": "alive"}, node)
        answer = self.read()
        return answer is not None and answer[0]["action"] in ("alived", "expired")
