# SPDX-License-Identifier: MIT
"""What a server lost: it is brought back however long the server was away; what nobody has any more is counted and told, and
nothing else is."""

import asyncio
import http.client
import re
import time

import pytest

from lib.chat import ChatClient
from lib.logs import Listener, add, begin_sink, stored
from lib.process import certificates
from lib.proxy import Proxy
from lib.redis import entries_of
from lib.store import STREAM
from lib.waiting import until, wait_until
from test_logs_fork import lead_to, once, promote, replica_of, say, table, wait_table

KEPT = 10  # seconds for which a node keeps what was accepted


def until_older(seconds):
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > seconds, "it is old", seconds + 60, pause=0.2)


def until_back(node):
    wait_until(lambda: add(node, {"msg": "back", "user": "other"})[0] == 200, "the store is back", 60)


def lost(node):
    return node.metrics()["muster_stream_lost_total"]


def counts(redis, what):
    """Of each lane: "a" what was appended, "s" what of it is stored."""
    return redis.ask("HMGET", STREAM, *(f"{what}{lane}" for lane in range(4)))


def the_writer(redis):
    """The name of the only node that wrote, and what the server knows of its calls: b"call time outcomes"."""
    words = redis.command("HGETALL", STREAM).split(b"\r\n")[2::2]
    [found] = [(field, value) for field, value in zip(words[::2], words[1::2]) if field.startswith(b"n")]
    return found


async def test_a_server_that_is_away_for_longer_than_things_are_kept(yard, redis):
    """The last ten seconds are those before it died, and not those before it came back."""
    [node] = yard.fleet([redis.url], chat_login="development")
    ann = await ChatClient.member(node, "ann")
    await ann.say("one")
    assert await ann.texts(1) == ["one"]
    await asyncio.to_thread(say, node, "m", 20)
    redis.kill()
    await asyncio.to_thread(until_older, KEPT + 2)
    redis.start()
    await asyncio.to_thread(until_back, node)
    await asyncio.to_thread(wait_until, lambda: texts(redis, "m") == 20, "the entries are brought back")
    assert lost(node) == 0
    [other] = yard.fleet([redis.url], chat_login="development")
    ben = await ChatClient.member(other, "ben")
    await ben.send({"type": "RECENT"})
    await asyncio.to_thread(wait_until, lambda: b"one" in history(redis), "the message is brought back")
    await ann.close()


def texts(redis, name):
    """How many entries of that name the server has."""
    return len(set(re.findall(rf"\b{name}\d+\b", " ".join(entries_of(redis).values()))))


def history(redis):
    return b"".join(redis.command("HGETALL", key) for key in redis.ask("KEYS", "muster:{*}:h:*"))


def test_a_node_that_had_nothing_to_say_for_an_hour(yard, redis):
    """The server forgets the calls of nodes that are gone when a new one comes; not those of one that is there."""
    [node] = yard.fleet([redis.url])
    say(node, "before", 30)
    until_older(KEPT + 1)
    field, value = the_writer(redis)
    call, at, outcomes = value.split()
    redis.command("HSET", STREAM, field, b"%s %d %s" % (call, int(at) - 3700, outcomes))
    wait_until(lambda: the_writer(redis)[1].split()[1] >= at, "the node shows itself", 30)
    [other] = yard.fleet([redis.url])
    say(other, "other", 10)
    say(node, "after", 10)
    assert lost(node) == 0


@pytest.mark.parametrize("stored_before", [True, False])
def test_a_server_that_lost_what_nobody_keeps(yard, redis, postgres, stored_before):
    """What no sink had stored is counted by the node that took it; what one had is no loss."""
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    wait_until(lambda: counts(redis, "s") == counts(redis, "a"), "the stream knows that all is stored")
    if not stored_before:
        sink.kill()
        yard.dismiss(sink)
    say(node, "old", 200)
    until_older(2 * KEPT + 1)  # the node looks every ten seconds
    say(node, "young", 50)
    if stored_before:
        wait_table(postgres, once(("before", 20), ("old", 200), ("young", 50)))
    redis.restart_empty()
    until_back(node)
    if not stored_before:
        begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "after", 10)
    expected = once(("before", 20), ("young", 50), ("after", 10))
    wait_table(postgres, {**expected, **once(("old", 200))} if stored_before else expected)
    if stored_before:
        assert lost(node) == 0
    else:
        assert 200 <= lost(node) < 210, "and lines of the node's own"
        assert "log entries that Redis had accepted are lost: no node kept them" in node.log()


def test_an_idle_node_brings_back_what_another_hand_deleted(yard, redis):
    """The link never fell, and the node has nothing more to say."""
    [node] = yard.fleet([redis.url])
    say(node, "m", 20)
    redis.command("FLUSHALL")
    wait_until(lambda: texts(redis, "m") == 20, "the entries are brought back", 30)
    assert lost(node) == 0


def doubts(listener):
    """How often it was told."""
    return sum(entry["msg"] == "entries may have been skipped here: Redis was away" for entry in listener.entries(own=True))


async def test_a_listener_is_told_of_a_stream_that_is_gone(yard, redis):
    """It was away from Redis while another node took entries; that one died, and Redis lost its data."""
    way = yard.proxy(redis)
    [here, there] = yard.fleet([way.url, redis.url])
    listener = await Listener.join(here)
    await asyncio.to_thread(say, there, "before", 10)
    await listener.heard(10)
    way.cut()
    await asyncio.to_thread(say, there, "unheard", 10)
    there.kill()
    yard.dismiss(there)
    redis.restart_empty()
    way.mend()
    await asyncio.to_thread(until_back, here)
    await until(lambda: doubts(listener) == 1, "it is told")
    await listener.close()


