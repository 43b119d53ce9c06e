# SPDX-License-Identifier: MIT
"""HAProxy before a node, all clients' requests over one connection between them: whatever one client sends, the next one
gets the answer to what it asked. Were there bytes that the two read as different requests, it would get another's."""

import random
import shutil

import pytest

from lib.haproxy import HAProxy
from lib.tcp import Closed, HttpClient
from lib.waiting import wait_until
from second.http_cases import SEEDS, WORDS
from second.mutations import Mutator

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")

CONFIG = """defaults
    mode http
    timeout connect 2s
    timeout client 2s
    timeout server 2s
    timeout http-request 2s
    option http-keep-alive
frontend http
    bind 127.0.0.1:{port}
    {loose}
    default_backend nodes
backend nodes
    http-reuse always
    server node 127.0.0.1:{node} maxconn 1
"""
VICTIM = b"GET /version HTTP/1.1\r\nHost: victim\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\nX: "
BY_HAND = [
    b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
    b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n",
    b"Content-Length: 0, %d\r\n\r\n",
    b"Content-Length: +%d\r\n\r\n",
    b"Content-Length : %d\r\n\r\n",
    b"Content-Length:\x0b%d\r\n\r\n",
    b"Content_Length: %d\r\n\r\n",
    b"X: y\nContent-Length: %d\r\n\r\n",
    b"X: y\r\n Content-Length: %d\r\n\r\n",
    b"Transfer-Encoding: xchunked\r\nContent-Length: %d\r\n\r\n",
    b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\nContent-Length: %d\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding:\tchunked\r\nX: %d\r\n\r\n0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n0;a=\"\r\n\r\n\"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n0\r\nX: y\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n00000000000000000\r\n\r\n",
    b"Transfer-Encoding: chunked\r\nX: %d\r\n\r\n100000000000000000\r\n\r\n",
    b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: %d\r\n\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 99\r\nX: %d\r\n\r\n",
]
MUTATIONS = 250


def attacks():
    for text in BY_HAND:
        for line in (b"POST /version HTTP/1.1", b"GET /version HTTP/1.1", b"POST /logs/add HTTP/1.0", b"GET /connect HTTP/1.1"):
            yield line + b"\r\nHost: a\r\n" + text % len(HIDDEN) + HIDDEN
    mutator = Mutator(21, WORDS)
    for _ in range(MUTATIONS):
        yield mutator.some(random.Random(mutator.random.random()).choice(SEEDS).replace(b"/?", b"/hidden?"))


def send(proxy, data):
    """Says it and goes once something came back, or nothing will."""
    with HttpClient(proxy.port) as attacker:
        attacker.send(data)
        attacker.socket.settimeout(0.02)
        try:
            attacker.socket.recv(65536)
        except OSError:
            pass


# The second lets through what HAProxy does not understand.
@pytest.mark.parametrize("loose", ["", "option accept-invalid-http-request"])
def test_the_next_client_gets_its_own_answer(yard, tmp_path, loose):
    node = yard.node()
    proxy = HAProxy("haproxy", tmp_path)
    proxy.config.write_text(CONFIG.format(port=proxy.port, node=node.port, loose=loose))
    yard.keep(proxy).start()

    def is_served():
        try:
            with HttpClient(proxy.port) as client:
                return client.ask(VICTIM).status == 200
        except (OSError, Closed):
            return False
    wait_until(is_served, "HAProxy serves")
    tried = 0
    for attack in attacks():
        send(proxy, attack)
        tried += 1
        with HttpClient(proxy.port) as victim:
            answer = victim.ask(VICTIM)
        assert (answer.status, answer.body) == (200, b"0.1"), f"after {attack!r}: {answer}"
    print(f"{tried} tries, none reached the next client")
    assert node.metrics()["muster_http_requests_total"] > tried
