# SPDX-License-Identifier: MIT
"""What people ask of the log table, of many rows: `--rows` of them (5 million) over 30 days, 5,000 rooms of
very different size, 20,000 users, 70 % info, 20 debug, 7 warn, 3 error, without a text of their own. Beside it the schema of
before (migrations/0001_log.sql alone, with the text that its sink made), filled with the same rows day by day in turn,
so that both meet the same noise. A question is asked cold (after the server was started again; the system's own
cache stays) and warm (the median of five). COPY's cost is the CPU time of the backend that runs it."""
import json
import os
import statistics
import subprocess

from harness import BenchError, Result

from .logs import COLUMNS, postgres

ROWS, DAYS = 5_000_000, 30
BAR_MS = 100
HERE = os.path.dirname(os.path.abspath(__file__))
BEFORE = os.path.join(HERE, "..", "..", "..", "migrations", "0001_log.sql")

# One day of rows, a little more or less than the last; `day` is 0 for today. Numbers hash to what they are.
MAKE = """
create unlogged table rows as
select t as server_time, (extract(epoch from t) * 1000000)::bigint as seq_number, t - interval '40 ms' as client_time,
    case when h % 100 < 70 then 'info' when h % 100 < 90 then 'debug' when h % 100 < 97 then 'warn' else 'error' end as level,
    'player ' || h2 % 20000 || ' of the hunt moved to area ' || h % 15 || ' and hit for ' || h2 % 900
        || case when h2 % 50 = 0 then ' connection closed' else '' end
        || case when i = 7 then ' zugzwang' else '' end as msg,
    'user-' || h2 % 20000 as user_name,
    'hunt-' || floor(5000 * power(h3 % 1000003 / 1000003.0, 2))::int as room
from (select i, date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - {day} * interval '1 day'
          + i * ({span} / {count}) * interval '1 second' as t,
        abs(hashint8(i + {first})::bigint) as h, abs(hashint8(i + {first} + 77777777777)::bigint) as h2,
        abs(hashint8(i + {first} + 999999999999)::bigint) as h3
    from generate_series(1, {count}) i) made
"""
MADE_TEXT = "to_char(client_time at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') || ' ' || level || ' ' || msg"

WORDS = "to_tsvector('simple', coalesce(text, msg))"
QUESTIONS = [
    ("errors per hour, of the last day",
     "select date_trunc('hour', server_time) as hour, count(*) from log_entry where level in ('error', 'fatal') "
     "and server_time > now() - interval '1 day' group by hour order by hour"),
    ("last 100 lines of a room",
     "select server_time, user_name, level, {text} from {line} where room = 'hunt-7' "
     "order by server_time desc, seq_number desc limit 100"),
    ("who was in a room today",
     "select user_name, min(server_time), max(server_time), count(*) from log_entry where room = 'hunt-7' "
     "and server_time > now() - interval '1 day' and user_name is not null group by user_name order by 2"),
    ("longest gaps of a room",
     "select server_time - gap, server_time, gap from (select server_time, server_time - lag(server_time) over "
     "(order by server_time, seq_number) as gap from log_entry where room = 'hunt-7' "
     "and server_time > now() - interval '1 day') gaps where gap is not null order by gap desc limit 10"),
    ("full text, common words, 7 days",
     "select server_time, room, user_name, {text} from (select * from {line} where server_time > now() - interval '7 days' "
     "order by server_time desc offset 0) newest where {words} @@ "
     "websearch_to_tsquery('simple', 'connection closed -ping') limit 50"),
    ("last 100 lines of all",
     "select server_time, room, user_name, {text} from {line} order by server_time desc, seq_number desc limit 100"),
    ("last 100 warnings and errors",
     "select server_time, room, user_name, {text} from {line} where level in ('error', 'warn') "
     "order by server_time desc, seq_number desc limit 100"),
    ("last 100 of a level that is rare",
     "select server_time, room, user_name, {text} from {line} where level = 'fatal' "
     "order by server_time desc, seq_number desc limit 100"),
    ("last 100 lines of a user",
     "select server_time, room, level, {text} from {line} where user_name = 'user-77' "
     "order by server_time desc, seq_number desc limit 100"),
    ("the next 100 by Id, from an hour ago",
     "select * from \"LogEntry\" where \"Id\" > (extract(epoch from now() - interval '1 hour') * 1000000)::bigint "
     "order by \"Id\" limit 100"),
    ("the next 100 by Id, from the start", "select * from \"LogEntry\" where \"Id\" > 0 order by \"Id\" limit 100"),
    ("one seq_number", "select * from log_entry where seq_number = 1795000000123456"),
]
# With sink-search=on.
SEARCHES = [
    ("full text, a rare word, 6 days that are over",
     "select server_time, room, user_name, {text} from {line} where {words} @@ websearch_to_tsquery('simple', 'zugzwang') "
     "and server_time >= date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' - interval '6 days' "
     "and server_time < date_trunc('day', now() at time zone 'UTC') at time zone 'UTC' order by server_time desc limit 50"),
]


