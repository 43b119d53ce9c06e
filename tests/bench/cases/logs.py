# SPDX-License-Identifier: MIT
"""From the stream into PostgreSQL: a sink alone drains a full stream, by a bare COPY of the same rows
into the same (emptied) table on the same server, from a file, over one session. Both are the time
from the start to the last row committed, a sink's start and its connecting included; both write their
WAL into files that are there already (a fresh server has to make them, which took the one that came first
half as long again), and both end with a COMMIT that waits for the disk: the COPY with one for all, the
sink with one for each batch. Then the way from /logs/add on, and the sink's memory while
it all drains."""
import concurrent.futures
import contextlib
import http.client
import json
import os
import subprocess
import threading
import time

from harness import BenchError, Result, sample
from lib.measure import cpu_of, rss
from lib.node import Sink
from lib.postgres import Postgres

ENTRIES, BODY = 1000000, 1000
LIMIT = 300  # seconds for one statement
COLUMNS = "log_entry (server_time, seq_number, client_time, level, msg, user_name, room, text, extra)"


@contextlib.contextmanager
def postgres(bench):
    """A cluster as initdb makes it, but for a few settings that any server of some size has."""
    server = Postgres("postgres", bench.folder, fsync="on", shared_buffers="512MB", max_wal_size="8GB", min_wal_size="4GB")
    try:
        yield server.make().start()
    finally:
        server.stop()


def psql(server, sql):
    return server.psql(sql, limit=LIMIT).stdout.strip()


def sink(bench, store, server):
    return bench.running(Sink("sink", bench.folder, store=store, postgres=server.uri, log_level="warn"))


def body(first):
    now = int(time.time() * 1000)
    return json.dumps([{"timestamp": now, "level": ("debug", "info", "info", "info", "info", "info", "warn", "error")[i % 8],
                        "msg": f"player {i} of the hunt moved to area {i % 15} and hit for {i * 37 % 900}",
                        "text": f"[{now}] player {i} of the hunt moved to area {i % 15} and hit for {i * 37 % 900}",
                        "user": f"user{i % 50}", "room": f"hunt-{i % 200}"} for i in range(first, first + BODY)]).encode()


def add(node, bodies):
    link = http.client.HTTPConnection("127.0.0.1", node.port)
    for one in bodies:
        link.request("POST", "/logs/add", one, {"Content-Type": "application/json"})
        answer = link.getresponse()
        answer.read()
        if answer.status != 200:
            raise BenchError(f"/logs/add answered {answer.status}")
    link.close()


def fill(node, bodies):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda at: add(node, bodies[at::2]), range(2)))


def drain(bench, redis, server, count, begin=lambda: None):
    """Seconds until `count` more rows are committed; the sink's memory early and at most; microseconds of
    CPU time a row of sink, Redis and PostgreSQL."""
    early = most = 0
    before = (cpu_of(redis.pid), cpu_of_postgres(server))
    started = time.monotonic()
    with sink(bench, f"redis://{redis.address}", server) as one:
        begin()
        while (seen := sample(one, "muster_sink_rows_total")) < count:
            one.check()
            most = max(most, rss(one.pid))
            early = most if seen < count / 10 else early
            if time.monotonic() - started > 300:
                raise BenchError(f"{seen:.0f} of {count} rows after 300 s")
            time.sleep(0.1 if seen < 0.85 * count else 0.02)  # to look on takes CPU time, too
        took = time.monotonic() - started
        used = (cpu_of(one.pid), cpu_of(redis.pid) - before[0], cpu_of_postgres(server) - before[1])
        return took, early, most, [seconds * 1e6 / count for seconds in used]


def bare_copy(server, file, count):
    """Seconds, and microseconds of CPU time a row of psql and PostgreSQL."""
    psql(server, "truncate log_entry; checkpoint")
    mine, theirs = sum(os.times()[2:4]), cpu_of_postgres(server)
    started = time.monotonic()
    psql(server, f"\\copy {COLUMNS} from '{file}' (format binary)")
    took = time.monotonic() - started
    used = (sum(os.times()[2:4]) - mine, cpu_of_postgres(server) - theirs)
    return took, [seconds * 1e6 / count for seconds in used]


def make_wal(server, count):
    """Leaves WAL files to be used again, as a server has that is not new: more than `count` rows need."""
    psql(server, f"create table old_times as select repeat('x', 900) as x from generate_series(1, {2 * count})")
    psql(server, "drop table old_times")
    psql(server, "checkpoint")


def cpu_of_postgres(server):
    with open(f"/proc/{server.pid}/task/{server.pid}/children") as children:
        return sum(map(cpu_of, children.read().split())) + cpu_of(server.pid)


def user_rows(server):
    return int(psql(server, "select count(*) from log_entry where user_name <> 'server'"))


def run(bench):
    count = ENTRIES // 5 if bench.quick else ENTRIES
    bodies = [body(i) for i in range(0, count, BODY)]
    with postgres(bench) as server, bench.redis() as redis:
        store = f"redis://{redis.address}"
        bench.migrate(server.uri)
        make_wal(server, count)
        ratios, memory = [], []
        for _ in range(1 if bench.quick else 3):
            with bench.node(store, logs_bound=str(2 * ENTRIES), log_level="error") as node:
                fill(node, bodies)
                psql(server, "truncate log_entry; checkpoint")
                took, early, most, used = drain(bench, redis, server, count)
                if user_rows(server) != count:
                    raise BenchError(f"{user_rows(server)} rows of {count}")
                file = f"{bench.folder}/rows"
                with open(file, "wb") as out:
                    subprocess.run(["psql", "-X", "-q", "-d", server.uri, "-c",
                                    "copy (select * from log_entry) to stdout (format binary)"], stdout=out, check=True)
                bare, bare_used = bare_copy(server, file, count)
                os.unlink(file)
                psql(server, "truncate log_entry; checkpoint")
                adding = threading.Thread(target=fill, args=(node, bodies))
                whole = drain(bench, redis, server, count, adding.start)[0]
                adding.join()
            memory.append((most - early) / 1e6)
            text = (f"sink {count / took:,.0f} rows/s, bare COPY {count / bare:,.0f}; from /logs/add on "
                    f"{count / whole:,.0f}/s; memory {early / 1e6:.0f} to {most / 1e6:.0f} MB; CPU µs a row: sink, Redis, "
                    f"PostgreSQL {' + '.join(f'{one:.1f}' for one in used)}, psql, PostgreSQL "
                    f"{' + '.join(f'{one:.1f}' for one in bare_used)}")
            bench.progress.step(f"logs: {text}")
            ratios.append((took / bare, text))
    ratios.sort()
    middle, text = ratios[len(ratios) // 2]
    return [Result(f"{count:,} log entries drained by a sink: time, times that of a bare COPY of the rows", round(1 / 0.7, 2),
                   middle, note=text + f"; {1 / middle:.2f} of COPY's rate"),
            Result("memory that the sink grows by while they drain", 8, sorted(memory)[len(memory) // 2], " MB",
                   note="after the first tenth")]
