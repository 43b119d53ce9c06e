# SPDX-License-Identifier: MIT
"""--workers N: several nodes behind one port, and a parent that only watches."""

import asyncio
import os
import signal
import time

import pytest

from lib.frames import RawWebSocket
from lib.node import LEASE
from lib.ports import free_port, free_ports
from lib.process import muster
from lib.sync import SyncClient, close_all, new_session
from lib.waiting import until, wait_until
from test_settings import assert_names
from test_sync_cluster import LEASE_SECONDS, SLACK, assert_pushes_arrive

SOME = 40


def spread(workers):
    """Open WebSockets of each worker."""
    return [workers.worker_metrics(i)["muster_websockets"] for i in range(workers.count)]


async def a_member_on_each(workers, session, leader=True):
    """Connects until each worker has one member; the kernel chooses. Worker number to client."""
    found, others = {}, []
    while len(found) < workers.count:
        before = spread(workers)
        client = await SyncClient.connect(workers)
        await client.send("ping")
        assert await client.receive() == "pong"
        number = next(i for i, (a, b) in enumerate(zip(before, spread(workers))) if b > a)
        (others.append(client) if number in found else found.__setitem__(number, client))
        assert len(others) < 100
    await close_all(others)
    for number, client in sorted(found.items()):
        await client.send({"type": "SetSession", "sessionId": session, "isLeader": leader and number == 0})
        await client.next_state()
    return [found[number] for number in sorted(found)]


async def test_they_share_a_port_and_see_each_other(yard, redis):
    workers = yard.workers(3, store=redis.url, lease=LEASE).ready()
    session = new_session()
    leader, *followers = clients = await a_member_on_each(workers, session)
    for client in clients:
        await client.in_state(3, True)
    await assert_pushes_arrive(leader, followers, session)
    crowd = [await SyncClient.connect(workers) for _ in range(SOME)]
    counts = spread(workers)
    assert sum(counts) == SOME + 3 and min(counts) > 1, counts
    await close_all([*clients, *crowd])
    names = {workers.worker_get(i, "/").split("node")[1].split()[0] for i in range(3)}
    assert len(names) == 3 and all(f"-w{i}-" in " ".join(names) for i in range(3))
    assert all(f"worker={i}" in workers.log() for i in range(3))


async def test_a_killed_worker_is_missed_and_started_again(yard, redis):
    workers = yard.workers(2, store=redis.url, lease=LEASE).ready()
    session = new_session()
    stays, lost = await a_member_on_each(workers, session, leader=False)
    await stays.in_state(2, False)
    before = workers.worker_pids()
    os.kill(before[1], signal.SIGKILL)
    start = time.monotonic()
    assert await lost.closed() == 1006
    await stays.until_state(1, False, deadline=LEASE_SECONDS + SLACK)
    assert time.monotonic() - start < LEASE_SECONDS + SLACK
    await until(workers.is_ready, "both are ready again")
    after = workers.worker_pids()
    assert after[0] == before[0] and after[1] != before[1]
    assert "worker ended worker=1 exit=-1 signal=9" in workers.log()
    await close_all([stays])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_all_of_them(yard, redis, number):
    workers = yard.workers(2, store=redis.url, drain="2s").ready()
    clients = [await SyncClient.member(workers, new_session()) for _ in range(SOME)]
    workers.term(number)
    assert await asyncio.gather(*(client.closed() for client in clients)) == [1001] * SOME
    await until(lambda: workers.exit_code() == 0, "it ends")


async def test_a_signal_to_the_whole_group_is_one_request(yard, redis):
    """As Ctrl-C and service managers do: each process gets it, and the parent passes it on besides."""
    workers = yard.workers(2, store=redis.url, drain="2s").ready()
    clients = [await SyncClient.member(workers, new_session()) for _ in range(SOME)]
    for pid in workers.worker_pids().values():
        os.kill(pid, signal.SIGTERM)
    workers.term()
    assert await asyncio.gather(*(client.closed() for client in clients)) == [1001] * SOME
    await until(lambda: workers.exit_code() == 0, "it ends")


def test_a_second_signal_ends_them_at_once(yard, redis):
    workers = yard.workers(2, store=redis.url, drain="1h").ready()
    workers.expected_exit = None
    clients = [RawWebSocket(workers) for _ in range(SOME)]
    workers.term()
    wait_until(lambda: workers.log().count("draining") == 2, "both drain")
    end = time.monotonic() + 20
    while workers.exit_code() is None and time.monotonic() < end:
        time.sleep(0.3)  # signals of one moment are one request
        workers.signal(signal.SIGTERM)
    assert workers.exit_code() is not None and workers.exit_code() >= 0
    for client in clients:
        client.close()


async def test_workers_end_in_order_when_their_parent_is_killed(yard, redis):
    workers = yard.workers(2, store=redis.url, drain="1s").ready()
    client = await SyncClient.member(workers, new_session())
    workers.kill()
    assert await client.closed() == 1001
    for pid in workers.worker_pids().values():
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker has ended")


def stop_worker(workers, number):
    pid = workers.worker_pids()[number]
    os.kill(pid, signal.SIGSTOP)
    return pid


