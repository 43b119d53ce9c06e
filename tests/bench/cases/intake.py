# SPDX-License-Identifier: MIT
"""What an entry costs on its way in, by the form that it comes in: CPU time of node and Redis, in microseconds an entry, over
connections that are kept. Arrays of 100 are the measure for the others."""
import gzip
import http.client
import json
import statistics
import time

from harness import BenchError, Result
from lib.measure import cpu_of
from lib.protobuf import fixed, logs_request, part

NOW = 1795000000000
TEXT = "player {} of the hunt moved to area {} and hit for {}"


def entry(i):
    return {"timestamp": NOW + i, "level": "info", "msg": TEXT.format(i, i % 15, i * 37 % 900), "user": f"user{i % 50}", "room": f"hunt-{i % 200}"}


def array(count):
    return json.dumps([entry(i) for i in range(count)]).encode()


def lines(count):
    return b"".join(json.dumps(entry(i)).encode() + b"\n" for i in range(count))


def attributes(one):
    return [("user", one["user"]), ("room", one["room"])]


def otlp(count):
    return json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"timeUnixNano": f"{one['timestamp']}000000", "severityNumber": 9, "body": {"stringValue": one["msg"]},
         "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes(one)]}
        for one in map(entry, range(count))]}]}]}).encode()


def otlp_protobuf(count):
    def record(one):
        return (fixed(1, one["timestamp"] * 1000000) + part(2, 9) + part(5, part(1, one["msg"])) +
                b"".join(part(6, part(1, key) + part(2, part(1, value))) for key, value in attributes(one)))
    return logs_request(*(record(entry(i)) for i in range(count)))


JSON, NDJSON, PROTOBUF = ({"Content-Type": kind} for kind in ("application/json", "application/x-ndjson", "application/x-protobuf"))
# Name: path, fields, body, entries in it.
FORMS = {
    "arrays of 100": ("/logs/add", JSON, array(100), 100),
    "one entry a request": ("/logs/add", JSON, json.dumps(entry(0)).encode(), 1),
    "arrays of 10": ("/logs/add", JSON, array(10), 10),
    "gzip, arrays of 100": ("/logs/add", {**JSON, "Content-Encoding": "gzip"}, gzip.compress(array(100)), 100),
    "NDJSON, 100 lines": ("/logs/add", NDJSON, lines(100), 100),
    "OTLP JSON, 100 records": ("/v1/logs", JSON, otlp(100), 100),
    "OTLP protobuf, 100 records": ("/v1/logs", PROTOBUF, otlp_protobuf(100), 100),
}


def measure(node, redis, form, seconds):
    """Microseconds an entry: (node, Redis)."""
    path, fields, body, entries = FORMS[form]
    link = http.client.HTTPConnection("127.0.0.1", node.port)
    sent, before = 0, (cpu_of(node.pid), cpu_of(redis.pid))
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        link.request("POST", path, body, fields)
        answer = link.getresponse()
        answer.read()
        if answer.status != 200:
            raise BenchError(f"{form}: answered {answer.status}")
        sent += entries
    link.close()
    return tuple((cpu_of(process.pid) - was) * 1e6 / sent for process, was in zip((node, redis), before))


def run(bench):
    costs = {form: [] for form in FORMS}
    with bench.redis() as redis, bench.node(f"redis://{redis.address}", logs_bound="100000", log_level="error") as node:
        for _ in range(bench.rounds):
            for form in FORMS:
                costs[form].append(measure(node, redis, form, bench.seconds))
            bench.progress.step("intake: a round of all forms")
    middle = {form: tuple(statistics.median(one) for one in zip(*rounds)) for form, rounds in costs.items()}
    measure_of = sum(middle["arrays of 100"])
    return [Result(f"intake: {form}, by arrays of 100", None, sum(cost) / measure_of, "",
                   f"CPU µs an entry: node {cost[0]:.1f}, Redis {cost[1]:.1f}") for form, cost in middle.items()]
