# SPDX-License-Identifier: MIT
"""Session sync on one node: each row of docs/protocols.md#sync."""

import asyncio
import json

import pytest

from lib.frames import RawWebSocket
from lib.sync import State, SyncClient, close_all, is_warning, members, new_session, push, set_session, states_of
from lib.waiting import until

# Pushes whose every byte matters; SESSION stands for the session id.
PUSHES = [
    '{"type":"Push","sessionId":"SESSION","data":null}',
    '{"type":"Push","sessionId":"SESSION"}',
    '  {\n\t"type" : "Push" ,\r\n "sessionId" : "SESSION" , "data" : [ 1 , 2 ]  }\n ',
    '{"data":{"z":1,"a":2},"sessionId":"SESSION","type":"Push"}',
    '{"type":"Push","sessionId":"SESSION","data":[1.0,1e5,-0,0.10,1E+2,12345678901234567890,1e400]}',
    '{"type":"Push","sessionId":"SESSION","data":"\\u0041\\/\\ud83d\\ude00 ü 😀"}',
    '{"type":"Push","sessionId":"SESSION","data":{"a":1,"a":2}}',
    '{"type":"pUSH","sessionId":"SESSION","data":1}',
    '{"\\u0074ype":"Push","sessionId":"SESSION","data":1}',
    '{"type":"Push","sessionId":"SESSION","extra":{"type":"Close"},"data":' + "[" * 60 + "]" * 60 + "}",
    '{"type":"Push","sessionId":"SESSION","data":"' + "x" * 16384 + '"}',
    '{"type":"Push","sessionId":"SESSION","data":"' + "ö" * 60000 + '"}',
]


def state_of(players, leader):
    return [State(players, leader)]


async def test_text_ping_is_answered_with_text_pong(node):
    client = await SyncClient.connect(node)
    await client.send("ping")
    assert await client.receive() == "pong"
    await client.close()


async def test_first_member_gets_the_state(node):
    for leader in (True, False):
        client = await SyncClient.connect(node, path="/connect?playerName=J%C3%BCrgen%20%00%22")
        await client.send(set_session(new_session(), leader))
        state = await client.next()
        assert state["raw"] == json.dumps({k: state[k] for k in ("type", "playersCount", "leaderConnected")},
                                          separators=(",", ":"))
        assert (state["type"], state["playersCount"], state["leaderConnected"]) == ("SessionState", 1, leader)
        await client.close()


@pytest.mark.parametrize("name", ["SetSession", "setsession", "SETSESSION", "sEtSeSsIoN"])
async def test_type_is_compared_without_case(node, name):
    client = await SyncClient.connect(node)
    await client.send({"type": name, "sessionId": new_session(), "isLeader": True})
    assert await client.next_state() == State(1, True)
    await client.send({"type": "close" if name.islower() else "CLOSE"})
    await client.send({"type": "push", "sessionId": "s", "data": 1})
    assert is_warning(await client.next())
    await client.close()


async def test_missing_is_leader_is_false(node):
    client = await SyncClient.connect(node)
    await client.send({"type": "SetSession", "sessionId": new_session()})
    assert await client.next_state() == State(1, False)
    await client.close()


async def test_every_change_is_told_to_every_member(node):
    session = new_session()
    first = await SyncClient.member(node, session)
    leader = await SyncClient.member(node, session, leader=True)
    await leader.in_state(2, True)
    third = await SyncClient.member(node, session)
    await third.in_state(3, True)
    await third.send(set_session(session, leader=True))
    await leader.send(set_session(session, leader=False))
    await third.send(set_session(session, leader=False))
    await leader.until_state(3, True)
    await leader.until_state(3, False)
    await third.send({"type": "Close"})
    await first.until_state(2, False)
    leader.vanish()
    await first.until_state(1, False)
    assert first.states()[:3] == [State(1, False), State(2, True), State(3, True)]
    assert first.states()[-3:] == [State(3, False), State(2, False), State(1, False)]
    await close_all([first, third])


async def test_another_session_leaves_the_first(node):
    old, new = new_session(), new_session()
    stays = await SyncClient.member(node, old)
    mover = await SyncClient.member(node, old, leader=True)
    await stays.until_state(2, True)
    await mover.in_state(2, True)
    await mover.send(set_session(new, leader=True))
    assert await mover.next_state() == State(1, True)
    await stays.until_state(1, False)
    await mover.send(push(old))
    await mover.next_warning()
    assert await stays.fence() == []
    await close_all([stays, mover])


@pytest.mark.parametrize("message", [{"type": "SetSession", "sessionId": ""}, {"type": "SetSession"},
                                     {"type": "SetSession", "sessionId": "", "isLeader": True},
                                     {"type": "SetSession", "sessionId": None}])
