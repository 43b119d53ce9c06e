# SPDX-License-Identifier: MIT
"""Log intake and live listeners, over two nodes with Redis between and over the memory store."""

import asyncio
import json
import re
import time

import pytest
import websockets

from lib.frames import handshake_request
from lib.logs import Listener, add, stored
from lib.ports import free_port, listens
from lib.process import muster
from lib.sync import new_session
from lib.tcp import HttpClient
from lib.waiting import until, wait_until, within


@pytest.fixture
def pair(yard, redis):
    return yard.fleet([redis.url] * 2)


async def test_one_entry_reaches_a_listener_on_another_node(pair):
    a, b = pair
    room = new_session()
    listener = await Listener.join(a, f"?roomId={room}")
    stored(b, {"timestamp": "1700000000000", "level": "Info", "msg": "hi", "room": room, "user": "u", "more": [1, {"a": 2}]})
    [entry] = await listener.heard(1)
    assert abs(entry.pop("serverTime") - time.time() * 1000) < 60000
    assert 0 < entry.pop("seqNumber") < 2 ** 53
    assert entry == {"timestamp": "1700000000000", "level": "Info", "msg": "hi", "room": room, "user": "u",
                     "more": [1, {"a": 2}]}
    await listener.close()


async def test_rooms_and_those_without_one(pair):
    a, b = pair
    room, other = new_session(), new_session()
    mine = await Listener.join(a, f"?room={room}")
    everything = await Listener.join(b, "?roomId=undefined")
    stored(a, [{"msg": "1", "room": room}, {"msg": "2", "room": other}, {"msg": "3"}, {"msg": "4", "room": None}])
    await everything.heard(4)
    await mine.heard(3)
    assert sorted(mine.texts()) == ["1", "3", "4"]
    assert [entry["room"] for entry in mine.entries() if entry["msg"] in "34"] == ["", ""]
    for message in mine.messages + everything.messages:
        assert isinstance(message, list) and len({entry["room"] for entry in message}) == 1
    await mine.close()
    await everything.close()


async def test_order_and_numbers_grow_across_nodes(pair):
    a, b = pair
    room = new_session()
    listener = await Listener.join(a, f"?roomId={room}")
    for i in range(60):
        stored(pair[i % 2], [{"msg": f"{i}-{j}", "room": room} for j in range(5)])
    entries = await listener.heard(300)
    assert [entry["msg"] for entry in entries] == [f"{i}-{j}" for i in range(60) for j in range(5)]
    numbers = [entry["seqNumber"] for entry in entries]
    assert numbers == sorted(set(numbers))
    await listener.close()


async def test_what_a_client_sets_for_the_server_is_replaced(pair):
    room = new_session()
    listener = await Listener.join(pair[0], f"?roomId={room}")
    stored(pair[1], b'{"seqNumber": 1, "serverTime": 2, "room": "%s", "msg": "x", "\\u0073eqNumber": 3}' % room.encode())
    [entry] = await listener.heard(1)
    assert entry["seqNumber"] > 10 ** 15 and entry["serverTime"] > 10 ** 12
    await listener.close()


BAD_BODIES = [
    (b"", 400, "JSON"), (b"{", 400, "JSON"), (b"nonsense", 400, "JSON"), (b'"text"', 400, "neither"), (b"7", 400, "neither"),
    (b"[{}, 7]", 400, "element 1"), (b"[[]]", 400, "element 0"), (b'{"a": 1} x', 400, "JSON"), (b'{"a": "\xff"}', 400, "UTF-8"),
    (b'{"a": "%s"}' % (b"x" * 110000), 413, "bytes"), (b'[{"a": "%s"}, {"a": "%s"}]' % ((b"x" * 110000,) * 2), 413, "each entry"),
    (b"[" + b",".join([b"{}"] * 10001) + b"]", 413, "10000"),
]


@pytest.mark.parametrize("body, status, word", BAD_BODIES)
def test_bad_bodies_are_refused_whole(node, body, status, word):
    before = node.metrics()["muster_logs_added_total"]
    seen, text, _ = add(node, body)
    assert seen == status and word in json.loads(text)["error"], text
    assert node.metrics()["muster_logs_added_total"] == before


