# SPDX-License-Identifier: MIT
"""Session sync on several nodes, and what is promised when things break."""

import asyncio
import json
import time

import pytest

from lib.node import LEASE
from lib.sync import State, SyncClient, close_all, is_warning, members, new_session, push, set_session, states_of
from lib.waiting import until, within

LEASE_SECONDS = float(LEASE.rstrip("s"))
SLACK = 1.0  # for the loop of a busy test machine
RIGHT = State(3, True)


async def all_ready(nodes):
    await until(lambda: all(node.is_ready() for node in nodes), "all nodes are ready")


async def until_all(clients, players, leader, deadline=None):
    """Each client is told this state, from now on; what came before does not count."""
    options = {} if deadline is None else {"deadline": deadline}
    return await asyncio.gather(*(client.until_state(players, leader, **options) for client in clients))


async def assert_pushes_arrive(leader, followers, session):
    """A push of the leader reaches each follower once; states may come in between."""
    message = push(session, time.monotonic())
    await leader.send(message)
    for follower in followers:
        await follower.next_of(lambda m: m["raw"] == message)
        assert not [m for m in await follower.fence() if m["raw"] == message], "delivered twice"


async def until_pushes_arrive(leader, followers, session):
    """The bus is whole again: what the leader sends comes to each follower."""
    async def arrived(follower, wanted):
        return wanted in [m["raw"] for m in await follower.fence()]

    async def try_until():
        waiting = set(followers)
        while waiting:
            message = push(session, time.monotonic())
            await leader.send(message)
            for _ in range(5):
                for follower in list(waiting):
                    if await arrived(follower, message):
                        waiting.discard(follower)
    await within(try_until(), "pushes arrive again")


async def assert_a_newcomer_is_counted(node, clients, session):
    """One more member: everybody is told one more, so all agree on the rest."""
    newcomer = await SyncClient.member(node, session)
    await until_all(clients, len(clients) + 1, True)
    await newcomer.in_state(len(clients) + 1, True)
    await newcomer.close()
    await until_all(clients, len(clients), True)


async def states_meanwhile(clients):
    """The states that came and were not read yet."""
    return [state for client in clients for state in states_of(await client.fence())]


# --- all is well

async def a_leader_comes_and_goes(node, session, watchers):
    """Whatever this node had to say of the session before, all watchers have been told after this."""
    leader = await SyncClient.member(node, session, leader=True)
    for watcher in watchers:
        await watcher.next_of(lambda m: m["leaderConnected"])
    await leader.close()
    for watcher in watchers:
        await watcher.next_of(lambda m: not m["leaderConnected"])


async def test_members_on_three_nodes_see_the_same_counts_in_the_same_order(cluster):
    session = new_session()
    watchers = await members(cluster, session)

    async def come_and_go(number):
        member = await SyncClient.member(cluster[number % 3], session)
        if number % 2:
            await member.close()
        else:
            member.vanish()
    await asyncio.gather(*(come_and_go(number) for number in range(30)))
    await until(lambda: all(node.metrics()["muster_sync_members"] == 1 for node in cluster), "all have gone")
    for node in cluster:
        await a_leader_comes_and_goes(node, session, watchers)
    first, second, third = (watcher.states() for watcher in watchers)
    assert first == second == third
    assert first[-1] == State(3, False) and len(first) > 7
    assert all(state.players >= 3 for state in first)
    await close_all(watchers)


async def test_each_join_and_leave_is_told_everywhere(cluster):
    session = new_session()
    first = await SyncClient.member(cluster[0], session)
    second = await SyncClient.member(cluster[1], session, leader=True)
    await first.until_state(2, True)
    third = await SyncClient.member(cluster[2], session)
    await until_all([first, second], 3, True)
    await second.send(set_session(session, leader=False))
    await first.until_state(3, False)
    await second.send({"type": "LeaveSession"})
    await first.until_state(2, False)
    await third.close()
    await first.until_state(1, False)
    assert first.states() == [State(1, False), State(2, True), State(3, True), State(3, False), State(2, False),
                              State(1, False)]
    await first.close()


async def test_push_is_byte_identical_and_goes_to_exactly_the_right_members(cluster):
    session = new_session()
    leaders = [await SyncClient.member(node, session, leader=True) for node in cluster]
    followers = [await SyncClient.member(node, session, compression=compression)
                 for node in cluster for compression in (None, "deflate")]
    others = await members(cluster, new_session())
    for client in (*leaders, *followers):
        await client.in_state(9, True)
    for number, leader in enumerate(leaders):
        text = f' {{"data": [{number}, 1.0, -0, 1e5, "\\u0041é"], "sessionId" : "{session}","type":"PUSH"}}\n'
        await leader.send(text)
        for follower in followers:
            assert await follower.receive() == text
    for client in (*leaders, *others):
        assert await client.fence() == []
    await close_all([*leaders, *followers, *others])


