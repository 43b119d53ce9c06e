# SPDX-License-Identifier: MIT
"""An old host of the cross-server chat beside Muster: game servers move one by one and hear each other all the time."""

import asyncio
import json

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.relay import Plugin, packets_of, stillness
from lib.waiting import until


class OldHost:
    """The plugin with `hosting` on: one read is one packet, and what a client says is relayed as it says it."""

    LOOK = {"name": "Old lobby", "color": "aa0000", "prefix": "[o]"}

    def __init__(self, looks=(LOOK,)):
        """`looks`: of the host among the servers that it names."""
        self.looks = looks
        self.clients, self.next, self.failure, self.heard = {}, 1, None, []
        self.coming = asyncio.Lock()  # one at a time: of two neither would hear of the other
        self.port = free_port()

    async def start(self):
        stillness.watch()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        return self

    def tell(self, packet, but=None):
        for number, (writer, _) in self.clients.items():
            if number != but:
                writer.write(json.dumps(packet).encode())

    async def welcome(self, number, packet, writer):
        look = {key: packet[key] for key in self.LOOK}
        async with self.coming:
            there = [*({"identifier": 0, **its} for its in self.looks), *({"identifier": i, **other} for i, (_, other) in self.clients.items())]
            writer.write(json.dumps({"type": "acknowledge", "identifier": number, "hostIdentifier": 0,
                                     "connections": there, "playerCount": 1}).encode())
            await asyncio.sleep(0.05)  # what comes in one read would be no packet to the clients
            self.tell({"type": "connection", "identifier": number, "playerCount": packet["playerCount"], **look})
            self.clients[number] = (writer, look)

    async def serve(self, reader, writer):
        number = None
        try:
            while data := await reader.read(65536):
                # Two in one read are its end, but where this process did not come to read.
                first, *more = packets_of(data) if stillness.stood() else [data]
                packet = json.loads(first)
                for late in map(json.loads, more):
                    self.heard.append(late)
                    self.tell(late, number)
                if number is None:
                    assert packet["type"] == "handshake" and packet["version"] == 1, packet
                    number, self.next = self.next, self.next + 1
                    await self.welcome(number, packet, writer)
                else:
                    self.heard.append(packet)
                    self.tell(packet, number)
        except (ValueError, AssertionError, KeyError) as error:
            self.failure = error
        except ConnectionError:
            pass
        self.clients.pop(number, None)
        if number is not None:
            self.tell({"type": "disconnect", "identifier": number})
        writer.close()

    def names(self):
        return sorted(look["name"] for _, look in self.clients.values())

    async def stop(self):
        self.server.close()
        for writer, _ in list(self.clients.values()):
            writer.close()
        await self.server.wait_closed()


async def join(port, name):
    return await Plugin.connect(port, name)


async def test_game_servers_move_one_by_one(yard, redis):
    old = await OldHost().start()
    ports = [free_port(), free_port()]
    bridge, other = (yard.begin(store=redis.url, lease="2s", relay=f"127.0.0.1:{port}",
                                relay_upstream=f"127.0.0.1:{old.port}" if port == ports[0] else "") for port in ports)
    bridge.ready(), other.ready()
    stays, moved = await join(old.port, "stays"), await join(ports[1], "moved")
    await until(lambda: old.names() == ["Muster", "moved", "stays"], "the old host has ours")
    await moved.knows("Old lobby", "stays")
    assert [(s["color"], s["prefix"]) for s in moved.servers.values() if s["name"] == "Old lobby"] == [("aa0000", "[o]")]
    moved.say("from the new side")
    await stays.hears("from the new side")
    [packet] = stays.of("message")
    assert stays.servers[packet["identifier"]]["name"] == "moved"
    stays.say("from the old side")
    await moved.hears("from the old side")
    [packet] = moved.of("message")
    assert moved.servers[packet["identifier"]]["name"] == "stays"
    old.tell({"type": "message", "identifier": 0, "username": "op", "content": "from the host"})
    await moved.hears("from the host")
    assert moved.servers[moved.of("message")[-1]["identifier"]]["name"] == "Old lobby"
    assert moved.contents() == ["from the old side", "from the host"] and stays.contents()[0] == "from the new side"
    stays.close()
    await moved.knows("Old lobby")
    back = await join(ports[1], "stays")
    await back.knows("Old lobby", "moved")
    await until(lambda: old.names() == ["Muster", "moved", "stays"], "it has moved")
    for number in range(20):
        moved.say(f"quick {number}")  # each is a packet of its own there, too
    await until(lambda: len([p for p in old.heard if p["content"].startswith("quick")]) == 20, "all are heard")
    assert old.failure is None
    bridge.kill()
    await moved.knows("stays")
    await until(lambda: old.names() == [], "the old host sees them go")
    back.check(), moved.check()
    for plugin in (back, moved):
        plugin.close()
    await old.stop()


@pytest.mark.parametrize("looks, name", [
    ((), "Host"), ((OldHost.LOOK, {**OldHost.LOOK, "name": "Again"}), "Again"), (({"name": 7},), ""),
])
async def test_an_old_host_that_says_its_look_twice_or_not_at_all(yard, looks, name):
    old = await OldHost(looks).start()
    port = free_port()
    yard.node(relay=f"127.0.0.1:{port}", relay_upstream=f"127.0.0.1:{old.port}")
    moved = await join(port, "moved")
    await moved.knows(name)
    while not moved.of("message"):  # what it says before the bridge has been welcomed is heard by nobody
        old.tell({"type": "message", "identifier": 0, "username": "op", "content": "from the host"})
        await asyncio.sleep(0.3)
    assert moved.servers[moved.of("message")[-1]["identifier"]]["name"] == name
    moved.check()
    moved.close()
    assert old.failure is None
    await old.stop()


async def test_an_old_host_that_goes_and_comes_back(yard):
    old = await OldHost().start()
    port = free_port()
    node = yard.node(relay=f"n=127.0.0.1:{port}", relay_secret="s3cret", relay_upstream=f"n=localhost:{old.port}")
    ours = await Plugin.connect(port, "ours", secret="s3cret")
    theirs = await join(old.port, "theirs")
    await ours.knows("Old lobby", "theirs")
    await old.stop()
    await ours.knows()
    await old.start()
    await ours.knows("Old lobby")
    assert "relay upstream lost" in node.log() and old.failure is None
    theirs.close()
    ours.close()
    await old.stop()


@pytest.mark.parametrize("value", ["old", "old:0", "n=", ":5", "n=old:x"])
def test_a_bad_address_is_named(value):
    answer = muster("check", "--relay-upstream", value)
    assert answer.returncode == 2 and "--relay-upstream" in answer.stdout


def test_several_workers_would_bridge_several_times():
    answer = muster("check", "--relay-upstream", "old:1337", "--workers", "2", "--store", "redis://127.0.0.1:1", "--admin", "127.0.0.1:9999")
    assert "one process of the fleet" in answer.stdout + answer.stderr
