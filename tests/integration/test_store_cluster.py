# SPDX-License-Identifier: MIT
"""A Redis Cluster as the store: slots that move, masters that die, servers that come and go, and nobody is told anything wrong."""

import asyncio
import re
import shutil

import pytest

from lib.logs import Producer, add, begin_sink, judge
from lib.process import ROOT, certificates, muster
from lib.redis import Cluster, Tap
from lib.store import inboxes
from lib.sync import State, close_all, members, new_session, pairs, push
from lib.waiting import until
from test_store_acl import documented_rules
from test_sync_cluster import all_ready, assert_a_newcomer_is_counted, assert_pushes_arrive, until_pushes_arrive

SESSIONS = 24
PAIR = State(2, True)
WITH_A_NEWCOMER = State(3, True)


@pytest.fixture
def redis_cluster(yard):
    return yard.keep(Cluster(yard.folder)).start()


@pytest.fixture
def nodes(yard, redis_cluster):
    return yard.fleet([redis_cluster.url] * 2)


def clients_of(sessions):
    return [client for pair in sessions.values() for client in pair]


async def all_is_well(nodes, sessions):
    """Pushes come, newcomers are counted, and nobody was told another count than that of its pair meanwhile."""
    await all_ready(nodes)
    for session, (leader, follower) in sessions.items():
        await until_pushes_arrive(leader, [follower], session)
        await assert_pushes_arrive(leader, [follower], session)
        await leader.fence()
        assert set(leader.states() + follower.states()) <= {PAIR, WITH_A_NEWCOMER}, session
    for session in list(sessions)[:4]:
        await assert_a_newcomer_is_counted(nodes[1], sessions[session], session)


class Talk:
    """Each leader pushes numbers; each follower must hear them growing, none twice."""

    def __init__(self, sessions):
        self.sessions, self.task, self.sent = sessions, None, 0

    async def _go(self):
        while True:
            self.sent += 1
            for session, (leader, _) in self.sessions.items():
                await leader.send(push(session, self.sent))
            await asyncio.sleep(0.01)

    async def __aenter__(self):
        self.task = asyncio.ensure_future(self._go())
        return self

    async def __aexit__(self, *_):
        """What is said while a link is away may be missed: so it goes on until most was said in peace."""
        end = 3 * self.sent + 100
        await until(lambda: self.sent >= end or self.task.done(), "it goes on", 180)
        self.task.cancel()
        for session, (_, follower) in self.sessions.items():
            heard = [message["data"] for message in await follower.fence() if message["type"] == "Push"]
            assert heard == sorted(set(heard)), session
            assert len(heard) > self.sent / 2, (session, len(heard), self.sent)


def servers(node):
    return {name.split('"')[1]: value for name, value in node.metrics().items() if name.startswith("muster_store_server_up{")}


async def test_all_masters_hold_some(nodes, redis_cluster):
    sessions = await pairs(nodes, SESSIONS)
    counts = [int(master.command("DBSIZE")[1:].split()[0]) for master in redis_cluster.masters()]
    assert len(counts) == 3 and all(count > 0 for count in counts), counts
    for master in redis_cluster.masters():
        assert master.ask("PUBSUB", "SHARDCHANNELS") and not [line for line in master.ask("PUBSUB", "CHANNELS") if line]
    assert servers(nodes[0]) == {f"127.0.0.1:{master.port}": 1 for master in redis_cluster.masters()}
    await all_is_well(nodes, sessions)
    await close_all(clients_of(sessions))


@pytest.mark.parametrize("family", ["redis", "valkey"])
async def test_slots_that_move_under_load(yard, family):
    if shutil.which(f"{family}-server") is None:
        pytest.skip(f"no {family}-server")
    cluster = yard.keep(Cluster(yard.folder, family=family)).start()
    nodes = yard.fleet([cluster.url] * 2)
    sessions = await pairs(nodes, SESSIONS)
    source, target, _ = cluster.masters()
    async with Talk(sessions):
        await asyncio.to_thread(cluster.reshard, source, target, 500)
        await asyncio.to_thread(cluster.hand_over, source, target, 1 / 2)
    await asyncio.to_thread(cluster.settled)
    await all_is_well(nodes, sessions)
    assert all(node.metrics()["muster_store_moves_total"] > 30 for node in nodes)
    await close_all(clients_of(sessions))


