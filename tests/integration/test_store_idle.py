# SPDX-License-Identifier: MIT
"""A fleet in which nobody says anything wakes Redis once a beat for each node: what is due goes in one write, and what
nobody sees, or cannot have changed, is seldom said or asked."""

import asyncio
import hashlib
import json
import time
from pathlib import Path

from lib.logs import Listener
from lib.proxy import Proxy
from lib.waiting import until, wait_until
from lib.ws import Client

LEASE_BEAT = b"\r\nmuster:n\r\n"
BEATS = 12
SCRIPTS = Path(__file__).parents[2] / "store/redis"
PART = "muster:{bv}:s"  # part 1 of the stream, with the prefix that is the default


def sha(name, fenced=True):
    text = (SCRIPTS / "fence.lua").read_bytes() if fenced else b""
    return hashlib.sha1(text + (SCRIPTS / f"{name}.lua").read_bytes()).hexdigest().encode()


ROSTER, STATE, PARTS = sha("roster"), sha("stream_state"), sha("stream_parts", fenced=False)


class Counter(Proxy):
    """Keeps what came in one piece from the connection for commands."""

    def __init__(self, *args):
        super().__init__(*args)
        self.pieces = {}

    def on_up(self, link, data):
        self.pieces.setdefault(link, []).append(data)
        return data

    def between_beats(self):
        """From the third lease beat to the last one, which is not among them."""
        for pieces in self.pieces.values():
            at = [i for i, piece in enumerate(pieces) if LEASE_BEAT in piece]
            if len(at) > BEATS + 2:
                return pieces[at[2]:at[-1]]
        return None

    def forget(self):
        self.pieces = {link: [] for link in self.pieces}

    def said(self, *words):
        """How often a command with all these words came."""
        return sum(all(word in command for word in words) for pieces in self.pieces.values()
                   for command in b"".join(pieces).split(b"\r\n*"))


def counted(yard, redis):
    proxy = yard.keep(Counter(redis.port)).start()
    return proxy, *yard.fleet([proxy.url, redis.url])


def test_what_is_due_goes_in_one_write(yard, redis):
    proxy, *_ = counted(yard, redis)
    wait_until(proxy.between_beats, f"{BEATS} beats", 60)
    pieces = proxy.between_beats()
    beats = sum(LEASE_BEAT in piece for piece in pieces)
    assert len(pieces) <= 1.6 * beats, "what the stream and the server are asked goes alone"


def beats_pass(proxy, count):
    before = proxy.said(LEASE_BEAT)
    wait_until(lambda: proxy.said(LEASE_BEAT) >= before + count, f"{count} beats", 60)


def figures_told(proxy):
    return proxy.said(ROSTER, b":r:nodes", b'"figures":')


async def test_figures_are_told_while_somebody_looks(yard, redis):
    proxy, node, other = counted(yard, redis)
    beats_pass(proxy, 5)  # it says that it is well
    proxy.forget()
    beats_pass(proxy, 14)
    assert figures_told(proxy) <= 2, "nobody looks: every ten seconds"
    viewer = await Client.connect(other, "/api/status/live")
    proxy.forget()
    await asyncio.to_thread(beats_pass, proxy, 14)
    assert figures_told(proxy) >= 4, "a page is open on the other node: every two seconds"
    await viewer.close()
    await until(lambda: proxy.said(LEASE_BEAT) > 28, "the page was closed a while ago", 60)
    proxy.forget()
    await asyncio.to_thread(beats_pass, proxy, 14)
    assert figures_told(proxy) <= 2, "nobody looks any more"


def test_who_asks_once_gets_figures_of_now(yard, redis):
    proxy, node, other = counted(yard, redis)
    beats_pass(proxy, 5)
    ages = []
    for _ in range(3):
        proxy.forget()
        beats_pass(proxy, 3)  # what was told last may be of any age, and so may be what it was told
        answer = json.loads(other.get("/api/status")[1])
        ages += [answer["time"] - one["time"] for one in answer["nodes"]]
    assert len(ages) == 6
    assert max(ages) < 700, "each node was asked"


def test_a_node_that_is_away_holds_nobody_up(yard, redis):
    proxy, node, other = counted(yard, redis)
    beats_pass(proxy, 5)
    node.pause()
    began = time.monotonic()
    answer = json.loads(other.get("/api/status")[1])
    taken = time.monotonic() - began
    node.cont()
    assert taken < 2 and len(answer["nodes"]) == 2, "its figures are there, with their time"


def asked_alone(proxy):
    """Of parts of the stream, but for the first one."""
    return proxy.said(STATE) - proxy.said(STATE, b"muster:{06}:s\r\n")


async def test_parts_that_are_not_there_are_asked_for_at_once(yard, redis):
    proxy, node, other = counted(yard, redis)
    listener = await Listener.join(node)
    await asyncio.to_thread(beats_pass, proxy, 12)
    proxy.forget()
    await asyncio.to_thread(beats_pass, proxy, 14)
    assert proxy.said(STATE) >= 1 and asked_alone(proxy) == 0, "on one server nobody writes to the others"
    assert 1 <= proxy.said(PARTS) <= 5, "all of them, with one question in four beats"
    await listener.close()


async def test_a_part_that_comes_to_be_is_heard(yard, redis):
    """A node that still has a list of two servers may write there, while this one knows of one."""
    proxy, node, other = counted(yard, redis)
    listener = await Listener.join(node)
    await asyncio.to_thread(beats_pass, proxy, 12)
    seq = str(int(time.time() * 1e6) // 16 * 16 + 1)
    redis.ask("HSET", PART, "v", "1", "id", "0123456789abcdef", "t", "-", "last", seq, "lanes", "2", "a1", "1", "nfar", f"1 {seq[:10]} 0")
    body = json.dumps({"msg": "from afar", "user": "far", "time": 1})
    redis.ask("XADD", f"{PART}:1", f"{seq}-1", "room", body, "far", "1.0")
    began = time.monotonic()
    await until(lambda: any("afar" in str(entry) for entry in listener.entries()), "the entry", 20)
    assert time.monotonic() - began < 8
    await listener.close()
