"""What the tests of logs share: adding, listening, sinks, and what the table must hold in the end."""

import asyncio
import http.client
import json
import socket
import ssl
import threading
import time

import websockets

from cluster import Node, free_port
from waiting import DEADLINE, wait_until, within


def add(node, entries, token=None, **fields):
    """POST /logs/add: (status, body text, header fields). Bytes go as they are."""
    body = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    headers = {"Content-Type": "application/json", **fields}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    link = http.client.HTTPConnection("127.0.0.1", node.port, timeout=DEADLINE)
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
                self.messages.append(message if message == "pong" else json.loads(message))
        except websockets.ConnectionClosed:
            pass

    def entries(self, own=False):
        """What it heard, without the servers' own lines unless they are wanted."""
        return [entry for message in self.messages if message != "pong" for entry in message
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


class Sink(Node):
    """One `muster sink`."""

    verb = "sink"

    def __init__(self, name, folder, env=None, **settings):
        super().__init__(name, folder, env, **settings)
        self.settings.pop("drain")


def begin_sink(yard, store, postgres, **settings):
    settings.setdefault("lease", "2s")
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


class LosingProxy:
    """A way to PostgreSQL that loses the answers to COPY: what the client sent is carried out, and the
    link is cut before it hears so."""

    COPY_DONE = b"c\x00\x00\x00\x04"

    def __init__(self, target):
        self.target, self.port = target, free_port()
        self.to_lose, self.lost = 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target.port))
            except OSError:
                client.close()
                continue
            state = {"lose": False}
            threading.Thread(target=self._up, args=(client, server, state), daemon=True).start()
            threading.Thread(target=self._down, args=(client, server, state), daemon=True).start()

    def _up(self, client, server, state):
        try:
            while data := client.recv(65536):
                if data.endswith(self.COPY_DONE):
                    with self.lock:
                        state["lose"] = self.to_lose > 0
                        self.to_lose -= state["lose"]
                server.sendall(data)
        except OSError:
            pass
        self._end(client, server)

    def _down(self, client, server, state):
        try:
            while data := server.recv(65536):
                if state["lose"]:
                    assert b"COPY" in data, data  # CommandComplete: it is committed
                    self.lost += 1
                    break
                client.sendall(data)
        except OSError:
            pass
        self._end(client, server)

    @staticmethod
    def _end(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.listener.close()


class TlsFront:
    """TLS in front of a node, as an ingress has it."""

    def __init__(self, target, folder, own="server"):
        self.target, self.name = target, f"TLS front ({own})"
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / f"{own}.pem", folder / f"{own}.key")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target.port))
        except OSError:
            client.close()
            return
        client.settimeout(0.02)
        threading.Thread(target=self._up, args=(client, server), daemon=True).start()

    @staticmethod
    def _up(client, server):
        """Both ways in one thread: a TLS socket of Python is no place for two."""
        server.settimeout(0.02)
        open_ = True
        while open_:
            for one, other in ((client, server), (server, client)):
                try:
                    data = one.recv(65536)
                    open_ = open_ and bool(data)
                    other.settimeout(30)
                    other.sendall(data)
                    other.settimeout(0.02)
                except TimeoutError:
                    pass
                except OSError:
                    open_ = False
        client.close()
        server.close()

    def stop(self):
        self.listener.close()
