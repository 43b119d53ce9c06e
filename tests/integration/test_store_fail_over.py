# SPDX-License-Identifier: MIT
"""Fail-overs by real sentinels, with nodes that start meanwhile; servers that come back with less than they had, and with
another clock; what sentinels say that have not heard yet."""

import asyncio
import time

import pytest

from lib.chat import ChatClient
from lib.logs import Listener, Producer, add, begin_sink, judge, stored
from lib.redis import Sentinel
from lib.store import STREAM
from lib.waiting import until, wait_until
from test_logs_fork import lead_to, once, promote, replica_of, say, table, wait_table
from test_minigame import SETTINGS, win
from test_store_sentinel import Group

CHAT = {"chat_login": "development", "chat_rate": 10000, "chat_burst": 10000}
FOLLOWED_WITHIN = 8.0  # seconds; sentinels tell the old master after ten


@pytest.fixture
def group(yard):
    return Group(yard)


def hand_over(group):
    wait_until(lambda: group.sentinels[0].command("SENTINEL", "FAILOVER", Sentinel.NAME).startswith(b"+OK"), "it begins")
    wait_until(group.replica.is_master, "the replica is promoted", 60)


class Talker:
    """Says numbered messages until stopped; those that were not refused are to be heard."""

    def __init__(self, client, name):
        self.client, self.name, self.said = client, name, 0
        self.stopping = False
        self.task = asyncio.create_task(self._talk())

    async def _talk(self):
        while not self.stopping:
            await self.client.say(f"{self.name}.{self.said}")
            self.said += 1
            await asyncio.sleep(0.01)

    async def stop(self):
        self.stopping = True
        await self.task

    def texts(self):
        return [f"{self.name}.{i}" for i in range(self.said)]


async def hears(client, talkers, since):
    """All that is said from each talker's number `since` on, each one's in order, nothing twice."""
    wanted = sum(talker.said - since.get(talker.name, 0) for talker in talkers)
    heard = await client.texts(wanted)
    for talker in talkers:
        assert [text for text in heard if text.startswith(talker.name + ".")] == talker.texts()[since.get(talker.name, 0):]
    assert await client.quiet()


async def test_a_planned_fail_over_with_a_node_that_starts_meanwhile(yard, group, postgres):
    """A, its listener and the sink hang on the old master for a moment; B is at the new one from the start."""
    [a] = yard.fleet([group.url], **CHAT)
    sink = begin_sink(yard, group.url, postgres, sink_age="20ms").ready()
    listener = await Listener.join(a)
    hearer, ann = [await ChatClient.member(a, name) for name in ("hearer", "ann")]
    first, talkers = Producer([a], "a"), [Talker(ann, "ann")]
    first.start()
    await until(lambda: len(first.accepted) > 200 and talkers[0].said > 50, "some are accepted")
    await asyncio.to_thread(hand_over, group)
    began = time.monotonic()
    b = await asyncio.to_thread(lambda: yard.node(store=group.url, **CHAT))
    late, ben = [await ChatClient.member(b, name) for name in ("late", "ben")]
    second = Producer([b], "b")
    second.start()
    talkers.append(Talker(ben, "ben"))
    moved = f"127.0.0.1 port {group.replica.port}: connected"
    await until(lambda: moved in a.log() and moved in sink.log(), "A and the sink follow", 60)
    assert time.monotonic() - began < FOLLOWED_WITHIN
    await until(lambda: len(second.accepted) > 300 and talkers[1].said > 100, "more are accepted", 60)
    for one in (first, second):
        await asyncio.to_thread(one.stop)
    for talker in talkers:
        await talker.stop()
    await hears(hearer, talkers, {})
    texts = [message["message"] for message in late.seen if "message" in message]
    while not {talker.texts()[-1] for talker in talkers} <= set(texts):
        texts += await late.texts(1)
    heard = [text for text in texts if text.startswith("ann.")]
    assert heard == talkers[0].texts()[-len(heard):] and len(set(texts)) == len(texts)
    assert [text for text in texts if text.startswith("ben.")] == talkers[1].texts()
    await asyncio.to_thread(judge, postgres, [first, second])
    accepted = set(first.accepted + second.accepted)
    await until(lambda: accepted <= set(listener.texts()), "the listener has all")
    assert len(set(listener.texts())) == len(listener.texts())
    assert sink.metrics()["muster_sink_missed_total"] == 0
    assert a.metrics()["muster_stream_lost_total"] == b.metrics()["muster_stream_lost_total"] == 0
    for client in (listener, hearer, late, ann, ben):
        await client.close()


