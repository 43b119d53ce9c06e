# SPDX-License-Identifier: MIT
"""Cross-server chat on one node: the wire, its limits, and what hostile peers get."""

import asyncio
import json
import socket
import struct
import time
import urllib.error
import urllib.request

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.relay import Plugin, Splitter, handshake
from lib.tcp import RawSocket
from lib.waiting import until, wait_until

TOKEN = "see-the-servers"


class RelayYard:
    """A node with a relay; `port` is where game servers connect."""

    def __init__(self, yard, **settings):
        self.port = free_port()
        settings.setdefault("relay", "127.0.0.1:{port}")
        settings["relay"] = settings["relay"].format(port=self.port)
        self.node = yard.node(**settings)

    def connect(self, name, **fields):
        return Plugin.connect(self.port, name, **fields)

    def raw(self):
        return RawSocket(self.port)


@pytest.fixture(scope="module")
def shared(module_yard):
    return RelayYard(module_yard, relay_status_token=TOKEN, relay_timeout="2s", relay_joins=0)


@pytest.fixture
def relay(shared):
    """Shared by the tests of this file; each finds it empty and must leave it alive."""
    wait_until(lambda: shared.node.metrics()["muster_relay_servers"] == 0, "the servers of the test before are gone")
    yield shared
    assert shared.node.alive(), shared.node.log_tail()


