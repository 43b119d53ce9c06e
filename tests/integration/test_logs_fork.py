# SPDX-License-Identifier: MIT
"""Two servers whose histories of the stream fork: a replica that is promoted, an answer that is lost with its server, a
server that starts empty with numbers that are ahead, two fleets with one database, a PostgreSQL without its last commits."""

import asyncio
import time

import pytest

from lib.logs import Listener, add, begin_sink, stored
from lib.process import muster
from lib.proxy import Proxy
from lib.store import STREAM
from lib.waiting import until, wait_until
from test_settings import assert_not_well


def lead_to(proxy, server):
    """From now on `proxy` leads there; what was open is cut."""
    proxy.ways[proxy.port] = "127.0.0.1", server.port
    proxy.drop_links()


def replica_of(yard, master):
    replica = yard.redis("--replicaof", f"127.0.0.1 {master.port}")
    wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "it replicates")
    return replica


def promote(replica):
    """It has not got what comes from now on."""
    assert replica.command("REPLICAOF", "NO", "ONE").startswith(b"+OK")


def say(node, name, count):
    for i in range(0, count, 10):
        stored(node, [{"msg": f"{name}{n}", "room": f"r{n}", "user": "u"} for n in range(i, i + 10)])


def table(postgres):
    """How often each entry is stored."""
    return dict((msg, int(count)) for msg, count in
                postgres.ask("select msg, count(*) from log_entry where user_name = 'u' group by msg"))


def once(*names):
    return {f"{name}{n}": 1 for name, count in names for n in range(count)}


def wait_table(postgres, expected):
    wait_until(lambda: set(table(postgres)) >= set(expected), "all is stored", 60)
    assert table(postgres) == expected


async def test_a_promoted_replica_and_a_node_that_is_there_first(yard, redis, postgres):
    """A node, its listener and the sink stay with the old master for a while; a new node is at the new one. Nothing
    that was accepted is skipped or doubled, and what only the old master had comes back to the new one."""
    replica = replica_of(yard, redis)
    proxy = yard.proxy(redis)
    [old] = yard.fleet([proxy.url])
    sink = begin_sink(yard, proxy.url, postgres, sink_age="20ms").ready()
    listener = await Listener.join(old)
    await asyncio.to_thread(say, old, "before", 50)
    await listener.heard(50)
    wait_until(lambda: replica.follows(redis), "the replica has all")
    promote(replica)
    [new] = yard.fleet([replica.url])
    await asyncio.to_thread(say, new, "new", 300)
    await asyncio.to_thread(say, old, "old", 300)
    await listener.heard(350)
    await asyncio.to_thread(wait_until, lambda: len(table(postgres)) == 350, "the sink has the old master's", 60)
    lead_to(proxy, replica)
    await until(lambda: len(set(listener.texts())) == 650, "the listener hears those of the new master")
    await asyncio.to_thread(say, old, "after", 10)
    await asyncio.to_thread(wait_table, postgres, once(("before", 50), ("old", 300), ("new", 300), ("after", 10)))
    await listener.heard(660)
    assert sorted(listener.texts()) == sorted(once(("before", 50), ("old", 300), ("new", 300), ("after", 10)))
    wait_until(lambda: sink.metrics()["muster_sink_lag_entries"] == 0, "no lag")
    assert sink.metrics()["muster_sink_missed_total"] == 0
    assert sink.metrics()["muster_sink_repeated_total"] > 0, "what the old master had comes again, and is not stored again"
    assert old.metrics()["muster_stream_brought_back_total"] > 0
    assert old.metrics()["muster_stream_lost_total"] == new.metrics()["muster_stream_lost_total"] == 0
    await listener.close()


class Losing(Proxy):
    """Loses the answer to what has `word` in it."""

    word = None

    def on_up(self, link, data):
        if self.word is not None and self.word in data:
            link.losing = True
        return data

    def on_down(self, link, data):
        if getattr(link, "losing", False):
            self.word = None
            return None
        return data


def test_an_answer_that_is_lost_with_its_server(yard, redis, postgres):
    """The old master stores it, the sink has it; the node writes it again, to a replica that never got it."""
    replica = replica_of(yard, redis)
    ways = [yard.keep(Losing(redis.port)).start(), yard.proxy(redis)]
    [node] = yard.fleet([ways[0].url])
    begin_sink(yard, ways[1].url, postgres, sink_age="20ms").ready()
    say(node, "before", 10)
    wait_until(lambda: replica.follows(redis), "the replica has all")
    promote(replica)
    ways[0].word = b"precious0"
    ways[0].ways[ways[0].port] = "127.0.0.1", replica.port  # for the next link
    say(node, "precious", 10)
    assert ways[0].word is None, "the answer was lost"
    wait_table(postgres, once(("before", 10), ("precious", 10)))
    lead_to(ways[1], replica)
    say(node, "after", 10)
    wait_table(postgres, once(("before", 10), ("precious", 10), ("after", 10)))