def test_odd_entries_are_taken(node):
    stored(node, {})
    stored(node, [])
    stored(node, b'[{"timestamp": "soon", "msg": "\\u0000 \\ud800", "level": 7, "room": 5, "user": {"a": 1}}]')
    assert add(node, {"msg": "x"}, Origin="http://example.org")[2]["Access-Control-Allow-Origin"] == "*"


async def test_what_a_listener_sends_is_ignored(node):
    """The old viewer sends a text `ping` every three seconds and parses whatever comes as JSON: the old server said nothing."""
    room = new_session()
    listener = await Listener.join(node, f"?roomId={room}")
    await listener.link.send("ping")
    await listener.link.send("noise")
    await listener.link.send(b"\x00\x01")
    await within(await listener.link.ping(), "the answer to a ping frame")
    stored(node, {"msg": "still there", "room": room})
    assert (await listener.heard(1))[0]["msg"] == "still there"
    assert listener.texts() == ["still there"] and all(isinstance(m, list) and m for m in listener.messages)
    await listener.close()


async def test_the_old_viewer_hears_nothing_but_entries_through_a_nodes_death(pair):
    a, b = pair
    room = new_session()
    listener = await Listener.join(a, f"?roomId={room}")
    for i, node in enumerate([b, a, b]):
        await listener.link.send("ping")
        stored(node, {"msg": str(i), "room": room})
        await listener.heard(i + 1)
    b.kill()
    await listener.link.send("ping")
    stored(a, {"msg": "3", "room": room})
    await listener.heard(4)
    assert all(isinstance(message, list) and message for message in listener.messages), "each message bears entries"
    assert listener.texts() == ["0", "1", "2", "3"]
    await listener.close()


async def test_who_asks_for_beats_is_answered_with_no_entries(node):
    listener = await Listener.join(node, f"?roomId={new_session()}&beats=1")
    await listener.link.send("ping")
    await until(lambda: [] in listener.messages, "the beat")
    await listener.close()


async def test_backlog_gives_the_last_of_the_room(pair):
    a, b = pair
    room = new_session()
    for i in range(30):
        stored(a, [{"msg": str(i), "room": room}, {"msg": "other", "room": "another"}])
    listener = await Listener.join(b, f"?roomId={room}&backlog=10")
    stored(a, {"msg": "live", "room": room})
    await until(lambda: "live" in listener.texts(), "the live one")
    assert listener.texts() == [str(i) for i in range(20, 30)] + ["live"]
    everything = await Listener.join(a, "?backlog=5")
    await until(lambda: len(everything.entries(own=True)) >= 5, "the last five of all")
    numbers = [entry["seqNumber"] for entry in everything.entries(own=True)]
    assert numbers == sorted(numbers)
    for one in (listener, everything):
        await one.close()


async def hears_own_lines(url, **options):
    """Asked for all rooms, with what was there before."""
    async with websockets.connect(url + "/logs/listen?backlog=100", max_size=None, **options) as link:
        entries = json.loads(await within(link.recv(), "the first entries"))
        return any(entry.get("user") == "server" for entry in entries)


async def test_the_nodes_own_lines_are_not_for_everybody(yard):
    admin = free_port()
    open_to_all = yard.begin(admin=f"127.0.0.1:{admin}")
    production = {"env": {"MUSTER_ENV": "production"}, "dispatch_ports": "", "chat_jwt_secret": "s" * 32}
    closed, guarded = yard.node(**production), yard.node(logs_listen_token="secret", **production)
    wait_until(lambda: listens(admin), "the admin address listens")
    wait_until(lambda: listens(open_to_all.port), "the node listens")
    for node in (open_to_all, closed, guarded):
        stored(node, {"msg": "a line of a player", "user": "server", "room": ""})
    await asyncio.sleep(0.3)
    assert await hears_own_lines(f"ws://127.0.0.1:{admin}")
    assert await hears_own_lines(guarded.ws(""), extra_headers={"Authorization": "Bearer secret"})
    for node in (open_to_all, closed):
        listener = await Listener.join(node, "?backlog=100")
        await until(lambda listener=listener: listener.entries(own=True), "the player's line")
        stored(node, {"msg": "the end", "room": "x"})
        await until(lambda listener=listener: "the end" in listener.texts(), "the end")
        assert {entry["msg"] for entry in listener.entries(own=True)} == {"a line of a player", "the end"}
        await listener.close()


def sent_by(redis):
    """Bytes that this server has sent to all its clients."""
    return int(re.search(r"total_net_output_bytes:(\d+)", redis.command("info", "stats").decode())[1])


