# SPDX-License-Identifier: MIT
"""docs/migrate.md, walked through: of each section the commands in their order, side by side with a stand-in for the old
server, the switch, a node that dies, and the way back."""

import asyncio
import json
import pathlib
import re
import shlex

import pytest
import websockets

from lib.accounts import AccountService
from lib.chat import ChatClient
from lib.dispatch import CLOSED, OPENED, RECEIVED, Device, Driver, pack, unpack, until_open
from lib.logs import Listener, stored
from lib.node import Node, Sink
from lib.ports import free_port
from lib.postgres import Postgres
from lib.process import muster
from lib.proxy import Proxy
from lib.relay import Plugin
from lib.sync import SyncClient, new_session
from lib.tokens import Key
from lib.tracker import Peer
from lib.waiting import until, wait_until, within
from test_logs_from import Speaker, entry
from test_relay_upstream import OldHost
from test_tracker import UNKNOWN, OldTracker, udp_port

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/migrate.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
REDIS = "redis://127.0.0.1:6379"


class Steps:
    """The commands of a section, one after the other; `places` has what is put for its examples."""

    def __init__(self, yard, section, places):
        self.yard, self.places = yard, places
        block = re.search(r"^```console\n(.*?)^```", SECTIONS[section], re.M | re.S)[1]
        self.lines = [line.removeprefix("$ ") for line in block.splitlines()]

    def next(self, verb, at=0):
        """The flags of the next command (or the one `at` places on), which is of that verb."""
        program, found, *words = shlex.split(self.lines[at])
        assert (program, found) == ("muster", verb), self.lines[at]
        for example, real in self.places.items():
            words = [word.replace(example, real) for word in words]
        return words

    def done(self, verb):
        flags = self.next(verb)
        self.lines.pop(0)
        return flags

    def run(self, verb):
        """To its end; nothing may be wrong."""
        flags = self.done(verb)
        result = muster(verb, *flags, deadline=60)
        assert result.returncode == 0 or verb == "check" and result.returncode == 1, result  # 1: it warns
        assert "error" not in (result.stdout + result.stderr).split(), result

    def begin(self, verb, flags, **more):
        """A node or a sink with these flags."""
        settings = {flag.removeprefix("--").replace("-", "_"): value for flag, value in zip(flags[::2], flags[1::2])}
        thing = (Node if verb == "node" else Sink)(f"{verb}-{len(self.yard.started)}", self.yard.folder, **settings, **more)
        return self.yard.keep(thing).start()

    def fleet(self, flags, **more):
        """Two nodes by one command."""
        nodes = [self.begin("node", flags, lease="2s", **more) for _ in range(2)]
        return [node.ready() for node in nodes]


def test_the_check_for_all(redis):
    [command] = re.search(r"^```console\n\$ (.*?)\n```", PAGE.split("\n## ")[0], re.M | re.S).groups()
    program, *words = shlex.split(command.replace(REDIS, redis.url))
    done = muster(*words)
    assert program == "muster" and done.returncode in (0, 1) and not done.stderr, done


class OldSockets:
    """An old server's WebSockets: `answer(message)` gives what is said to whom asked, or to all."""

    def __init__(self, answer, to_all=()):
        self.answer, self.to_all, self.port, self.links = answer, to_all, free_port(), set()

    async def start(self):
        self.server = await websockets.serve(self.serve, "127.0.0.1", self.port)
        return self

    async def serve(self, link, _):
        self.links.add(link)
        try:
            async for text in link:
                message = json.loads(text)
                for other in list(self.links) if message.get("action") in self.to_all else [link]:
                    await other.send(json.dumps(self.answer(message)))
        finally:
            self.links.discard(link)

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


async def test_chat(yard, redis):
    def answer(message):
        return {"info": "connected"} if message["action"] == "login" else {
            "user_id": "HL1", "timestamp": 1, "message": message["message"], "nickname": "Hero HL1"}
    key, accounts = Key(), AccountService().start()
    yard.keep(accounts)
    old = await OldSockets(answer, to_all=("message",)).start()
    front = yard.keep(Proxy(old.port)).start()
    steps = Steps(yard, "Chat and minigame", {REDIS: redis.url, "identity.pem": str(key.pem_file(yard.folder)),
                                              "http://accounts.example": accounts.url})

    async def talks(text):
        game = await ChatClient.member(front, key.token("HL1"))
        await game.say(text)
        heard = await game.next()
        assert (heard["message"], heard["nickname"], heard["user_id"]) == (text, "Hero HL1", "HL1")
        return game
    await talks("before")
    steps.run("check")
    a, b = steps.fleet(steps.done("node"))
    game = await talks("side by side")
    front.move(a.port)
    await within(game.socket.wait_closed(), "its client sees an end, and comes again")
    game = await talks("switched")
    assert json.loads(a.get("/api/version")[1])["env"] == "PRODUCTION"
    assert [message["message"] for message in await game.history(limit=0)] == ["switched"]
    a.kill()
    await within(game.socket.wait_closed(), "its node is dead")
    front.move(b.port)
    game = await talks("on the other node")
    b.term()
    await within(game.socket.wait_closed(), "the way back")
    assert game.socket.close_code == 1001
    front.move(old.port)
    await talks("back")
    assert not steps.lines
    await old.stop()