@pytest.mark.parametrize("more", [5, 350])
@pytest.mark.parametrize("writer", ["lives", "is gone"])
async def test_a_replica_that_lacks_three_hundred_messages(yard, redis, more, writer):
    """A comes to it first and says more, whose ids are those of what B has heard, or pass them."""
    replica = replica_of(yard, redis)
    ways = [yard.proxy(redis) for _ in range(3)]
    a, b, c = yard.fleet([way.url for way in ways], **CHAT)
    ann, ben, eve = [await ChatClient.member(node, name) for node, name in ((a, "ann"), (b, "ben"), (c, "eve"))]
    await eve.say("first")
    assert await ben.texts(1) == ["first"]
    await until(lambda: replica.follows(redis), "the replica has all")
    promote(replica)
    for i in range(300):
        await eve.say(f"e{i}")
    assert await ben.texts(300) == [f"e{i}" for i in range(300)]
    if writer == "is gone":
        c.kill()
    else:
        lead_to(ways[2], replica)
        await until(lambda: c.log().count("connected") > 1, "C is there")
    assert await ann.texts(301) == ["first", *(f"e{i}" for i in range(300))]
    lead_to(ways[0], replica)
    await until(lambda: a.log().count("connected") > 1 and a.is_ready(), "A is there")
    for i in range(more):
        await ann.say(f"a{i}")
    assert await ann.texts(more) == [f"a{i}" for i in range(more)]
    lead_to(ways[1], replica)
    assert await ben.texts(more) == [f"a{i}" for i in range(more)]
    assert await ben.quiet() and await ann.quiet()
    for client in (ann, ben, eve):
        await client.close()


@pytest.mark.parametrize("sink_lives", [True, False])
def test_an_empty_server_whose_clock_is_a_minute_behind(yard, redis, postgres, sink_lives):
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    if not sink_lives:
        sink.kill()
        yard.dismiss(sink)
    redis.apart = -60
    redis.restart_empty()
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    stored(node, [{"msg": f"after{n}", "user": "u"} for n in range(1, 20)])
    if not sink_lives:
        sink = begin_sink(yard, redis.url, postgres, sink_age="20ms")
    wait_table(postgres, once(("before", 20), ("after", 20)))
    assert sink.metrics()["muster_sink_missed_total"] == 0


def test_an_older_file_whose_clock_is_behind(yard, redis, postgres):
    """A backup (RDB) of a moment ago, on a machine whose clock is 20 s behind."""
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 30)
    wait_table(postgres, once(("before", 30)))
    assert redis.command("SAVE").startswith(b"+OK")
    say(node, "later", 300)
    wait_table(postgres, once(("before", 30), ("later", 300)))
    redis.apart = -20
    redis.kill()
    redis.start()
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    stored(node, [{"msg": f"after{n}", "user": "u"} for n in range(1, 20)])
    say(node, "end", 300)
    wait_table(postgres, once(("before", 30), ("later", 300), ("after", 20), ("end", 300)))
    newest = "select max(seq_number) from log_entry where msg like 'later%'"
    assert postgres.value(f"select count(*) from log_entry where msg like 'end%' and seq_number < ({newest})") == "0", \
        "numbers grow, for those who keep the last one they saw"
    assert sink.metrics()["muster_sink_missed_total"] == node.metrics()["muster_stream_lost_total"] == 0
    assert node.metrics()["muster_stream_brought_back_total"] > 0


