# SPDX-License-Identifier: MIT
"""A list of servers that changes, `store=old;new`: sessions that begin at any step work, and what was accepted before is there once
afterwards. Plainly, over TLS, by sentinels on both sides, as a user with the documented rights and no more.

The servers are called "one" and "two": partition 0 goes from the first to the second then, so an inbox of the one has the name
that the other's is to have."""

import asyncio
import re

import pytest

from lib.logs import Listener, stored
from lib.process import ROOT, certificates
from lib.redis import Sentinel
from lib.sync import close_all, pairs
from lib.waiting import until, wait_until
from test_store_acl import assert_nothing_was_denied, documented_rules, tell
from test_sync_cluster import all_ready, assert_a_newcomer_is_counted, until_pushes_arrive

ROOMS = [f"room-{i}" for i in range(40)]
SESSIONS = 6


def say(node, name):
    texts = [f"{name} {room}" for room in ROOMS]
    stored(node, [{"msg": text, "room": room, "user": "u"} for text, room in zip(texts, ROOMS)])
    return texts


async def started_again(*nodes, **settings):
    for node in nodes:
        node.settings.update(settings)
        await asyncio.to_thread(node.term)
        await asyncio.to_thread(node.start)
        await asyncio.to_thread(node.ready)


async def has_heard_once(node, texts):
    """All that is in the stream, by its backlog: from whichever server."""
    ear = await Listener.join(node, f"?backlog={len(texts) + 100}")
    await until(lambda: set(texts) <= set(ear.texts()), "all are there")
    assert sorted(text for text in ear.texts() if text in texts) == sorted(texts)
    await ear.close()


async def play(nodes):
    sessions = await pairs(nodes, SESSIONS)
    for session, (leader, follower) in sessions.items():
        await until_pushes_arrive(leader, [follower], session)
    session, pair = next(iter(sessions.items()))
    await assert_a_newcomer_is_counted(nodes[1], pair, session)
    await close_all(client for pair in sessions.values() for client in pair)


async def change(yard, old, new, in_the_middle=None, then=None, **settings):
    nodes = yard.fleet([old] * 2, logs_lanes=16, **settings)
    texts = say(nodes[0], "before")
    for node in nodes:
        await started_again(node, store=f"{old};{new}", **(then or {}))
        await play(nodes)
    if in_the_middle is not None:
        await asyncio.to_thread(in_the_middle)
    await until(lambda: all("the list of servers has changed" in node.get("/readyz")[1] for node in nodes), "all has moved", 60)
    texts += say(nodes[1], "between")
    await play(nodes)
    await started_again(*nodes, store=new)
    texts += say(nodes[0], "after")
    await all_ready(nodes)
    await play(nodes)
    await has_heard_once(nodes[1], texts)


def lists_of(servers):
    """The first of them, both, the other one."""
    one, two = (f"{server.url}#{name}" for server, name in zip(servers, ("one", "two")))
    return one, f"{one},{two}", two


def keys_of(server):
    return len([key for key in server.keys("muster:{*}:s:*") if key])


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


async def test_one_becomes_two(yard):
    servers = [yard.redis(), yard.redis()]
    one, both, _ = lists_of(servers)
    await change(yard, one, both)
    assert all(keys_of(server) > 0 for server in servers)


async def test_two_become_one(yard):
    servers = [yard.redis(), yard.redis()]
    one, both, _ = lists_of(servers)
    await change(yard, both, one)
    assert keys_of(servers[1]) == 0


async def test_one_becomes_another(yard):
    servers = [yard.redis(), yard.redis()]
    one, _, two = lists_of(servers)
    await change(yard, one, two)
    assert keys_of(servers[0]) == 0


async def test_over_tls(yard, certs):
    servers = [yard.tls_redis(certs) for _ in range(2)]
    one, both, _ = lists_of(servers)
    await change(yard, one, both, store_ca=certs / "ca.pem")
    assert all(keys_of(server) > 0 for server in servers)


async def test_from_a_plain_server_to_one_with_tls(yard, certs):
    plain, secret = yard.redis(), yard.tls_redis(certs)
    await change(yard, f"{plain.url}#one", f"{secret.url}#two", then={"store_ca": certs / "ca.pem"})
    assert keys_of(plain) == 0 and keys_of(secret) > 0


class Group:
    def __init__(self, yard, name):
        self.master = yard.redis()
        self.replica = yard.redis("--replicaof", f"127.0.0.1 {self.master.port}")
        self.sentinel = yard.sentinel(self.master, quorum=1)
        self.url = f"{Sentinel.url_of([self.sentinel])}#{name}"
        wait_until(lambda: b"master_link_status:up" in self.replica.command("INFO", "replication"), "it replicates")
        wait_until(lambda: self.sentinel.command("SENTINEL", "REPLICAS", Sentinel.NAME).startswith(b"*1"), "the sentinel knows it")

    def hand_over(self):
        wait_until(lambda: self.sentinel.command("SENTINEL", "FAILOVER", Sentinel.NAME).startswith(b"+OK"), "it begins", 30)
        wait_until(self.replica.is_master, "the replica is promoted", 60)
        wait_until(self.has_followed, "the old master follows it", 60)

    def has_followed(self):
        """It cuts all links when it is made a replica."""
        try:
            return b"master_link_status:up" in self.master.command("INFO", "replication")
        except OSError:
            return False


async def test_with_sentinels_on_both_sides(yard):
    """While partitions move the new server hands over to its replica; without replicas to wait for that may lose something."""
    one, two = Group(yard, "one"), Group(yard, "two")
    await change(yard, one.url, f"{one.url},{two.url}", in_the_middle=two.hand_over, store_replicas=1)
    assert keys_of(one.master) > 0 and keys_of(two.replica) > 0


def rules_for_a_change():
    [more] = re.findall(r"`(\+[^`]+)` for a \[list that changes\]", (ROOT / "docs/redis.md").read_text())
    return documented_rules() + more.split()


async def test_as_a_user_with_the_documented_rights(yard):
    servers = [yard.redis(), yard.redis()]
    for server in servers:
        tell(server, "ACL", "SETUSER", *rules_for_a_change())
    one, two = [f"redis://muster:right@127.0.0.1:{server.port}#{name}" for server, name in zip(servers, ("one", "two"))]
    await change(yard, one, f"{one},{two}")
    for server in servers:
        assert keys_of(server) > 0
        assert_nothing_was_denied(server)
