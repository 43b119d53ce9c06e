# SPDX-License-Identifier: MIT
"""Redis stands still and goes on, with many sessions: nobody is told a wrong count, then or afterwards."""

import contextlib
import json
import selectors
import time

import pytest

from lib.frames import RawWebSocket
from lib.sync import new_session, set_session
from lib.waiting import wait_until

NODES, SESSIONS = 3, 300
AFTERWARDS = 4  # seconds for which what comes is looked at: more than a lease


class Crowd:
    """Sessions with a member on each node, and what they are told."""

    def __init__(self, nodes, stack):
        self.links, self.told, self.rest = [], {}, {}
        self.selector = selectors.DefaultSelector()
        for _ in range(SESSIONS):
            session = new_session()
            for number, node in enumerate(nodes):
                link = stack.enter_context(RawWebSocket(node))
                link.text(set_session(session, number == 0))
                link.socket.setblocking(False)
                self.links.append(link)
                self.rest[link] = b""
                self.selector.register(link.socket, selectors.EVENT_READ, link)

    def read(self, seconds=0.05):
        """The counts that were told just now."""
        counts = []
        for key, _ in self.selector.select(seconds):
            link = key.data
            with contextlib.suppress(BlockingIOError):
                self.rest[link] += link.socket.recv(1 << 16)
            counts += self.take(link)
        return counts

    def take(self, link):
        """Frames of a server of fewer than 126 bytes."""
        data = self.rest[link]
        while len(data) >= 2 and len(data) >= 2 + data[1]:
            text, data = data[2:2 + data[1]], data[2 + data[1]:]
            message = json.loads(text) if text.startswith(b"{") else {}
            if "playersCount" in message:
                self.told[link] = message["playersCount"]
                yield message["playersCount"]
        self.rest[link] = data

    def is_whole(self):
        self.read()
        return len(self.told) == len(self.links) and set(self.told.values()) == {NODES}

    def listen(self, seconds):
        """All counts that are told meanwhile."""
        end = time.monotonic() + seconds
        told = []
        while time.monotonic() < end:
            told += self.read()
        return told


@pytest.mark.parametrize("seconds", [2, 5, 15])
def test_nobody_is_told_a_wrong_count(yard, redis, seconds):
    nodes = yard.fleet([redis.url] * NODES)
    with contextlib.ExitStack() as stack:
        crowd = Crowd(nodes, stack)
        wait_until(crowd.is_whole, "all are counted")
        redis.pause()
        told = crowd.listen(seconds)  # the fault itself
        redis.cont()
        wait_until(lambda: [node.status("/readyz") for node in nodes] == [200] * NODES, "all are ready")
        told += crowd.listen(AFTERWARDS)
        assert [count for count in told if count != NODES] == []
        assert set(crowd.told.values()) == {NODES}
        newcomer = stack.enter_context(RawWebSocket(nodes[0]))
        newcomer.text(set_session(new_session()))
        assert json.loads(newcomer.next_text())["playersCount"] == 1