async def test_relay(yard, redis):
    old = await OldHost().start()
    steps = Steps(yard, "Cross-server chat", {REDIS: redis.url, "old.example:1337": f"127.0.0.1:{old.port}"})

    def node(at):
        """By the next command but so many, with a port of its own."""
        port = free_port()
        flags = [flag.replace("0.0.0.0:1337", f"127.0.0.1:{port}") for flag in steps.next("node", at)]
        started = steps.begin("node", flags, lease="2s", relay_gap="100ms").ready()  # all share this process
        started.relay_port = port
        return started
    steps.run("check")
    bridge, other = node(0), node(1)
    await until(lambda: old.names() == ["Lobby"], "the bridge is there")
    stays, moved = await Plugin.connect(old.port, "stays"), await Plugin.connect(other.relay_port, "moved")
    await moved.knows("Old lobby", "stays")
    assert moved.host["name"] == "Lobby" and moved.host["color"] == "00aaff" and moved.host["prefix"] == "[L]"
    await stays.knows("Lobby", "moved")
    stays.say("from the old side")
    await moved.hears("from the old side")
    moved.say("from the new side")
    await stays.hears("from the new side")
    stays.close()
    last = await Plugin.connect(bridge.relay_port, "stays")
    await last.knows("Old lobby", "moved")
    bridge.term()
    assert await asyncio.to_thread(bridge.popen.wait, 20) == 0
    await old.stop()
    again = await asyncio.to_thread(node, 1)  # the bridge's node without relay-upstream; those who stay go on reading
    last = await Plugin.connect(again.relay_port, "stays")
    await moved.knows("stays")
    last.say("switched")
    await moved.hears("switched")
    again.kill()
    await moved.knows()
    await old.start()
    back = [await Plugin.connect(old.port, "moved")]
    await until(lambda: old.names() == ["moved"], "it is back")
    back.append(await Plugin.connect(old.port, "stays"))
    await back[0].knows("stays")
    back[0].say("back")
    await back[1].hears("back")
    for plugin in [moved, *back]:
        plugin.check()
        plugin.close()
    assert old.failure is None
    await old.stop()


def test_tracker(yard, redis):
    old = yard.keep(OldTracker("sobani"))
    steps = Steps(yard, "Peer tracker", {REDIS: redis.url, "old.example:3000": f"127.0.0.1:{old.server_address[1]}"})

    def node():
        port, documented = udp_port(), udp_port()
        flags = [flag.replace("0.0.0.0:3000", f"127.0.0.1:{port}").replace("0.0.0.0:3001", f"127.0.0.1:{documented}")
                 for flag in steps.next("node")]
        started = steps.begin("node", flags, lease="2s").ready()
        started.tracker_port = port
        return started
    steps.run("check")
    a, b = node(), node()
    for started in (a, b):
        wait_until(lambda started=started: "forwards" in started.log(), "the old tracker's address is known")
    with Peer(a) as peer, Peer(b) as moved:
        moved_id = moved.announce()
        peer.announce()
        assert peer.push("OldPeer1")["peeraddr"] == "192.0.2.1:7000", "one that has not moved"
        assert peer.push(moved_id)["peeraddr"] == moved.address
        assert a.metrics()['muster_tracker_forwarded_total{result="found"}'] == 1
        a.kill()
        assert peer.alive(b) and peer.push(moved_id, b)["peeraddr"] == moved.address
        steps.done("node")
        c = node()
        b.term()
        assert b.popen.wait(20) == 0
        asked = len(old.asked)
        assert moved.alive(c) and peer.alive(c) and peer.push(moved_id, c)["peeraddr"] == moved.address
        assert peer.push("OldPeer1", c) == UNKNOWN and len(old.asked) == asked
        old.tracker_port = old.server_address[1]
        assert peer.ask("announce", old)["data"]["shareId"] == "Bridge00", "the way back"
    steps.done("node")
    assert not steps.lines


