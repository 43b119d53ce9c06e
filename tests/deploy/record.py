#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Records what Prometheus would see while a real fleet has a fault: `record.py [NAME...]`, all of them side by side in 16
minutes. Each becomes recorded/<name>.json: the series that rules use, one sample in 15 s, the fault from 2 minutes on.
test_alerts.py holds the alerts to them."""

import contextlib
import json
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "helm/make")]

# pylint: disable=wrong-import-position
from lib.dispatch import SECRET, bind_of, node_settings, path_of  # noqa: E402
from lib.frames import RawWebSocket, deaf_pair  # noqa: E402
from lib.logs import add, begin_sink  # noqa: E402
from lib.ports import free_port  # noqa: E402
from lib.postgres import Postgres  # noqa: E402
from lib.process import muster, samples  # noqa: E402
from lib.sync import push  # noqa: E402
from lib.yard import Yard  # noqa: E402

import manifests  # noqa: E402

INTERVAL, BEGIN, END = 15, 120, 960  # seconds
LABELS = 'namespace="games",job="live-muster-metrics"'
USED = set(re.findall(r"\b((?:muster|process)_[a-z_]+)\{", (manifests.CHART / "files/alerts.yaml").read_text()))
LEASE = "10s"


class Scene:
    """A fleet: `targets` are what Prometheus knows of, by the name of their instance. A scene derives from it."""

    nodes, sinks, settings = 2, 1, {}

    def __init__(self, folder):
        self.yard = Yard(folder)
        self.targets = {}
        self.number = 0

    def make(self):
        self.redis = self.yard.redis()
        self.store = self.redis.url
        self.postgres = self.yard.keep(Postgres("postgres", self.yard.folder)).make().start()
        assert muster("migrate", "--postgres", self.postgres.uri).returncode == 0
        self.fleet = [self.add_node() for _ in range(self.nodes)]
        self.dumpers = [self.add_sink() for _ in range(self.sinks)]

    def add_node(self):
        settings = {"lease": LEASE, "drain": "20s", "dispatch_ports": "", "logs_sink": "on", **self.settings}
        return self.target("node", self.yard.begin(store=self.store, **settings).ready())

    def add_sink(self):
        return self.target("sink", begin_sink(self.yard, self.store, self.postgres, lease=LEASE).ready())

    def target(self, kind, process):
        self.number += 1
        self.targets[f"{kind}{self.number}"] = process
        return process

    def forget(self, process):
        """Its pod is deleted, so Prometheus knows it no more."""
        self.targets = {name: there for name, there in self.targets.items() if there is not process}

    def second(self, at, fault):
        """Each second; `fault` is how many seconds the fault lasts, below 0 before it."""
        if at % 2 == 0:
            self.log("well")

    def log(self, text, node=0):
        with contextlib.suppress(OSError):
            add(self.fleet[node], {"msg": text})

    def close(self):
        for thing in self.yard.started:
            if hasattr(thing, "expected_exit"):
                thing.expected_exit = None
        self.yard.stop()


class Rolling(Scene):
    """Every node and sink is replaced, a new one first."""

    nodes, sinks = 3, 2

    def second(self, at, fault):
        super().second(at, fault)
        if fault >= 0 and fault % 60 == 0 and fault // 60 < 3:
            self.replace(self.fleet, self.add_node())
        if fault in (200, 260):
            self.replace(self.dumpers, self.add_sink())

    def replace(self, row, new):
        old = row.pop(0)
        row.append(new)
        old.term()
        threading.Thread(target=lambda: (old.popen.wait(), self.forget(old)), daemon=True).start()


class Gone(Scene):
    def second(self, at, fault):
        if fault == 0:
            for node in self.fleet:
                node.kill()
                self.forget(node)


class Hangs(Scene):
    def second(self, at, fault):
        super().second(at, -1)
        if fault == 0:
            self.fleet[1].pause()


class Restarts(Scene):
    def second(self, at, fault):
        if fault in (0, 60, 120, 180):
            self.fleet[1].kill()
            self.fleet[1].start()


class StoreAway(Scene):
    settings = {"chat_login": "development"}

    def make(self):
        super().make()
        self.chat = RawWebSocket(self.fleet[0], path="/chat")
        self.chat.text('{"action":"login","token":"alice"}')

    def second(self, at, fault):
        if fault == 0:
            self.redis.kill()
        if at % 3 == 0:
            self.chat.text('{"action":"message","message":"hello"}')
            self.log("kept?", 1)


class LinksBreak(Scene):
    def second(self, at, fault):
        super().second(at, fault)
        if fault >= 0 and fault % 60 == 0:
            for kind in ("normal", "pubsub"):
                self.redis.command("CLIENT", "KILL", "TYPE", kind)


class StoreFull(Scene):
    def second(self, at, fault):
        if fault == 0:
            self.redis.command("CONFIG", "SET", "maxmemory", "1mb")
        for _ in range(3):
            self.log("x" * 1000)


class OneBehindAProxy(Scene):
    """One more node, whose way to Redis is the scene's."""

    def make(self):
        super().make()
        self.proxy = self.yard.proxy(self.redis)
        self.store = self.proxy.url
        self.fleet.append(self.add_node())