async def test_who_asks_for_the_same_backlog_at_once_shares_one_reading(yard, redis):
    node, room = yard.node(store=redis.url), new_session()
    for start in range(0, 4000, 1000):
        stored(node, [{"msg": f"{start + i} " + "x" * 200, "room": room} for i in range(1000)])
    before = sent_by(redis)
    listeners = await asyncio.gather(*(Listener.join(node, f"?roomId={room}&backlog=1000") for _ in range(60)))
    for listener in listeners:
        assert [text.split()[0] for text in [entry["msg"] for entry in await listener.heard(1000)]] == [
            str(number) for number in range(3000, 4000)]
    assert sent_by(redis) - before < 12 * 1000 * 300, "each read it for itself"
    await asyncio.gather(*(listener.close() for listener in listeners))


async def test_searches_that_find_nothing_are_bounded_in_bytes_and_paced(yard, redis):
    """A short request may cause a long search: those of one address come one by one, and others between them."""
    node = yard.node(store=redis.url, message_limit="2m")
    for _ in range(10):
        stored(node, [{"msg": "x" * 1000} for _ in range(1000)])
    before = sent_by(redis)
    one = await Listener.join(node, f"?roomId={new_session()}&backlog=2000")
    await until(lambda: len(one.messages) > 0 or sent_by(redis) - before > 3.5e6, "it was searched")
    await asyncio.sleep(0.5)
    assert sent_by(redis) - before < 5.5e6, "4 MB of each lane, in pages of a quarter of a MB"
    before, begun = sent_by(redis), time.monotonic()
    listeners = [one] + [await Listener.join(node, f"?roomId={new_session()}&backlog=2000") for _ in range(40)]
    await asyncio.sleep(1)
    assert sent_by(redis) - before < (time.monotonic() - begun) * 25e6 + 12e6
    await asyncio.gather(*(listener.close() for listener in listeners))
    late = await Listener.join(node, "?backlog=10")  # the node's own lines may be among the last
    assert len(await late.heard(3)) >= 3
    await late.close()


async def test_backlog_and_live_meet_without_gap_or_repeat(pair):
    """Listeners that join in the middle of a flood get a row of numbers without a hole."""
    a, b = pair
    room = new_session()
    loop = asyncio.get_running_loop()

    def flood():
        for i in range(150):
            stored(a, [{"msg": str(i * 10 + j), "room": room} for j in range(10)])
    flooding = loop.run_in_executor(None, flood)
    listeners = []
    while not flooding.done():
        listeners.append(await Listener.join(b, f"?roomId={room}&backlog=50"))
        await asyncio.sleep(0.02)
    await flooding
    for listener in listeners:
        await until(lambda: listener.texts() and listener.texts()[-1] == "1499", "the last one")
        numbers = [int(text) for text in listener.texts()]
        assert numbers == list(range(numbers[0], 1500)), numbers[:200]
        await listener.close()


async def test_a_listener_misses_nothing_when_redis_links_break(yard, redis):
    proxy = yard.proxy(redis)
    a, b = yard.fleet([proxy.url, redis.url])
    room = new_session()
    listener = await Listener.join(a, f"?roomId={room}")
    for i in range(10):
        stored(b, {"msg": f"{i}", "room": room})
        if i % 3 == 2:
            proxy.cut()
            stored(b, {"msg": f"{i} away", "room": room})
            await until(lambda: not a.is_ready(), "the node notices")
            proxy.mend()
            await until(a.is_ready, "the node is back")
    entries = await listener.heard(13)
    assert [entry["msg"] for entry in entries] == ["0", "1", "2", "2 away", "3", "4", "5", "5 away", "6", "7", "8",
                                                   "8 away", "9"]
    await listener.close()


async def test_a_node_killed_in_the_middle_stores_all_or_nothing(yard, redis):
    a, b = yard.fleet([redis.url] * 2)
    room = new_session()
    listener = await Listener.join(a, f"?roomId={room}")
    loop = asyncio.get_running_loop()
    accepted = []

    def flood():
        for i in range(1000):
            try:
                if add(b, [{"msg": f"{i}-{j}", "room": room} for j in range(10)])[0] == 200:
                    accepted.append(i)
            except OSError:
                return
    flooding = loop.run_in_executor(None, flood)
    await until(lambda: len(accepted) > 20, "some accepted")
    b.kill()
    await flooding
    stored(a, {"msg": "end", "room": room})
    await until(lambda: "end" in listener.texts(), "the end")
    heard = [text for text in listener.texts() if text != "end"]
    assert len(heard) == len(set(heard))
    groups = {text.split("-")[0] for text in heard}
    assert len(heard) == 10 * len(groups)
    assert {str(i) for i in accepted} <= groups
    await listener.close()