async def test_a_listener_that_came_while_its_node_was_away_from_redis(yard, redis):
    """Where it begins is known when the node is back; what another node took meanwhile is before that."""
    way = yard.proxy(redis)
    [here, there] = yard.fleet([way.url, redis.url])
    way.cut()
    await asyncio.to_thread(wait_until, lambda: not here.is_ready(), "the node is away")
    listener = await Listener.join(here)
    await asyncio.to_thread(say, there, "unheard", 10)
    way.mend()
    await until(lambda: doubts(listener) == 1, "it is told")
    await asyncio.to_thread(say, there, "heard", 10)
    await until(lambda: set(listener.texts()) >= set(once(("heard", 10))), "it hears what comes then")
    later = await Listener.join(here)
    await asyncio.to_thread(say, there, "more", 10)
    await later.heard(10)
    assert (doubts(listener), doubts(later)) == (1, 0)
    await listener.close()
    await later.close()


def test_a_stream_that_was_cut_before_anybody_read_it_anew(yard, redis, postgres):
    """It begins at its first entry: what is missing before the first one that is there, is missing."""
    [node] = yard.fleet([redis.url], logs_bound="100")
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    sink.kill()
    yard.dismiss(sink)
    redis.restart_empty()
    until_back(node)
    say(node, "after", 300)
    kept = texts(redis, "after")
    assert kept <= 100
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    wait_until(lambda: sink.metrics()["muster_sink_lag_entries"] == 0 and "after299" in table(postgres), "all is stored")
    assert sink.metrics()["muster_sink_missed_total"] >= 300 - kept, "and lines of the node's own"


class Stalling(Proxy):
    """Of each link's three connections the third one, which waits for replicas, gets no answer while `stalls`."""

    stalls = False
    seen = 0

    def on_up(self, link, data):
        if not hasattr(link, "number"):
            link.number = Stalling.seen % 3
            Stalling.seen += 1
        return b"" if self.stalls and link.number == 2 else data


def test_a_connection_for_replicas_that_never_comes_up(yard, tmp_path):
    """The link is given up and built again; no caller waits for ever."""
    certs = certificates(tmp_path)
    master = yard.tls_redis(certs)
    replica = yard.redis("--replicaof", f"127.0.0.1 {master.port}")
    wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "it replicates")
    way = yard.keep(Stalling(master.tls_port)).start()
    [node] = yard.fleet([f"rediss://localhost:{way.port}"], store_ca=certs / "ca.pem", store_replicas=1)
    stored(node, {"msg": "one", "user": "u"})
    way.stalls = True
    way.drop_links()
    wait_until(lambda: add(node, {"msg": "two", "user": "u"})[0] == 503 and "no connection for WAIT in time" in node.log(),
               "it is given up", 60)
    way.stalls = False
    until_back(node)


def test_more_calls_than_a_node_counts_one_by_one(yard, redis):
    """Thousands of them are older than the replica that takes over: none of them is passed over."""
    replica = replica_of(yard, redis)
    way = yard.proxy(redis)
    [node] = yard.fleet([way.url])
    say(node, "before", 10)
    wait_until(lambda: replica.follows(redis), "the replica has all")
    promote(replica)
    link = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    for n in range(4300):
        link.request("POST", "/logs/add", b'{"msg":"m","user":"u"}', {"Content-Type": "application/json"})
        answer = link.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
    link.close()
    until_older(KEPT + 1)
    lead_to(way, replica)
    until_back(node)
    assert lost(node) >= 4300


async def test_a_hidden_history_and_a_client_that_heard_nothing_yet(yard, redis):
    """Without the right to INFO, what stands at a watch's place tells a fork, also where the watch has heard nothing so far."""
    replica = replica_of(yard, redis)
    for server in (redis, replica):
        assert server.command("ACL", "SETUSER", "muster", "on", ">secret", "~*", "&*", "+@all", "-info").startswith(b"+OK")
    way = yard.proxy(redis)
    chat = {"chat_login": "development", "chat_rate": "1000", "chat_burst": "1000"}
    urls = [f"redis://muster:secret@127.0.0.1:{port}" for port in (redis.port, way.port, replica.port)]
    [first] = yard.fleet(urls[:1], **chat)
    ann = await ChatClient.member(first, "ann")
    for n in range(30):
        if n == 10:
            await ann.texts(10)
            await asyncio.to_thread(wait_until, lambda: replica.follows(redis), "the replica has all")
            promote(replica)
        await ann.say(f"old{n}")
    await ann.texts(20)
    await ann.close()
    await asyncio.to_thread(first.kill)
    yard.dismiss(first)
    [here, there] = yard.fleet(urls[1:], **chat)
    ben, cid = [await ChatClient.member(node, name) for node, name in ((here, "ben"), (there, "cid"))]
    for n in range(25):
        await cid.say(f"new{n}")
    await cid.texts(25)
    await asyncio.to_thread(lead_to, way, replica)
    assert await ben.texts(25) == [f"new{n}" for n in range(25)]
    assert await ben.quiet()
    await ben.close()
    await cid.close()
