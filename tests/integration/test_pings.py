# SPDX-License-Identifier: MIT
"""The server pings silent WebSockets, and closes those that answer none."""

import asyncio

import pytest
import websockets

from lib.dispatch import path_of, start_node
from lib.waiting import until


class Mute(websockets.WebSocketClientProtocol):
    """Reads, and answers no ping."""

    async def pong(self, data=b""):
        pass


PATHS = ("/connect", "/chat", "/minigame", "/logs/listen", path_of(6000, "127.0.0.1"))


@pytest.mark.parametrize("pong", ["400ms", "30s"])
async def test_a_silent_peer_is_pinged_and_one_that_answers_stays(yard, pong):
    """As often as `ws-ping` says, however long it may think."""
    node = start_node(yard, ws_ping="400ms", ws_pong=pong, chat_login="development", dispatch_ports="6000-6999")
    pings = []

    class Counting(websockets.WebSocketClientProtocol):
        async def pong(self, data=b""):
            pings.append(data)
            await super().pong(data)
    for path in PATHS:
        pings.clear()
        async with websockets.connect(node.ws(path), create_protocol=Counting, ping_interval=None) as socket:
            await until(lambda: len(pings) >= 4, f"pings on {path}")
            assert socket.open
    assert node.metrics()["muster_websocket_unanswered_total"] == 0


async def test_a_peer_that_answers_no_ping_is_closed(yard):
    node = yard.node(ws_ping="400ms", ws_pong="300ms")
    async with websockets.connect(node.ws("/connect"), create_protocol=Mute, ping_interval=None) as socket:
        await asyncio.wait_for(socket.wait_closed(), 20)
        assert (socket.close_code, socket.close_reason) == (1001, "no answer to a ping")
    assert node.metrics()["muster_websocket_unanswered_total"] == 1


async def test_a_node_that_stood_still_blames_nobody(yard):
    node = yard.node(ws_ping="500ms", ws_pong="500ms")
    async with websockets.connect(node.ws("/connect"), ping_interval=None) as socket:
        node.pause()
        await asyncio.sleep(2)  # what is tested is that this time passes
        node.cont()
        for _ in range(3):
            await socket.send("ping")
            assert await asyncio.wait_for(socket.recv(), 5) == "pong"
            await asyncio.sleep(0.4)
    assert node.metrics()["muster_websocket_unanswered_total"] == 0


async def test_no_pings_when_there_shall_be_none(yard):
    node = yard.node(ws_ping="0", ws_pong="100ms")
    async with websockets.connect(node.ws("/connect"), create_protocol=Mute, ping_interval=None) as socket:
        await asyncio.sleep(1)  # ten times the time for an answer
        await socket.send("ping")
        assert await asyncio.wait_for(socket.recv(), 5) == "pong"
