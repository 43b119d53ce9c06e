# SPDX-License-Identifier: MIT
"""Throughput of dispatch: one device that sends as fast as it may, one driver that reads. On one node,
in turn with HAProxy in TCP mode between the same device and a plain socket; the bar is 0.7 of HAProxy's
bytes per second, told as time for a byte. Then with the driver on another node, through Redis, in turn
with a bare publisher and subscriber of messages of 64 KB; no bar, the note tells both.

CPU is that of the process between, user and system, for each megabyte that came through."""
import contextlib
import shutil

from harness import BenchError, Result, median, rounds
from lib.haproxy import HAProxy
from lib.measure import cpu_of
from lib.ports import free_port, listens
from lib.waiting import wait_until

PATH = "/api/server/tcp_dispatch?bearer_token=testing&accept=127.0.0.1&port={port}"
CHUNK = 64 * 1024

CONFIG = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend device
    bind 127.0.0.1:{port}
    default_backend sink
backend sink
    server sink 127.0.0.1:{sink}
"""


@contextlib.contextmanager
def haproxy(bench):
    proxy = HAProxy("haproxy", bench.folder)
    proxy.sink = free_port()
    proxy.config.write_text(CONFIG.format(port=proxy.port, sink=proxy.sink))
    with bench.running(proxy):
        wait_until(lambda: proxy.check() or listens(proxy.port), "HAProxy listens")
        yield proxy


def cpu_seconds(servers):
    return sum(cpu_of(server.pid) for server in servers)


def measure(bench, servers, **settings):
    """(bytes per second, CPU milliseconds per megabyte of `servers`)"""
    before = cpu_seconds(servers)
    seen = bench.load("stream", **settings)
    if seen["bytes_per_second"] == 0:
        raise BenchError("nothing came through")
    return seen["bytes_per_second"], (cpu_seconds(servers) - before) * 1e3 / (seen["bytes"] / 1e6)


def told(seen):
    return seen, f"{seen[0] / 1e6:,.0f} MB/s, {seen[1]:.2f} ms CPU per MB"


def dispatch_settings(number):
    return {"dispatch_bind": f"127.0.0.{number}", "dispatch_ports": "1024-65535", "dispatch_secret": "testing"}


def on_one_node(bench):
    port = free_port()
    with bench.node(**dispatch_settings(1)) as node:
        return told(measure(bench, [node], node=node.address, path=PATH.format(port=port),
                            device=f"127.0.0.1:{port}"))


def through_haproxy(bench):
    with haproxy(bench) as proxy:
        return told(measure(bench, [proxy], floor=1, listen=proxy.sink, device=proxy.address))


def across_nodes(bench):
    """The device's port opens on the other node when that one has heard: the load waits by asking."""
    port = free_port()
    with bench.redis() as redis:
        store = f"redis://{redis.address}"
        with bench.node(store, **dispatch_settings(1)) as a, bench.node(store, **dispatch_settings(2)) as b:
            with keep_open(bench, a, port):
                return told(measure(bench, [a, b], node=a.address, path=PATH.format(port=port),
                                    device=f"127.0.0.2:{port}"))


@contextlib.contextmanager
def keep_open(bench, node, port):
    """A driver that accepts nobody of interest holds the port open on every node."""
    path = PATH.format(port=port).replace("127.0.0.1", "127.9.9.9")
    with bench.held_load("devices", node=node.address, path=path, connections=0) as process:
        wait_until(lambda: listens(port), "the other node's port")
        yield
        process.stdin.close()
        process.stdin = None


def bare(bench):
    with bench.redis() as redis:
        return told(measure(bench, [redis], redis=redis.address, size=CHUNK))


def run(bench):
    if shutil.which("haproxy") is None:
        raise BenchError("haproxy is not there")
    ours, theirs = rounds(bench, "stream", [("one node", lambda: on_one_node(bench)),
                                            ("HAProxy", lambda: through_haproxy(bench))])
    apart, published = rounds(bench, "stream", [("two nodes", lambda: across_nodes(bench)),
                                                ("bare publish", lambda: bare(bench))])

    def mid(seen):
        return f"{median([s[0] for s in seen]) / 1e6:,.0f} MB/s, {median([s[1] for s in seen]):.2f} ms CPU per MB"

    times = median([t[0] for t in theirs]) / median([o[0] for o in ours])
    note = (f"{1 / times:.2f} of its throughput: {mid(ours)}; HAProxy {mid(theirs)}; two nodes {mid(apart)}; "
            f"bare publish of 64 KB {mid(published)} (of Redis)")
    return [Result("one device to one driver on one node: time for a byte, times HAProxy's in TCP mode",
                   1 / 0.7, times, note=note)]