async def test_a_server_more_and_one_less(nodes, redis_cluster):
    sessions = await pairs(nodes, SESSIONS)
    new = await asyncio.to_thread(redis_cluster.add)
    async with Talk(sessions):
        for source in redis_cluster.masters()[:3]:
            await asyncio.to_thread(redis_cluster.hand_over, source, new, 1 / 4)
    await asyncio.to_thread(redis_cluster.settled, 4)
    place = f"127.0.0.1:{new.port}"
    await until(lambda: all(servers(node).get(place) == 1 for node in nodes), "the new server is used")
    await all_is_well(nodes, sessions)
    async with Talk(sessions):
        await asyncio.to_thread(redis_cluster.hand_over, new, redis_cluster.masters()[0])
    await asyncio.to_thread(redis_cluster.settled, 3)
    await until(lambda: all(place not in servers(node) for node in nodes), "it is used no more")
    await until(lambda: not [line for line in new.ask("CLIENT", "LIST") if "name=vm" in line or " sub=1" in line], "its links are gone")
    await all_is_well(nodes, sessions)
    await close_all(clients_of(sessions))


async def test_a_master_that_dies(nodes, redis_cluster):
    sessions = await pairs(nodes, SESSIONS)
    dead = redis_cluster.masters()[1]
    await asyncio.to_thread(dead.kill)
    await until(lambda: all(f"away: 127.0.0.1:{dead.port} (8" in node.get("/readyz")[1] for node in nodes), "/readyz says which is away")
    assert [node.status("/readyz") for node in nodes] == [200] * 2
    await asyncio.to_thread(redis_cluster.settled)
    await all_is_well(nodes, sessions)
    await asyncio.to_thread(dead.start)
    await asyncio.to_thread(redis_cluster.settled)
    await all_is_well(nodes, sessions)
    await close_all(clients_of(sessions))


async def test_what_was_said_before_a_slot_moved_is_late(nodes, redis_cluster):
    """Heard once more from the new server, as what an old link still held, it is passed over; and again after each move. What is
    said in other partitions goes on meanwhile, by numbers of its own."""
    session = new_session()
    leader, follower = clients = await members(nodes, session, leaders=(0,))
    others = await pairs(nodes, SESSIONS)
    inbox = inboxes(f"sync:{session}")
    old, slot = [], int(redis_cluster.members[0].ask("CLUSTER", "KEYSLOT", inbox)[0])
    for number in range(2):
        source = next(master for master in redis_cluster.masters() if slot in master.slots())
        target = next(master for master in redis_cluster.masters() if master is not source)
        tap = Tap(source, [channel for channel in source.ask("PUBSUB", "SHARDCHANNELS") if channel.startswith(inbox)])
        message = push(session, f"said {number}")
        await leader.send(message)
        await follower.next_of(lambda m, message=message: m["raw"] == message)
        old += [one for one in tap.taken() if f"said {number}".encode() in one[1]]
        assert len(old) == number + 1
        tap.close()
        await asyncio.to_thread(redis_cluster.migrate, source, target, slot)
        await asyncio.to_thread(redis_cluster.settled)
        await until_pushes_arrive(leader, [follower], session)
        for channel, payload in old:
            assert target.command("SPUBLISH", channel, payload) == b":1\r\n", "a node hears it"
        await assert_pushes_arrive(leader, [follower], session)
        assert [m.get("data") for m in follower.seen].count(f"said {number}") == 1
    assert [m.get("data") for m in follower.seen if str(m.get("data")).startswith("said")] == ["said 0", "said 1"]
    await all_is_well(nodes, others)
    await close_all(clients + clients_of(others))