def test_an_empty_server_whose_clock_is_behind(yard, redis, postgres):
    """The old one's numbers were an hour ahead, as a clock's that was."""
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    redis.command("HSET", STREAM, "last", str(int((time.time() + 3600) * 1e6)))
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    sink.kill()  # nobody tells the server what was seen
    yard.started.remove(sink)
    redis.restart_empty()
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    stored(node, [{"msg": f"after{n}", "user": "u"} for n in range(1, 20)])
    begin_sink(yard, redis.url, postgres, sink_age="20ms")
    wait_table(postgres, once(("before", 20), ("after", 20)))
    newest, oldest = [int(postgres.value(f"select {which}(seq_number) from log_entry where msg like '{name}%'"))
                      for which, name in (("max", "before"), ("min", "after"))]
    assert oldest > newest, "numbers grow, also for readers that know nothing of servers"


def test_two_fleets_with_one_database(yard, redis, postgres):
    other = yard.redis()
    nodes = yard.fleet([redis.url, other.url])
    first = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(nodes[0], "first", 50)
    wait_table(postgres, once(("first", 50)))  # so the name is its stream's
    second = begin_sink(yard, other.url, postgres, sink_age="20ms")
    say(nodes[1], "second", 50)
    said = "stores the stream of another fleet under the name muster"
    wait_until(lambda: said in second.log(), "it is said", 60)
    status, why, *_ = second.get("/readyz")
    assert (status, said in str(why)) == (503, True), why
    checks = [muster("check", "--store", server.url, "--postgres", postgres.uri) for server in (redis, other)]
    assert checks[0].returncode == 0, checks[0].stdout
    assert_not_well(checks[1], "error postgres: it " + said)
    say(nodes[0], "more", 50)
    wait_table(postgres, once(("first", 50), ("more", 50)))
    assert first.is_ready()
    wait_until(lambda: first.metrics()["muster_sink_lanes"] == 4, "the first sink serves all lanes")


def test_the_fleet_s_own_server_after_it_lost_its_data_is_known(yard, redis, postgres):
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    redis.restart_empty()
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    wait_table(postgres, once(("before", 20), ("after", 1)))
    assert "another fleet" not in sink.log()


@pytest.mark.parametrize("keep, comes_back", [("2m", True), ("0s", False)])
def test_a_database_that_lost_its_last_commits(yard, redis, postgres, keep, comes_back):
    """A standby that was promoted: what it lacks is still in the stream, for as long as sink-keep says."""
    [node] = yard.fleet([redis.url])
    settings = {"sink_age": "20ms", "sink_keep": keep, "sink_keep_entries": 0}
    sink = begin_sink(yard, redis.url, postgres, **settings).ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    postgres.psql("create table was_lane as table log_lane; create table was_writer as table log_writer")
    say(node, "lost", 400)
    wait_table(postgres, once(("before", 20), ("lost", 400)))
    wait_until(lambda: redis.ask("HMGET", STREAM, "s0", "s1", "s2", "s3") == redis.ask("HMGET", STREAM, "a0", "a1", "a2", "a3"),
               "the stream knows that all is stored")
    if not comes_back:
        wait_until(lambda: redis.command("XLEN", f"{STREAM}:0") == b":0\r\n", "the stream is trimmed")
    sink.kill()
    yard.started.remove(sink)
    postgres.psql("delete from log_entry where msg like 'lost%'; delete from log_lane; delete from log_writer; "
                  "insert into log_lane select * from was_lane; insert into log_writer select * from was_writer")
    sink = begin_sink(yard, redis.url, postgres, **settings).ready()
    say(node, "after", 10)
    if comes_back:
        wait_table(postgres, once(("before", 20), ("lost", 400), ("after", 10)))
        assert sink.metrics()["muster_sink_missed_total"] == 0
    else:
        wait_until(lambda: set(table(postgres)) >= set(once(("after", 10))), "the newest are stored")
        assert sink.metrics()["muster_sink_missed_total"] > 0
        assert "entries gone from the stream before they were stored" in sink.log()
