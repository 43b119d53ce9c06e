# SPDX-License-Identifier: MIT
"""The log stream spread over a list of two servers: a server that is away takes its rooms along and no other; of a request
that touches both, what is not stored is named; nothing is skipped or doubled on its way to listeners and into PostgreSQL."""

import asyncio
import json
import re
import threading
import time

import pytest

from lib.logs import Listener, Producer, add, begin_sink, judge, stored
from lib.proxy import Proxy
from lib.redis import TAGS, Cluster, slot_of
from lib.waiting import until, wait_until

ROOMS = [f"room-{i}" for i in range(48)]
LANES = 16


@pytest.fixture
def servers(yard):
    return [yard.kept_redis(), yard.kept_redis()]


@pytest.fixture(name="store")
def list_of_both(servers):
    return ",".join(f"{server.url}#s{number}" for number, server in enumerate(servers))


@pytest.fixture
def nodes(yard, store):
    return yard.fleet([store] * 2, logs_lanes=LANES)


def entry(room, msg):
    return {"msg": msg, "room": room, "user": "u"}


def is_away(node):
    return "away: " in node.get("/readyz")[1]


def is_whole(node):
    return node.get("/readyz")[1] == "ready\n"


def rows(postgres):
    return dict((msg, int(count)) for msg, count in
                postgres.ask("select msg, count(*) from log_entry where user_name = 'u' group by msg"))


def split(node, name):
    """The rooms whose entry is taken, and those of the server that is away; the entries that were accepted."""
    status = {room: add(node, [entry(room, f"{name} {room}")])[0] for room in ROOMS}
    assert set(status.values()) == {200, 503}, status
    return ([room for room in ROOMS if status[room] == 200], [room for room in ROOMS if status[room] == 503],
            {f"{name} {room}" for room in ROOMS if status[room] == 200})


def keys(server):
    return [key for key in server.keys("muster:{*}:s") if key]


async def test_a_server_that_is_away_takes_its_rooms_along_and_no_other(yard, servers, nodes, store, postgres):
    begin_sink(yard, store, postgres, logs_lanes=LANES).ready()
    ear = await Listener.join(nodes[1])
    stored(nodes[0], [entry(room, f"before {room}") for room in ROOMS])
    accepted = {f"before {room}" for room in ROOMS}
    await until(lambda: set(ear.texts()) == accepted, "all are heard")
    wait_until(lambda: set(rows(postgres)) == accepted, "all are in rows")
    assert all(keys(server) for server in servers), "both have some"
    await asyncio.to_thread(servers[1].kill)
    await until(lambda: all(is_away(node) for node in nodes), "the nodes know")
    here, away, more = split(nodes[0], "during")
    assert here and away
    accepted |= more
    newcomer = await Listener.join(nodes[1])
    stored(nodes[0], [entry(room, f"also {room}") for room in here])
    accepted |= {f"also {room}" for room in here}
    await until(lambda: set(ear.texts()) == accepted, "those are heard")
    await until(lambda: {f"also {room}" for room in here} <= set(newcomer.texts()), "by who came meanwhile, too")
    wait_until(lambda: set(rows(postgres)) == accepted, "and are in rows", 60)
    # Known to be away: nothing of a request for both is stored.
    status, body = add(nodes[0], [entry(here[0], "none"), entry(away[0], "none")])[:2]
    assert status == 503 and "elements" not in body and "nothing was stored" in body, body
    await asyncio.to_thread(servers[1].start)
    await until(lambda: all(is_whole(node) for node in nodes), "it is back")
    stored(nodes[0], [entry(room, f"after {room}") for room in ROOMS])
    accepted |= {f"after {room}" for room in ROOMS}
    await until(lambda: set(ear.texts()) >= accepted, "all are heard again")
    wait_until(lambda: set(rows(postgres)) >= accepted, "all are in rows again", 60)
    assert rows(postgres) == dict.fromkeys(accepted, 1)
    heard = [text for text in ear.texts() if "skipped" not in text]
    assert sorted(heard) == sorted(accepted)
    numbers = [line["seqNumber"] for line in ear.entries() if line.get("user") == "u"]
    assert len(set(numbers)) == len(numbers), "no number is given twice"
    await ear.close()
    await newcomer.close()


