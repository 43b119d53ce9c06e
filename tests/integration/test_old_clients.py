# SPDX-License-Identifier: MIT
"""The clients of the servers before, as they are, at two nodes with Redis between; one node is killed. What each of them
needed and did not find at first."""

import asyncio
import contextlib
import json
import re
import shutil
import socket

import pytest

from lib.chat import ChatClient, MinigameClient
from lib.dispatch import RECEIVED, SECRET, Device, Driver, path_of, start_fleet, statistics, until_open
from lib.logs import stored
from lib.machine import Machine
from lib.node import Node
from lib.ports import free_port
from lib.process import Process
from lib.relay import Plugin, start_nodes
from lib.sync import SyncClient, new_session, set_session
from lib.tcp import RawSocket, raw_get
from lib.waiting import until, wait_until, within

HANDSHAKE = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


@pytest.fixture
def pair(yard, redis):
    return yard.fleet([redis.url] * 2, lease="2s", chat_login="development")


def begin_at(yard, host, machine=None, **settings):
    """A node that listens at `host`, on that machine or on this one."""
    node = Node(f"node-{next(yard.numbers)}", yard.folder, lease="2s", **settings)
    node.settings["http"] = f"{host}:{node.port}"
    if machine is not None:
        node.prefix, node.host = machine.inside(), host
    return yard.keep(node).start()


# ---------------------------------------------------------------------------------------------- pings


class Nginx(Process):
    """As operators of the sync server have it: their configuration, but for a shorter time until a silent WebSocket is cut."""

    expected_exit = None
    TEXT = """
daemon off; pid %(folder)s/nginx.pid; error_log stderr;
events {}
http {
    access_log off; client_body_temp_path %(folder)s/b; proxy_temp_path %(folder)s/p; fastcgi_temp_path %(folder)s/f;
    uwsgi_temp_path %(folder)s/u; scgi_temp_path %(folder)s/s;
    proxy_read_timeout 2s;
    server_tokens off;
    server {
        listen 127.0.0.1:%(port)d;
        sendfile off;
        add_header X-Robots-Tag none;
        location / {
            proxy_pass http://muster;
        }
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
    }
    upstream muster {
        ip_hash;
        %(servers)s
    }
}
"""

    def __init__(self, folder, nodes):
        super().__init__("nginx", folder)
        self.port = free_port()
        servers = " ".join(f"server 127.0.0.1:{node.port} max_fails=0;" for node in nodes)
        self.path = folder / "nginx.conf"
        self.path.write_text(self.TEXT % {"folder": folder, "port": self.port, "servers": servers})

    def start(self):
        self.launch(["nginx", "-p", str(self.folder), "-c", str(self.path)])
        wait_until(lambda: self.alive() and self.listens(), "nginx listens")
        return self

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def ws(self, path):
        return f"ws://127.0.0.1:{self.port}{path}"

    def stop(self):
        if self.alive():
            self.popen.terminate()
            self.popen.wait(20)


@pytest.mark.parametrize("pings", [True, False])
async def test_silent_clients_behind_nginx(yard, redis, pings):
    """It cuts a WebSocket on which nothing is said; one of them in five is what is waited for here."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    nodes = yard.fleet([redis.url] * 2, chat_login="development", ws_ping="500ms" if pings else "0")
    front = yard.keep(Nginx(yard.folder, nodes)).start()
    chat = await ChatClient.member(front, "alice")
    game = await MinigameClient.connect(front)
    ended = asyncio.gather(chat.socket.wait_closed(), game.socket.wait_closed())
    if not pings:
        await within(ended, "nginx cuts them")
        return
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(ended), 6)  # thrice the time of nginx: that it passes is what is tested
    assert not ended.done()
    await chat.say("still here")
    assert await chat.texts(1) == ["still here"]
    assert "info" in await game.ask(action="scheduler_info")
    for node in nodes:  # ip_hash: both are on one of them
        if node.metrics()["muster_websockets"]:
            node.kill()
    await within(ended, "their node is dead")
    chat = await ChatClient.member(front, "alice")
    await chat.say("on the other one")
    assert await chat.texts(1) == ["on the other one"]


async def test_a_peer_whose_cable_is_pulled_is_found(yard, redis):
    """Nothing comes of it any more, not even an end: its session hears that it is gone when it answers no ping."""
    machine = yard.keep(Machine("plugin", yard.folder)).start()
    nodes = [begin_at(yard, "0.0.0.0", store=redis.url, ws_ping="500ms", ws_pong="1s").ready() for _ in range(2)]
    session = new_session()
    follower = await SyncClient.member(nodes[1], session)
    program = f"""
import asyncio, websockets
async def main():
    async with websockets.connect("ws://{machine.here}:{nodes[0].port}/connect", ping_interval=None) as link:
        await link.send({set_session(session, True)!r})
        async for message in link:
            print(message, flush=True)
