# SPDX-License-Identifier: MIT
"""/chat on one node: the requests, their answers, and every wrong form of them."""

import asyncio
import json
import time

import pytest

from lib.chat import ChatClient
from lib.frames import TEXT, RawWebSocket
from lib.process import muster
from lib.tcp import HttpClient


@pytest.fixture
def node(yard):
    return yard.node(chat_login="development")


async def test_a_message_reaches_everybody_and_history(node):
    alice, bob = await ChatClient.member(node, "alice"), await ChatClient.member(node, "bob")
    stranger = await ChatClient.connect(node)
    await alice.say("hi", channel="General")
    for client in (alice, bob):
        message = dict(await client.next())
        assert abs(message.pop("timestamp") - time.time()) < 5
        assert message == {"user_id": "alice", "message": "hi", "channel": "General", "nickname": "alice"}
    await bob.say("yo")
    seen = await alice.next()
    assert list(seen) == ["user_id", "timestamp", "message", "nickname"]
    assert isinstance(seen["timestamp"], int)
    assert await alice.history() == list(reversed(alice.seen[1:3]))
    assert await stranger.ask(action="history") == {"error": "you need to authenticate first"}


async def test_the_path_with_a_slash_is_the_same(node):
    client = await ChatClient.connect(node, "/chat/")
    assert await client.login("alice") == {"info": "connected"}


async def test_what_the_server_sets_wins(node):
    client = await ChatClient.member(node, "alice")
    await client.say("hi", user_id="bob", nickname="Bob", timestamp=1, extra={"a": 1}, data=2)
    message = await client.next()
    assert message["user_id"] == message["nickname"] == "alice" and message["timestamp"] > 1
    assert "extra" not in message and "data" not in message


@pytest.mark.parametrize("channel, becomes", [("a", "a"), (5, "5"), (-1, "-1"), (1.5, "1.5"), ("", ""), (None, None)])
async def test_a_channel_is_a_string(node, channel, becomes):
    client = await ChatClient.member(node, "alice")
    await client.say("hi", channel=channel)
    assert (await client.next()).get("channel") == becomes


@pytest.mark.parametrize("request_, words", [
    ({"action": "message"}, "message is missing"),
    ({"action": "message", "message": 1}, "message has to be a string"),
    ({"action": "message", "message": None}, "message has to be a string"),
    ({"action": "message", "message": ["x"]}, "message has to be a string"),
    ({"action": "message", "message": "x", "channel": True}, "channel has to be"),
    ({"action": "message", "message": "x", "channel": {}}, "channel has to be"),
    ({"action": "message", "message": "x", "channel": "c" * 257}, "channel is too long"),
    ({"action": "message", "message": "x" * 4097}, "message is too long"),
    ({"action": "dance"}, "unknown action"),
    ({"action": ""}, "action has to be"),
    ({"action": 1}, "action has to be a string"),
    ({}, "action is missing"),
    ("[]", "not a JSON object"),
    ("{", "not a JSON object"),
    ("", "not a JSON object"),
    ("{\"action\": \"message\"} x", "not a JSON object"),
    ("[" * 5000, "not a JSON object"),
    (b"\x00\x01", "not binary"),
])
async def test_wrong_requests_are_named_and_the_connection_stays(node, request_, words):
    client = await ChatClient.member(node, "alice")
    await client.send(request_)
    assert words in (await client.next())["error"]
    await client.say("still here")
    assert (await client.next())["message"] == "still here"


@pytest.mark.parametrize("bad", [-1, 1.5, 1e2, "5", "", None, True, [], {}, "ten"])
@pytest.mark.parametrize("field", ["limit", "offset"])
async def test_bad_limits_and_offsets(node, field, bad):
    client = await ChatClient.member(node, "alice")
    assert (await client.history(**{field: bad}))["error"].startswith(f"{field} has to be")


@pytest.mark.parametrize("request_", [{"action": "message", "message": "x"}, {"action": "history"}, {"action": "x"}, {},
                                      "nonsense", b"\x01", "[]"])
async def test_before_login(node, request_):
    client = await ChatClient.connect(node)
    await client.send(request_)
    assert await client.next() == {"error": "you need to authenticate first"}
    assert await client.login("alice") == {"info": "connected"}


@pytest.mark.parametrize("request_", [{}, {"token": ""}, {"token": 5}, {"token": None}, {"username": "x"},
                                      {"username": "x", "password": 3}, {"password": "x"}])
async def test_a_login_without_what_it_needs(node, request_):
    client = await ChatClient.connect(node)
    assert "have to be provided" in (await client.ask(action="login", **request_))["error"]


async def test_a_password_needs_an_endpoint(node):
    client = await ChatClient.connect(node)
    assert "not set up" in (await client.ask(action="login", username="a", password="b"))["error"]
    assert await client.login("alice") == {"info": "connected"}