class OldDispatch:
    """A driver's port on an address of its own; one device at a time."""

    def __init__(self, bind):
        self.bind, self.port, self.device = bind, free_port(), None

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    async def start(self):
        self.server = await websockets.serve(self.serve, "127.0.0.1", self.port)
        return self

    async def serve(self, link, path):
        async def on_device(reader, writer):
            self.device = writer
            await link.send(pack(OPENED, "127.0.0.1", 0))
            while data := await reader.read(2048):
                await link.send(pack(RECEIVED, "127.0.0.1", 0, data))
            await link.send(pack(CLOSED, "127.0.0.1", 0))
        listening = await asyncio.start_server(on_device, self.bind, int(re.search("port=([0-9]+)", path)[1]))
        async for message in link:
            self.device.write(unpack(message).data)
        listening.close()

    async def stop(self):
        self.server.close()
        await self.server.wait_closed()


async def test_dispatch(yard, redis):
    old = await OldDispatch("127.67.0.9").start()
    steps = Steps(yard, "Server dispatch", {REDIS: redis.url})
    steps.run("check")
    flags, nodes = steps.done("node"), []
    for number in (1, 2):
        nodes.append(steps.begin("node", flags, lease="2s", dispatch_bind=f"127.67.0.{number}").ready())
        nodes[-1].bind = f"127.67.0.{number}"

    async def talk(driver, server):
        device = await Device.connect(server, 2020)
        opened = await driver.expect(OPENED)
        await device.send(b"PWR?")
        assert (await driver.expect(RECEIVED)).data == b"PWR?"
        await driver.write(opened, b"ON")
        assert await device.read(2) == b"ON"
        device.close()
        await driver.expect(CLOSED)
    before = await Driver.connect(old, 2020, "127.0.0.1")
    await talk(before, old)
    after = await Driver.connect(nodes[0], 2020, "127.0.0.1", token="a-secret-of-yours")
    await until_open(nodes, 2020)
    await talk(before, old)
    for node in nodes:
        await talk(after, node)
    await before.close()
    await old.stop()
    nodes[0].kill()
    after = await Driver.connect(nodes[1], 2020, "127.0.0.1", token="a-secret-of-yours")
    await talk(after, nodes[1])
    await old.start()
    back = await Driver.connect(old, 2020, "127.0.0.1")
    await talk(back, old)
    await after.close(), await back.close()
    assert not steps.lines
    await old.stop()


@pytest.fixture
def postgres(yard):
    return yard.keep(Postgres("postgres", yard.folder)).make().start()


async def test_sync_and_logs(yard, redis, postgres):
    def answer(message):
        return {"type": "SessionState", "playersCount": 1, "leaderConnected": message["isLeader"]}
    old, old_logs = await OldSockets(answer).start(), yard.keep(Speaker())
    front, session = yard.keep(Proxy(old.port)).start(), new_session()
    steps = Steps(yard, "Session sync and logs", {REDIS: redis.url, "postgresql://127.0.0.1/logs": postgres.uri,
                                                  "old.example": f"127.0.0.1:{old_logs.port}"})

    def rows(*texts):
        wait_until(lambda: postgres.value("select string_agg(msg, ' ' order by msg) from log_entry where user_name is null")
                   == " ".join(sorted(texts)), f"the table has {texts}")
    plugin = await SyncClient.member(front, session, leader=True)
    steps.run("check")
    a, b = steps.fleet(steps.done("node"))
    steps.run("migrate")
    dumper = steps.begin("sink", steps.done("sink")).ready()
    old_logs.say(entry(1, msg="alone"))
    rows("alone")
    yard.dismiss(dumper)
    mirror = steps.begin("sink", steps.done("sink")).ready()
    viewer = await Listener.join(b)
    await until(lambda: old_logs.links, "it listens")
    old_logs.say(entry(2, msg="theirs"))
    await asyncio.to_thread(stored, a, [{"msg": "ours"}])
    await until(lambda: {"theirs", "ours"} <= set(viewer.texts()), "one viewer shows both")
    rows("alone", "ours", "theirs")
    front.move(a.port)
    await within(plugin.socket.wait_closed(), "plugins come with the name")
    leader, follower = await SyncClient.member(front, session, leader=True), await SyncClient.member(b, session)
    await leader.in_state(2, True)
    yard.dismiss(mirror)
    steps.begin("sink", steps.done("sink")).ready()
    a.kill()
    await follower.in_state(1, False)
    front.move(b.port)
    leader = await SyncClient.member(front, session, leader=True)
    await follower.in_state(2, True)
    await asyncio.to_thread(stored, b, [{"msg": "switched"}])
    rows("alone", "ours", "switched", "theirs")
    front.move(old.port)
    await within(leader.socket.wait_closed(), "the way back")
    assert await SyncClient.member(front, session, leader=True)
    rows("alone", "ours", "switched", "theirs")
    assert not steps.lines
    await viewer.close()
    await old.stop()