asyncio.run(main())"""
    leader = await asyncio.create_subprocess_exec(*machine.inside(), "/usr/bin/python3", "-c", program, stdout=asyncio.subprocess.PIPE)
    await follower.in_state(2, True)
    machine.pull_out()
    await follower.in_state(1, False)
    assert nodes[0].metrics()["muster_websocket_unanswered_total"] == 1
    nodes[0].kill()
    leader.kill()
    await leader.wait()
    assert await SyncClient.member(nodes[1], session, leader=True)
    await follower.in_state(2, True)


# ---------------------------------------------------------------------------------------------- minigame


def answer_to(node, path):
    """Status and body."""
    head, body = raw_get(node, path)
    return head.split(" ", 2)[1], body


async def test_the_identity_service_and_the_game_client(pair):
    """The webhook is a GET with an empty answer; the list of events is the same on both nodes, and on the one that is left."""
    games = [await MinigameClient.connect(node) for node in pair]
    assert answer_to(pair[0], "/api/webhook/minigame") == ("200", "")
    for game in games:
        assert await game.next() == {"info": "update"}
    players = [await ChatClient.member(pair[1], name) for name in ("p0", "p1")]
    while sorted((await games[0].ask(action="online_players"))["online_players"]) != ["p0", "p1"]:
        await asyncio.sleep(0.05)
    await games[0].send({"action": "scheduler_start", "period": 600, "offset": 300})
    for game in games:
        await game.next_of(lambda message: message.get("info") == "scheduler is running")
    await until(lambda: answer_to(pair[0], "/api/gaming/events") == answer_to(pair[1], "/api/gaming/events"), "the same")
    status, body = answer_to(pair[1], "/api/gaming/events")
    [event] = json.loads(body)
    assert status == "200" and set(event) == {"id", "miniGame", "parameters", "settings", "players", "results", "policyLink"}
    assert {player["id"] for player in event["players"]} == {player["nickname"] for player in event["players"]} == {"p0", "p1"}
    assert set(event["players"][0]) == {"id", "nickname", "paragonAddress"}
    assert set(event["parameters"][0]) == {"startsAt", "registrationStartsAt", "registrationEndsAt", "currency", "entryFee", "rewardPool"}
    pair[0].kill()
    assert json.loads(answer_to(pair[1], "/api/gaming/events")[1]) == [event]
    assert answer_to(pair[1], "/api/webhook/minigame") == ("200", "")
    await games[1].next_of(lambda message: message == {"info": "update"})
    del players


# ---------------------------------------------------------------------------------------------- logs


class Dumper:
    """The newer dumper, which reads slowly: each entry must bear a number, and it goes on from the last one."""

    def __init__(self, node):
        self.link = RawSocket(node.port, receive_buffer=4096)
        self.link.send(f"GET /logs/listen HTTP/1.1\r\nHost: x\r\n{HANDSHAKE}\r\n".encode())
        self.last, self.skipped = 0, 0

    def read(self):
        """The texts of one message's entries; none of a ping, which is answered."""
        head = self.link.read(2)
        size = head[1] & 127
        size = int.from_bytes(self.link.read({126: 2, 127: 8}[size]), "big") if size > 125 else size
        text = self.link.read(size)
        if head[0] & 15 == 9:
            self.link.send(b"\x8a\x80\0\0\0\0")
            return
        for entry in json.loads(text):
            assert self.last < entry["seqNumber"] < 2 ** 53, entry
            self.last = entry["seqNumber"]
            note = re.fullmatch("([0-9]+) entries were skipped here", entry["msg"])
            self.skipped += int(note[1]) if note else 0
            yield entry["msg"]


async def test_the_newer_dumper_outlives_what_it_was_too_slow_for(yard, redis):
    """What it misses is told with the number of the last entry of it, though all of them came in at the other node."""
    a, b = yard.fleet([redis.url] * 2, lease="2s", queue_limit="256k")
    dumper = Dumper(a)
    dumper.link.read_to(b"\r\n\r\n")
    count = 0
    while a.metrics()["muster_logs_skipped_total"] == 0:
        await asyncio.to_thread(stored, b, [{"msg": f"{count + i} {'x' * 20000}"} for i in range(10)])
        count += 10
        assert count < 5000
    b.kill()
    dumper.link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)  # it is quick from now on
    told = []

    def read():
        while not any("skipped here" in text for text in told) or "and on" not in told:
            told.extend(dumper.read())
    reading = asyncio.create_task(asyncio.to_thread(read))
    while not reading.done():  # the note comes with the next entry for which there is room
        await asyncio.to_thread(stored, a, [{"msg": "and on"}])
        await asyncio.wait([reading], timeout=0.2)
    await reading
    filled = sum("xxx" in text for text in told)
    assert filled + dumper.skipped >= count > filled
    dumper.link.close()


# ---------------------------------------------------------------------------------------------- chat, sync and paths