async def test_history_at_its_edges(yard):
    node = yard.node(chat_login="development", chat_burst=1000)
    client = await ChatClient.member(node, "alice")
    assert await client.history() == []
    for i in range(99):
        await client.say(f"m{i}")
    await client.texts(99)

    async def texts(**request):
        return [entry["message"] for entry in await client.history(**request)]

    def newest(count, last):
        return [f"m{i}" for i in range(last, last - count, -1)]
    assert await texts() == newest(10, 98)
    assert await texts(limit=1000) == newest(99, 98)
    await client.say("m99")
    await client.texts(1)
    assert await texts(limit=100) == newest(100, 99)
    await client.say("m100")
    await client.texts(1)
    assert await texts(limit=100) == newest(100, 100)
    assert await texts(limit=101) == await texts(limit=10**30) == newest(100, 100)
    assert await texts(limit=1) == ["m100"]
    assert await texts(limit=0) == newest(100, 100)  # all, as the old server had it
    assert await texts(limit=0, offset=98) == newest(2, 2)
    assert await texts(limit=5, offset=3) == newest(5, 97)
    assert await texts(limit=100, offset=99) == ["m1"]
    assert await texts(offset=98) == ["m2", "m1"]
    assert await texts(offset=100) == await texts(offset=10**30) == []


async def test_the_cap_is_a_setting(yard):
    node = yard.node(chat_login="development", chat_history=3)
    client = await ChatClient.member(node, "alice")
    for i in range(5):
        await client.say(str(i))
    await client.texts(5)
    assert [m["message"] for m in await client.history(limit=10)] == ["4", "3", "2"]
    assert [m["message"] for m in await client.history(limit=10, offset=2)] == ["2"]
    assert await client.history(offset=3) == []


async def test_a_history_of_the_longest_messages_is_delivered(yard):
    node = yard.node(chat_login="development")
    client = await ChatClient.member(node, "alice")
    text = "\u0001" * (4096 // 6)  # six bytes each, as JSON writes them
    for _ in range(100):
        await client.say(text)
    await client.texts(100)
    assert len(await client.history(limit=100)) == 100
    await client.say("é" * 2048)
    assert (await client.next())["message"] == "é" * 2048
    await client.say("é" * 2049)
    assert (await client.next())["error"] == "message is too long"


async def test_text_comes_as_it_went(node):
    client = await ChatClient.member(node, "alice")
    for text in ("", "žluťoučký 🐴", "\"\\\n\t\u0000\u001f</script>", "\u2028", "x" * 4096):
        await client.say(text)
        assert (await client.next())["message"] == text
    await client.send('{"action":"message","message":"\\ud83d\\ude00 \\ud83d"}')
    assert (await client.next())["message"] == "😀 \ufffd"


async def test_a_flood_is_slowed_down(yard):
    node = yard.node(chat_login="development", chat_rate=5, chat_burst=10)
    flooder, other = await ChatClient.member(node, "f"), await ChatClient.member(node, "o")
    for i in range(300):
        await flooder.say(str(i))
    answers = [await flooder.next() for _ in range(300)]
    errors = [a for a in answers if "error" in a]
    assert set(e["error"] for e in errors) == {"too many messages, please slow down"}
    passed = [a["message"] for a in answers if "message" in a]
    assert 9 <= len(passed) <= 60 and passed == sorted(passed, key=int)
    assert await other.texts(len(passed)) == passed
    await other.say("still fast")
    assert (await other.next())["message"] == "still fast"
    while "error" in (await flooder.ask(action="message", message="again")):
        await asyncio.sleep(0.1)  # the allowance grows with time alone
    assert node.metrics()["muster_chat_rate_limited_total"] >= len(errors)


async def test_a_slow_reader_is_closed_and_harms_nobody(yard):
    node = yard.node(chat_login="development", queue_limit="64k", chat_burst=10000)
    fast = await ChatClient.member(node, "fast")
    with RawWebSocket(node, "/chat", receive_buffer=4096) as slow:
        slow.text(json.dumps({"action": "login", "token": "slow"}))
        assert slow.next_frame().opcode == TEXT
        sent = 0
        while node.metrics()["muster_chat_logged_in"] > 1:
            for _ in range(8):
                await fast.say("x" * 4000)
            sent += 8
            await fast.texts(8)
            assert sent < 9000
    assert node.metrics()["muster_websocket_overflows_total"] == 1


async def test_logging_in_again_changes_who_one_is(node):
    client = await ChatClient.member(node, "alice")
    assert await client.login("bob") == {"info": "connected"}
    await client.say("hi")
    assert (await client.next())["user_id"] == "bob"
    assert await client.quiet()
    assert node.metrics()["muster_chat_logged_in"] == 1
    await client.close()


def test_api(node):
    with HttpClient(node.port) as http:
        for path in ("/api", "/api/"):
            answer = http.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert answer.status == 200 and answer.headers["access-control-allow-origin"] == "*"
        answer = http.ask(b"GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert json.loads(answer.body) == {"api": "v1.0.1", "env": "DEVELOPMENT", "desc": "Muster"}


def test_api_version_says_what_is_set(yard):
    node = yard.node(api_env="PRODUCTION", api_desc='a "fleet"')
    assert json.loads(node.get("/api/version")[1]) == {"api": "v1.0.1", "env": "PRODUCTION", "desc": 'a "fleet"'}


def test_production_refuses_development_login(yard):
    ended = muster("node", "--chat-login", "development", "--env", "production")
    assert ended.returncode != 0 and "--chat-login" in ended.stderr
    assert muster("check", "--chat-login", "development", "--env", "production").returncode != 0
    node = yard.node(chat_login="development")
    assert "development mode" in node.log()
