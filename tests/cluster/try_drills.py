# SPDX-License-Identifier: MIT
"""The drills of docs/drills.md, made with kubectl; each alert has to fire in its fault, and not before. Some side by side, each with a
fleet, a Redis and a PostgreSQL of its own."""

import asyncio
import contextlib
import http.client
import json
import os
import time

from crowd import AGAIN_AFTER, answer_pings
from place import OURS, Place, Release
from lib.chat import ChatClient
from lib.frames import RawWebSocket
from lib.tcp import RawSocket
from lib.tokens import Key
from stores import Stores
from try_faults import flood
from watch import Watch, shown

CALM = 75  # seconds in which nothing may fire
LIMIT = 780  # seconds for an alert
SIDE_BY_SIDE = int(os.environ.get("KUBE_SIDE", "4"))  # drills at a time
QUIET = 300  # seconds in which nothing may fire, where nothing should


class Drill:
    """A fault. `alerts` have to fire, `panels` are what one looks at."""

    alerts, panels, nodes, sinks, values, every = (), ("Nodes and sinks",), 2, 1, {}, 60

    def __init__(self, world, number):
        self.world = world
        self.part = f"drill{number}"
        self.stores = Stores(self.part)
        self.release = Release(f"{OURS}-{self.part}", world.values(
            secret=self.stores.secret(), node={"replicas": self.nodes, "resources": {"requests": {"cpu": "10m"}}},
            sink={"replicas": self.sinks, "resources": {"requests": {"cpu": "10m"}}}, **self.values))
        self.held, self.link = [], None

    def prepare(self):
        """Namespace, stores and release are one."""
        Place.delete(self.stores)
        self.stores.make().ready()
        self.release.install().ready()

    def fault(self):
        """Blocking, once."""

    def again(self, second):
        """Each `every` seconds of the fault, the first time at once."""

    def work(self):
        """Each two seconds, before and after: an entry of the log, on a connection that stays. A new one finds nobody where no node is ready."""
        try:
            if self.link is None:
                self.link = http.client.HTTPConnection(self.ways[0].host, self.ways[0].port, timeout=20)
            self.link.request("POST", "/logs/add", json.dumps([{"msg": "drill", "user": "drill"}]), {"Content-Type": "application/json"})
            self.link.getresponse().read()
        except (OSError, http.client.HTTPException):
            self.link.close()
            self.link = None

    async def _work(self):
        while True:
            await asyncio.to_thread(self.work)
            await asyncio.sleep(2)

    def look(self, watch):
        return {title: shown(watch, self.release, title) for title in self.panels}

    async def play(self, watch):
        """(alerts with the seconds until each fired, what panels showed before and then, what fired too early)."""
        self.ways = await asyncio.to_thread(self.release.ways)
        worker = asyncio.ensure_future(self._work())
        await asyncio.sleep(CALM)
        early, before = await asyncio.to_thread(watch.alerts, self.release), await asyncio.to_thread(self.look, watch)
        began = time.monotonic()
        repeating = asyncio.ensure_future(self._make(began))
        fired = {}
        limit = LIMIT if self.alerts else QUIET
        while time.monotonic() - began < limit and not (self.alerts and set(self.alerts) <= fired.keys()):
            await asyncio.sleep(3)
            for name in await asyncio.to_thread(watch.alerts, self.release):
                fired.setdefault(name, time.monotonic() - began)
        then = await asyncio.to_thread(self.look, watch)
        repeating.cancel()
        worker.cancel()
        return fired, before, then, early

    async def _make(self, began):
        await asyncio.to_thread(self.fault)
        while True:
            await asyncio.to_thread(self.again, time.monotonic() - began)
            await asyncio.sleep(self.every)


def hand(machine, script):
    """Runs it as root on that machine, in no namespace of its own but that of files."""
    place = Place(f"{OURS}-hand").make()
    name = f"hand-{time.monotonic_ns()}"
    place.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "nodeName": machine, "hostPID": True, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "hand", "image": "postgres:17", "command": ["bash", "-c", script], "securityContext": {"privileged": True, "runAsUser": 0}}]}})
    place.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=120s")