class StoreSlow(OneBehindAProxy):
    def second(self, at, fault):
        if fault == 0:
            self.proxy.delay = 0.8
        threading.Thread(target=self.log, args=("slow", 2), daemon=True).start()


class Crowded(Scene):
    settings = {"connection_limit": 12}

    def make(self):
        super().make()
        self.held = []

    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.held = [RawWebSocket(self.fleet[0]) for _ in range(11)]
        if fault >= 0:
            with contextlib.ExitStack() as opened:
                for _ in range(3):
                    opened.enter_context(socket.create_connection(("127.0.0.1", self.fleet[0].port), timeout=5))
                time.sleep(0.1)


class LoginsFail(Scene):
    settings = {"chat_login": "jwt", "chat_jwt_secret": "a secret of thirty-two characters."}

    def second(self, at, fault):
        if fault >= 0:
            with contextlib.suppress(Exception), RawWebSocket(self.fleet[at % 2], path="/chat") as client:
                client.text('{"action":"login","token":"no.token.atall"}')
                client.next_frame()


class PortTaken(Scene):
    """One of two nodes cannot open what a driver at the other one asks for. Each has its own loopback address."""

    def add_node(self):
        self.settings = node_settings(self.number, dispatch_secret=SECRET)
        return super().add_node()

    def second(self, at, fault):
        if fault == 0:
            port = free_port()
            self.taken = socket.create_server((bind_of(1), port))
            self.driver = RawWebSocket(self.fleet[0], path=path_of(port, "127.0.0.0/8"))


class LogsLost(Scene):
    def second(self, at, fault):
        super().second(at, fault)
        if fault >= 0 and fault % 60 == 0:
            self.dumpers[0].pause()
            for number in range(40):
                self.log(f"lost {number}")
            for key in re.findall(rb"\r\n(muster:[^\r]*)\r\n", self.redis.command("KEYS", "muster:*")):
                if self.redis.command("TYPE", key).startswith(b"+stream"):
                    self.redis.command("XTRIM", key, "MAXLEN", "0")
            self.log("kept")
            self.dumpers[0].cont()


class StreamLost(Scene):
    """Redis loses its data while no sink is there to store what waits in it; nodes keep the last ten seconds of that."""

    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.dumpers[0].pause()
            for number in range(40):
                self.log(f"lost {number}")
        if fault == 30:
            self.redis.restart_empty()
            self.dumpers[0].cont()


class ChatLost(OneBehindAProxy):
    """A node is cut off from Redis while more is said at another one than Redis keeps."""

    settings = {"chat_login": "development", "chat_rate": "1000", "chat_burst": "1000"}

    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.proxy.cut()
            self.chat = RawWebSocket(self.fleet[0], path="/chat")
            self.chat.text('{"action":"login","token":"alice"}')
        if 0 <= fault < 30:
            for number in range(50):
                self.chat.text(f'{{"action":"message","message":"{fault}.{number}"}}')
                self.chat.next_frame()
        if fault == 30:
            self.proxy.mend()


class PostgresAway(Scene):
    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.postgres.kill()


class PostgresNever(Scene):
    def add_sink(self):
        return self.target("sink", begin_sink(self.yard, self.store, "postgresql://127.0.0.1:1/none", lease=LEASE))