def listed(node, token=TOKEN):
    request = urllib.request.Request(node.http("/api/relay"), headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.loads(answer.read())


def is_closed_after(relay, data):
    """True when the node ends the connection, with nothing said, after these bytes."""
    link = relay.raw()
    link.send_while_taken(data)
    return link.at_end()


def encode(packet):
    return json.dumps(packet).encode()


# ---------------------------------------------------------------------------------------------- the plugin's way


async def test_acknowledge_names_everybody_and_the_host(relay):
    one = await relay.connect("one", color="ff0000", prefix="[1]")
    two = await relay.connect("two")
    acknowledge = two.of("acknowledge")[0]
    assert set(acknowledge) == {"type", "identifier", "hostIdentifier", "connections", "playerCount"}
    assert acknowledge["hostIdentifier"] == 0 and acknowledge["playerCount"] == 0
    assert isinstance(two.identifier, int) and 0 < two.identifier < 2**53 and two.identifier != one.identifier
    entries = {entry["identifier"]: entry for entry in acknowledge["connections"]}
    assert entries == {
        0: {"identifier": 0, "name": "Muster", "color": "00aaff", "prefix": "[*]"},
        one.identifier: {"identifier": one.identifier, "name": "one", "color": "ff0000", "prefix": "[1]"}}
    await one.knows("two")
    assert one.of("connection") == [{"type": "connection", "identifier": two.identifier, "name": "two",
                                     "color": "00aaff", "prefix": "[two]", "playerCount": 3}]
    two.close()
    await one.knows()
    assert one.of("disconnect") == [{"type": "disconnect", "identifier": two.identifier}]
    one.close()


async def test_what_one_says_all_others_hear_and_he_does_not(relay):
    plugins = [await relay.connect(name) for name in ("one", "two", "three")]
    one, two, three = plugins
    one.send({"type": "join", "identifier": one.identifier, "username": "Ann"})
    await until(lambda: two.of("join") and three.of("join"), "join")
    one.say("hello", mood={"kind": ["glad", 1.50]})
    one.send({"type": "leave", "identifier": one.identifier, "username": "Ann"})
    await until(lambda: two.of("leave") and three.of("leave"), "leave")
    for other in (two, three):
        other.check()
        assert other.of("message") == [{"type": "message", "identifier": one.identifier, "username": "one",
                                        "content": "hello", "mood": {"kind": ["glad", 1.5]}}]
    assert not one.of("message") and not one.of("join")
    for plugin in plugins:
        plugin.close()


async def test_a_false_identifier_is_put_right(relay):
    one, two, three = [await relay.connect(name) for name in ("one", "two", "three")]
    one.say("spoof", identifier=two.identifier)
    one.send(b'{"type":"message","identifier":%d,"content":"twice","\\u0069dentifier":0}' % three.identifier)
    one.send(b'{"type":"message","content":"none"}')
    await three.hears("none")
    await two.hears("none")
    for other in (two, three):
        assert [(m["identifier"], m["content"]) for m in other.of("message")] == [
            (one.identifier, "spoof"), (one.identifier, "twice"), (one.identifier, "none")]
    for plugin in (one, two, three):
        plugin.close()


async def test_packets_may_be_cut_anywhere_or_stick_together(relay):
    one, two = await relay.connect("one"), await relay.connect("two")
    contents = [f"{i} }}{{\"\\ \u20ac" for i in range(30)]
    text = b"".join(encode({"type": "message", "username": "u", "content": content}) + b" \r\n"[:i % 4]
                    for i, content in enumerate(contents))
    for byte in text:
        one.send(bytes([byte]))
        await asyncio.sleep(0)
    one.send(text)
    await until(lambda: two.failure or len(two.of("message")) == 60, "all messages")
    two.check()
    assert two.contents() == 2 * contents
    one.close(), two.close()


async def test_handshake_byte_by_byte_and_what_follows_it_at_once(relay):
    two = await relay.connect("two")
    one = await relay.connect("one", say_hello=False)
    for byte in encode(handshake("one")):
        one.send(bytes([byte]))
        await asyncio.sleep(0)
    one.send(b'{"type":"message","username":"u","content":"early"}')
    await two.hears("early")
    await one.acknowledged()
    assert [packet["type"] for packet in two.packets] == ["acknowledge", "connection", "message"]
    one.close(), two.close()


async def test_packets_keep_their_order(relay):
    one, two = await relay.connect("one"), await relay.connect("two")
    for i in range(60):
        one.say(str(i))
    await until(lambda: two.failure or len(two.contents()) == 60, "60 messages")
    two.check()
    assert two.contents() == [str(i) for i in range(60)]
    one.close(), two.close()


async def test_an_unknown_type_is_ignored_with_a_log_line(relay):
    one, two = await relay.connect("one"), await relay.connect("two")
    one.send({"type": "dance", "identifier": two.identifier})
    one.send({"type": 5})
    one.send({})
    one.send({"type": "connection", "identifier": 7, "name": "x"})
    one.send({"type": "disconnect", "identifier": two.identifier})
    one.say("still here")
    await two.hears("still here")
    assert [packet["type"] for packet in two.packets] == ["acknowledge", "message"]
    one.close(), two.close()
    assert "unknown type" in relay.node.log() and "dance" in relay.node.log()


# ---------------------------------------------------------------------------------------------- closed


@pytest.mark.parametrize("first", [
    encode({"type": "message", "username": "u", "content": "c"}),
    encode({"type": "join", "username": "u"}),
    encode({}),
    encode(handshake("x", version=2)),
    encode(handshake("x", version=0)),
    encode(handshake("x", version="1")),
    encode(handshake("x", version=None)),
    encode(handshake("x", version=1.5)),
    encode(handshake("x", version=True)),
    encode({**handshake("x"), "type": "Handshake"}),
    b"[]",
    b"1",
    b"null",
    b'"handshake"',
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    bytes(range(256)) * 16,
    b"\x00",
    b'{"type":"handshake",}',
    b'{"type":"handshake","version":1,"name":"\xff"}',
    b'{"type":"handshake","version":1,"name":"a\nb"}',
    b"{" * 200,
    b'{"a":' * 200,
    b'{"type":"handshake","version":1,"name":"x","deep":' + b"[" * 100000,
    b'{"type":"handshake","version":1,"name":"' + b"x" * 100000,
])
def test_what_is_no_handshake_is_closed(relay, first):
    assert is_closed_after(relay, first)


def test_version_one_may_be_written_otherwise(relay):
    for version in (b"1", b"1.0", b"1e0"):
        link = relay.raw()
        link.send(b'{"type":"handshake","name":"x","version":' + version + b"}")
        assert link.read(22) == b'{"type":"acknowledge",'
        link.close()


async def test_a_second_handshake_is_closed(relay):
    one, two = await relay.connect("one"), await relay.connect("two")
    await one.knows("two")
    two.send(handshake("two"))
    await two.at_end()
    await one.knows()
    one.close()


async def test_who_never_shook_hands_is_invisible(relay):
    one = await relay.connect("one")
    silent, half = relay.raw(), relay.raw()
    half.send(b'{"type":"hand')
    refused = relay.raw()
    refused.send(b"nonsense")
    assert refused.at_end()
    silent.reset(), half.reset()
    two = await relay.connect("two")
    await one.knows("two")
    assert [packet["type"] for packet in one.packets] == ["acknowledge", "connection"]
    one.close(), two.close()


def test_silence_and_half_a_handshake_end_with_the_time_limit(relay):
    assert is_closed_after(relay, b"")
    assert is_closed_after(relay, b'{"type":"handshake",')


@pytest.mark.parametrize("rubbish", [b"\xff\xfe\x00", b"]", b"{" * 200, b'{"x":"' + b"y" * 40000, b"nul"])
async def test_rubbish_after_the_handshake_closes_that_client_alone(relay, rubbish):
    one, two, bad = [await relay.connect(name) for name in ("one", "two", "bad")]
    await one.knows("two", "bad")
    bad.say("last words")
    bad.send(rubbish)
    await bad.at_end()
    await one.knows("two")
    one.say("and on")
    await two.hears("and on")
    assert "last words" in two.contents()
    one.close(), two.close()


async def test_a_packet_up_to_the_limit_passes(yard):
    relay = RelayYard(yard, relay_limit="2m", queue_limit="8m")
    one, two = relay.raw(), relay.raw()
    for link, name in ((one, "one"), (two, "two")):
        link.send(encode(handshake(name)))
        while not link.buffer.endswith(b"]}"):
            link.fill()
    link.buffer = b""
    big = encode({"type": "message", "username": "u", "content": "x" * 1024 * 1024})
    one.send(big)
    while not two.buffer.endswith(b'x"}'):
        two.fill()
    packet = json.loads(two.buffer)
    assert packet["content"] == "x" * 1024 * 1024
    one.send_while_taken(b'{"content":"' + b"x" * 2 * 1024 * 1024 + b'"}')
    one.read_to_end()
    one.close(), two.close()


@pytest.mark.parametrize("given, shown", [("#00AAff", "00AAff"), ("#0af", "00aaff"), ("0af", "00aaff"), ("00aaff", "00aaff"),
                                          ("#", "ffffff"), ("##00aaff", "ffffff"), ("#00aaff0", "ffffff"), ("0ag", "ffffff")])
async def test_colours_as_people_write_them(relay, given, shown):
    one = await relay.connect("one")
    two = await relay.connect("two", color=given)
    await until(lambda: one.of("connection"), "connection")
    assert one.of("connection")[0]["color"] == shown
    one.close(), two.close()


async def test_strange_looks_are_made_harmless(relay):
    one = await relay.connect("one")
    two = await relay.connect('a"b\\\u20ac\n', color='red"><b>', prefix="p" * 500, playerCount="many")
    await until(lambda: one.of("connection"), "connection")
    seen = one.of("connection")[0]
    assert seen["name"] == 'a"b\\\u20ac ' and seen["color"] == "ffffff"
    assert seen["prefix"] == "p" * 64 and seen["playerCount"] == 0
    three = await relay.connect("\x01" * 500, color="\x10\x11\x12\x13\x14\x15", prefix='"' * 500)
    await until(lambda: len(one.of("connection")) == 2, "connection")
    seen = one.of("connection")[1]
    assert seen["name"] == " " * 128 and seen["color"] == "ffffff" and seen["prefix"] == '"' * 32
    one.close(), two.close(), three.close()


# ---------------------------------------------------------------------------------------------- pacing, slow readers


async def test_one_packet_is_on_the_wire_at_a_time(relay):
    """The kernel of a client that does not confirm (its window is full) is given nothing more."""
    one = await relay.connect("one")
    two = await relay.connect("two")
    await one.knows("two")
    for i in range(40):
        one.say(str(i))
    await until(lambda: two.failure or len(two.contents()) >= 40, "40 packets")
    two.check()
    assert two.contents() == [str(i) for i in range(40)]
    one.close(), two.close()


@pytest.mark.parametrize("settings, fields", [({"relay_unpaced": "other, default"}, {}), ({}, {"stream": True})])
async def test_who_takes_a_stream_is_not_paced(yard, settings, fields):
    relay = RelayYard(yard, **settings)
    speaker = await relay.connect("speaker")
    listener = await Splitter.connect(relay.port, "listener", **fields)
    began = time.monotonic()
    for i in range(100):
        speaker.say(str(i))
    await until(lambda: len(listener.contents()) == 100, "all are heard")
    assert listener.contents() == [str(i) for i in range(100)] and time.monotonic() - began < 1
    listener.close()
    speaker.close()


async def test_without_pacing_packets_are_joined(yard):
    relay = RelayYard(yard, relay_pacing="off")
    one = await relay.connect("one")
    two = await relay.connect("two")
    await one.knows("two")
    reads = []
    two.data_received = reads.append
    one.send(b"".join(encode({"type": "message", "content": str(i)}) for i in range(500)))
    await until(lambda: b"".join(reads).count(b"content") == 500, "all")
    assert len(reads) < 250
    one.close(), two.close()


@pytest.mark.parametrize("pacing", ["on", "off"])
async def test_who_does_not_read_is_cut_and_nobody_else_suffers(yard, pacing):
    relay = RelayYard(yard, relay_pacing=pacing, relay_gap="1ms", queue_limit="64k", relay_limit="16k")
    deaf = RawSocket(relay.port, receive_buffer=4096)
    deaf.send(encode(handshake("deaf")))
    one, two = [await Splitter.connect(relay.port, name) for name in ("one", "two")]
    await one.knows("deaf", "two")
    say = {"type": "message", "username": "u", "content": "x" * 8000}
    for _ in range(3000):
        if one.of("disconnect"):
            break
        one.send(say)
        await asyncio.sleep(0.01)  # within the rate
    await one.knows("two")
    one.say("done")
    await two.hears("done")
    await asyncio.to_thread(deaf.read_to_end)  # in order: a reset would raise
    one.close(), two.close(), deaf.close()
    assert relay.node.metrics()["muster_paced_cut_total"] == 1


async def test_more_talk_than_can_be_told_costs_messages_not_clients(yard):
    relay = RelayYard(yard, relay_gap="50ms", queue_limit="8k")
    one, two = await relay.connect("one"), await relay.connect("two")
    for i in range(500):
        one.say(f"number {i}")
    await until(lambda: relay.node.metrics()["muster_relay_packets_total"] == 500, "all taken in")
    three = await relay.connect("three")
    await two.knows("one", "three")
    three.say("not drowned")
    await two.hears("not drowned")
    await two.hears("number 499")  # the oldest falls
    numbers = [int(text.split()[1]) for text in two.contents() if text.startswith("number")]
    assert numbers == sorted(numbers) and len(numbers) > 20
    for plugin in (one, two, three):
        plugin.check()
        assert not plugin.closed
        plugin.close()
    metrics = relay.node.metrics()
    assert metrics["muster_paced_dropped_total"] > 100 and metrics["muster_paced_cut_total"] == 0


async def test_one_that_comes_and_goes_costs_nobody_the_chat(yard):
    """Its joins are held back by its address, and what was not told yet is not told."""
    relay = RelayYard(yard)

    async def churn(end):
        while asyncio.get_running_loop().time() < end:
            link = await relay.connect("\x01" * 128, say_hello=False)
            link.send(handshake("\x01" * 128))
            await asyncio.wait([asyncio.ensure_future(until(lambda: link.identifier or link.closed, "answer"))],
                               timeout=0.3)
            link.abort()

    one, two = [await Splitter.connect(relay.port, name) for name in ("one", "two")]
    await one.knows("two")
    end = asyncio.get_running_loop().time() + 8
    flapping = [asyncio.ensure_future(churn(end)) for _ in range(8)]
    for i in range(16):
        await asyncio.sleep(0.5)  # a word now and then, all through the churn
        one.say(f"word {i}")
    await asyncio.gather(*flapping)
    assert len(two.of("connection")) < 50 + 8 * 5 + 20
    await one.knows("two")
    await two.knows("one")
    await until(lambda: two.contents()[-1:] == ["word 15"], "the last word")
    assert two.contents() == [f"word {i}" for i in range(16)]
    for plugin in (one, two):
        plugin.check()
        plugin.close()
    assert relay.node.metrics()["muster_paced_cut_total"] == 0


def test_who_is_over_the_connection_limit_sees_an_orderly_end(yard):
    relay = RelayYard(yard, address_limit=2)

    one, two = relay.raw(), relay.raw()
    for _ in range(5):
        refused = relay.raw()
        refused.send(encode(handshake("three")))
        assert refused.at_end()
        refused.close()
    one.close(), two.close()


async def test_what_waits_is_told_when_the_node_ends(yard):
    relay = RelayYard(yard, drain="5s")
    one, two = await relay.connect("one"), await relay.connect("two")
    await one.knows("two")
    for i in range(40):
        one.say(str(i))
    await until(lambda: relay.node.metrics()["muster_relay_packets_total"] == 40, "all taken in")
    assert len(two.contents()) < 40
    relay.node.term()
    await two.at_end()
    two.check()
    assert two.contents() == [str(i) for i in range(40)]
    one.close()
    log = relay.node.log()
    assert log.count("relay server joined") == log.count("relay server left") == 2


async def test_who_talks_too_much_is_read_more_slowly(yard):
    relay = RelayYard(yard, relay_rate="50", relay_pacing="off")
    one, two = await relay.connect("one"), relay.raw()
    two.send(encode(handshake("two")))
    await one.knows("two")
    start = asyncio.get_running_loop().time()
    for i in range(200):
        one.say(str(i))
    await until(lambda: relay.node.metrics()["muster_relay_packets_total"] == 200, "all taken in")
    took = asyncio.get_running_loop().time() - start
    assert 1.5 < took < 10  # 100 at a stretch, the others at 50 a second
    one.check()
    one.close(), two.close()


# ---------------------------------------------------------------------------------------------- settings


async def test_networks_know_nothing_of_each_other(yard):
    ports = [free_port() for _ in range(3)]
    node = yard.node(relay=f"eu=127.0.0.1:{ports[0]}, us=127.0.0.1:{ports[1]},eu=127.0.0.1:{ports[2]}",
                     relay_status_token=TOKEN)
    one = await Plugin.connect(ports[0], "one")
    two = await Plugin.connect(ports[1], "two")
    three = await Plugin.connect(ports[2], "three")
    await one.knows("three")
    await three.knows("one")
    await two.knows()
    one.say("in the east")
    await three.hears("in the east")
    assert not two.of("message")
    networks = {n["name"]: n for n in listed(node)["networks"]}
    assert sorted(s["name"] for s in networks["eu"]["servers"]) == ["one", "three"]
    assert [s["name"] for s in networks["us"]["servers"]] == ["two"]
    for plugin in (one, two, three):
        plugin.close()


async def test_a_secret_is_asked_for(yard):
    relay = RelayYard(yard, relay_secret="open sesame")
    for wrong in (None, "", "open", "open sesame ", 5):
        assert is_closed_after(relay, encode(handshake("x", secret=wrong)))
    one = await relay.connect("one", secret="open sesame")
    two = await relay.connect("two", secret="open sesame")
    await one.knows("two")
    assert b"sesame" not in encode(one.packets) + encode(two.packets)
    one.close(), two.close()


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 192.0.2.77 127.0.0.1 40000 1337\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton("192.0.2.77") + socket.inet_aton("127.0.0.1")
    + struct.pack("!HH", 40000, 1337),
])
def test_proxy_header(yard, header):
    relay = RelayYard(yard, relay_proxy="on", trusted_proxies="127.0.0.0/8")
    assert is_closed_after(relay, encode(handshake("x")))
    link = relay.raw()
    link.send_bytewise(header + encode(handshake("behind the balancer")))
    assert link.read(22) == b'{"type":"acknowledge",'
    link.close()
    wait_until(lambda: "peer=192.0.2.77:40000" in relay.node.log(), "the log names the client's own address")