async def test_pushes_keep_their_order_across_nodes(cluster):
    session = new_session()
    leader, *followers = await members(cluster, session, leaders=(0,))
    for number in range(300):
        await leader.send(push(session, number))
    for follower in followers:
        assert [json.loads(await follower.receive())["data"] for _ in range(300)] == list(range(300))
    await close_all([leader, *followers])


async def test_an_outsider_on_another_node_cannot_push(cluster):
    session = new_session()
    leader, follower, _ = clients = await members(cluster, session, leaders=(0,))
    outsider = await SyncClient.member(cluster[2], new_session(), leader=True)
    await outsider.send(push(session, "injected"))
    await outsider.next_warning()
    await assert_pushes_arrive(leader, [follower], session)
    assert not [m for m in follower.seen if "injected" in m["raw"]]
    await close_all([*clients, outsider])


async def test_fleets_with_another_prefix_are_apart(yard, redis):
    ours, theirs = yard.begin(store=redis.url), yard.begin(store=redis.url, store_prefix="other")
    ours.ready(), theirs.ready()
    session = new_session()
    leader, follower = await members([ours] * 2, session, leaders=(0,))
    stranger = await SyncClient.member(theirs, session)
    await assert_pushes_arrive(leader, [follower], session)
    assert await stranger.fence() == [] and stranger.states() == [State(1, False)]
    await close_all([leader, follower, stranger])


async def test_sessions_spread_over_two_redis_servers(yard):
    stores = f"{yard.redis().url},{yard.redis().url}"
    nodes = yard.fleet([stores] * 2)
    for _ in range(8):
        session = new_session()
        leader, follower = await members(nodes, session, leaders=(0,))
        await assert_pushes_arrive(leader, [follower], session)
        await close_all([leader, follower])


# --- a node ends

async def test_sigkill_of_a_node_gives_right_counts_within_a_lease(cluster):
    session = new_session()
    stays = await members(cluster[:2], session)
    lost = [await SyncClient.member(cluster[2], session, leader=True) for _ in range(2)]
    await until_all(stays, 4, True)
    start = time.monotonic()
    cluster[2].kill()
    await until_all(stays, 2, False, deadline=LEASE_SECONDS + SLACK)
    assert time.monotonic() - start < LEASE_SECONDS + SLACK
    for client in stays:
        assert client.states()[-2:] == [State(4, True), State(2, False)]
    for client in lost:
        assert await client.closed() == 1006
    await close_all(stays)


async def test_sigterm_of_a_node_gives_right_counts_at_once(yard, redis):
    nodes = yard.fleet([redis.url] * 3, lease="60s")
    session = new_session()
    stays = await members(nodes[:2], session)
    leaves = await SyncClient.member(nodes[2], session, leader=True)
    await until_all(stays, 3, True)
    nodes[2].term()
    assert await leaves.closed() == 1001
    await until_all(stays, 2, False)
    await until(lambda: nodes[2].exit_code() == 0, "the node ends")
    await close_all(stays)


async def test_a_node_that_stands_still_is_missed_and_comes_back(cluster):
    session = new_session()
    first, second, frozen = clients = await members(cluster, session, leaders=(0,))
    cluster[2].pause()
    await until_all([first, second], 2, True, deadline=LEASE_SECONDS + SLACK)
    cluster[2].cont()
    await until_all([first, second], 3, True)
    await all_ready(cluster)
    await until_pushes_arrive(first, [second, frozen], session)
    await assert_a_newcomer_is_counted(cluster[1], clients, session)
    await close_all(clients)


async def test_a_killed_node_that_starts_again_is_one_of_them(cluster):
    session = new_session()
    leader, follower, _ = await members(cluster, session, leaders=(0,))
    cluster[2].kill()
    cluster[2].expected_exit = 0
    await asyncio.to_thread(cluster[2].start().ready)
    await until_all([leader, follower], 2, True)
    back = await SyncClient.member(cluster[2], session)
    await until_all([leader, follower], 3, True)
    await assert_pushes_arrive(leader, [follower, back], session)
    await close_all([leader, follower, back])


# --- Redis fails

async def test_redis_restarted_empty_heals_without_wrong_counts(cluster, redis):
    session = new_session()
    leader, *followers = clients = await members(cluster, session, leaders=(0,))
    await asyncio.to_thread(redis.restart_empty)
    await until_pushes_arrive(leader, followers, session)
    await all_ready(cluster)
    await assert_a_newcomer_is_counted(cluster[1], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)


async def test_redis_flushed_heals_without_wrong_counts(cluster, redis):
    session = new_session()
    leader, *followers = clients = await members(cluster, session, leaders=(0,))
    renewals = [node.metrics()["muster_roster_renewals_total"] for node in cluster]
    redis.command("FLUSHALL")
    await until(lambda: all(node.metrics()["muster_roster_renewals_total"] >= before + 3
                            for node, before in zip(cluster, renewals)), "each node renews a few times")
    await assert_pushes_arrive(leader, followers, session)
    await assert_a_newcomer_is_counted(cluster[2], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)


