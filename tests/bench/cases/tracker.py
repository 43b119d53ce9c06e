# SPDX-License-Identifier: MIT
"""Requests per second of the peer tracker; of ten, one announce, seven pulses, two pushes.

On the memory store: 256 peers with one request in flight each, beside bench_udp_echo, which sends the
same datagrams back, in alternating rounds. Each datagram is on its own there: nothing that the kernel
could join.

Through Redis: 16 peers that send 64 requests each, and when these are answered the next 64. The
kernel hands such bursts over joined, so that what the network costs is small, and what is left is the
node and Redis. Beside what redis-benchmark reaches with the commands that these requests need, over
one connection, as the node has, with as many in a pipeline as Redis found in each read from the node.
What the node makes of the 256 peers' single requests is told with it: there the datagrams alone, two
for each request, take what the echo takes."""
import re
import subprocess

from harness import BenchError, Result, echoes, median, rounds
from lib.ports import free_port

SINGLE = {"connections": 256, "window": 1}
BURSTS = {"connections": 16, "window": 64}
PIPELINES = 3000  # of each command
LIFE = "300000"

# The commands, and how many of each one request needs, on average over the mix (tracker_flow.c).
MIX = [
    (0.1, ["SET", "id:__rand_int__", "x" * 18, "PX", LIFE, "NX"]),
    (0.1, ["SET", "address:__rand_int__", "12345678 muster-0123abcd ", "PX", LIFE, "GET"]),
    (0.1, ["DEL", "id:__rand_int__"]),
    (1.4, ["GETEX", "address:__rand_int__", "PX", LIFE]),
    (0.4, ["GET", "address:__rand_int__"]),
]


def measure(bench, address, pid, **settings):
    seen = bench.load("tracker", node=address, pid=pid, **settings)
    if seen["requests"] == 0 or seen["lost"] > seen["requests"] / 1000:
        raise BenchError(f"{seen['requests']} answered, {seen['lost']} lost")
    seen["rate"] = seen["requests"] / seen["seconds"]
    seen["each"] = seen["cpu_ns"] / seen["requests"] / 1000
    return seen, f"{seen['rate']:,.0f} requests/s, p99 {seen['answer']['p99']:.0f} us, {seen['each']:.2f} us of CPU each"


def node(bench, load, store="memory:"):
    address = f"127.0.0.1:{free_port()}"
    with bench.node(store, tracker=address, tracker_rate="0") as server:
        return measure(bench, address, server.pid, **load)


def floor(bench):
    with bench.floor("bench_udp_echo", echoes) as server:
        return measure(bench, server.address, server.pid, floor=1, **SINGLE)


def commands_per_second(port, pipeline, command):
    done = subprocess.run(["redis-benchmark", "-p", str(port), "-q", "-c", "1", "-P", str(pipeline),
                           "-n", str(PIPELINES * pipeline), "-r", "100000", *command], capture_output=True, text=True)
    found = re.findall(r"([\d.]+) requests per second", done.stdout)
    if not found:
        raise BenchError(f"redis-benchmark: {done.stdout[-300:]}{done.stderr[-300:]}")
    return float(found[-1])


def bare_redis(bench, pipeline):
    """Requests per second, were they nothing but their commands."""
    with bench.redis() as redis:
        seconds = sum(count / commands_per_second(redis.port, pipeline, command) for count, command in MIX)
    return {"rate": 1 / seconds}, f"{1 / seconds:,.0f} requests' worth of commands/s, {pipeline} in a pipeline"


def commands_per_read(redis):
    done = subprocess.run(["redis-cli", "-p", str(redis.port), "info", "stats"], capture_output=True, text=True)
    stats = dict(line.split(":", 1) for line in done.stdout.split() if ":" in line)
    return max(1, int(stats["total_commands_processed"]) // int(stats["total_reads_processed"]))


def through_redis(bench, load):
    with bench.redis() as redis:
        seen, text = node(bench, load, f"redis://{redis.address}")
        seen["pipeline"] = commands_per_read(redis)
    return seen, f"{text}, {seen['pipeline']} commands a read"


def run(bench):
    ours, echo = rounds(bench, "tracker", [("muster", lambda: node(bench, SINGLE)), ("echo", lambda: floor(bench))])
    pipeline = through_redis(bench, BURSTS)[0]["pipeline"]
    redis, single, bare = rounds(bench, "tracker through Redis", [
        ("muster", lambda: through_redis(bench, BURSTS)), ("muster, single requests", lambda: through_redis(bench, SINGLE)),
        ("redis-benchmark", lambda: bare_redis(bench, pipeline))])

    def mid(seen, name):
        return median([one[name] for one in seen])

    def p99(seen):
        return median([one["answer"]["p99"] for one in seen])

    mix = "10 % announce, 70 % pulse, 20 % push: requests per second"
    return [
        Result(f"{mix} of 256 peers, by those of a bare UDP echo", 0.5,
               median([a["rate"] / b["rate"] for a, b in zip(ours, echo)]),
               note=f"{mid(ours, 'rate'):,.0f}/s, p99 {p99(ours):.0f} us, {mid(ours, 'each'):.2f} us of CPU each; "
                    f"echo {mid(echo, 'rate'):,.0f}/s, p99 {p99(echo):.0f} us, {mid(echo, 'each'):.2f} us",
               at_least=True),
        Result(f"{mix} in bursts of 64 through Redis, by those that redis-benchmark's commands would make", 0.6,
               median([a["rate"] / b["rate"] for a, b in zip(redis, bare)]),
               note=f"{mid(redis, 'rate'):,.0f}/s, p99 {p99(redis):.0f} us, {mid(redis, 'each'):.2f} us of CPU each; "
                    f"redis-benchmark {mid(bare, 'rate'):,.0f}/s; of 256 peers one by one {mid(single, 'rate'):,.0f}/s, "
                    f"p99 {p99(single):.0f} us, {mid(single, 'each'):.2f} us; the bare echo {mid(echo, 'rate'):,.0f}/s",
               at_least=True),
    ]