async def test_a_master_that_is_away_takes_its_rooms_along_and_no_other(yard, postgres):
    """In a Redis Cluster; it has no replica."""
    cluster = yard.keep(Cluster(yard.folder, replicas=0, options=("--cluster-require-full-coverage", "no"))).start()
    nodes = yard.fleet([cluster.url] * 2, logs_lanes=LANES)
    begin_sink(yard, cluster.url, postgres, logs_lanes=LANES).ready()
    stored(nodes[0], [entry(room, f"before {room}") for room in ROOMS])
    wait_until(lambda: len(rows(postgres)) == len(ROOMS), "all are in rows")
    cluster.masters()[0].kill()
    await until(lambda: all(is_away(node) for node in nodes), "the nodes know")
    here, away, more = split(nodes[0], "during")
    assert len(here) > len(ROOMS) / 3 and away
    wait_until(lambda: set(rows(postgres)) >= more, "those are stored", 60)
    assert set(rows(postgres).values()) == {1}


async def test_a_backlog_of_which_a_part_cannot_be_read_says_so(servers, nodes):
    ear = await Listener.join(nodes[0])
    stored(nodes[0], [entry(room, f"before {room}") for room in ROOMS])
    await until(lambda: len(ear.texts()) == len(ROOMS), "all are heard")
    await asyncio.to_thread(servers[1].kill)
    await until(lambda: is_away(nodes[0]), "the node knows")
    here = split(nodes[0], "during")[0]
    newcomer = await Listener.join(nodes[0], "?backlog=1000")
    await until(lambda: {f"before {room}" for room in here} <= set(newcomer.texts()), "it gets what there is")
    await until(lambda: any("may have been skipped" in line["msg"] for line in newcomer.entries(own=True)), "and hears that there may be more")
    whole = await Listener.join(nodes[0], f"?room={here[0]}&backlog=1")
    await until(lambda: f"during {here[0]}" in whole.texts(), "of a room that is there")
    await ear.close()
    await newcomer.close()
    await whole.close()


def test_what_one_server_refused_is_named_and_sent_again_alone(yard, servers, nodes, store, postgres):
    begin_sink(yard, store, postgres, logs_lanes=LANES).ready()
    entries = [entry(room, f"m {room}") for room in ROOMS]
    servers[1].command("CONFIG", "SET", "maxmemory", "1")
    status, body = add(nodes[0], entries)[:2]
    answer = json.loads(body)
    assert status == 503 and answer["error"] == "the store took not all", body
    assert 0 < answer["stored"] < len(ROOMS) and answer["stored"] + answer["refused"] == len(ROOMS)
    assert len(answer["elements"]) == answer["refused"]
    metrics = nodes[0].metrics()
    assert metrics["muster_logs_added_total"] == answer["stored"] and metrics["muster_logs_refused_total"] == answer["refused"]
    # A client that sends all of it again while it goes on doubles nothing.
    assert add(nodes[0], entries)[0] == 503
    wait_until(lambda: len(rows(postgres)) == answer["stored"], "the others are stored")
    servers[1].command("CONFIG", "SET", "maxmemory", "0")
    missing = [entries[element] for element in answer["elements"]]
    wait_until(lambda: add(nodes[0], missing)[0] == 200, "it takes them")
    wait_until(lambda: len(rows(postgres)) == len(ROOMS), "all are stored")
    assert rows(postgres) == {one["msg"]: 1 for one in entries}