async def test_empty_session_id_warns_and_unbinds(node, message):
    session = new_session()
    stays = await SyncClient.member(node, session)
    client = await SyncClient.member(node, session, leader=True)
    await stays.until_state(2, True)
    await client.send(message)
    warning = await client.next_warning()
    assert warning["text"] == "Session id cannot be empty!"
    assert warning["level"] == "warn"
    await stays.until_state(1, False)
    await client.send(push(session))
    await client.next_warning()
    assert await stays.fence() == []
    await close_all([stays, client])


async def test_push_goes_to_exactly_the_right_members(node):
    session = new_session()
    leader, *followers = await members([node] * 4, session, leaders=(0,))
    other_leader = await SyncClient.member(node, session, leader=True)
    other_session = await SyncClient.member(node, new_session())
    unbound = await SyncClient.connect(node)
    for client in [leader, *followers, other_leader]:
        await client.in_state(5, True)
    message = push(session, {"from": "leader"})
    await leader.send(message)
    for follower in followers:
        assert await follower.receive() == message
    await other_leader.send(message)
    for follower in followers:
        assert await follower.receive() == message
    for client in (leader, other_leader, other_session, unbound):
        assert [m for m in await client.fence() if m["type"] == "Push"] == []
    await close_all([leader, other_leader, other_session, unbound, *followers])


@pytest.mark.parametrize("deflated", [False, True], ids=["plain", "deflated"])
async def test_push_is_byte_identical(node, deflated):
    session = new_session()
    compression = "deflate" if deflated else None
    leader = await SyncClient.member(node, session, leader=True, compression=compression)
    plain = await SyncClient.member(node, session)
    squeezed = await SyncClient.member(node, session, compression="deflate")
    for client in (leader, plain, squeezed):
        await client.in_state(3, True)
    for text in (pattern.replace("SESSION", session) for pattern in PUSHES):
        await leader.send(text)
        assert await plain.receive() == text
        assert await squeezed.receive() == text
    await close_all([leader, plain, squeezed])


async def test_pushes_keep_their_order(node):
    session = new_session()
    leader, follower = await members([node] * 2, session, leaders=(0,))
    for number in range(500):
        await leader.send(push(session, number))
    assert [json.loads(await follower.receive())["data"] for _ in range(500)] == list(range(500))
    await close_all([leader, follower])


async def refused(node, bind, session):
    """A push into `session` by a client bound as `bind` says is warned of, and reaches nobody."""
    follower = await SyncClient.member(node, session)
    client = await SyncClient.connect(node)
    if bind is not None:
        await client.send(bind)
        await client.next_state()
    await client.send(push(session))
    warning = await client.next_warning()
    assert warning["level"] == "warn" and warning["text"]
    assert [m for m in await follower.fence() if m["type"] != "SessionState"] == []
    await close_all([follower, client])


async def test_push_of_an_unbound_connection_is_refused(node):
    await refused(node, None, new_session())


async def test_push_of_a_follower_is_refused(node):
    session = new_session()
    await refused(node, set_session(session), session)


async def test_push_of_the_leader_of_another_session_is_refused(node):
    await refused(node, set_session(new_session(), leader=True), new_session())


async def test_push_without_session_is_refused(node):
    session = new_session()
    leader, follower = await members([node] * 2, session, leaders=(0,))
    for message in ({"type": "Push"}, {"type": "Push", "sessionId": 7}, {"type": "Push", "sessionId": ""}):
        await leader.send(message)
        await leader.next_warning()
    assert await follower.fence() == []
    await close_all([leader, follower])


async def test_close_unbinds_and_leaves_the_connection_open(node):
    session = new_session()
    stays, client = await members([node] * 2, session)
    await client.send({"type": "Close"})
    await stays.until_state(1, False)
    assert await client.fence() == []
    await client.send(set_session(session, leader=True))
    await client.until_state(2, True)
    await close_all([stays, client])


async def test_close_of_an_unbound_connection_is_harmless(node):
    client = await SyncClient.connect(node)
    await client.send({"type": "Close"})
    assert states_of(await client.fence()) == []
    await client.close()


async def test_leave_session_leaves_and_closes_the_connection(node):
    session = new_session()
    stays, client = await members([node] * 2, session)
    await client.send({"type": "LeaveSession"})
    assert await client.closed() == 1000
    await stays.until_state(1, False)
    await stays.close()