def psql(server, base, sql, check=True):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", uri(server, base), "-f", "-"],
                          input=sql, capture_output=True, text=True)
    if check and done.returncode != 0:
        raise BenchError(f"{sql}\n{done.stderr}")
    return done.stdout.strip()


def uri(server, base):
    return server.uri.rsplit("/", 1)[0] + "/" + base


def copy_in(server, base, file):
    """Microseconds of CPU and bytes of WAL that COPY took."""
    ticks = "select split_part(s, ' ', 14)::int + split_part(s, ' ', 15)::int from pg_read_file('/proc/self/stat') s"
    seen = psql(server, base, f"{ticks}; select pg_current_wal_lsn(); copy {COLUMNS} from '{file}' (format binary); "
                f"{ticks}; select pg_current_wal_lsn()").split()
    wal = psql(server, base, f"select pg_wal_lsn_diff('{seen[3]}', '{seen[1]}')::bigint")
    return (int(seen[2]) - int(seen[0])) * 1e6 / os.sysconf("SC_CLK_TCK"), int(wal)


def fill(bench, server, rows):
    """Both databases, day by day, the oldest first: {name: (CPU µs a row, WAL bytes a row)}."""
    used = {"before": [0, 0, 0], "now": [0, 0, 0]}
    for day in range(DAYS - 1, -1, -1):
        # Of today there is what has passed of it.
        span = 86400 if day else float(psql(server, "postgres", "select extract(epoch from now() - date_trunc('day', "
                                            "now() at time zone 'UTC') at time zone 'UTC')"))
        count = max(1, int(rows / DAYS * span / 86400))
        psql(server, "postgres", "drop table if exists rows; " + MAKE.format(
            day=day, count=count, span=span, first=day * rows))
        for name, text in (("before", MADE_TEXT), ("now", "null::text"))[::1 if day % 2 else -1]:
            file = f"{server.data}/rows"
            psql(server, "postgres", "copy (select server_time, seq_number, client_time, level, msg, user_name, room, "
                 f"{text}, null::jsonb from rows order by server_time) to '{file}' (format binary)")
            psql(server, name, "select log_partition_make((now() at time zone 'UTC')::date - " + f"{day})")
            cpu, wal = copy_in(server, name, file)
            for at, one in enumerate((cpu, wal, count)):
                used[name][at] += one
        bench.progress.step(f"questions: day {DAYS - day} of {DAYS} filled")
    return {name: (cpu / count, wal / count, count) for name, (cpu, wal, count) in used.items()}


def upkeep(server, base, search):
    """What the sink does to days that are over."""
    while step := psql(server, base, f"select * from log_upkeep(null, {search}) limit 1"):
        psql(server, base, step)


def sizes(server, base):
    """Bytes a row of the heap and of the indexes, those for full text apart."""
    return [float(one) for one in psql(server, base, """
        select sum(pg_relation_size(c.oid)) / sum(c.reltuples), (sum(pg_indexes_size(c.oid)) - coalesce(sum(w.size), 0))
            / sum(c.reltuples), coalesce(sum(w.size), 0) / sum(c.reltuples)
        from pg_inherits i join pg_class c on c.oid = i.inhrelid
            left join (select indrelid, sum(pg_relation_size(indexrelid)) as size from pg_index x
                join pg_class k on k.oid = x.indexrelid join pg_am a on a.oid = k.relam where a.amname = 'gin' group by 1) w
                on w.indrelid = c.oid
        where i.inhparent = 'log_entry'::regclass""").split("|")]