def signal(pod, word):
    """To the program of a pod, from its machine: from within, the kernel shields a container's first process."""
    hand(pod["spec"]["nodeName"], f"""
        for at in /proc/[0-9]*; do
            [ "$(cat $at/comm 2>/dev/null)" = muster ] && grep -qE {pod['metadata']['uid'].replace('-', '.')} $at/cgroup && kill -{word} ${{at##*/}}
        done; true""")


class Rolling(Drill):
    """`kubectl rollout restart` of nodes and sinks: nothing fires"""
    panels, nodes, sinks = ("Connections", "Opened and refused"), 3, 2

    def fault(self):
        self.release.kubectl("rollout", "restart", f"deployment/{self.release.full}-node", f"deployment/{self.release.full}-sink")


class NodesGone(Drill):
    """`kubectl scale deployment/...-node --replicas=0`"""
    alerts = ("MusterGone",)

    def fault(self):
        self.release.kubectl("scale", f"deployment/{self.release.full}-node", "--replicas=0")


class NodeHangs(Drill):
    """SIGSTOP from its machine, and a liveness probe that does not help (else the kubelet starts it again)"""
    alerts, panels, values = ("MusterTargetDown",), ("Connections", "Nodes and sinks"), {"probes": {"liveness": {"failureThreshold": 100}}}

    def fault(self):
        signal(self.release.pods()[0], "STOP")


class NodeRestarts(Drill):
    """SIGKILL from its machine, each minute"""
    alerts, panels, every = ("MusterRestarting",), ("Connections",), 60

    def again(self, second):
        if second < 200:
            signal(self.release.pods()[0], "KILL")


class RedisAway(Drill):
    """`kubectl scale deployment/redis --replicas=0`"""
    alerts = ("MusterStoreDown", "MusterLogsRefused")

    def fault(self):
        self.stores.away("redis")


class LinksBreak(Drill):
    """`redis-cli client kill` each minute"""
    alerts, panels = ("MusterStoreFlapping",), ("Store trouble", "Nodes and sinks")

    def again(self, second):
        for kind in ("normal", "pubsub"):
            self.stores.redis("client", "kill", "type", kind)


class RedisFull(Drill):
    """`redis-cli config set maxmemory 1mb`"""
    alerts, panels = ("MusterLogsRefused", "MusterStoreDown", "MusterStoreErrors"), ("Store trouble", "Nodes and sinks")

    def fault(self):
        self.stores.redis("config", "set", "maxmemory", "1mb")

    def work(self):
        for _ in range(3):
            super().work()


class RedisSlow(Drill):
    """`redis-cli client pause 900 all`, each second"""
    alerts, panels, every = ("MusterBusLate",), ("Bus lag", "Command time"), 600

    def again(self, second):
        self.stores.kubectl("exec", "deployment/redis", "--", "sh", "-c",
                            "for i in $(seq 590); do redis-cli -a muster --no-auth-warning client pause 900 all >/dev/null; sleep 0.2; done", check=False, limit=900)


class PostgresAway(Drill):
    """`kubectl scale deployment/postgres --replicas=0`"""
    alerts, panels = ("MusterSinkGone", "MusterSinkBehind"), ("Sinks with PostgreSQL", "Age of the oldest of them")

    def fault(self):
        self.stores.away("postgres")


class SinksGone(Drill):
    """`kubectl scale deployment/...-sink --replicas=0`"""
    alerts, panels = ("MusterSinkGone",), ("Nodes and sinks", "Sinks with PostgreSQL")

    def fault(self):
        self.release.kubectl("scale", f"deployment/{self.release.full}-sink", "--replicas=0")


