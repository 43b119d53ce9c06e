# SPDX-License-Identifier: MIT
"""A node that is told to end cuts nobody short: what was asked is answered, and what was said is carried out."""

import json
import resource
import socket
import threading
import time

import pytest

from lib.chat import ChatClient
from lib.frames import CLOSE, TEXT, RawWebSocket, close_payload
from lib.ports import free_port
from lib.tcp import Closed, HttpClient
from lib.waiting import wait_until

ASKERS = 12
SILENT = 3000


class Asker(threading.Thread):
    """Asks ten times a second over one connection, until an answer says that it was the last."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.client = HttpClient(node.port)
        self.answers, self.told, self.cut = 0, False, None

    def run(self):
        try:
            while not self.told:
                answer = self.client.ask(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
                assert answer.status == 200
                self.answers += 1
                self.told = answer.headers.get("connection") == "close"
                time.sleep(0.1)
        except (OSError, AssertionError, Closed) as fault:
            self.cut = fault
        finally:
            self.client.close()


def test_who_asks_often_is_told_with_an_answer(yard):
    node = yard.node(drain="5s")
    askers = [Asker(node) for _ in range(ASKERS)]
    for asker in askers:
        asker.start()
    wait_until(lambda: all(asker.answers > 0 for asker in askers), "all were answered once")
    node.term()
    for asker in askers:
        asker.join(20)
    assert [(asker.told, asker.cut) for asker in askers] == [(True, None)] * ASKERS


async def test_what_is_said_before_the_close_was_seen_is_carried_out(yard, redis):
    first, second = yard.fleet([redis.url] * 2, chat_login="development", drain="5s")
    hearer = await ChatClient.member(second, "bob")
    speaker = RawWebSocket(first, path="/chat")
    speaker.text(json.dumps({"action": "login", "token": "alice"}))
    assert json.loads(speaker.next_frame().payload) == {"info": "connected"}
    first.term()
    while (frame := speaker.next_frame()).opcode != CLOSE:
        assert frame.opcode == TEXT
    assert frame.payload[:2] == (1001).to_bytes(2, "big")
    speaker.text(json.dumps({"action": "message", "message": "on its way"}))
    speaker.frame(CLOSE, close_payload(1001))
    heard = await hearer.next_of(lambda message: message.get("message") == "on its way")
    assert heard["message"] == "on its way"
    await hearer.close()
    speaker.close()


def ask(peer, port):
    peer.sendto(b'{"action":"announce"}', ("127.0.0.1", port))
    return json.loads(peer.recv(2048))


def test_the_tracker_answers_to_the_end_of_the_drain(yard):
    port = free_port()
    node = yard.node(tracker=f"127.0.0.1:{port}", tracker_rate=0, drain="4s")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(10)
        assert "shareId" in ask(peer, port)["data"]
        wait_until(lambda: node.metrics()["muster_tracker_peers"] > 0, "the peer is counted")
        node.term()
        begun, answers = time.monotonic(), 0
        while time.monotonic() < begun + 3 and node.alive():
            assert "shareId" in ask(peer, port)["data"]
            answers += 1
        assert answers > 0 and time.monotonic() >= begun + 3, "it is there though no connection is"
    wait_until(lambda: not node.alive(), "it ends")


def test_many_who_do_not_answer_are_no_reason_to_stay(yard):
    """More than one turn has time to end: the next turns end the others, and then the node."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < SILENT + 500:
        pytest.skip(f"the descriptor limit is {most}")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], SILENT + 500), before[1]))
    node = yard.node(drain="0")
    silent = [RawWebSocket(node) for _ in range(SILENT)]
    node.term()
    wait_until(lambda: not node.alive(), "it ends", 60)
    for client in silent:
        client.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_without_peers_nothing_is_waited_for(yard):
    node = yard.node(tracker=f"127.0.0.1:{free_port()}", drain="60s")
    node.term()
    wait_until(lambda: not node.alive(), "it ends at once", 30)