async def test_redis_gone_for_a_while(cluster, redis):
    session = new_session()
    leader, *followers = clients = await members(cluster, session, leaders=(0,))
    redis.kill()
    await until(lambda: [node.status("/readyz") for node in cluster] == [503] * 3, "/readyz says 503")
    assert [node.status("/healthz") for node in cluster] == [200] * 3
    assert cluster[0].metrics()["muster_store_up"] == 0
    await leader.send(push(session, "nobody elsewhere"))
    assert (await leader.next_warning())["level"] in ("warn", "error")
    newcomer = await SyncClient.connect(cluster[1])
    await newcomer.send(set_session(session))
    assert is_warning(await newcomer.next())
    assert set(await states_meanwhile(clients)) <= {RIGHT}
    await asyncio.to_thread(redis.start)
    await all_ready(cluster)
    await until_all(clients, 4, True)
    await newcomer.close()
    await until_all(clients, 3, True)
    await assert_pushes_arrive(leader, followers, session)
    assert not [m for follower in followers for m in follower.seen if m.get("data") == "nobody elsewhere"]
    await close_all(clients)


async def test_redis_that_stands_still(cluster, redis):
    session = new_session()
    leader, *followers = clients = await members(cluster, session, leaders=(0,))
    redis.pause()
    await until(lambda: [node.status("/readyz") for node in cluster] == [503] * 3, "/readyz says 503")
    assert await leader.fence() == []
    redis.cont()
    await all_ready(cluster)
    await until_pushes_arrive(leader, followers, session)
    await assert_a_newcomer_is_counted(cluster[1], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)


async def test_a_node_starts_without_redis_and_is_ready_when_it_comes(yard, redis):
    redis.kill()
    node = yard.begin(store=redis.url, lease=LEASE)
    await until(lambda: node.status("/readyz") == 503, "it serves, but is not ready")
    assert node.status("/healthz") == 200
    client = await SyncClient.connect(node)
    await client.send("ping")
    assert await client.receive() == "pong"
    await client.send(set_session(new_session()))
    await asyncio.to_thread(redis.start)
    assert await client.next_state() == State(1, False)
    await all_ready([node])
    await client.close()


# --- the network between a node and Redis fails

@pytest.fixture
def proxy(yard, redis):
    return yard.proxy(redis)


@pytest.fixture
def far_cluster(yard, redis, proxy):
    """Three nodes; the last one reaches Redis through the proxy."""
    return yard.fleet([redis.url, redis.url, proxy.url])


async def far_node_heals(nodes, fault, heal):
    """The far node misses `fault` without its clients noticing, and is one of them again after `heal`."""
    session = new_session()
    leader, near, far = clients = await members(nodes, session, leaders=(0,))
    fault()
    await until_all([leader, near], 2, True)
    await until(lambda: nodes[2].status("/readyz") == 503, "the far node is not ready")
    await far.fence()
    heal()
    await until_all([leader, near], 3, True)
    await all_ready(nodes)
    await until_pushes_arrive(leader, [near, far], session)
    await assert_a_newcomer_is_counted(nodes[2], clients, session)
    await close_all(clients)


async def test_a_link_that_is_cut(far_cluster, proxy):
    await far_node_heals(far_cluster, proxy.cut, proxy.mend)


async def test_a_link_that_is_silent(far_cluster, proxy):
    await far_node_heals(far_cluster, proxy.freeze, proxy.thaw)


async def test_a_link_lost_for_a_moment_costs_nothing(far_cluster, proxy):
    session = new_session()
    leader, near, far = clients = await members(far_cluster, session, leaders=(0,))
    for _ in range(3):
        proxy.drop_links()
        await until_pushes_arrive(leader, [near, far], session)
    await assert_a_newcomer_is_counted(far_cluster[2], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)


async def test_a_slow_link_is_only_slow(far_cluster, proxy):
    proxy.delay = 0.1
    session = new_session()
    leader, near, far = clients = await members(far_cluster, session, leaders=(0,))
    await assert_pushes_arrive(leader, [near, far], session)
    assert all(node.is_ready() for node in far_cluster)
    await close_all(clients)


@pytest.mark.parametrize("fail_over", ["switch", "move"])
async def test_fail_over_to_another_redis_behind_healthy_connections(yard, redis, fail_over):
    """switch: TCP stays up all over; move: only that of the subscribers stays, to the old server."""
    proxy = yard.proxy(redis)
    nodes = yard.fleet([proxy.url] * 3)
    other = yard.redis()
    session = new_session()
    leader, *followers = clients = await members(nodes, session, leaders=(0,))
    await asyncio.to_thread(getattr(proxy, fail_over), other.port)
    await until_pushes_arrive(leader, followers, session)
    await all_ready(nodes)
    await assert_a_newcomer_is_counted(nodes[1], clients, session)
    for client in clients:
        assert set(client.states()) == {RIGHT, State(4, True)}
    await close_all(clients)