async def test_the_list_needs_its_token(relay):
    one = await relay.connect("one", playerCount=17)
    answer = listed(relay.node)
    assert answer["networks"][0]["name"] == "default"
    assert answer["networks"][0]["addresses"] == [f"127.0.0.1:{relay.port}"]
    server, = answer["networks"][0]["servers"]
    assert server.pop("node")
    assert server == {"identifier": one.identifier, "name": "one", "color": "00aaff", "prefix": "[one]",
                      "playerCount": 17}
    one.close()
    for token in ("", "wrong", TOKEN[:-1], TOKEN + "x"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            listed(relay.node, token)
        assert refused.value.code == 401
        refused.value.close()
    assert relay.node.status("/api/relay") == 401


def test_without_a_token_there_is_no_list(yard):
    node = yard.node()
    assert node.status("/api/relay") == 404


@pytest.mark.parametrize("flag,value", [
    ("--relay", "nonsense"), ("--relay", "a=b=127.0.0.1:1"), ("--relay", "=127.0.0.1:1"), ("--relay", "127.0.0.1:1,"),
    ("--relay-color", "blue"), ("--relay-gap", "0ms"), ("--relay-pacing", "maybe"), ("--relay", "b c=127.0.0.1:1"),
])
def test_bad_settings_are_named(flag, value):
    done = muster("node", "--http", "127.0.0.1:0", "--relay", "", flag, value)
    assert done.returncode != 0 and flag.strip("-") in done.stderr
