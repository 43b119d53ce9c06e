# SPDX-License-Identifier: MIT
"""What the tests of logs share: adding, listening, sinks, and what the table must hold in the end."""

import asyncio
import http.client
import json
import threading
import time

import websockets

from lib.node import LEASE, Sink
from lib.proxy import Proxy
from lib.tcp import host_of
from lib.waiting import DEADLINE, wait_until, within


def add(node, entries, token=None, **fields):
    """POST /logs/add: (status, body text, header fields). Bytes go as they are."""
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    headers = {"Content-Type": "application/json", **fields}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    link = http.client.HTTPConnection(host_of(node), node.port, timeout=DEADLINE)
    try:
        link.request("POST", "/logs/add", body, headers)
        answer = link.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        link.close()


def stored(node, entries):
    status, body, _ = add(node, entries)
    assert (status, body) == (200, ""), (status, body)


class Listener:
    """A live listener that keeps what it hears."""

    def __init__(self, link):
        self.link = link
        self.messages = []
        self.reader = asyncio.ensure_future(self._read())

    @classmethod
    async def join(cls, node, query=""):
        return cls(await within(websockets.connect(node.ws("/logs/listen" + query), max_size=None), "a listener"))

    async def _read(self):
        try:
            async for message in self.link:
                self.messages.append(json.loads(message))
        except websockets.ConnectionClosed:
            pass

    def entries(self, own=False):
        """What it heard, without the servers' own lines unless they are wanted."""
        return [entry for message in self.messages for entry in message
                if own or entry.get("user") != "server"]

    def texts(self):
        return [entry.get("msg") for entry in self.entries()]

    async def heard(self, count):
        end = time.monotonic() + DEADLINE
        while len(self.entries()) < count:
            assert time.monotonic() < end, f"heard {len(self.entries())} of {count}"
            await asyncio.sleep(0.01)
        return self.entries()

    async def close(self):
        await self.link.close()
        await self.reader


def begin_sink(yard, store, postgres, **settings):
    settings.setdefault("lease", LEASE)
    uri = postgres if isinstance(postgres, str) else postgres.uri
    return yard.keep(Sink(f"sink-{len(yard.started)}", yard.folder, store=store, postgres=uri, **settings)).start()


class Producer(threading.Thread):
    """Adds numbered entries until stopped; knows which were accepted and which may have been."""

    def __init__(self, nodes, name="p", size=5):
        super().__init__(daemon=True)
        self.nodes, self.name_, self.size = nodes, name, size
        self.accepted, self.unsure, self.number = [], [], 0
        self.refusals = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            ids = [f"{self.name_}-{self.number + i}" for i in range(self.size)]
            node = self.nodes[(self.number // self.size) % len(self.nodes)]
            self.number += self.size
            try:
                status = add(node, [{"msg": one, "room": f"room-{i}", "user": "u", "level": "info"}
                                    for i, one in enumerate(ids)])[0]
            except OSError:
                status = None
            if status == 200:
                self.accepted += ids
                self.stopping.wait(0.003)  # the processors are for what is tested
            else:
                self.refusals += 1
                self.unsure += ids
                self.stopping.wait(0.02)

    def stop(self):
        self.stopping.set()
        self.join(30)
        assert not self.is_alive()


def judge(postgres, producers):
    """Each accepted entry is in the table, once; one that was not accepted at most once."""
    def all_there():
        return int(postgres.value("select count(distinct msg) from log_entry where user_name = 'u' and msg in (" +
                                  "select msg from accepted)")) == len(accepted)
    accepted = [one for producer in producers for one in producer.accepted]
    assert len(accepted) > 50, "too few entries to say anything"
    postgres.psql("create table if not exists accepted (msg text primary key); truncate accepted")
    for i in range(0, len(accepted), 2000):
        postgres.psql("insert into accepted values " + ",".join(f"('{one}')" for one in accepted[i:i + 2000]))
    wait_until(all_there, "every accepted entry is in the table", 60)
    assert postgres.ask("select msg, count(*) from log_entry where user_name = 'u' group by msg having count(*) > 1") == []
    assert postgres.value("select count(*) from log_entry_rejected") == "0"


class LosingProxy(Proxy):
    """A way to PostgreSQL that loses the answers to COPY, `to_lose` of them: what the client sent is carried out, and
    the link is cut before the client hears so."""

    COPY_DONE = b"c\x00\x00\x00\x04"

    def __init__(self, target):
        super().__init__(target.port)
        self.to_lose, self.lost = 0, 0
        self._losing = set()

    def on_up(self, link, data):
        if data.endswith(self.COPY_DONE) and self.to_lose > 0:
            self.to_lose -= 1
            self._losing.add(link)
        return data

    def on_down(self, link, data):
        """CommandComplete names COPY: the rows are committed."""
        if link not in self._losing or b"COPY" not in data:
            return data
        self._losing.discard(link)
        self.lost += 1
        return None
