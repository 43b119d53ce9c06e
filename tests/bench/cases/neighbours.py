# SPDX-License-Identifier: MIT
"""What others' work costs one quiet session of sync on the same node: p50 and p99 from push to receipt, a push every 5 ms,
without and with the load beside it, in turn, in the same run. Each load keeps on as fast as it is answered:

    stream      a device of dispatch sends its driver 50 MB a second
    bodies      two clients of /logs/add with bodies of 256 KB, and of 10 MB
    history     eight chat users read the last 100 messages, four requests of each on their way
    logins      1,000 sockets log in with RS256 tokens at once, again and again; and 5,000
    documents   four clients send 252 KB of JSON: large, nested 100 deep, and with a type of \\u escapes

Wanted: a p99 of at most three times that of the quiet node, and never over 20 ms. The load's own programs and the probe
run on the same cores, and wait for them as the node does: so a node with nothing to do is asked beside the same load,
too, and the turns of the first one that took more than 2.5 ms of CPU time are counted."""
import contextlib
import os
import subprocess
import sys

from cases import login, turns
from harness import BenchError, Result, median
from lib.ports import free_port

NOISE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "noise.py")
SETTINGS = {"dispatch_bind": "127.0.0.1", "dispatch_ports": "1024-65535", "dispatch_secret": "testing",
            "chat_rate": "100000", "chat_burst": "100000", "message_limit": "32m", "logs_bound": "100000"}
TIMES, MOST_MS = 3.0, 20.0


@contextlib.contextmanager
def noise(*argv):
    with subprocess.Popen([sys.executable, NOISE, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout.readline().strip() != "ready":
                raise BenchError(f"noise {argv[0]} did not begin")
            yield
            if process.poll() is not None:
                raise BenchError(f"noise {argv[0]} ended")
        finally:
            process.kill()


def loads(node, token):
    port = free_port()
    path = f"/api/server/tcp_dispatch?bearer_token=testing&accept=127.0.0.1&port={port}"
    address = node.address
    return [("a dispatch stream of 50 MB/s", ("stream", address, path, f"127.0.0.1:{port}")),
            ("/logs/add with bodies of 256 KB", ("bodies", address, str(250 * 1000))),
            ("/logs/add with bodies of 10 MB", ("bodies", address, str(10 * 1000 * 1000))),
            ("bursts of 1,000 RS256 logins", ("logins", address, "1000", token)),
            ("bursts of 5,000 RS256 logins", ("logins", address, "5000", token)),
            ("252 KB of JSON, large", ("documents", address, "large")),
            ("252 KB of JSON, deep", ("documents", address, "deep")),
            ("a type of 252 KB of escapes", ("documents", address, "escaped"))]


def probe(bench, node):
    """(p50, p99) in ms."""
    seen = bench.load("pushes", node=node.address, sessions=1, members=2, size=200, period_ms=5)["all"]
    return seen["p50"] / 1e3, seen["p99"] / 1e3


def compare(bench, node, other, name, argv):
    """A row, and its p99 in ms with the load, on the node that has it and on the other one."""
    quiet, noisy, beside, long = [], [], [], 0
    for number in range(bench.rounds):
        quiet.append(probe(bench, node))
        with noise(*argv):
            before = turns.turns(node)
            noisy.append(probe(bench, node))
            long += turns.turns(node)[1] - before[1]
            beside.append(probe(bench, other))
        bench.progress.step(f"{name}: round {number + 1} of {bench.rounds}: idle p99 {quiet[-1][1]:.1f} ms, "
                            f"with it {noisy[-1][1]:.1f}, on the other node {beside[-1][1]:.1f}")
    quiet, noisy, beside = ([median(column) for column in zip(*side)] for side in (quiet, noisy, beside))
    note = (f"p50 / p99 in ms: idle {quiet[0]:.2f} / {quiet[1]:.1f}, with it {noisy[0]:.2f} / {noisy[1]:.1f}, "
            f"on the other node {beside[0]:.2f} / {beside[1]:.1f}; {long:.0f} long turns")
    return (Result(f"a quiet session's push beside {name}: p99, times that without", TIMES, noisy[1] / quiet[1], note=note),
            noisy[1], beside[1])


def run(bench):
    key, public = (os.path.join(bench.folder, name) for name in ("neighbours.pem", "neighbours-public.pem"))
    login.command("openssl", "genrsa", "-out", key, "2048")
    login.command("openssl", "pkey", "-in", key, "-pubout", "-out", public)
    token = login.make_token(key)
    seen = []
    with bench.node() as other:
        with bench.node(chat_jwt_key=public, **SETTINGS) as node:
            seen += [compare(bench, node, other, name, argv) for name, argv in loads(node, token)]
        with bench.node(chat_login="development", **SETTINGS) as node:
            seen.append(compare(bench, node, other, "a flood of chat histories", ("history", node.address)))
    return [result for result, _, _ in seen] + [
        Result("the worst of these p99", MOST_MS, max(mine for _, mine, _ in seen), " ms"),
        Result("the worst of these p99, times that of the node with nothing to do", None, max(a / b for _, a, b in seen))]