def test_redis_gone_is_said_and_nothing_stored(yard, redis):
    [a] = yard.fleet([redis.url])
    redis.kill()
    wait_until(lambda: add(a, {"msg": "x"})[0] == 503, "503")
    status, text, fields = add(a, {"msg": "x"})
    assert status == 503 and int(fields["Retry-After"]) > 0 and "error" in json.loads(text)
    redis.start()
    wait_until(a.is_ready, "ready again")
    stored(a, {"msg": "y"})


async def test_a_lost_answer_is_found_out(yard, redis):
    """Links that break with an append under way: a 200 in the end, and one copy in the stream."""
    proxy = yard.proxy(redis)
    a, b = yard.fleet([proxy.url, redis.url])
    room = new_session()
    listener = await Listener.join(b, f"?roomId={room}")
    loop = asyncio.get_running_loop()
    statuses = {}

    def flood():
        for i in range(400):
            statuses[i] = add(a, {"msg": str(i), "room": room})[0]
    flooding = loop.run_in_executor(None, flood)
    while not flooding.done():
        await asyncio.sleep(0.1)  # a link comes up again meanwhile, and takes a few
        await loop.run_in_executor(None, proxy.drop_links)
    await flooding
    stored(b, {"msg": "end", "room": room})
    await until(lambda: "end" in listener.texts(), "the end")
    heard = [text for text in listener.texts() if text != "end"]
    assert len(heard) == len(set(heard)), "something came twice"
    accepted = {str(i) for i, status in statuses.items() if status == 200}
    assert len(accepted) > 10
    assert set(heard) == accepted, "503 means that nothing was stored"
    await listener.close()


async def test_without_a_sink_the_oldest_go(yard, redis):
    [a] = yard.fleet([redis.url], logs_bound=50)
    room = new_session()
    for i in range(120):
        stored(a, {"msg": str(i), "room": room})
    listener = await Listener.join(a, f"?roomId={room}&backlog=100")
    await until(lambda: listener.texts() and listener.texts()[-1] == "119", "the last")
    assert listener.texts() == [str(i) for i in range(120 - len(listener.texts()), 120)]
    assert 30 <= len(listener.texts()) <= 50
    await listener.close()


@pytest.mark.parametrize("told", [{"logs_sink": "on"}, {"postgres": "postgresql://127.0.0.1:1/none"}])
def test_with_a_sink_a_full_stream_refuses(yard, redis, told):
    [a] = yard.fleet([redis.url], logs_bound=50, **told)
    assert a.metrics()["muster_logs_sink_expected"] == 1
    statuses = [add(a, {"msg": str(i)})[0] for i in range(60)]
    assert statuses == sorted(statuses) and 40 <= statuses.count(200) <= 50 and statuses[-1] == 503
    status, _, fields = add(a, [{"msg": "x"}] * 5)
    assert status == 503 and "Retry-After" in fields


