# SPDX-License-Identifier: MIT
"""What a fleet needs for a given load, for docs/operate.md: two nodes and Redis, no floor and no bar.

Memory: of both nodes and of Redis, for each client that is in something and says nothing.
CPU time: of both nodes and of Redis, for each unit of work at a load where little can be joined:
work and CPU are read twice while the load runs, and subtracted, and so is what both take without
load."""
import base64
import contextlib
import functools
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request

from harness import BenchError, Result, median, sample
from lib.measure import cpu_of, settled_rss
from lib.ports import free_port
from lib.waiting import wait_until

from .logs import BODY, body

CLIENTS, SERVERS = 4000, 400
IDLE, SETTLE, WINDOW = 3.0, 2.0, 5.0  # seconds without load; with it before the first reading, and between the two


# ------------------------------------------------------------------------------------ memory

def websocket(address, path):
    """A connection behind its handshake."""
    host, port = address.split(":")
    link = socket.create_connection((host, int(port)))
    key = base64.b64encode(os.urandom(16)).decode()
    link.sendall(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += link.recv(4096) or fail(f"{path} ended: {answer}")
    return link


def fail(text):
    raise BenchError(text)


def say(link, value):
    """A text frame of fewer than 126 bytes, under a mask of zeros."""
    text = json.dumps(value).encode()
    link.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)


def enter_session(nodes, number):
    link = websocket(nodes[number % 2].address, "/connect")
    say(link, {"type": "SetSession", "sessionId": f"capacity-{number // 4}", "isLeader": number % 4 == 0})
    return link


def enter_chat(nodes, number):
    link = websocket(nodes[number % 2].address, "/chat")
    say(link, {"action": "login", "token": f"user-{number}"})
    return link


def enter_relay(nodes, number):
    link = socket.create_connection(("127.0.0.1", nodes[number % 2].relay_port))
    link.sendall(json.dumps({"type": "handshake", "version": 1, "name": f"server-{number}", "color": "00aaff",
                             "prefix": "[c]", "playerCount": 0}).encode())
    return link


@contextlib.contextmanager
def drained(links):
    """Reads whatever comes for them, so that nothing waits in the nodes."""
    ended = threading.Event()

    def read():
        while not ended.is_set():
            for link in links:
                with contextlib.suppress(BlockingIOError):
                    while link.recv(1 << 16):
                        pass
            time.sleep(0.05)
    for link in links:
        link.setblocking(False)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join()


def redis_memory(redis):
    done = subprocess.run(["redis-cli", "-p", str(redis.port), "info", "memory"], capture_output=True, text=True)
    return int(done.stdout.split("used_memory:")[1].split()[0])


def memory(bench, what, metric, enter, count):
    with cluster(bench, relay=True) as (nodes, redis):
        before = [settled_rss(node.pid) for node in nodes], redis_memory(redis)
        with contextlib.ExitStack() as stack:
            links = [stack.enter_context(enter(nodes, number)) for number in range(count)]
            with drained(links):
                wait_until(lambda: sum(sample(node, metric) for node in nodes) >= count, f"{count} {what}")
                after = [settled_rss(node.pid) for node in nodes], redis_memory(redis)
    grown = sum(after[0]) - sum(before[0])
    return Result(f"memory of a {what}, on two nodes", None, grown / count / 1024, " KiB",
                  note=f"Redis {(after[1] - before[1]) / count:,.0f} bytes; {count:,} of them")


# ------------------------------------------------------------------------------------ CPU time

@contextlib.contextmanager
def cluster(bench, relay=False, **settings):
    common = {"chat_login": "development", "chat_rate": "100000", "chat_burst": "100000", "relay_rate": "0",
              "relay_joins": "0", "relay_pacing": "off", "tracker_rate": "0", **settings}
    with bench.redis() as redis, contextlib.ExitStack() as stack:
        nodes = []
        for _ in range(2):
            port = free_port()
            node = stack.enter_context(bench.node(f"redis://{redis.address}", relay=f"127.0.0.1:{port}" if relay else "",
                                                  tracker=f"127.0.0.1:{port}", **common))
            node.relay_port = node.tracker_port = port
            nodes.append(node)
        yield nodes, redis


