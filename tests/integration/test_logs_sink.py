# SPDX-License-Identifier: MIT
"""`muster sink`: exactly once into PostgreSQL, whatever breaks."""

import json
import random
import re
import threading
import time

import pytest

from lib.logs import LosingProxy, Producer, add, begin_sink, judge, stored
from lib.measure import resident
from lib.node import Sink
from lib.process import ROOT, certificates, muster
from lib.proxy import TlsFront
from lib.redis import entries_of
from lib.store import STREAM
from lib.waiting import wait_until


def rows(postgres, where="true"):
    return int(postgres.value(f"select count(*) from log_entry where coalesce(user_name, '') <> 'server' and {where}"))


def wait_rows(postgres, count, where="true"):
    wait_until(lambda: rows(postgres, where) >= count, f"{count} rows")
    assert rows(postgres, where) == count


def test_an_entry_becomes_a_row(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    begin_sink(yard, redis.url, postgres).ready()
    stored(a, {"timestamp": "1700000000123", "level": "Info", "msg": "hi", "text": "12:00 Info hi", "user": "Felyne",
               "room": "R", "more": [1, {"a": None}]})
    stored(a, [{"msg": "no text", "level": "WARN", "timestamp": 1700000000123}, {"room": "undefined"}, {"user": None, "msg": 5}])
    wait_rows(postgres, 4)
    assert postgres.ask("select client_time at time zone 'UTC', level, msg, user_name, room, text, extra from log_entry "
                        "where coalesce(user_name, '') <> 'server' order by seq_number") == [
        ["2023-11-14 22:13:20.123", "info", "hi", "Felyne", "R", "12:00 Info hi", '{"more": [1, {"a": null}]}'],
        ["2023-11-14 22:13:20.123", "warn", "no text", "", "", "", ""],
        ["", "", "", "", "", "", ""],
        ["", "", "5", "", "", "", ""]]
    assert postgres.value("select text from log_line where msg = 'no text'") == "2023-11-14T22:13:20.123Z warn no text"
    assert postgres.value("select text from \"LogEntry\" where msg = '5'").endswith("Z 5"), "what was not sent is made"
    assert postgres.value("select count(*) from log_entry where extract(epoch from server_time) * 1000000 <> seq_number") == "0"
    assert postgres.ask('select "Id" = seq_number, "user", room, level from "LogEntry" where msg = \'hi\'') == [
        ["t", "Felyne", "R", "info"]]


BAD = [
    ('{"msg":"a\\u0000b"}', "msg = 'a\ufffdb'"),
    ('{"msg":"\\ud800 half"}', "msg = '\ufffd half'"),
    ('{"msg":"t1","timestamp":"soon"}', "msg = 't1' and client_time is null"),
    ('{"msg":"t2","timestamp":9e99}', "msg = 't2' and client_time is null"),
    ('{"msg":"t3","timestamp":-9e18}', "msg = 't3' and client_time is null"),
    ('{"msg":"t4","timestamp":{}}', "msg = 't4' and client_time is null"),
    ('{"msg":"r","room":"%s"}' % ("R" * 5000), "msg = 'r' and length(room) = 512"),
    ('{"msg":"u","user":"%s"}' % ("\u00fc" * 3000), "msg = 'u' and length(user_name) = 256"),
    ('{"msg":"n","n":1e999999}', "msg = 'n' and extra ? 'n'"),
    ('{"msg":"k","k\\u0000":"\\udfff\\u0000"}', "msg = 'k'"),
    ('{"msg":"d","d":%s}' % ("[" * 100 + "]" * 100), "msg = 'd'"),
]


def test_bad_entries_are_stored_as_far_as_they_are_valid(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    begin_sink(yard, redis.url, postgres).ready()
    stored(a, ("[" + ",".join(raw for raw, _ in BAD) + ']').encode())
    stored(a, {"msg": "good"})
    wait_rows(postgres, len(BAD) + 1)
    for raw, where in BAD:
        assert rows(postgres, where) == 1, (raw[:60], where)
        if '"d"' not in raw:
            kept = postgres.value(f"select extra->>'_raw' from log_entry where {where}")
            assert json.loads(kept)["msg"] == json.loads(raw)["msg"], "the raw JSON is kept"
    assert postgres.value("select count(*) from log_entry_rejected") == "0"


def test_rows_postgres_refuses_are_found_and_put_aside(yard, redis, postgres):
    """A constraint that the sink knows nothing of stands for whatever PostgreSQL may not like."""
    postgres.psql("alter table log_entry add constraint no_evil check (msg not like 'evil%')")
    [a] = yard.fleet([redis.url])
    for i in range(300):
        stored(a, [{"msg": f"evil {i}" if (i * 10 + j) % 97 == 0 else f"good {i * 10 + j}", "room": f"r{j}"} for j in range(10)])
    sink = begin_sink(yard, redis.url, postgres, log_level="warn")
    evil = len([n for n in range(3000) if n % 97 == 0])
    wait_until(lambda: rows(postgres) == 3000 - evil, "the good ones", 60)
    wait_until(lambda: int(postgres.value("select count(*) from log_entry_rejected")) == evil, "the bad ones")
    assert sink.metrics()["muster_sink_rejected_total"] == evil
    [[raw, reason]] = postgres.ask("select raw, reason from log_entry_rejected order by seq_number limit 1")
    assert json.loads(raw)["msg"] == "evil 0" and "no_evil" in reason


def test_what_is_no_json_in_the_stream_does_not_stop_the_sink(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    stored(a, [{"msg": "before", "room": f"r{i}"} for i in range(20)])
    now = int(time.time() * 1000000)
    for lane in range(4):
        redis.command("XADD", f"{STREAM}:{lane}", f"{now + lane}-77", "tag", "no json at all '")
    stored(a, [{"msg": "after", "room": f"r{i}"} for i in range(20)])
    begin_sink(yard, redis.url, postgres).ready()
    wait_rows(postgres, 40)
    assert postgres.ask("select distinct reason, raw from log_entry_rejected") == [["not a JSON object", "no json at all '"]]


def test_postgres_away_then_full_then_back(yard, redis, postgres):
    [a] = yard.fleet([redis.url], logs_bound=200)
    sink = begin_sink(yard, redis.url, postgres).ready()
    stored(a, {"msg": "first"})
    wait_rows(postgres, 1)
    postgres.kill()
    wait_until(lambda: sink.status("/readyz") == 503, "the sink says so")
    assert sink.status("/healthz") == 200
    accepted = []
    for i in range(300):
        status = add(a, {"msg": f"away {i}"})[0]
        assert status in (200, 503)
        accepted += [i] * (status == 200)
    assert 150 < len(accepted) <= 200, "the bound holds"
    assert sink.metrics()["muster_sink_lag_entries"] >= 0
    wait_until(lambda: sink.metrics()["muster_sink_lag_entries"] >= len(accepted), "the lag is told")
    postgres.start()
    wait_rows(postgres, len(accepted), "msg like 'away%'")
    wait_until(lambda: add(a, {"msg": "last"})[0] == 200, "room again")
    wait_until(lambda: sink.metrics()["muster_sink_lag_entries"] == 0, "no lag")


def test_a_lost_commit_answer_doubles_nothing(yard, redis, postgres):
    proxy = yard.keep(LosingProxy(postgres)).start()
    proxy.name = "losing proxy"
    nodes = yard.fleet([redis.url] * 2)
    begin_sink(yard, redis.url, postgres.uri_at(proxy.port), sink_age="20ms").ready()
    producer = Producer(nodes)
    producer.start()
    proxy.to_lose = 12
    wait_until(lambda: proxy.lost >= 12, "twelve answers lost", 60)
    producer.stop()
    judge(postgres, [producer])


def test_a_killed_sink_is_replaced_within_seconds(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    sinks = [begin_sink(yard, redis.url, postgres) for _ in range(3)]
    for sink in sinks:
        sink.ready()
    wait_until(lambda: sum(sink.metrics()["muster_sink_lanes"] for sink in sinks) == 4, "each lane is served")
    sinks.sort(key=lambda sink: -sink.metrics()["muster_sink_lanes"])
    sinks[0].kill()
    begun = time.monotonic()
    stored(a, [{"msg": str(i), "room": f"r{i}"} for i in range(40)])
    wait_rows(postgres, 40)
    assert time.monotonic() - begun < 5
    assert sum(sink.metrics()["muster_sink_lanes"] for sink in sinks[1:]) == 4


def lanes_of(sinks):
    return [int(sink.metrics()["muster_sink_lanes"]) for sink in sinks]


def wait_shares(sinks, wanted):
    """Until the sinks hold that many lanes, however many each holds."""
    seen = []

    def even():
        seen[:] = lanes_of(sinks)
        return sorted(seen) == sorted(wanted)
    wait_until(even, f"shares {wanted}, seen {seen}", 30)


def holders(postgres):
    """Who holds the lock of which lane: lane and session."""
    return postgres.ask("select objid, pid from pg_locks where locktype = 'advisory' and mode = 'ExclusiveLock' and granted "
                        "and objsubid = 2 order by 1")


def test_lanes_are_shared_evenly_by_the_sinks_that_live(yard, redis, postgres):
    nodes = yard.fleet([redis.url] * 2, logs_lanes=7)
    settings = {"logs_lanes": 7, "sink_age": "20ms", "sink_rows": 200}
    producer = Producer(nodes)
    producer.start()
    sinks = [begin_sink(yard, redis.url, postgres, **settings).ready()]
    wait_shares(sinks, [7])
    sinks.append(begin_sink(yard, redis.url, postgres, **settings).ready())
    wait_shares(sinks, [3, 4])
    sinks.append(begin_sink(yard, redis.url, postgres, **settings).ready())
    wait_shares(sinks, [2, 2, 3])
    before, since = holders(postgres), time.monotonic()
    assert len(before) == 7 and len({pid for _, pid in before}) == 7
    while time.monotonic() - since < 4:  # some roll calls
        assert holders(postgres) == before, "it flaps"
        time.sleep(0.1)
    sinks.pop(1).kill()
    begun = time.monotonic()
    wait_shares(sinks, [3, 4])
    assert time.monotonic() - begun < 5
    gone = sinks.pop(0)
    gone.term()
    wait_shares(sinks, [7])
    assert gone.popen.wait(10) == 0
    sinks += [begin_sink(yard, redis.url, postgres, **settings).ready() for _ in range(8)]
    wait_shares(sinks, [0, 0] + [1] * 7)  # more sinks than lanes: two stand by
    sinks.pop(lanes_of(sinks).index(1)).kill()
    wait_shares(sinks, [0] + [1] * 7)
    producer.stop()
    judge(postgres, [producer])
    for sink in sinks:
        assert "already exists" not in sink.log()


def test_sinks_of_different_settings_leave_no_lane_alone(yard, redis, postgres):
    """Their shares are of as many lanes, whatever each was told."""
    [a] = yard.fleet([redis.url], logs_lanes=4)
    sinks = [begin_sink(yard, redis.url, postgres, logs_lanes=lanes).ready() for lanes in (4, 16, 2)]
    wait_shares(sinks, [5, 5, 6])
    stored(a, [{"msg": str(i), "room": f"r{i}"} for i in range(40)])
    wait_rows(postgres, 40)
    sinks.pop(1).kill()
    wait_shares(sinks, [8, 8])


def test_many_sinks_at_once_and_few_connections(yard, redis, postgres):
    """While they find their shares each may ask for any lane; in the end all lanes are served."""
    postgres.kill()
    postgres.options["max_connections"] = "30"
    postgres.start()
    nodes = yard.fleet([redis.url], logs_lanes=8)
    producer = Producer(nodes)
    producer.start()
    sinks = [begin_sink(yard, redis.url, postgres, logs_lanes=8, sink_age="20ms") for _ in range(8)]
    wait_shares([sink.ready() for sink in sinks], [1] * 8)
    producer.stop()
    judge(postgres, [producer])


def test_a_crash_undoes_nothing_that_the_stream_has_forgotten(yard, redis, postgres):
    """Where the server is told not to wait for its disk, the sink says otherwise."""
    postgres.kill()
    postgres.options.update(synchronous_commit="off", wal_writer_delay="10s")
    postgres.start()
    [a] = yard.fleet([redis.url])
    begin_sink(yard, redis.url, postgres, sink_keep="0s", sink_keep_entries=0, sink_age="20ms").ready()
    stored(a, [{"msg": "before", "room": f"r{i}"} for i in range(40)])
    wait_rows(postgres, 40)
    marked = [f"s{lane}" for lane in range(4)]
    wait_until(lambda: redis.command("HMGET", STREAM, *marked).count(b"$-1") == 0, "all lanes are marked")
    postgres.kill()
    postgres.start()
    stored(a, {"msg": "after"})
    wait_rows(postgres, 41)


def test_a_sink_that_cannot_read_leaves_its_lanes_to_the_others(yard, redis, postgres):
    nodes = yard.fleet([redis.url])
    proxy = yard.proxy(redis)
    settings = {"sink_age": "20ms", "sink_rows": 200}
    sinks = [begin_sink(yard, store, postgres, **settings).ready() for store in (proxy.url, redis.url)]
    producer = Producer(nodes)
    producer.start()
    wait_shares(sinks, [2, 2])
    proxy.cut()
    wait_until(lambda: lanes_of(sinks) == [0, 4], "the other has them all", 30)
    proxy.mend()
    wait_shares(sinks, [2, 2])
    producer.stop()
    judge(postgres, [producer])


def test_a_sink_needs_the_server_of_the_entries_and_no_other(yard, postgres):
    shards = [yard.redis(), yard.redis()]
    store = ",".join(shard.url for shard in shards)
    [a] = yard.fleet([store])
    sink = begin_sink(yard, store, postgres).ready()
    stored(a, {"msg": "before"})
    wait_rows(postgres, 1)
    [other] = [shard for shard in shards if not entries_of(shard)]
    other.kill()
    wait_until(lambda: "away: " in sink.get("/readyz")[1], "it has noticed")
    for count in range(2, 10):  # longer than others would wait for it before they took its lanes
        stored(a, {"msg": "after"})
        wait_rows(postgres, count)
        time.sleep(1)


def test_a_sink_makes_room_in_a_redis_that_is_full(yard, redis, postgres):
    """What is stored goes, though nothing else can be written, and however long that lasts."""
    [a] = yard.fleet([redis.url])

    def waiting():
        return sum(int(redis.command("XLEN", f"{STREAM}:{lane}")[1:]) for lane in range(4))
    for _ in range(20):
        stored(a, [{"msg": "m", "room": f"room-{i}"} for i in range(100)])
    redis.command("CONFIG", "SET", "maxmemory", "1")
    assert add(a, {"msg": "no room"})[0] == 503
    sink = begin_sink(yard, redis.url, postgres, sink_keep="0s", sink_keep_entries=4)
    wait_rows(postgres, 2000)
    wait_until(lambda: waiting() < 4 * 100, "what is stored has gone but for the last blocks")
    end = time.monotonic() + 8  # longer than others would wait for it before they took its lanes
    while time.monotonic() < end:
        assert sink.metrics()["muster_sink_lanes"] == 4
        time.sleep(0.1)
    redis.command("CONFIG", "SET", "maxmemory", "0")
    wait_until(lambda: add(a, {"msg": "again"})[0] == 200, "there is room")
    wait_rows(postgres, 2001)


def test_a_sink_that_is_told_to_end_stores_what_it_has(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="1h").ready()
    stored(a, [{"msg": str(i), "room": f"r{i}"} for i in range(40)])
    time.sleep(2)  # it looks at the stream once a second, reads, and waits for more
    assert rows(postgres) == 0
    sink.term()
    assert sink.popen.wait(10) == 0
    assert rows(postgres) == 40
    begin_sink(yard, redis.url, postgres).ready()
    stored(a, {"msg": "later"})
    wait_rows(postgres, 41)


@pytest.mark.parametrize("seed", [1, 2])
def test_exactly_once_through_kills_of_everything(yard, redis, postgres, seed):
    """Sinks killed, links to Redis and PostgreSQL cut, COMMIT answers lost, PostgreSQL crashed, a node
    killed: at random moments, for a while."""
    dice = random.Random(seed)
    losing = yard.keep(LosingProxy(postgres)).start()
    losing.name = "losing proxy"
    to_postgres, node_redis, sink_redis = yard.proxy(losing), yard.proxy(redis), yard.proxy(redis)
    nodes = yard.fleet([redis.url, node_redis.url, redis.url])
    settings = {"sink_age": "20ms", "sink_rows": 200}
    uri = postgres.uri_at(to_postgres.port)
    sinks = [begin_sink(yard, store, uri, **settings) for store in (redis.url, sink_redis.url)]
    producers = [Producer(nodes[:2], "p"), Producer(nodes[1:], "q", 37)]
    for producer in producers:
        producer.start()

    def kill_sink():
        at = dice.randrange(len(sinks))
        sinks[at].kill()
        sinks[at] = begin_sink(yard, dice.choice([redis.url, sink_redis.url]), uri, **settings)

    def crash_postgres():
        postgres.kill()
        postgres.start()

    def lose_answer():
        losing.to_lose += 1

    def pause_sink():
        sink = dice.choice(sinks)
        sink.pause()
        threading.Timer(0.7, sink.cont).start()
    faults = [kill_sink, kill_sink, crash_postgres, lose_answer, lose_answer, pause_sink, to_postgres.drop_links,
              node_redis.drop_links, sink_redis.drop_links]
    end = time.monotonic() + 12
    while time.monotonic() < end:
        dice.choice(faults)()
        time.sleep(dice.random() * 0.6)  # at any moment
    nodes[2].kill()
    for producer in producers:
        producer.stop()
    losing.to_lose = 0
    judge(postgres, producers)


def test_memory_stays_flat_while_much_drains(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    for _ in range(40):
        stored(a, [{"msg": "x" * 100, "room": f"r{i % 50}"} for i in range(1500)])
    # Under a sanitizer, what was freed counts as used unless it is told otherwise.
    sink = begin_sink(yard, redis.url, postgres, env={"ASAN_OPTIONS": "quarantine_size_mb=4"}).ready()
    wait_until(lambda: rows(postgres) > 15000, "a part", 60)
    early = resident(sink.pid)
    wait_until(lambda: rows(postgres) == 60000, "all", 120)
    assert resident(sink.pid) < early * 1.2 + 8e6


def test_memory_is_bounded_when_small_entries_are_followed_by_large_ones(yard, redis, postgres):
    """How much the next read brings cannot be known from the ones before."""
    [a] = yard.fleet([redis.url])
    for _ in range(4):
        stored(a, [{"msg": "x" * 100, "room": f"r{i % 50}"} for i in range(1250)])
    sink = begin_sink(yard, redis.url, postgres, env={"ASAN_OPTIONS": "quarantine_size_mb=4"}).ready()
    wait_until(lambda: rows(postgres) == 5000, "the small ones", 60)
    sink.pause()
    for _ in range(430):
        stored(a, [{"msg": "y" * 31000, "room": f"r{i}"} for i in range(7)])
    early = most = resident(sink.pid)
    sink.cont()
    while rows(postgres) < 8010:
        most = max(most, resident(sink.pid))
    assert most < early + 200e6
    assert resident(sink.pid) < early + 120e6


def test_partitions_are_made_ahead_and_dropped(yard, redis, postgres):
    def days():
        return postgres.ask("select to_date(right(c.relname, 8), 'YYYYMMDD') - (now() at time zone 'UTC')::date from pg_inherits i "
                            "join pg_class c on c.oid = i.inhrelid where inhparent = 'log_entry'::regclass order by 1")
    postgres.psql("select log_partition_make((now() at time zone 'UTC')::date - n) from generate_series(5, 9) n")
    begin_sink(yard, redis.url, postgres, sink_retention="7d").ready()
    wait_until(lambda: days() == [["-7"], ["-6"], ["-5"], ["0"], ["1"], ["2"], ["3"]], f"the days: {days()}")


def test_entries_of_a_dropped_day_get_it_back(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    begin_sink(yard, redis.url, postgres).ready()
    stored(a, {"msg": "one", "room": "r"})
    wait_rows(postgres, 1)
    postgres.psql("drop table " + postgres.value("select tableoid::regclass from log_entry limit 1"))
    stored(a, {"msg": "two", "room": "r"})
    wait_rows(postgres, 1)


def test_migrate_many_at_once_and_again(yard):
    server = yard.postgres(migrated=False)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(muster("migrate", "--postgres", server.uri))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.returncode for answer in answers] == [0] * 6, [answer.stderr for answer in answers]
    assert sum("0002_questions: applied" in answer.stderr for answer in answers) == 1
    assert "all is well" in muster("check", "--postgres", server.uri).stdout
    server.psql("update muster_migration set sha256 = 'x' where number = 1")
    changed = muster("migrate", "--postgres", server.uri)
    assert changed.returncode == 1 and "0001_log" in changed.stderr
    assert muster("check", "--postgres", server.uri).returncode == 1


def test_check_and_migrate_without_a_server(yard):
    assert muster("migrate").returncode == 2
    answer = muster("check", "--postgres", "postgresql://127.0.0.1:1/x")
    assert answer.returncode == 1 and "postgres:" in answer.stdout


def test_a_sink_before_migrate_waits(yard, redis):
    server = yard.postgres(migrated=False)
    [a] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, server)
    wait_until(lambda: "run muster migrate" in sink.log(), "it says what is missing")
    stored(a, {"msg": "early"})
    assert muster("migrate", "--postgres", server.uri).returncode == 0
    wait_rows(server, 1)


def test_a_sink_without_a_stream_says_so(yard):
    answer = muster("sink", "--postgres", "postgresql://127.0.0.1:1/x", "--store", "memory:")
    assert answer.returncode == 2 and "--from" in answer.stderr


def test_the_reader_may_read_and_no_more(yard, redis, postgres):
    postgres.psql("set role muster_reader; select * from log_entry; select * from \"LogEntry\"; select * from log_entry_rejected")
    assert postgres.psql("set role muster_reader; delete from log_entry", check=False).returncode != 0


# ---------------------------------------------------------------- --from: any server that speaks the wire

def begin_dumper(yard, url, postgres, **settings):
    return yard.keep(Sink(f"dumper-{len(yard.started)}", yard.folder, postgres=postgres.uri, **{"from": url}, **settings)).start()


def test_from_another_server(yard, postgres):
    """A server with the memory store, which no sink can reach otherwise; killed and begun again."""
    a = yard.node(logs_listen_token="secret")
    dumper = begin_dumper(yard, a.ws("/logs/listen"), postgres, logs_listen_token="secret").ready()
    stored(a, [{"msg": str(i), "room": f"r{i % 3}", "level": "Debug"} for i in range(100)])
    wait_rows(postgres, 100)
    assert postgres.ask("select distinct level, room from log_entry where user_name is null order by 2") == [
        ["debug", "r0"], ["debug", "r1"], ["debug", "r2"]]
    a.kill()
    wait_until(lambda: dumper.status("/readyz") == 503, "it notices")
    a.start().ready()
    dumper.ready()
    stored(a, {"msg": "again"})
    wait_rows(postgres, 101)


def test_from_catches_up_and_survives_postgres(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    proxy = yard.proxy(a)
    dumper = begin_dumper(yard, f"ws://127.0.0.1:{proxy.port}/logs/listen", postgres).ready()
    stored(a, [{"msg": "before", "room": f"r{i}"} for i in range(50)])
    wait_rows(postgres, 50)
    proxy.cut()
    wait_until(lambda: dumper.status("/readyz") == 503, "it notices")
    stored(a, [{"msg": "away", "room": f"r{i}"} for i in range(50)])
    proxy.mend()
    wait_rows(postgres, 100)
    postgres.kill()
    stored(a, [{"msg": "down", "room": f"r{i}"} for i in range(50)])
    postgres.start()
    wait_rows(postgres, 150)


def test_from_a_lost_commit_answer_doubles_nothing(yard, redis, postgres):
    proxy = yard.keep(LosingProxy(postgres)).start()
    proxy.name = "losing proxy"
    nodes = yard.fleet([redis.url] * 2)
    dumper = yard.keep(Sink("dumper", yard.folder, postgres=postgres.uri_at(proxy.port), sink_age="20ms",
                            **{"from": nodes[0].ws("/logs/listen")})).start().ready()
    wait_until(lambda: dumper.metrics()["muster_sink_lanes"] == 1, "it stores")
    producer = Producer(nodes)
    producer.start()
    proxy.to_lose = 12
    wait_until(lambda: proxy.lost >= 12, "twelve answers lost", 60)
    postgres.kill()
    postgres.start()
    producer.stop()
    judge(postgres, [producer])
    [[stream, ordinal, kept]] = postgres.ask("select stream, seq_number, (select count(*) from log_entry) from log_lane")
    assert stream.startswith("from ") and ordinal == kept, "its place is what it stored"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_from_over_tls(yard, postgres, tmp_path, host):
    folder = certificates(tmp_path)
    a = yard.node()
    front = yard.keep(TlsFront(a, folder)).start()
    dumper = begin_dumper(yard, f"wss://{host}:{front.port}/logs/listen", postgres, from_ca=folder / "ca.pem").ready()
    for _ in range(20):
        stored(a, [{"msg": "x" * 500, "room": f"r{i}"} for i in range(100)])
    wait_rows(postgres, 2000)
    a.kill()
    wait_until(lambda: dumper.status("/readyz") == 503, "it notices")
    a.start().ready()
    dumper.ready()
    stored(a, {"msg": "again"})
    wait_rows(postgres, 2001)


@pytest.mark.parametrize("own, ca, why", [("server", "other-ca", "issuer certificate"), ("expired", "ca", "expired"),
                                          ("wrong-name", "ca", "mismatch")])
def test_from_over_tls_believes_no_stranger(yard, postgres, tmp_path, own, ca, why):
    folder = certificates(tmp_path)
    front = yard.keep(TlsFront(yard.node(), folder, own)).start()
    dumper = begin_dumper(yard, f"wss://127.0.0.1:{front.port}/logs/listen", postgres, from_ca=folder / f"{ca}.pem")
    wait_until(lambda: why in dumper.log(), "it says why")
    assert dumper.status("/readyz") == 503 and dumper.status("/healthz") == 200


def test_from_with_authorities_that_are_not_there_does_not_start(tmp_path):
    ca = tmp_path / "none.pem"
    flags = ("--postgres", "postgresql://127.0.0.1:1/x", "--from", "wss://127.0.0.1:1/logs/listen", "--from-ca", str(ca))
    answer, checked = muster("sink", *flags), muster("check", *flags)
    assert answer.returncode == 2 and checked.returncode == 2
    for text in (answer.stderr, checked.stdout):
        assert f"--from-ca: TLS: cannot use the authorities in {ca}: No such file or directory" in text


def test_from_a_name_that_is_none(yard, postgres):
    dumper = begin_dumper(yard, "ws://nobody.invalid:1/logs/listen", postgres)
    wait_until(lambda: dumper.status("/healthz") == 200, "it lives")
    wait_until(lambda: 'about="the server"' in dumper.log(), "it says why")


def test_from_wants_a_websocket_address(yard):
    answer = muster("sink", "--postgres", "postgresql://127.0.0.1:1/x", "--from", "http://x/")
    assert answer.returncode == 2 and "ws://" in answer.stderr


# ---------------------------------------------------------------- what the README tells people to ask

def sql_blocks():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        yield from (block for block in re.findall(r"```sql\n(.*?)```", page.read_text(), re.DOTALL) if "from log_" in block or 'from "LogEntry"' in block)


def test_the_questions_of_the_readme_run_as_written(yard, redis, postgres):
    [a] = yard.fleet([redis.url])
    begin_sink(yard, redis.url, postgres).ready()
    stored(a, [{"level": "ERROR", "msg": "connection closed", "user": user, "room": "hunt-7"} for user in ("u1", "u2", "u2")] +
           [{"level": "info", "msg": f"line {i}", "user": "u3", "room": "hunt-7"} for i in range(150)] +
           [{"msg": "connection closed after ping"}])
    wait_rows(postgres, 154)
    blocks = list(sql_blocks())
    assert len(blocks) >= 5
    answers = {block.splitlines()[0].strip("- "): postgres.ask(block) for block in blocks}

    def answer(word):
        return next(rows_ for title, rows_ in answers.items() if word in title)
    assert sum(int(row[1]) for row in answer("errors per hour")) == 3
    assert len(answer("last 100 lines")) == 100
    assert [(row[0], row[3]) for row in answer("who was there")] == [("u1", "1"), ("u2", "2"), ("u3", "150")]
    assert len(answer("gaps")) == 10
    assert len(answer("full text")) == 3
    postgres.psql("analyze")
    plan = postgres.psql("set enable_seqscan = off; explain " + next(b for b in blocks if "errors per hour" in b)).stdout
    assert "level" in plan and "Index" in plan