async def test_a_slow_listener_skips_and_is_told(yard):
    """The note bears the number of the last entry that was skipped: the newer dumper dies of an entry without one."""
    a = yard.node(queue_limit="256k")
    link = await within(asyncio.open_connection("127.0.0.1", a.port, limit=1024), "a link")
    reader, writer = link
    writer.write(b"GET /logs/listen HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    await within(reader.readuntil(b"\r\n\r\n"), "101")
    fast = await Listener.join(a)
    loop = asyncio.get_running_loop()
    filler = "x" * 20000
    count = 0
    while a.metrics()["muster_logs_skipped_total"] == 0:
        await loop.run_in_executor(None, stored, a, [{"msg": f"{count} {filler}"} for _ in range(10)])
        count += 10
        assert count < 5000
    await fast.heard(count)  # nobody else is delayed
    numbers = [entry["seqNumber"] for entry in fast.entries(own=True)]
    seen = b""
    while not (note := re.search(rb'\[({[^{}]*"msg":"(\d+) entries were skipped here"[^{}]*})\]', seen)):
        data = await within(reader.read(1 << 20), "the rest")
        assert data, "closed"
        seen += data
    had = [int(number) for number in re.findall(rb'"seqNumber":(\d+),[^{}x]{0,99}"\d+ x', seen[:note.start()])]
    skipped = json.loads(note[1])
    assert skipped["seqNumber"] == numbers[numbers.index(had[-1]) + int(note[2])], (skipped, had[-1], numbers[-5:], len(numbers))
    writer.close()
    await fast.close()


def test_tokens(yard):
    a = yard.node(logs_add_token="adder", logs_listen_token="hearer")
    assert add(a, {"msg": "x"})[0] == 401
    assert add(a, {"msg": "x"}, token="hearer")[0] == 401
    status, _, fields = add(a, {"msg": "x"}, token="adde")
    assert status == 401 and fields["WWW-Authenticate"] == "Bearer"
    assert add(a, {"msg": "x"}, token="adder")[0] == 200
    for path, status in (("/logs/listen", 401), ("/logs/listen?token=adder", 401), ("/logs/listen?token=hearer", 101)):
        with HttpClient(a.port) as client:
            client.send(handshake_request(path))
            assert client.response_head()[1] == status, path


def test_a_token_in_an_address_is_warned_of_and_can_be_refused(yard):
    asked = "/logs/listen?token=hearer"
    for setting, status, said in (("on", 101, "a token came in an address"), ("off", 401, "a token in an address was refused")):
        a = yard.node(logs_listen_token="hearer", url_tokens=setting)
        for path, wanted in ((asked, status), (asked, status), ("/logs/listen?token=x", 401)):
            with HttpClient(a.port) as client:
                client.send(handshake_request(path))
                assert client.response_head()[1] == wanted, path
        with HttpClient(a.port) as client:
            client.send(handshake_request("/logs/listen", Authorization="Bearer hearer"))
            assert client.response_head()[1] == 101
        assert a.metrics()["muster_http_url_tokens_total"] == 2
        assert a.log().count(said) == 1 and "hearer" not in a.log()


def test_rate_limit(yard):
    a = yard.node(logs_rate=10)
    statuses = [add(a, [{"msg": "x"}] * 10)[0] for _ in range(20)]
    assert statuses[0] == 200 and statuses[-1] == 429 and 2 <= statuses.count(200) <= 8
    wait_until(lambda: add(a, {"msg": "x"})[0] == 200, "some right again")


async def test_the_nodes_own_lines_are_in_the_stream(yard, redis):
    a, b = yard.fleet([redis.url] * 2, log_format="json")
    listener = await Listener.join(a, "?backlog=1000")
    await until(lambda: len([e for e in listener.entries(own=True) if "serving" in e.get("msg", "")]) == 2, "both nodes")
    for entry in listener.entries(own=True):
        assert entry["user"] == "server" and entry["room"] == "" and entry["level"] in ("info", "warn")
        assert entry["msg"] in entry["text"]
    before = len(listener.entries(own=True))
    await asyncio.sleep(1)  # nothing is to come: only time can say so
    assert len(listener.entries(own=True)) == before, "they feed on themselves"
    await listener.close()


def test_own_lines_do_not_feed_on_a_store_that_refuses(yard, redis):
    [a] = yard.fleet([redis.url])
    stored(a, {"msg": "x"})
    redis.command("CONFIG", "SET", "maxmemory", "1")
    wait_until(lambda: add(a, {"msg": "x"})[0] == 503, "the server takes no more")
    wait_until(lambda: a.metrics()["muster_logs_own_lost_total"] >= 1, "own lines are lost, too")
    lost = a.metrics()["muster_logs_own_lost_total"]
    lines = len(a.log().splitlines())
    time.sleep(3)  # nothing is to come: only time can say so
    assert a.metrics()["muster_logs_own_lost_total"] - lost <= 4
    assert len(a.log().splitlines()) - lines <= 4
    redis.command("CONFIG", "SET", "maxmemory", "0")
    wait_until(lambda: add(a, {"msg": "x"})[0] == 200, "well again")


def test_the_page_stands_alone(node):
    status, page = node.get("/logs.html")
    assert status == 200 and "<title>Logs</title>" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page


def test_check_reads_the_settings():
    assert muster("check", "--logs-lanes", "65").returncode == 2
    assert "--logs-lanes" in muster("check", "--logs-lanes", "65").stderr