def during(load, nodes, redis, work):
    """Runs `load` in a thread; microseconds of CPU time of nodes and of Redis for each unit of `work()`, and units a
    second."""
    def read():
        return work(), sum(cpu_of(node.pid) for node in nodes), cpu_of(redis.pid), time.monotonic()

    def between(pause):
        first = read()
        time.sleep(pause)
        return [b - a for a, b in zip(first, read())]
    failures = []

    def guarded():
        try:
            load()
        except Exception as error:  # told in the thread that asked
            failures.append(error)
    thread = threading.Thread(target=guarded)
    start, idle = work(), between(IDLE)
    thread.start()
    wait_until(lambda: failures or work() > start, "the load", 60)
    time.sleep(SETTLE)
    done, *used, seconds = between(WINDOW)
    thread.join()
    if failures:
        raise failures[0]
    mine, theirs = (seen - quiet * seconds / idle[3] for seen, quiet in zip(used, idle[1:3]))
    return mine * 1e6 / done, theirs * 1e6 / done, done / seconds


def total(nodes, metric):
    return lambda: sum(sample(node, metric) for node in nodes)


def requests_of_tracker(nodes):
    def read():
        count = 0
        for node in nodes:
            with urllib.request.urlopen(f"http://{node.address}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            count += sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("muster_tracker_requests_total"))
        return count
    return read


def cost(bench, what, unit, load, metric, **settings):
    """`load(bench, nodes)` runs for at least `seconds`."""
    seen = []
    for _ in range(1 if bench.quick else 3):
        with cluster(bench, **settings) as (nodes, redis):
            work = total(nodes, metric) if isinstance(metric, str) else metric(nodes)
            seen.append(during(lambda: load(bench, nodes), nodes, redis, work))
    mine, theirs, rate = (median([one[at] for one in seen]) for at in range(3))
    return Result(f"CPU time of both nodes for {what}", None, mine, " µs", note=f"Redis {theirs:.2f} µs; {rate:,.0f} {unit}/s")


LASTS = {"seconds": SETTLE + WINDOW + 3}


def pushes(bench, nodes, sessions):
    bench.load("pushes", sessions=sessions, members=4, size=1024, period_ms=150, node=[node.address for node in nodes],
               session="capacity", **LASTS)


def chat(bench, nodes):
    bench.load("chat", path="/chat", connections=1000, window=1, size=200, node=[node.address for node in nodes],
               pid=nodes[0].pid, second_pid=nodes[1].pid, **LASTS)


def relay(bench, nodes):
    bench.load("relay", connections=100, window=1, size=200, node=[f"127.0.0.1:{node.relay_port}" for node in nodes],
               pid=nodes[0].pid, second_pid=nodes[1].pid, **LASTS)


def tracker(bench, nodes):
    bench.load("tracker", connections=16, window=1, node=f"127.0.0.1:{nodes[0].tracker_port}", pid=nodes[0].pid, **LASTS)


def logs(_, nodes):
    end = time.monotonic() + LASTS["seconds"]
    entries = body(0)
    while time.monotonic() < end:
        request = urllib.request.Request(f"http://{nodes[0].address}/logs/add", entries, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
        time.sleep(BODY / 20000)


def run(bench):
    clients = CLIENTS // 4 if bench.quick else CLIENTS
    return [
        memory(bench, "member of a session of 4", "muster_sync_members", enter_session, clients),
        memory(bench, "user logged in to the chat", "muster_chat_logged_in", enter_chat, clients),
        memory(bench, "game server of the relay", "muster_relay_servers", enter_relay, SERVERS),
        *[cost(bench, f"a push of 1 KB to the 3 others of a session, over both nodes; {sessions:,} sessions", "pushes",
               functools.partial(pushes, sessions=sessions), "muster_sync_pushes_total") for sessions in (250, 1000)],
        cost(bench, "a chat message to 1,000 readers", "messages", chat, "muster_chat_messages_total"),
        cost(bench, "a relay message to 99 game servers", "messages", relay, "muster_relay_packets_total", relay=True),
        cost(bench, "a tracker request", "requests", tracker, requests_of_tracker),
        cost(bench, "a log entry, in bodies of 1,000", "entries", logs, "muster_logs_added_total", logs_bound="2000000"),
    ]