def test_a_power_cut_with_appendfsync_everysec(yard, postgres):
    """The disk lacks the last moment, in which entries were accepted, stored by the sink, and one answer was lost."""
    redis = yard.kept_redis()
    way = yard.proxy(redis)
    [node] = yard.fleet([way.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 30)
    wait_table(postgres, once(("before", 30)))
    redis.copy_file()
    say(node, "later", 100)
    wait_table(postgres, once(("before", 30), ("later", 100)))
    redis.restart_from_copy()
    way.drop_links()
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    wait_table(postgres, once(("before", 30), ("later", 100), ("after", 1)))
    assert sink.metrics()["muster_sink_missed_total"] == node.metrics()["muster_stream_lost_total"] == 0


def test_what_a_server_lost_for_good_is_counted(yard, redis, postgres):
    """The sink is away, and what was accepted more than ten seconds before the fail-over is nowhere else."""
    replica = replica_of(yard, redis)
    way = yard.proxy(redis)
    [node] = yard.fleet([way.url])
    sink = begin_sink(yard, way.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    sink.kill()
    yard.dismiss(sink)
    wait_until(lambda: replica.follows(redis), "the replica has all")
    promote(replica)
    say(node, "old", 200)
    old = time.monotonic()
    wait_until(lambda: time.monotonic() - old > 11, "the node keeps them no longer", 60, pause=0.5)
    say(node, "young", 50)
    lead_to(way, replica)
    wait_until(lambda: add(node, {"msg": "after0", "user": "u"})[0] == 200, "the store is back")
    sink = begin_sink(yard, way.url, postgres, sink_age="20ms").ready()
    wait_table(postgres, once(("before", 20), ("young", 50), ("after", 1)))
    assert node.metrics()["muster_stream_lost_total"] == 200
    assert node.metrics()["muster_stream_brought_back_total"] == 5, "of ten entries each"


async def test_balances_after_a_fail_over_and_a_restart_of_all_nodes(yard, group):
    for turn in range(2):
        nodes = yard.fleet([group.url] * 2, lease="1s", **SETTINGS)
        place = f"127.0.0.1 port {(group.master, group.replica)[turn].port}: connected"
        await until(lambda: all(place in node.log() and node.is_ready() for node in nodes), "all are at the master")
        all_, player = await win(nodes, turn)
        if turn == 0:
            await asyncio.to_thread(hand_over, group)
            for node in nodes:
                node.kill()
        del player


@pytest.mark.parametrize("old_master", ["is gone", "stands still"])
def test_a_sentinel_that_still_names_the_old_master(yard, redis, old_master):
    """It has not heard; the node asks the next one, and is there long before anybody's lease is over."""
    old = yard.redis()
    stale = yard.sentinel(old, quorum=2)
    good = [yard.sentinel(redis, quorum=2) for _ in range(2)]
    if old_master == "is gone":
        old.kill()
    else:
        old.pause()
    hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in (stale, *good))
    began = time.monotonic()
    yard.node(store=f"redis+sentinel://{hosts}/{Sentinel.NAME}", lease="10s")
    assert time.monotonic() - began < FOLLOWED_WITHIN


def test_rows_cut_from_the_stream_by_another_hand_are_told(yard, redis, postgres):
    [node] = yard.fleet([redis.url])
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    say(node, "before", 20)
    wait_table(postgres, once(("before", 20)))
    sink.kill()
    yard.dismiss(sink)
    say(node, "cut", 40)
    had = sum(int(redis.command("XLEN", f"{STREAM}:{lane}")[1:]) for lane in range(4))
    for lane in range(4):
        redis.command("XTRIM", f"{STREAM}:{lane}", "MAXLEN", "0")
    say(node, "after", 20)
    sink = begin_sink(yard, redis.url, postgres, sink_age="20ms").ready()
    wait_until(lambda: set(table(postgres)) >= set(once(("after", 20))), "the newest are stored")
    missed = sink.metrics()["muster_sink_missed_total"]
    assert 40 <= missed <= had
    assert "entries gone from the stream before they were stored" in sink.log()
