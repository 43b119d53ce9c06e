# SPDX-License-Identifier: MIT
"""A fleet that carries something of everything, for the tests of its page and of /api/status."""

import json
import socket
import time

from lib.chat import ChatClient
from lib.dispatch import Device, Driver, node_settings
from lib.ports import free_port
from lib.process import ROOT
from lib.relay import Plugin
from lib.store import key
from lib.sync import SyncClient, members
from lib.waiting import until, wait_until

HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


def start_fleet(yard, store, count=3, **settings):
    """Nodes of every service; each has `relay_port`, `bind` for devices, and `tracker_port`."""
    nodes = []
    for number in range(count):
        relay_port, tracker_port = free_port(), free_port()
        node = yard.begin(store=store, lease="2s", relay=f"127.0.0.1:{relay_port},island=127.0.0.1:{free_port()}",
                          relay_joins=0, tracker=f"127.0.0.1:{tracker_port}", chat_login="development",
                          **node_settings(number), **settings)
        node.relay_port, node.tracker_port, node.bind = relay_port, tracker_port, f"127.0.0.{number + 1}"
        nodes.append(node)
    return [node.ready() for node in nodes]


def pulse(node, count):
    """So many peers ask the node's tracker; resent until each is answered, as UDP is."""
    for _ in range(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(0.5)

            def answered(peer=peer):
                peer.sendto(b'{"action":"announce"}', ("127.0.0.1", node.tracker_port))
                try:
                    return peer.recv(2048)
                except socket.timeout:
                    return None
            wait_until(answered, "the tracker answers")


class Load:
    """Clients on three nodes; what they are is known to the test."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.session = "the session's own id"
        self.port = free_port()
        self.clients, self.devices, self.plugins, self.chatters = [], [], [], []

    async def start(self):
        first, second, third = self.nodes
        self.clients = await members(self.nodes, self.session, leaders=[0])
        self.clients.append(await SyncClient.member(first, "another session"))
        self.plugins = [await Plugin.connect(first.relay_port, HOSTILE, playerCount=7),
                        await Plugin.connect(second.relay_port, "Beta", playerCount=2),
                        await Plugin.connect(third.relay_port, "Gamma", playerCount=0)]
        self.driver = await Driver.connect(third, self.port)
        self.clients.append(self.driver)
        self.devices = [await self.device(node) for node in (first, first, second)]
        self.chatters = [await ChatClient.member(node, name) for node, name in
                         ((first, HOSTILE), (second, "Ada"), (second, "Silent"))]
        for chatter in self.chatters[:2]:
            await chatter.say("hello")
            await until(lambda node=first: node.metrics()["muster_chat_messages_total"] > 0, "it was said")
        pulse(second, 12)
        return self

    async def device(self, node):
        async def opened():
            try:
                return await Device.connect(node, self.port, source=node.bind)
            except OSError:
                return None
        for _ in range(1000):
            device = await opened()
            if device:
                return device
            await until(lambda: True, "")
        raise AssertionError(f"{node.name} never opened {self.port}")

    def driver_address(self):
        host, port = self.driver.socket.transport.get_extra_info("sockname")[:2]
        return f"{host}:{port}"

    async def stop(self):
        for device in self.devices:
            device.close()
        for plugin in self.plugins:
            plugin.close()
        for client in (*self.clients, *self.chatters):
            if hasattr(client, "vanish"):
                client.vanish()


# ------------------------------------------------------------------- nodes that only the roster knows

def full_lists(number):
    """The most that a node tells."""
    return {"sessions": {"rows": [{"id": f"{number:04x}{row:04x}", "members": 2 + (number * row) % 40, "leader": row % 3 > 0,
                                   "nodes": 1 + row % 3} for row in range(32)], "more": 100},
            "chat": {"rows": [{"name": f"Player {number}-{row} of the long name"} for row in range(32)], "more": 68},
            "relay": {"rows": [{"name": name, "addresses": ["0.0.0.0:1337"], "more": 5,
                                "servers": [{"name": f"{name} {number}-{row}", "players": row} for row in range(32)]}
                               for name in ("survival", "creative")], "more": 0},
            "ports": {"rows": [{"port": 6000 + (number * 7 + row) % 400, "open": True,
                                **({"proto": "tcp", "devices": row} if row % 4 else {"proto": "udp"}),
                                "drivers": [f"10.1.{number}.{row}:{50000 + row}"], "more": 0}
                               for row in range(32)], "more": 10}}


def claim(redis, member, value):
    script = (ROOT / "store/redis/roster.lua").read_text()
    # A token of 0 is nobody's lease: it lives as long as the key.
    answer = redis.command("EVAL", script, "1", key("r", "nodes"), "PUBLISH", key("w", "nodes"), "60000", "", "", "0", "+", member,
                           json.dumps(value))
    assert not answer.startswith(b"-"), answer


def say_as_node(redis, number, figures):
    """What a node says of itself; `figures` are a real node's, so that their number is right."""
    now = int(time.time() * 1000)
    claim(redis, f"far-{number:02}", {
        "name": f"far-{number:02}", "kind": "node", "version": "0.1.0", "started": now // 1000 - 86400 * number, "time": now,
        "state": "well", "figures": {**figures, "muster_connections": 100 * number, "process_resident_memory_bytes": 5 << 20,
                                     "muster_websocket_messages_received_total": int(time.time() * number),
                                     "muster_sync_sessions_first": 132, "muster_sync_members": 400, "muster_relay_servers": 74}})


def say_lists_as_node(redis, number, lists):
    claim(redis, f"far-{number:02} lists", lists)