def parts(plan):
    """The partitions that a plan looked into."""
    seen = {plan["Relation Name"]} if plan.get("Actual Loops") and "Relation Name" in plan else set()
    return seen.union(*(parts(one) for one in plan.get("Plans", [])))


def explain(server, base, sql):
    """(ms, planning included; partitions; MB read, from shared buffers or below)."""
    out = json.loads(psql(server, base, "set statement_timeout = '180s'; set jit = off; explain (analyze, buffers, "
                          f"format json) {sql}"))[0]
    plan = out["Plan"]
    return (out["Planning Time"] + out["Execution Time"], len(parts(plan)),
            (plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]) * 8192 / 1e6)


def restart(server):
    """All that PostgreSQL itself kept is gone."""
    psql(server, "postgres", "checkpoint")
    server.kill()
    server.start()


def ask(bench, server, base, questions, cold):
    """{question: (ms cold, ms warm, partitions, MB)}."""
    line, text = ("log_line", "text") if base == "now" else ("log_entry", "text")
    answers = {}
    for name, sql in questions:
        words = WORDS if base == "now" else "to_tsvector('simple', text)"
        # The view's text is made; the words stand in what was sent, which the index is of.
        asked = sql.format(line=line if "{words}" not in sql else "log_entry", words=words,
                           text=text if "{words}" not in sql or base == "before" else "coalesce(text, msg)")
        if cold:
            restart(server)
        first = explain(server, base, asked)
        again = [explain(server, base, asked) for _ in range(5 if first[0] < 1000 else 1)]
        answers[name] = (first[0], statistics.median(one[0] for one in again), *again[0][1:])
        bench.progress.step(f"questions: {base}: {name}: {answers[name][0]:.1f} ms cold, {answers[name][1]:.1f} warm, "
                            f"{answers[name][2]} partitions, {answers[name][3]:.1f} MB")
    return answers


def run(bench):
    rows = bench.rows or (ROWS // 10 if bench.quick else ROWS)
    with postgres(bench) as server:
        for base in ("before", "now"):
            psql(server, "postgres", f"create database {base}")
        with open(BEFORE) as sql:
            psql(server, "before", sql.read())
        bench.migrate(uri(server, "now"))
        used = fill(bench, server, rows)
        upkeep(server, "now", False)
        for base in ("before", "now"):
            psql(server, base, "vacuum analyze log_entry")
        now = ask(bench, server, "now", QUESTIONS, cold=True)
        upkeep(server, "now", True)
        psql(server, "now", "vacuum analyze log_entry")
        size = {base: sizes(server, base) for base in ("before", "now")}
        now.update(ask(bench, server, "now", SEARCHES, cold=True))
        before = ask(bench, server, "before", QUESTIONS + SEARCHES, cold=False)
    results = [Result(f"{name}, of {used['now'][2]:,} rows", BAR_MS, max(now[name][0], now[name][1]), " ms",
                      note=f"{now[name][0]:.1f} ms cold, {now[name][1]:.1f} warm, {now[name][2]} partitions, "
                           f"{now[name][3]:.1f} MB; schema of before: {before[name][1]:,.1f} ms")
               for name, _ in QUESTIONS + SEARCHES]
    whole = {base: size[base][0] + size[base][1] for base in size}
    return results + [
        Result("bytes a row, times those of before", 1, whole["now"] / whole["before"],
               note="; ".join(f"{base}: heap {size[base][0]:.0f}, indexes {size[base][1]:.0f}, words {size[base][2]:.0f}"
                              for base in size)),
        Result("CPU time of COPY a row, times that of before", 1, used["now"][0] / used["before"][0],
               note="; ".join(f"{base}: {used[base][0]:.1f} µs, {used[base][1]:.0f} bytes of WAL" for base in used))]
