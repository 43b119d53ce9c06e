# SPDX-License-Identifier: MIT
"""What store-replicas costs: a node with a Redis that one replica follows, on one machine, waits for it or does not, in
alternating rounds. Time of one /logs/add with one caller, and calls a second with 32 callers, where a wait is for all that was
appended before it."""
import contextlib
import http.client
import json
import threading
import time

from harness import BenchError, Result, median, rounds
from lib.redis import Redis
from lib.waiting import wait_until

CALLERS = 32
BODY = json.dumps([{"msg": f"entry {i}", "user": "bench", "room": f"room-{i}", "level": "info"} for i in range(10)]).encode()
WAITS = "muster_store_replica_waits_total"


@contextlib.contextmanager
def node(bench, replicas):
    with bench.redis() as redis, \
            bench.running(Redis(f"replica-{redis.name}", bench.folder, "--replicaof", f"127.0.0.1 {redis.port}")) as replica, \
            bench.node(f"redis://{redis.address}", store_replicas=replicas) as one:
        wait_until(lambda: replica.follows(redis), "the replica follows")
        yield one


def call(link):
    link.request("POST", "/logs/add", BODY, {"Content-Type": "application/json"})
    answer = link.getresponse()
    answer.read()
    if answer.status != 200:
        raise BenchError(f"/logs/add: {answer.status}")


def one_caller(server, seconds):
    """Seconds of each call."""
    link, took, end = http.client.HTTPConnection("127.0.0.1", server.port), [], time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        call(link)
        took.append(time.monotonic() - began)
    link.close()
    return took


def many_callers(server, seconds):
    """Calls a second."""
    counts, troubles = [], []

    def work():
        try:
            counts.append(len(one_caller(server, seconds)))
        except (BenchError, OSError) as trouble:
            troubles.append(trouble)
    callers = [threading.Thread(target=work) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if troubles:
        raise BenchError(f"{len(troubles)} callers failed: {troubles[0]}")
    return sum(counts) / seconds


def run(bench):
    shares = []

    def measured(replicas):
        with node(bench, replicas) as server:
            one_caller(server, bench.warm_up)
            alone = median(one_caller(server, bench.seconds)) * 1e6
            waits = server.metrics()[WAITS]
            rate = many_callers(server, bench.seconds)
            if replicas:
                shares.append((server.metrics()[WAITS] - waits) / (rate * bench.seconds))
            return (alone, rate), f"{alone:,.0f} us a call; {rate:,.0f} calls/s of {CALLERS} callers"

    waiting, plain = rounds(bench, "replicas", [("waits for one", lambda: measured(1)), ("does not", lambda: measured(0))])
    alone = [median([pair[0] for pair in side]) for side in (waiting, plain)]
    rates = [median([pair[1] for pair in side]) for side in (waiting, plain)]
    return [Result("replicas: one caller of /logs/add with store-replicas=1, times that without", 3, alone[0] / alone[1],
                   note=f"{alone[0]:,.0f} us a call; without {alone[1]:,.0f}"),
            Result(f"replicas: {CALLERS} callers, calls a second without, times those with", 2, rates[1] / rates[0],
                   note=f"{rates[0]:,.0f} calls/s; without {rates[1]:,.0f}; {median(shares):.2f} waits a call")]
