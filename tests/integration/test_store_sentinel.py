# SPDX-License-Identifier: MIT
"""Redis behind real sentinels: the master is killed, and nobody who plays notices."""

import asyncio

import pytest

from lib.node import LEASE
from lib.ports import free_port
from lib.process import muster
from lib.redis import Sentinel
from lib.sync import State, close_all, members, new_session
from lib.waiting import until, wait_until
from test_settings import assert_not_well
from test_sync_cluster import RIGHT, all_ready, assert_a_newcomer_is_counted, assert_pushes_arrive, until_pushes_arrive


class Group:
    """A master, its replica, and three sentinels that would agree on a fail-over."""

    def __init__(self, yard, options=()):
        self.master = yard.redis(*options)
        self.replica = yard.redis("--replicaof", f"127.0.0.1 {self.master.port}", *options)
        self.sentinels = [yard.sentinel(self.master, quorum=2) for _ in range(3)]
        wait_until(lambda: all(sentinel.sees_all() for sentinel in self.sentinels), "the sentinels know all")
        wait_until(lambda: b"master_link_status:up" in self.replica.command("INFO", "replication"), "it replicates")

    @property
    def url(self):
        return Sentinel.url_of(self.sentinels)


@pytest.fixture
def group(yard):
    return Group(yard)


async def play_through(nodes, group, fault):
    """`fault` makes the replica the master; the clients of three nodes see no wrong count."""
    session = new_session()
    leader, *followers = clients = await members(nodes, session, leaders=(0,))
    await assert_pushes_arrive(leader, followers, session)
    await asyncio.to_thread(fault)
    await asyncio.to_thread(wait_until, group.replica.is_master, "the sentinels promote the replica", 60)
    await until_pushes_arrive(leader, followers, session)
    await all_ready(nodes)
    await assert_a_newcomer_is_counted(nodes[1], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    arrived = f"127.0.0.1 port {group.replica.port}: connected"
    await until(lambda: all(arrived in node.log() for node in nodes), "all nodes are at the new master")
    await until_pushes_arrive(leader, followers, session)
    await assert_a_newcomer_is_counted(nodes[2], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)


async def test_a_killed_master(yard, group):
    await play_through(yard.fleet([group.url] * 3), group, group.master.kill)


async def test_a_master_that_stands_still_and_comes_back_as_a_replica(yard, group):
    nodes = yard.fleet([group.url] * 3)
    await play_through(nodes, group, group.master.pause)
    group.master.cont()
    wait_until(lambda: group.master.command("ROLE").startswith(b"*5\r\n$5\r\nslave"), "it is made a replica", 60)
    assert all(node.is_ready() for node in nodes)


async def test_a_fail_over_by_hand_while_the_old_master_lives(yard, group):
    """The old master answers everything, even PUBLISH; its ROLE says that it is one no more."""
    def hand_over():
        answer = group.sentinels[0].command("SENTINEL", "FAILOVER", Sentinel.NAME)
        assert answer.startswith(b"+OK"), answer
    nodes = yard.fleet([group.url] * 3)
    await play_through(nodes, group, hand_over)
    # They need not wait for the old master to be demoted, ten seconds later: sentinels are asked on each beat.
    assert any("the sentinels name another master" in node.log() for node in nodes)


async def test_a_master_and_a_sentinel_killed_together(yard, group):
    nodes = yard.fleet([group.url] * 3)

    def fault():
        group.sentinels[0].kill()
        group.master.kill()
    await play_through(nodes, group, fault)


async def test_a_node_killed_during_the_fail_over(yard, group):
    nodes = yard.fleet([group.url] * 3)
    session = new_session()
    leader, follower, _ = await members(nodes, session, leaders=(0,))
    await asyncio.to_thread(group.master.kill)
    nodes[2].kill()
    await asyncio.to_thread(wait_until, group.replica.is_master, "the sentinels promote the replica", 60)
    for client in (leader, follower):
        await client.until_state(2, True)
    await until_pushes_arrive(leader, [follower], session)
    for client in (leader, follower):
        assert set(client.states()) == {RIGHT, State(2, True)}
    await close_all([leader, follower])


def test_sentinels_that_are_of_no_use_are_passed_over(yard, redis):
    """One gone, one that stands still, one that knows another name, then a good one."""
    silent, strange, good = (yard.sentinel(redis, quorum=1) for _ in range(3))
    strange.command("SENTINEL", "REMOVE", Sentinel.NAME)
    silent.pause()
    url = (f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{silent.port},127.0.0.1:{strange.port},"
           f"127.0.0.1:{good.port}/{Sentinel.NAME}")
    yard.node(store=url, lease=LEASE)
    result = muster("check", "--store", url)
    assert result.returncode == 0, result.stdout


def test_what_no_sentinel_knows_is_said(yard, redis):
    sentinel, gone = yard.sentinel(redis, quorum=1), free_port()
    result = muster("check", "--store", f"redis+sentinel://127.0.0.1:{gone},127.0.0.1:{sentinel.port}/nobody")
    assert_not_well(result, f"sentinel 127.0.0.1 port {gone}: Connection refused",
                    f"sentinel 127.0.0.1 port {sentinel.port}: it knows no master of that name")


def test_passwords_of_servers_and_of_sentinels(yard):
    redis = yard.redis("--requirepass", "of-server")
    sentinel = yard.sentinel(redis, 1, f"sentinel auth-pass {Sentinel.NAME} of-server", "requirepass of-sentinel")
    place = f"127.0.0.1:{sentinel.port}/{Sentinel.NAME}"

    def check(url):
        return muster("check", "--store", url)
    assert check(f"redis+sentinel://:of-server@{place}?sentinel-pass=of-sentinel&db=2").returncode == 0
    assert_not_well(check(f"redis+sentinel://:of-server@{place}"), "NOAUTH")
    assert_not_well(check(f"redis+sentinel://:of-server@{place}?sentinel-pass=wrong"), "WRONGPASS")
    assert_not_well(check(f"redis+sentinel://:wrong@{place}?sentinel-pass=of-sentinel"), "WRONGPASS")


def test_a_master_that_may_lose_what_no_replica_has(group):
    """It takes writes when no replica follows it: the operator hears so."""
    warning = "min-replicas-to-write is not set there"
    first = muster("check", "--store", group.url)
    assert first.returncode == 0 and warning in first.stdout, first.stdout
    group.master.command("CONFIG", "SET", "min-replicas-to-write", "1")
    second = muster("check", "--store", group.url)
    assert second.returncode == 0 and warning not in second.stdout, second.stdout


async def test_two_masters_as_shards(yard):
    groups = [yard.redis(), yard.redis()]
    urls = [f"redis+sentinel://127.0.0.1:{yard.sentinel(redis, quorum=1).port}/{Sentinel.NAME}#{at}" for at, redis in enumerate(groups)]
    nodes = yard.fleet([",".join(urls)] * 2)
    for _ in range(4):
        session = new_session()
        leader, follower = await members(nodes, session, leaders=(0,))
        await assert_pushes_arrive(leader, [follower], session)
        await close_all([leader, follower])