@pytest.mark.parametrize("set_name, wanted", [(False, "ServerMessage"), (True, "ServerMsg")])
async def test_warnings_speak_the_dialect_of_the_client(node, set_name, wanted):
    client = await SyncClient.connect(node)
    if set_name:
        await client.send({"type": "SetName", "name": "Hunter \u0000 \"x\""})
    await client.send({"type": "Nonsense"})
    warning = await client.next()
    assert warning["type"] == wanted
    assert sorted(warning) == ["level", "raw", "text", "type"]
    await client.close()


async def test_set_name_changes_the_dialect_from_then_on(node):
    client = await SyncClient.connect(node)
    await client.send({"type": "Nonsense"})
    await client.send({"type": "SetName", "name": "x"})
    await client.send({"type": "Nonsense"})
    assert [m["type"] for m in await client.fence()] == ["ServerMessage", "ServerMsg"]
    await client.close()


@pytest.mark.parametrize("name", ["Dance", "SessionState", "", "ping", "Tür", 'quo"te\\', "x" * 5000])
async def test_unexpected_types_are_named(node, name):
    client = await SyncClient.connect(node)
    await client.send({"type": name})
    warning = await client.next()
    assert is_warning(warning) and warning["level"] == "warn"
    assert name[:20] in warning["text"]
    await client.close()


async def test_a_binary_ping_is_answered(node):
    client = await SyncClient.connect(node)
    await client.send(b"ping")
    assert await client.receive() == "pong"


async def test_binary_messages_are_warned_of(node):
    client = await SyncClient.connect(node)
    for data in (b"", b"\x00\xff", push("s").encode()):
        await client.send(data)
        warning = await client.next()
        assert is_warning(warning) and "binary" in warning["text"].lower()
    await client.close()


@pytest.mark.parametrize("text", [
    "", " ", "hello", "PING", "ping ", "pong", "{", "[]", "null", "17", '"Close"', "{}", '{"type":1}', '{"type":null}',
    '{"type":["Close"]}', '{"Type":"Close"}', '{"type":"Close"', '{"type":"Close"}}', '{"type":"Close",}', "{'type':1}",
    '{"type":"Close"} {"type":"Close"}', '{"a":{"type":"Close"}}', '\ufeff{"type":"Close"}', '{"type":"Close\\x"}',
    '{"type":"Close","a":01}', '{"type":"Close","a":"\t"}', "[" * 100000, '{"type":' * 1000, "\x00",
    '{"type":"\\u0000"}',
])
async def test_no_json_or_no_type_is_warned_of(node, text):
    session = new_session()
    client = await SyncClient.member(node, session)
    await client.send(text)
    warning = await client.next()
    assert is_warning(warning) and warning["level"] == "warn"
    other = await SyncClient.member(node, session)
    await client.until_state(2, False)  # still bound
    await close_all([client, other])


@pytest.mark.parametrize("session", ["s", "x" * 200, "{}", "a:b*c?[d]", "ä\u0000\n", "😀", "0", " "])
async def test_any_text_is_a_session_id(node, session):
    leader, follower = await members([node] * 2, session, leaders=(0,))
    await leader.send(push(session))
    assert await follower.receive() == push(session)
    await close_all([leader, follower])


async def test_a_huge_session_id_harms_nobody(node):
    client = await SyncClient.connect(node)
    await client.send(set_session("x" * 100000))
    answer = await client.next()
    assert is_warning(answer) or states_of([answer]) == state_of(1, False)
    await client.fence()
    await client.close()


async def test_silent_connections_are_closed(yard):
    node = yard.node(sync_idle="1s")
    silent = await SyncClient.member(node, session := new_session())
    talks = {"text ping": await SyncClient.member(node, session), "message": await SyncClient.member(node, session)}
    pinger = await SyncClient.member(node, session)
    end = asyncio.ensure_future(silent.closed())
    while not end.done():
        await talks["text ping"].send("ping")
        await talks["message"].send({"type": "SetName", "name": "x"})
        await pinger.socket.ping()
        await asyncio.wait([end], timeout=0.2)
    assert end.result() in (1000, 1001, 1008)
    for client in (*talks.values(), pinger):
        await client.until_state(3, False)
    await close_all([*talks.values(), pinger])


def test_the_idle_time_holds_before_any_message(yard):
    node = yard.node(sync_idle="1s")
    with RawWebSocket(node) as client:
        assert client.failed_with() in (1000, 1001, 1008)


async def test_gauges_follow_members(yard):
    node = yard.node()

    def counts():
        metrics = node.metrics()
        return tuple(metrics[f"muster_sync_{what}"] for what in ("connections", "members", "sessions"))

    clients = await members([node] * 3, new_session(), leaders=(0,))
    unbound = await SyncClient.connect(node)
    assert counts() == (4, 3, 1)
    await close_all([*clients, unbound])
    await until(lambda: counts() == (0, 0, 0), "no connection is counted any more")
