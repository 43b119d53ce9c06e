# SPDX-License-Identifier: MIT
"""What nodes say to each other is published without an answer where Redis can leave it out, and as before where it cannot,
where it lies, or where the right to ask so goes away."""

import asyncio
import subprocess
import threading

from lib.proxy import Proxy
from lib.sync import close_all, members, new_session, push
from lib.waiting import wait_until
from test_store_acl import documented_rules, tell, url_of
from test_sync_cluster import all_ready, assert_pushes_arrive, until_pushes_arrive

PUSHES = 100
SKIP = b"$4\r\nSKIP\r\n"


def calls(redis, command):
    """How often the server carried it out."""
    lines = redis.ask("INFO", "commandstats")
    found = [line for line in lines if line.startswith(f"cmdstat_{command}:calls=")]
    return int(found[0].split("=")[1].split(",")[0]) if found else 0


async def push_all(nodes, count=PUSHES):
    session = new_session()
    leader, follower = clients = await members(nodes, session, leaders=(0,))
    for _ in range(count):
        await assert_pushes_arrive(leader, [follower], session)
    return session, clients


async def test_pushes_are_not_answered(yard, redis):
    nodes = yard.fleet([redis.url] * 2)
    _, clients = await push_all(nodes)
    skips = calls(redis, "client|reply")
    assert PUSHES / 2 < skips <= calls(redis, "publish"), "an answer is asked for now and then"
    await close_all(clients)


async def test_a_server_that_cannot_leave_answers_out(yard):
    redis = yard.redis("--rename-command", "CLIENT", "CLIENTS")
    nodes = yard.fleet([redis.url] * 2)
    _, clients = await push_all(nodes, 10)
    assert all(node.metrics()["muster_store_reconnects_total"] == 0 for node in nodes)
    await close_all(clients)


async def test_a_user_who_may_not_leave_answers_out(yard, redis):
    """As after an update whose new right was not given, and when it is taken away while nodes run."""
    tell(redis, "ACL", "SETUSER", *documented_rules(), "-client|reply")
    nodes = yard.fleet([url_of(redis)] * 2)
    session, clients = await push_all(nodes, 10)
    assert calls(redis, "client|reply") == 0
    tell(redis, "ACL", "SETUSER", "muster", "+client|reply")
    redis.command("CLIENT", "KILL", "TYPE", "normal")  # a node asks once for a server that refuses
    await all_ready(nodes)
    await until_pushes_arrive(clients[0], clients[1:], session)
    await close_all(clients)
    others = yard.fleet([url_of(redis)] * 2)
    session, clients = await push_all(others, 10)
    assert calls(redis, "client|reply") > 0
    tell(redis, "ACL", "SETUSER", "muster", "-client|reply")
    while "NOPERM" not in others[0].log():
        await clients[0].send(push(session))
        await asyncio.sleep(0.02)
    await until_pushes_arrive(clients[0], clients[1:], session)
    for _ in range(10):
        await assert_pushes_arrive(clients[0], clients[1:], session)
    await close_all(clients)


class Deaf(Proxy):
    """A server that answers what it is told to skip."""

    def on_up(self, link, data):
        return data.replace(SKIP, b"$2\r\nON\r\n")


async def test_a_server_that_answers_all_the_same(yard, redis):
    proxy = yard.keep(Deaf(redis.port)).start()
    nodes = yard.fleet([proxy.url, redis.url])
    _, clients = await push_all(nodes, 10)
    assert "answers what CLIENT REPLY SKIP told it to skip" in nodes[0].log()
    assert nodes[0].metrics()["muster_store_reconnects_total"] <= 1 and nodes[0].log().count("told it to skip") == 1
    await close_all(clients)


async def test_a_script_of_others_that_does_not_end(yard):
    """Redis refuses every command meanwhile, SKIP too: no answer is taken for that of another question."""
    redis = yard.redis("--lua-time-limit", "100")
    nodes = yard.fleet([redis.url] * 2)
    session, clients = await push_all(nodes, 10)
    stuck = threading.Thread(target=subprocess.run, daemon=True,
                             args=(["redis-cli", "-p", str(redis.port), "eval", "while true do end", "0"],), kwargs={"capture_output": True})
    stuck.start()
    wait_until(lambda: redis.command("PING").startswith(b"-BUSY"), "the script runs")
    for number in range(20):
        await clients[0].send(push(session, number))
        await asyncio.sleep(0.01)
    redis.command("SCRIPT", "KILL")
    stuck.join()
    await until_pushes_arrive(clients[0], clients[1:], session)
    for _ in range(10):
        await assert_pushes_arrive(clients[0], clients[1:], session)
    assert not [line for node in nodes for line in node.log().splitlines() if "wrong" in line or "cannot be read" in line]
    await close_all(clients)