def documented_rights():
    """What a user needs at a cluster, as docs/redis.md has it."""
    more = re.search(r"\*\*Rights\*\*, besides those below, at every server: `([^`]+)`", (ROOT / "docs/redis.md").read_text())[1]
    return [*documented_rules(), *more.split()]


async def test_a_user_of_a_cluster_over_tls(yard):
    """Nothing is denied, whatever the servers do; and nobody is believed whose certificate is not."""
    certs = certificates(yard.folder)
    cluster = yard.keep(Cluster(yard.folder, lines=["user " + " ".join(documented_rights())], certificates=certs)).start()
    url = cluster.url_of("muster:right@")
    assert muster("check", "--store", url, "--store-ca", str(certs / "other-ca.pem")).returncode != 0
    nodes = yard.fleet([url] * 2, store_ca=certs / "ca.pem")
    sessions = await pairs(nodes, SESSIONS)
    source, target, dead = cluster.masters()
    async with Talk(sessions):
        await asyncio.to_thread(cluster.reshard, source, target, 1000)
    assert add(nodes[0], [{"msg": "x", "room": "r"}])[0] == 200
    await asyncio.to_thread(dead.kill)
    await asyncio.to_thread(cluster.settled)
    await all_is_well(nodes, sessions)
    for server in cluster.alive():
        assert server.command("ACL", "LOG") == b"*0\r\n", server.command("ACL", "LOG")
    await close_all(clients_of(sessions))


async def test_a_planned_fail_over(nodes, redis_cluster):
    sessions = await pairs(nodes, SESSIONS)
    async with Talk(sessions):
        for replica in [member for member in redis_cluster.alive() if not member.is_master()]:
            assert replica.ask("CLUSTER", "FAILOVER") == ["OK"]
            await until(replica.is_master, "it is promoted")
            await asyncio.to_thread(redis_cluster.settled)
    await all_is_well(nodes, sessions)
    await close_all(clients_of(sessions))


async def test_servers_without_channels_of_slots(yard):
    cluster = yard.keep(Cluster(yard.folder, slots=False)).start()
    nodes = yard.fleet([cluster.url] * 2)
    sessions = await pairs(nodes, SESSIONS)
    source, target, _ = cluster.masters()
    assert any("every server hears every message" in line for line in nodes[0].log_tail().split("\n"))
    async with Talk(sessions):
        await asyncio.to_thread(cluster.reshard, source, target, 1000)
    await asyncio.to_thread(cluster.settled)
    await all_is_well(nodes, sessions)
    await close_all(clients_of(sessions))


def test_log_entries_are_stored_once_while_the_stream_moves(yard, redis_cluster, nodes, postgres):
    begin_sink(yard, redis_cluster.url, postgres)
    producers = [Producer(nodes, name=f"p{i}") for i in range(2)]
    for producer in producers:
        producer.start()
    slot = redis_cluster.masters()[0].ask("CLUSTER", "KEYSLOT", "{%s}" % stream_tag(redis_cluster))[0]
    for _ in range(3):
        source = next(master for master in redis_cluster.masters() if int(slot) in master.slots())
        target = next(master for master in redis_cluster.masters() if master is not source)
        redis_cluster.migrate(source, target, slot)
        redis_cluster.settled()
    for producer in producers:
        producer.stop()
    judge(postgres, producers)


def stream_tag(cluster):
    """The tag of the partition that has the log stream."""
    for master in cluster.masters():
        for key in master.ask("KEYS", "muster:{*}:s"):
            if key:
                return key.split("{")[1].split("}")[0]
    raise AssertionError("no log stream")


def test_the_map_is_told(redis_cluster):
    done = muster("check", "--store", redis_cluster.url)
    assert done.returncode == 0, done
    for master in redis_cluster.masters():
        assert f"ok    cluster: 127.0.0.1:{master.port}: {len(master.slots())} slots, 1 replica\n" in done.stdout, done.stdout
