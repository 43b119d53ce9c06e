# SPDX-License-Identifier: MIT
"""A Redis user who may do no more than the documents say is needed."""

import asyncio

import pytest

from lib.process import ROOT, muster
from lib.sync import close_all, members, new_session
from lib.waiting import wait_until
from test_settings import assert_not_well
from test_sync_cluster import all_ready, assert_a_newcomer_is_counted, assert_pushes_arrive, until_pushes_arrive


def documented_rules():
    """The words after "ACL SETUSER" as the documents have them, with the password "right"."""
    texts = [path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("**/*.md"))]
    lines = {line for text in texts for line in text.splitlines() if line.startswith("ACL SETUSER muster ")}
    assert len(lines) == 1, "it stands in the documents once"
    return lines.pop().replace("PASSWORD", "right").split()[2:]


def tell(redis, *words):
    answer = redis.command(*words)
    assert answer.startswith(b"+OK"), answer


@pytest.fixture
def guarded(redis):
    """A server with the documented user; the test itself is another one."""
    tell(redis, "ACL", "SETUSER", *documented_rules())
    return redis


def url_of(redis, password="right", database=""):
    return f"redis://muster:{password}@127.0.0.1:{redis.port}{database}"


def assert_nothing_was_denied(redis):
    assert redis.command("ACL", "LOG").startswith(b"*0"), redis.command("ACL", "LOG")


async def test_what_is_documented_is_enough(yard, guarded):
    nodes = yard.fleet([url_of(guarded, database="/3")] * 2)
    session = new_session()
    leader, follower = clients = await members(nodes, session, leaders=(0,))
    await assert_pushes_arrive(leader, [follower], session)
    guarded.command("SCRIPT", "FLUSH")
    await assert_a_newcomer_is_counted(nodes[1], clients, session)
    await close_all(clients)
    assert_nothing_was_denied(guarded)


def test_another_prefix_is_out_of_reach(guarded):
    result = muster("check", "--store", url_of(guarded), "--store-prefix", "other")
    assert_not_well(result, "NOPERM")


def test_a_wrong_password_is_told_and_not_shown(guarded):
    result = muster("check", "--store", url_of(guarded, "hush-hush"))
    assert_not_well(result, "WRONGPASS")
    assert "hush-hush" not in result.stdout + result.stderr


async def test_a_user_who_is_cut_off_and_let_in_again(yard, guarded):
    """Redis disconnects a user whose rights change; nodes come back when they may."""
    nodes = yard.fleet([url_of(guarded)] * 2)
    session = new_session()
    leader, follower = clients = await members(nodes, session, leaders=(0,))
    tell(guarded, "ACL", "SETUSER", "muster", "off")
    guarded.command("CLIENT", "KILL", "USER", "muster")
    while any(node.is_ready() for node in nodes):
        await asyncio.sleep(0.01)
    tell(guarded, "ACL", "SETUSER", "muster", "on")
    await all_ready(nodes)
    await until_pushes_arrive(leader, [follower], session)
    await assert_a_newcomer_is_counted(nodes[0], clients, session)
    await close_all(clients)


def test_a_missing_right_is_named_in_the_log(yard, redis):
    rules = [rule for rule in documented_rules() if rule not in ("+evalsha", "+eval")]
    tell(redis, "ACL", "SETUSER", *rules)
    node = yard.begin(store=url_of(redis))
    wait_until(lambda: "NOPERM" in node.log(), "it is told")
    assert "evalsha" in node.log().lower()
    wait_until(lambda: node.status("/readyz") == 503, "no client is sent there")