class SinksGone(Scene):
    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.dumpers[0].kill()
            self.forget(self.dumpers[0])


class StreamFull(Scene):
    settings = {"logs_bound": 50}

    def second(self, at, fault):
        super().second(at, fault)
        if fault == 0:
            self.postgres.kill()


class MemoryShort(Scene):
    settings = {"memory_limit": "60m", "queue_limit": "16m"}

    def second(self, at, fault):
        if fault == 0:
            self.pairs = []
            with contextlib.suppress(AssertionError):  # until nobody new is let in
                while len(self.pairs) < 60:
                    self.pairs.append(self.flood(len(self.pairs)))

    def flood(self, number):
        session, deaf, leader = deaf_pair(self.fleet[0], f"flood-{number}")
        for _ in range(30):
            leader.text(push(session, "x" * 200_000))
        return deaf, leader


SCENES = {"rolling-update": Rolling, "nodes-gone": Gone, "node-hangs": Hangs, "node-restarts": Restarts, "store-away": StoreAway,
          "store-links-break": LinksBreak, "store-full": StoreFull, "store-slow": StoreSlow, "crowded": Crowded,
          "logins-fail": LoginsFail, "device-port-taken": PortTaken, "logs-lost": LogsLost, "stream-lost": StreamLost,
          "chat-lost": ChatLost, "postgres-away": PostgresAway, "postgres-never": PostgresNever, "sinks-gone": SinksGone,
          "stream-full": StreamFull, "memory-short": MemoryShort}


# ------------------------------------------------------------------------------------ scraping

def scrape(process):
    """Samples of the metrics that rules use; None when nobody answers in time."""
    try:
        with urllib.request.urlopen(process.http("/metrics"), timeout=5) as answer:
            found = samples(answer.read().decode())
    except (OSError, ValueError):
        return None
    return {name: value for name, value in found.items() if name.split("{")[0] in USED}


def labelled(name, instance):
    base, _, own = name.partition("{")
    labels = f'{LABELS},instance="{instance}"' + ("," + own[:-1] if own else "")
    return f"{base}{{{labels}}}"


class Record:
    def __init__(self):
        self.series, self.length = {}, 0

    def take(self, targets):
        for instance, process in targets.items():
            found = scrape(process)
            self.put(labelled("up", instance), 0 if found is None else 1)
            for name, value in (found or {}).items():
                self.put(labelled(name, instance), value)
        self.length += 1

    def put(self, name, value):
        row = self.series.setdefault(name, [])
        row += [None] * (self.length - len(row)) + [value]

    def written(self):
        return {name: " ".join(runs(row + [None] * (self.length - len(row)))) for name, row in sorted(self.series.items())}


def runs(row):
    """As promtool writes series: 5 5 5 is 5x2, no sample is _, and the first that is missing is marked, as Prometheus does."""
    at = 0
    while at < len(row):
        if row[at] is None and at > 0 and row[at - 1] is not None:
            yield "stale"
            at += 1
            continue
        end = at
        while end + 1 < len(row) and row[end + 1] == row[at]:
            end += 1
        text = "_" if row[at] is None else f"{row[at]:.10g}"
        count = end - at + (1 if row[at] is None else 0)
        yield f"{text}x{count}" if end > at else text
        at = end + 1


def play(name):
    scene, record = SCENES[name](tempfile.mkdtemp(prefix="record-")), Record()
    try:
        scene.make()
        start = time.monotonic()
        for at in range(END):
            time.sleep(max(0, start + at - time.monotonic()))
            scene.second(at, at - BEGIN)
            if at % INTERVAL == 0:
                record.take(dict(scene.targets))
        text = json.dumps({"interval": INTERVAL, "series": record.written()}, indent=1)
        (HERE / "recorded" / f"{name}.json").write_text(text + "\n")
        print(f"{name}: {record.length} samples of {len(record.series)} series", flush=True)
    finally:
        scene.close()


def main(names):
    threads = [threading.Thread(target=play, args=(name,)) for name in names or SCENES]
    for thread in threads:
        thread.start()
        time.sleep(3)
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(sys.argv[1:])