class Crowded(Drill):
    """connection-limit=12, and clients"""
    alerts, panels, values, every, nodes = ("MusterRefusing",), ("Opened and refused",), {"settings": {"connection-limit": 12}}, 1, 1

    def fault(self):
        for _ in range(11):
            with contextlib.suppress(Exception):
                self.held.append(RawWebSocket(self.ways[0]))

    def again(self, second):
        self.held = answer_pings(self.held)
        for _ in range(3):
            with contextlib.suppress(OSError):
                RawSocket(self.ways[0].port, host=self.ways[0].host).close()
        time.sleep(AGAIN_AFTER)


class StreamFull(Drill):
    """logs-bound=50, PostgreSQL away"""
    alerts, panels, values = ("MusterLogsRefused", "MusterSinkGone"), ("In the stream",), {"settings": {"logs-bound": 50}}

    def fault(self):
        self.stores.away("postgres")


class LoginsFail(Drill):
    """Tokens of another key"""
    alerts, panels, every = ("MusterLoginsFail",), ("Logins",), 1
    key = Key("ES256")

    def again(self, second):
        async def come():
            client = await ChatClient.connect(self.ways[0])
            await client.login(self.key.token("nobody"))
            client.vanish()
        with contextlib.suppress(Exception):
            asyncio.run(come())


class MemoryShort(Drill):
    """300 clients who do not read, a node in 128 MiB"""
    alerts, panels, nodes = ("MusterMemoryShort",), ("Memory", "Dropped and cut, by reason"), 1

    def __init__(self, world, number):
        super().__init__(world, number)
        self.release.values["node"]["resources"] = {"requests": {"cpu": "10m"}, "limits": {"memory": "128Mi"}}

    def fault(self):
        flood(self.ways[0], self.held)


DRILLS = [Rolling, NodesGone, NodeHangs, NodeRestarts, RedisAway, LinksBreak, RedisFull, RedisSlow, PostgresAway, SinksGone, Crowded, StreamFull, LoginsFail,
          MemoryShort]


def brief(panel):
    """Values of a panel as a person reads them off."""
    return ", ".join(f"{legend or 'line'} {' '.join(f'{value:.3g}' for value in values[:3]) or 'none'}" for legend, values in panel.items())


def tell(world, drill, outcome):
    if isinstance(outcome, BaseException):
        world.table.row(f"drill {type(drill).__name__}", f"{outcome!r:.300}", False)
        return
    fired, before, then, early = outcome
    times = ", ".join(f"{name} after {seconds:.0f} s" for name, seconds in sorted(fired.items(), key=lambda one: one[1]))
    world.table.row(f"drill {type(drill).__name__}: {type(drill).__doc__.splitlines()[0]}", times or "nothing fired",
                    set(drill.alerts) <= fired.keys() and not early and (drill.alerts or not fired))
    if early:
        world.progress.line(f"    before the fault: {sorted(early)}")
    for title in drill.panels:
        world.progress.line(f"    {title}: {brief(before[title])}  ->  {brief(then[title])}")


async def drills(world, _):
    """All of them, or those named after it: drills=NodesGone,RedisAway."""
    wanted = [one for one in DRILLS if not world.wanted_drills or one.__name__ in world.wanted_drills]
    watch = Watch()
    await world.off(watch.build, world)
    for first in range(0, len(wanted), SIDE_BY_SIDE):
        row = [kind(world, number) for number, kind in enumerate(wanted[first:first + SIDE_BY_SIDE])]
        world.places += [drill.stores for drill in row]
        await asyncio.gather(*(world.off(drill.prepare) for drill in row))
        await world.off(watch.delete)
        await world.off(watch.start, [drill.release for drill in row])
        world.places.append(watch)
        for drill, outcome in zip(row, await asyncio.gather(*(drill.play(watch) for drill in row), return_exceptions=True)):
            tell(world, drill, outcome)
        for drill in row:
            for pair in drill.held:
                for client in pair if isinstance(pair, tuple) else (pair,):
                    client.close()
            await world.off(drill.stores.delete)
    await world.off(Place(f"{OURS}-hand").delete)
    await world.off(watch.delete)