def is_gone(pid):
    return not os.path.exists(f"/proc/{pid}")


def test_a_worker_that_stands_still_is_killed_and_started_again(yard, redis):
    workers = yard.workers(2, store=redis.url, lease=LEASE, worker_silence="3s").ready()
    before = workers.worker_pids()
    stopped, start = stop_worker(workers, 1), time.monotonic()
    wait_until(lambda: is_gone(stopped), "it is killed")
    assert 2 < time.monotonic() - start < 6
    workers.ready()
    assert workers.worker_pids()[0] == before[0]
    assert f"worker killed worker=1 pid={stopped}" in workers.log() and "stood still" in workers.log()


def test_a_pause_of_all_of_them_kills_nobody(yard, redis):
    """As a machine that is frozen for a while."""
    workers = yard.workers(2, store=redis.url, worker_silence="3s").ready()
    pids = [workers.pid, *workers.worker_pids().values()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(4)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    workers.ready()
    assert "worker killed" not in workers.log()


def test_a_worker_that_stands_still_does_not_hold_up_the_end(yard, redis):
    workers = yard.workers(2, store=redis.url, drain="1s").ready()
    stopped, start = stop_worker(workers, 1), time.monotonic()
    workers.term()
    workers.expected_exit = 1  # not all ended in order
    wait_until(lambda: not workers.alive(), "it ends")
    assert is_gone(stopped) and 5 < time.monotonic() - start < 9
    assert "did not end in time" in workers.log()


def test_a_worker_that_stands_still_does_not_outlive_its_parent(yard, redis):
    workers = yard.workers(2, store=redis.url, drain="1s").ready()
    stopped = stop_worker(workers, 1)
    workers.kill()
    wait_until(lambda: is_gone(stopped), "it is killed")
    again = yard.workers(2, store=redis.url, http=f"127.0.0.1:{workers.port}")
    again.port = workers.port
    again.ready()


def test_a_guard_that_dies_is_followed_by_another(yard, redis):
    workers = yard.workers(2, store=redis.url, drain="1s").ready()

    def guard():
        children = map(int, open(f"/proc/{workers.pid}/task/{workers.pid}/children", encoding="ascii").read().split())
        return next((pid for pid in children if open(f"/proc/{pid}/comm", encoding="ascii").read() == "muster-guard\n"), None)
    first = guard()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: guard() not in (None, first), "there is another one")
    workers.term()
    wait_until(lambda: not workers.alive(), "it ends")


def test_a_port_in_use_is_no_port_to_share(yard, redis):
    first = yard.workers(2, store=redis.url).ready()
    admin = free_ports(2)
    result = muster("node", "--workers", "2", "--store", redis.url, "--http", f"127.0.0.1:{first.port}",
                    "--admin", f"127.0.0.1:{admin}")
    assert_names(result, str(first.port), "in use")


def test_settings_that_no_worker_can_start_with_end_it(yard, redis):
    holder = yard.node()
    result = muster("node", "--workers", "2", "--store", redis.url, "--http", f"127.0.0.1:{free_port()}",
                    "--admin", f"127.0.0.1:{holder.port}")
    assert result.returncode == 1
    assert str(holder.port) in result.stderr


@pytest.mark.parametrize("flags, words", [
    (["--store", "memory:", "--admin", "127.0.0.1:9000"], ["would not see each other", "memory:"]),
    (["--store", "redis://127.0.0.1"], ["--admin"]),
    (["--store", "redis://127.0.0.1", "--admin", "127.0.0.1:9000", "--http", "127.0.0.1:0"], ["port of 0"]),
    (["--store", "redis://127.0.0.1", "--admin", "127.0.0.1:0"], ["port of 0"]),
    (["--store", "redis://127.0.0.1", "--admin", "127.0.0.1:65535"], ["too few ports"]),
    (["--store", "redis://127.0.0.1", "--admin", "127.0.0.1:8079", "--http", "127.0.0.1:8080"], ["hold that of --http"]),
])
def test_what_several_workers_cannot_have(flags, words):
    assert_names(muster("node", "--workers", "2", *flags), "--workers", *words)
    checked = muster("check", "--workers", "2", *flags)
    assert checked.returncode == 2
    for word in ("--workers", *words):
        assert word in checked.stdout, checked.stdout


def test_auto_is_the_cores_it_may_use(yard):
    """On one core nothing changes: no parent, and the memory store is fine."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        node = yard.node(workers="auto")
        assert "worker" not in node.log()
    finally:
        os.sched_setaffinity(0, cores)
    if len(cores) > 1:
        assert_names(muster("node", "--workers", "auto"), "several workers need")


def test_a_signal_before_they_serve_is_an_order_too(yard, redis):
    """A worker that has just been started ends by the signal itself; there is nobody to take leave of."""
    for _ in range(5):
        workers = yard.workers(4, store=redis.url)
        wait_until(lambda: "worker started" in workers.log(), "one is started")
        workers.term()
        wait_until(lambda: not workers.alive(), "it ends")
        yard.dismiss(workers)
