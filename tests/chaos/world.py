# SPDX-License-Identifier: MIT
"""The cluster that is hurt: Redis servers, nodes that reach it through a proxy each, HAProxy before them; PostgreSQL and
sinks where they are wanted; and a proxy on each link that can be cut."""

import asyncio
import pathlib
import time
import urllib.error
import urllib.request

from fleet import Group, Single, proofs, reconnects, serves_all
from lib.haproxy import Balancer
from lib.proxy import Proxy
from lib.redis import KeptRedis, run_all
from lib.waiting import Expired, wait_until
from links import Visit
from patience import Patience

LEASE = 2.0
READY_WITHIN = 15.0  # seconds after everything is repaired
WORKERS = (1, 1, 2, 2)  # of each node
QUEUE_LIMIT = "256k"  # so that buffers are full before long
TO_NODES, NODES_TO_REDIS, SINKS_TO_REDIS, SINKS_TO_POSTGRES = (
    "clients to nodes", "nodes to Redis", "sinks to Redis", "sinks to PostgreSQL")


class World:
    """Without `faults` nothing stands between the processes. Several Redis servers share what the cluster agrees on; or
    they belong together, `place` (a function of the folder): a Pair with sentinels or a cluster's Slots, which are reached
    straight. `binary`: of nodes and sinks, when it is not the one under test."""

    def __init__(self, folder, tally, plays=(), faults=True, workers=WORKERS, servers=1, place=None, binary=None):
        self.folder = pathlib.Path(folder)
        self.tally = tally
        self.plays = plays
        self.place = place(self.folder) if place is not None else None
        self.servers = self.place.servers if self.place is not None else [
            KeptRedis(f"redis{number}", self.folder / f"redis{number}") for number in range(servers)]
        self.lost_for_good = set()  # log entries that Redis lost, as its servers' data show: their texts
        self.postgres = None
        self.nodes, self.sinks = [], []
        self.doors, self.front = [], None
        self.links = {}  # what lies between whom: proxies
        self.harmed = {}  # how often each node and each way of clients was hurt, by name
        self.hurting = set()  # those that it is being done to
        self.calm = True
        self.patience = Patience(lambda: [port for node in self.nodes if node.alive() for port in node.answer_ports()],
                                 lambda: [server.port for server in self.servers if self.calm and server.alive()])
        self.faults = faults
        self.binary = binary
        for number, count in enumerate(workers):
            self._add_node(number, count)
        self.streams = {name: ports for play in plays for name, ports in play.streams().items()}
        self.balancer = Balancer(self.folder, self.nodes, self.streams)
        self.service_ports = {}  # (service, node's number or "balanced"): the door's port
        if faults:
            self._add_doors()

    def _add_node(self, number, workers):
        settings = {"store": self.link_to_redis(NODES_TO_REDIS), "lease": f"{LEASE:.0f}s", "log_level": "warn",
                    "queue_limit": QUEUE_LIMIT}
        for play in self.plays:
            settings.update(play.node_settings(number))
        name = f"node{number}"
        self.nodes.append(Group(name, self.folder, workers, **settings) if workers > 1 else
                          Single(name, self.folder, **settings))

    def _add_doors(self):
        self.doors = [Proxy(name=f"door {number}") for number in range(len(self.nodes))]
        self.front = Proxy(name="front")
        for number, (door, node) in enumerate(zip(self.doors, self.nodes)):
            door.lead_to(node.port)
            for name, ports in self.streams.items():
                self.service_ports[name, number] = door.lead_to(ports[number])
            for play in self.plays:
                for name, (host, port) in play.own_ports(number).items():
                    self.service_ports[name, number] = door.lead_to(port, host)
        self.front.lead_to(self.balancer.port)
        for name, port in self.balancer.stream_ports.items():
            self.service_ports[name, "balanced"] = self.front.lead_to(port)
        self.links[TO_NODES] = [*self.doors, self.front]

    def link(self, kind, port):
        """The port at which a new link of that kind leads to `port`."""
        if not self.faults:
            return port
        proxy = Proxy(port)
        self.links.setdefault(kind, []).append(proxy)
        return proxy.port

    def link_to_redis(self, kind):
        if self.place is not None:
            return self.place.url
        return ",".join(f"redis://127.0.0.1:{self.link(kind, server.port)}#{server.name}" for server in self.servers)

    def service_port(self, service, number, how):
        if how == "straight":
            return self.streams[service][number]
        where = "balanced" if how == "balanced" else number
        return self.service_ports.get((service, where)) or self.balancer.stream_ports[service]

    def start(self):
        self.tally.promise("nodes not ready again", "clients of a sound node disconnected", "nodes that crashed",
                           "links to Redis that fell while all is well")
        for server in [self.place] if self.place is not None else self.servers:
            server.start()
        for play in self.plays:
            play.build(self)
        for proxies in self.links.values():
            for proxy in proxies:
                proxy.start()
        for process in [*self.nodes, *self.sinks]:
            process.binary = self.binary or process.binary
            process.start()
        for node in self.nodes:
            node.ready()
        self.balancer.start()
        wait_until(lambda: _status(self.balancer.port) == 200, "the balancer answers")

    def stop(self):
        """Ends all, and has each node judged."""
        faults = []
        links = [proxy for proxies in self.links.values() for proxy in proxies]
        for thing in [*self.nodes, *self.sinks, self.balancer, *links, self.place, *self.servers, self.postgres]:
            try:
                if thing is not None:
                    thing.stop()
            except AssertionError as fault:
                faults.append(str(fault))
        for fault in faults:
            self.tally.broken("nodes that crashed", fault)

    # --- clients

    def harm(self, name):
        """Something begins that clients of that node or way may be disconnected by."""
        self.hurting.add(name)
        self.harmed[name] = self.harmed.get(name, 0) + 1

    def harmed_no_more(self, name):
        self.hurting.discard(name)

    def visit(self, rng, balanced=False):
        """A way for a client: through the balancer, or to any node, straight or through its door."""
        number = rng.randrange(len(self.nodes))
        how = "balanced" if balanced else rng.choice(["straight", "door"] if self.doors else ["straight"])
        return Visit(self, number, how)

    def lost(self, play, visit, why):
        """A client was disconnected."""
        self.tally.count(f"{play}: connections lost")
        if not visit.excused():
            self.tally.broken("clients of a sound node disconnected", f"{play} at {visit.where()}: {why}")

    async def until(self, check, what, seconds):
        return await self.patience.until(check, what, seconds)

    # --- back to health

    async def heal(self):
        """Everything runs and is reachable; returns when all nodes say that they are ready."""
        self.patience.start()
        await asyncio.to_thread(self._mend)
        began = time.monotonic()
        outcomes = await asyncio.gather(*map(self._until_ready, self.nodes), return_exceptions=True)
        for node, trouble in zip(self.nodes, outcomes):
            if trouble is not None:
                self.tally.broken("nodes not ready again", f"{node.name}: {trouble}")
        self.tally.took("all nodes ready after the faults", time.monotonic() - began)
        self.patience.reset()
        self.calm = True

    def _mend_servers(self):
        run_all(self.servers)

    def _mend(self):
        if self.place is not None:
            self.place.settle()
        else:
            self._mend_servers()
        for proxies in self.links.values():
            for proxy in proxies:
                proxy.delay = 0.0
                proxy.mend()
                proxy.thaw()
        if self.postgres is not None and not self.postgres.alive():
            self.postgres.start()
        if not self.balancer.alive():
            self.balancer.start()
        for process in [*self.nodes, *self.sinks]:
            self.revive(process)

    async def _until_ready(self, node):
        """Ready, which allows for a link that is down for a moment, and for servers that are away while others are there;
        so all partitions must be served, and each link proved again, too: twice, for the first may be what made the link,
        before it heard again what it had subscribed to. The proofs of a node's links have one count, and follow each
        other at one pace."""
        more = 2 * (self.place.masters if self.place is not None else len(self.servers))
        before = await asyncio.to_thread(proofs, node) or []
        ready = False

        async def ask():
            nonlocal ready
            while not ready:
                if not node.alive():
                    raise AssertionError(f"ended with {node.exit_code()}: {node.log_tail(10)}")
                now = await asyncio.to_thread(proofs, node)
                ready = (now is not None and _so_many_more(more, now, before) and await asyncio.to_thread(serves_all, node) and
                         await asyncio.to_thread(node.is_ready))
                await asyncio.sleep(0.05)
        asking = asyncio.create_task(ask())
        try:
            await self.until(lambda: ready or asking.done(), "ready", READY_WITHIN)
            await asking
        except Expired:
            raise Expired(node.log_tail(10)) from None
        finally:
            asking.cancel()

    async def in_calm(self):
        """A mark to be compared with a later one: the same means that no link to Redis fell meanwhile."""
        return await asyncio.to_thread(reconnects, self.nodes)

    def revive(self, process):
        """Running again, whatever was done to it."""
        if process.alive() and not process.asked_to_end:
            process.cont()
            return
        if process.alive():
            process.popen.wait(30)
        process.judge(process.exit_code())
        process.expected_exit = 0
        process.start()


def _so_many_more(more, now, before):
    """A process that was replaced counts from 0."""
    old = before if len(before) == len(now) else [0] * len(now)
    return all(count >= was + more or more <= count < was for count, was in zip(now, old))


def _status(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None