async def test_small_habits(pair):
    """Binary pings, a history without limit, paths in another case."""
    writer = await ChatClient.member(pair[0], "alice")
    for number in range(12):
        await writer.say(str(number))
    await writer.texts(12)
    for alive in (pair, pair[1:]):
        for node in alive:
            plugin = await SyncClient.connect(node)
            await plugin.send(b"ping")
            assert await plugin.receive() == "pong"
            reader = await ChatClient.member(node, "bob")
            assert [entry["message"] for entry in await reader.history(limit=0)] == [str(i) for i in range(11, -1, -1)]
            assert answer_to(node, "/Version") == ("200", "0.1")
            status, icon = answer_to(node, "/favicon.svg")
            assert status == "200" and icon.startswith("<svg ")
        pair[0].kill()


# ---------------------------------------------------------------------------------------------- relay


async def test_colours_as_old_hosts_took_them(yard, redis):
    nodes = start_nodes(yard, [redis.url] * 2)
    one = await Plugin.connect(nodes[1].relay_port, "one")
    for name, given, shown in (("two", "#00aaff", "00aaff"), ("three", "#0af", "00aaff")):
        other = await Plugin.connect(nodes[0].relay_port, name, color=given)
        await until(lambda name=name: name in one.sees() or one.failure, name)
        one.check()
        assert one.of("connection")[-1]["color"] == shown
        assert other.identifier
    nodes[0].kill()
    await one.knows()
    late = await Plugin.connect(nodes[1].relay_port, "late", color="#fa0")
    await one.knows("late")
    assert one.of("connection")[-1]["color"] == "ffaa00"
    one.close(), late.close()


# ---------------------------------------------------------------------------------------------- dispatch


def header_of(head, name):
    found = re.search(rf"(?mi)^{name}: (.*?)\r?$", head)
    return found[1] if found else None


async def test_refusals_and_answers_of_dispatch(yard, redis):
    nodes = start_fleet(yard, [redis.url] * 2)
    for alive in (nodes, nodes[1:]):
        for node in alive:
            head, body = raw_get(node, path_of(80, "127.0.0.1"), HANDSHAKE)
            assert head.startswith("HTTP/1.1 400") and header_of(head, "X-Request-ID")
            error = json.loads(body)
            assert set(error) == {"error", "parameter", "restriction"} and error["parameter"] == "port"
            driver = await Driver.connect(node, free_port())
            assert driver.socket.response_headers["X-Request-ID"], "an upgrade bears it, too"
            await driver.close()
        nodes[0].kill()


async def test_an_accept_that_names_ipv4_within_ipv6(yard, redis):
    nodes = start_fleet(yard, [redis.url] * 2)
    port = free_port()
    driver = await Driver.connect(nodes[1], port, "::ffff:127.5.0.0/16")
    await until_open(nodes, port)
    for node in nodes:
        stranger = await Device.connect(node, port, source="127.6.0.1")
        assert await stranger.at_end()
        device = await Device.connect(node, port, source="127.5.0.1")
        assert (await driver.next()).ip == "127.5.0.1"
        device.close()
        await driver.next()
    nodes[0].kill()
    device = await Device.connect(nodes[1], port, source="127.5.0.2")
    assert (await driver.next()).ip == "127.5.0.2"
    device.close()
    await driver.close()


class Connected:
    """A UDP device that hears only the address that it asked."""

    def __init__(self, address, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect((address, port))

    async def hears(self):
        return await within(asyncio.get_running_loop().sock_recv(self.socket, 2048), "a datagram")


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
async def test_a_write_from_another_node_leaves_from_the_address_that_was_asked(yard, wildcard):
    """The device is at one node, the driver at another, on a machine of its own; then at the node that is left."""
    machine = yard.keep(Machine("machine", yard.folder)).start()
    redis = yard.redis("--bind", "127.0.0.1", machine.here, "--protected-mode", "no")
    port = free_port()
    settings = {"dispatch_ports": str(port), "dispatch_secret": SECRET}
    near = yard.begin(store=redis.url, lease="2s", dispatch_bind=wildcard, **settings)
    away = begin_at(yard, machine.own, machine, store=f"redis://{machine.here}:{redis.port}", dispatch_bind=machine.own, **settings)
    near.ready(), away.ready()
    driver = await Driver.connect(away, port, proto="udp")
    await until(lambda: statistics(near)["udp_listeners"] == {str(port): 1}, "it is open there, too")
    device = Connected("127.5.6.7", port)
    device.socket.send(b"hello")
    frame = await driver.expect(RECEIVED)
    await driver.write(frame, b"answer")
    assert await device.hears() == b"answer"
    away.kill()
    driver = await Driver.connect(near, port, proto="udp")
    device.socket.send(b"again")
    frame = await driver.expect(RECEIVED)
    await driver.write(frame, b"answer again")
    assert await device.hears() == b"answer again"
    device.socket.close()
    await driver.close()
