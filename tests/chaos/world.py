"""The cluster that is hurt: Redis, nodes that reach it through a proxy each, HAProxy before them; PostgreSQL and
sinks where they are wanted."""

import asyncio
import pathlib
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from cluster import BINARY, Node, Process, Proxy, Redis, free_port, muster  # noqa: E402
from waiting import Expired, until, wait_until  # noqa: E402

LEASE = 2.0
READY_SLACK = 15.0  # seconds on a busy machine, after everything is mended


class KeptRedis(Redis):
    """Keeps what it holds over a SIGKILL, as an append-only file does."""

    def start(self, *_):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.launch(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                     "--appendonly", "yes", "--dir", str(self.folder)])
        wait_until(self.answers, f"{self.name} answers PING")
        return self

    def is_loaded(self):
        return self.answers() and b"loading:0" in self.command("INFO", "persistence")

    def restart_kept(self):
        self.kill()
        self.start()

    def restart_empty(self):
        self.kill()
        shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
        (self.folder / "appendonly.aof").unlink(missing_ok=True)
        self.start()


class Balancer(Process):
    """HAProxy before all nodes; its answers name the node in X-Node."""

    def __init__(self, folder, nodes, streams):
        super().__init__("haproxy", folder)
        self.port = free_port()
        self.stream_ports = {name: free_port() for name in streams}
        parts = ["""defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    option redispatch
    retries 3
frontend http
    bind 127.0.0.1:%d
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    http-response set-header X-Node %%s
""" % self.port]
        checked = "check inter 300ms fall 1 rise 1"
        parts += [f"    server {node.name} 127.0.0.1:{node.port} {checked}\n" for node in nodes]
        for name, ports in streams.items():
            parts.append(f"listen {name}\n    mode tcp\n    bind 127.0.0.1:{self.stream_ports[name]}\n"
                         "    balance roundrobin\n    option httpchk GET /readyz\n")
            parts += [f"    server {node.name} 127.0.0.1:{port} {checked} port {node.port}\n"
                      for node, port in zip(nodes, ports)]
        self.config = self.folder / "haproxy.cfg"
        self.config.write_text("".join(parts))

    def start(self):
        self.launch(["haproxy", "-q", "-f", str(self.config)])
        return self

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.kill()


class World:
    def __init__(self, folder, tally, count=4, plays=(), through_proxies=True):
        self.folder = pathlib.Path(folder)
        self.tally = tally
        self.plays = plays
        self.redis = KeptRedis("redis", self.folder / "redis")
        self.proxies = [Proxy(self.redis.port) for _ in range(count if through_proxies else 0)]
        self.stores = [proxy.url for proxy in self.proxies] or [self.redis.url] * count
        self.nodes = []
        self.sinks = []
        self.postgres = None
        self.harmed = {}  # how often each node was killed, ended or stopped, by name
        self.calm = True
        for number, store in enumerate(self.stores):
            settings = {"store": store, "lease": f"{LEASE:.0f}s", "log_level": "warn"}
            for play in plays:
                settings.update(play.node_settings(number))
            self.nodes.append(Node(f"node{number}", self.folder, **settings))
            self.harmed[f"node{number}"] = 0
        streams = {name: ports for play in plays for name, ports in play.streams().items()}
        self.balancer = Balancer(self.folder, self.nodes, streams)

    def start(self):
        self.tally.promise("nodes not ready again", "clients of a sound node disconnected", "nodes that crashed")
        self.redis.start()
        for proxy in self.proxies:
            proxy.start()
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.ready()
        self.balancer.start()
        wait_until(lambda: _status(self.balancer.port) == 200, "the balancer answers")
        for play in self.plays:
            play.build(self)

    def stop(self):
        """Ends all, and has each node judged."""
        faults = []
        for thing in [*self.nodes, *self.sinks, self.balancer, *self.proxies, self.redis, self.postgres]:
            try:
                if thing is not None:
                    thing.stop()
            except AssertionError as fault:
                faults.append(str(fault))
        for fault in faults:
            self.tally.broken("nodes that crashed", fault)

    # --- which node a client is at, and whether that node gave it a reason to go

    def harm(self, node):
        self.harmed[node.name] = self.harmed.get(node.name, 0) + 1

    def excuse(self, name):
        """To be compared with a later one: the same means that nothing was done to the node meanwhile."""
        return name, self.harmed.get(name)

    def lost(self, play, excuse, why):
        """A client was disconnected."""
        self.tally.count(f"{play}: connections lost")
        if self.excuse(excuse[0]) == excuse:
            self.tally.broken("clients of a sound node disconnected", f"{play} at {excuse[0]}: {why}")

    # --- back to health

    async def heal(self):
        """Everything runs and is reachable; returns when all nodes say that they are ready."""
        await asyncio.to_thread(self._mend)
        began = time.monotonic()
        outcomes = await asyncio.gather(*map(self._until_ready, self.nodes), return_exceptions=True)
        for node, trouble in zip(self.nodes, outcomes):
            if trouble is not None:
                self.tally.broken("nodes not ready again", f"{node.name}: {trouble}")
        self.tally.took("all nodes ready after the faults", time.monotonic() - began)
        # Live state is promised within a lease: until then what ran out meanwhile may be told away and told anew.
        await asyncio.sleep(LEASE)
        self.calm = True

    def _mend(self):
        if self.redis.alive():
            self.redis.cont()
        else:
            self.redis.start()
        wait_until(self.redis.is_loaded, "Redis has loaded")
        for proxy in self.proxies:
            proxy.delay = 0.0
            proxy.mend()
            proxy.thaw()
        if self.postgres is not None and not self.postgres.alive():
            self.postgres.start()
        for process in [*self.nodes, *self.sinks]:
            self.revive(process)

    async def _until_ready(self, node):
        async def ask():
            proofs = await asyncio.to_thread(_proofs, node)
            while not await asyncio.to_thread(_is_well, node, proofs):
                if not node.alive():
                    raise AssertionError(f"ended with {node.exit_code()}: {node.log_tail(10)}")
                await asyncio.sleep(0.05)
        try:
            await asyncio.wait_for(ask(), READY_SLACK)
        except asyncio.TimeoutError:
            raise Expired(node.log_tail(10)) from None

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


def _proofs(node):
    """How often the node has proved its link to Redis."""
    try:
        return node.metrics().get("muster_bus_lag_seconds_count", 0)
    except OSError:
        return 0


def _is_well(node, proofs):
    """Ready, which allows for a link that is down for a moment; so its link must be proved anew, too."""
    return node.is_ready() and _proofs(node) > proofs


def _status(port):
    import urllib.error
    import urllib.request
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=2) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


class Play:
    """Clients of one protocol, and what is promised to them. A protocol is one file with one such class."""

    name = "?"

    @classmethod
    def is_there(cls, help_text):
        """Whether the binary serves it, seen from its --help."""
        return True

    def node_settings(self, number):
        return {}

    def streams(self):
        """TCP services for the balancer: name to the port on each node."""
        return {}

    def build(self, world):
        """Blocking: what has to be there before the clients."""

    async def start(self, world, rng):
        """Starts the clients' tasks."""

    async def settle(self, world):
        """All is well again: waits for what is promised then, and counts what is not so."""

    async def stop(self):
        """Ends the clients."""

    async def end(self, world):
        """After all clients of all plays have left: nothing may be left of them."""


__all__ = ["BINARY", "LEASE", "Balancer", "Expired", "Node", "Play", "Process", "Proxy", "World", "free_port", "muster",
           "until", "wait_until"]