def test_a_list_served_once_is_stored_by_a_single_server_too(yard, postgres):
    """What was written while the list had two is read when it has one."""
    servers = [yard.kept_redis(), yard.kept_redis()]
    old, new = ",".join(server.url for server in servers), servers[0].url
    [node] = yard.fleet([old], logs_lanes=LANES)
    stored(node, [entry(room, f"old {room}") for room in ROOMS])
    node.term()
    both = [yard.begin(store=f"{old};{new}", logs_lanes=LANES) for _ in range(2)]
    for one in both:
        one.ready()
    wait_until(lambda: "the list of servers has changed" in both[0].get("/readyz")[1], "it has moved", 60)
    for one in both:
        one.term()
    [last] = yard.fleet([new], logs_lanes=LANES)
    begin_sink(yard, new, postgres, logs_lanes=LANES).ready()
    stored(last, [entry(room, f"new {room}") for room in ROOMS])
    wait_until(lambda: len(rows(postgres)) >= 2 * len(ROOMS), "all are stored", 60)
    assert rows(postgres) == {f"{age} {room}": 1 for age in ("old", "new") for room in ROOMS}


def test_servers_sinks_and_nodes_that_die_under_load(yard, servers, nodes, store, postgres):
    sinks = [begin_sink(yard, store, postgres, logs_lanes=LANES) for _ in range(2)]
    for sink in sinks:
        sink.ready()
    producers = [Producer(nodes, name) for name in ("p", "q")]
    for producer in producers:
        producer.start()
    for server in servers:
        wait_until(lambda: all(len(one.accepted) > 100 for one in producers), "some are accepted")
        server.kill()
        time.sleep(1)  # the fault itself
        server.start()
        wait_until(lambda: all(is_whole(node) for node in nodes), "it is back")
    sinks[0].kill()
    threading.Thread(target=sinks[0].start).start()
    nodes[1].kill()
    time.sleep(0.5)  # the fault itself
    nodes[1].start()
    nodes[1].ready()
    for producer in producers:
        producer.stop()
    judge(postgres, producers)


class LateAnswers(Proxy):
    """A way to a server whose answers to what is asked with INFO, and all behind them, come when `answer` is called."""

    def __init__(self):
        super().__init__()
        self.late, self.asked, self.hears = True, False, False

    def on_up(self, link, data):
        link.late = getattr(link, "late", False) or b"INFO\r\n$11\r\nreplication" in data
        self.asked = self.asked or link.late
        return data

    def on_down(self, link, data):
        self.hears = self.hears or b"ssubscribe" in data
        if self.late and getattr(link, "late", False):
            link.kept = getattr(link, "kept", b"") + data
            return b""
        return data

    def answer(self):
        async def flush():
            self.late = False
            for link in self._links:
                link.client_writer.write(getattr(link, "kept", b""))
        self._call(flush())


def test_nothing_is_written_to_a_master_before_it_has_said_in_which_history_it_is(yard):
    """It has no roll and no leases, so nobody waits for another answer of it; and its proof comes over the other connection."""
    cluster = yard.keep(Cluster(yard.folder, masters=2, replicas=0)).start()
    first, second = cluster.members
    tables = {slot_of(TAGS[number]) for number in range(0, 256, 16)}
    cluster.migrate(second, first, *sorted(tables & set(second.slots())))
    way = LateAnswers()
    way.lead_to(second.port)
    yard.keep(way).start()
    second.command("CONFIG", "SET", "cluster-announce-port", str(way.port))
    wait_until(lambda: str(way.port) in "".join(first.ask("CLUSTER", "NODES")), "the others know its address")
    node = yard.begin(store=f"redis+cluster://127.0.0.1:{first.port}", logs_lanes=LANES, lease="8s")
    wait_until(lambda: way.asked and way.hears, "the node has asked, and hears")

    def insist(room):
        for _ in range(8):  # to see that they wait, or are refused
            add(node, [entry(room, "early")])
            time.sleep(0.1)
    writers = [threading.Thread(target=insist, args=(room,)) for room in ROOMS[:16]]
    for writer in writers:
        writer.start()
    time.sleep(0.8)  # to see that it waits
    way.answer()
    for writer in writers:
        writer.join()
    node.ready()
    wait_until(lambda: add(node, [entry(room, "late") for room in ROOMS])[0] == 200, "all are taken")
    parts = keys(second)
    assert parts
    for part in parts:
        forks = second.ask("HGET", part, "forks")[0]
        assert re.fullmatch(r"([0-9a-f]{16} \d+;)+", forks), forks
