# SPDX-License-Identifier: MIT
"""Hostile input, one attack a test. Each runs beside an honest client whose answers are timed, and the node's memory is
read while it goes on: an attack costs the attacker's connection, never another's time, nor memory without a bound."""

import base64
import hashlib
import json
import re
import threading
import time
import types

import pytest

from lib.frames import BINARY, CONTINUATION, PING, TEXT, RawWebSocket, deflate, frame_bytes, handshake_request
from lib.logs import add
from lib.measure import resident
from lib.node import is_sanitized
from lib.ports import free_port, listens
from lib.process import muster
from lib.sync import SyncClient, close_all, new_session, push, set_session
from lib.tcp import Closed, HttpClient
from lib.waiting import wait_until

MIB = 1 << 20
PATIENCE = 2.0  # seconds that an honest client may wait once, on a machine that does other things, too
GROWTH = 48 * MIB  # far below what each attack asks for; under a sanitizer freed memory is kept for a while
ASAN_FACTOR = 8


class Watch(threading.Thread):
    """An honest client that asks all the time, and the node's memory."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.client = RawWebSocket(node).join(new_session())
        self.before = resident(node.pid)
        self.most = self.before
        self.slowest = 0.0
        self.asked = 0
        self.over = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.over.is_set():
                began = time.monotonic()
                self.client.text("ping")
                assert self.client.next_text() == "pong"
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.asked += 1
                self.most = max(self.most, resident(self.node.pid))
                self.over.wait(0.005)
        except (Closed, OSError, AssertionError) as failure:
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        wait_until(lambda: self.asked >= 3 or self.failure, "the honest client was answered")
        self.over.set()
        self.join()
        self.client.close()
        if kind is None:
            self.judge()

    def judge(self):
        assert self.failure is None, f"the honest client was disturbed: {self.failure!r}"
        grown = self.most - self.before
        print(f"{self.asked} honest questions, slowest {self.slowest * 1000:.0f} ms, memory grown by {grown / MIB:.1f} MiB")
        assert self.slowest < PATIENCE, f"an honest client waited {self.slowest:.2f} s"
        assert grown < GROWTH * (ASAN_FACTOR if is_sanitized(self.node.binary) else 1), f"memory grew by {grown / MIB:.1f} MiB"


@pytest.fixture(scope="module")
def node_settings():
    # What was freed is no growth, but a sanitizer keeps 256 MiB of it unless told otherwise.
    return {"env": {"ASAN_OPTIONS": "quarantine_size_mb=8"}, "request_timeout": "1500ms", "log_level": "debug"}


@pytest.fixture
def watch(node):
    return Watch(node)


# --- slowness

@pytest.mark.parametrize("begin, drip", [
    (b"GET /version HTTP/1.1\r\nHost: x\r\nX-Slow: ", b"a"),
    (b"POST /version HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", b"b"),
    (b"POST /version HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n", b"c")],
    ids=["header", "body", "chunk"])
def test_slow_requests_are_ended(node, watch, begin, drip):
    with watch:
        clients = [HttpClient(node.port) for _ in range(100)]
        for client in clients:
            client.send(begin)
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            for client in clients:
                client.send_while_taken(drip)
        for client in clients:
            assert client.response().status in (405, 408)
            client.close()


def test_more_connections_than_allowed(yard):
    node = yard.node(connection_limit=150)
    with Watch(node):
        clients = [HttpClient(node.port) for _ in range(300)]
        for client in clients:
            client.send_while_taken(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        statuses = [client.response().status for client in clients]
        assert 100 < statuses.count(200) <= 150 and statuses.count(200) + statuses.count(503) == 300
        for client in clients:
            client.close()
    wait_until(lambda: node.status("/version") == 200, "there is room again")


def test_more_connections_of_one_address_than_allowed(yard):
    node = yard.node(address_limit=20)
    clients = [HttpClient(node.port) for _ in range(30)]
    for client in clients:
        client.send_while_taken(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    statuses = [client.response().status for client in clients]
    assert 18 <= statuses.count(200) <= 20 and statuses.count(200) + statuses.count(503) == 30  # the one that asked /readyz counts
    for client in clients:
        client.close()


# --- frames

@pytest.mark.parametrize("length", [256 * 1024 + 1, 1 << 31, (1 << 63) - 1])
def test_a_huge_frame_is_refused_by_its_head(node, watch, length):
    with watch:
        for _ in range(20):
            with RawWebSocket(node) as client:
                client.send_while_taken(b"\x82\xff" + length.to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 100_000)
                assert client.failed_with() == 1009


def test_a_compression_bomb_is_not_inflated(node, watch):
    bomb = deflate(b"\0" * (256 * MIB))
    assert len(bomb) < 256 * 1024 + 4096
    with watch:
        for _ in range(5):
            with RawWebSocket(node, deflate_offer="permessage-deflate") as client:
                client.send_while_taken(frame_bytes(TEXT, bomb, rsv=4))
                assert client.failed_with() == 1009


def test_tiny_fragments_cost_what_they_hold(node, watch):
    with watch:
        with RawWebSocket(node) as client:
            client.send(frame_bytes(TEXT, b"x", fin=False))
            tiny = frame_bytes(CONTINUATION, b"x", fin=False) * 1000
            for _ in range(200):
                client.send_while_taken(tiny)
            client.frame(PING, b"still there")
            assert client.next_frame().payload == b"still there"
        with RawWebSocket(node) as client:
            client.send(frame_bytes(TEXT, b"x", fin=False))
            empty = frame_bytes(CONTINUATION, b"", fin=False) * 1000
            for _ in range(200):
                client.send_while_taken(empty)
            client.frame(PING, b"even so")
            assert client.next_frame().payload == b"even so"


@pytest.mark.parametrize("flood", [frame_bytes(PING, b"p" * 125), frame_bytes(TEXT, b"ping"),
                                   frame_bytes(TEXT, b'{"type":"nonsense"}'), frame_bytes(BINARY, b"b" * 100)],
                         ids=["ping frames", "ping texts", "errors", "binary"])
def test_a_flood_of_questions_whose_answers_nobody_reads(node, watch, flood):
    with watch:
        with RawWebSocket(node, receive_buffer=4096) as client:
            client.socket.settimeout(1)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                try:
                    client.socket.sendall(flood * 500)
                except OSError:
                    break


def test_a_flood_of_sessions_from_many_connections(node, watch):
    with watch:
        clients = [RawWebSocket(node) for _ in range(100)]
        for number in range(20):
            for index, client in enumerate(clients):
                client.text(set_session(f"flood {index} {number}"))
        wait_until(lambda: node.metrics()["muster_sync_sessions"] <= len(clients) + 1, "one session a connection")
        for client in clients:
            client.close()
    wait_until(lambda: node.metrics()["muster_sync_sessions"] == 0, "all are left")


def test_connections_that_come_and_go_at_once(node, watch):
    with watch:
        for number in range(1500):
            client = HttpClient(node.port)
            if number % 3 == 0:
                client.send(handshake_request())
            if number % 2:
                client.reset()
            else:
                client.close()
    wait_until(lambda: node.metrics()["muster_connections"] <= 2, "all are gone")


# --- what is in them

@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 40_000, '{"type":"SetSession","sessionId":' + "[" * 100_000,
                                  '{"type":"Push","sessionId":"x","data":' + "[" * 60_000 + "]" * 60_000 + "}"],
                         ids=["arrays", "objects", "in a member", "closed"])
def test_deep_json(node, watch, text):
    with watch:
        with RawWebSocket(node) as client:
            for _ in range(5):
                client.text(text)
                assert client.next_message()["type"] in ("ServerMessage", "ServerMsg")


FORGED = "mallory\r\n2026-01-01T00:00:00Z error FORGED\x1b[31m\u2028\x00end"


def test_no_line_of_the_log_is_forged(node, watch):
    with watch:
        with RawWebSocket(node) as client:
            client.text(json.dumps({"type": "SetName", "name": FORGED}))
            client.text(set_session(FORGED))
            client.text(json.dumps({"type": FORGED}))
            client.fence()
        name = "".join(f"%{byte:02x}" for byte in FORGED.encode())
        with RawWebSocket(node, path=f"/connect?playerName={name}") as client:
            client.fence()
    wait_until(lambda: "FORGED" in node.log(), "the name is logged")
    lines = node.log().split("\n")
    assert not [line for line in lines if line.startswith("2026-01-01T00:00:00Z error FORGED")]
    assert not [line for line in lines if any(ord(c) < 32 for c in line)]


def test_no_header_field_is_forged(node, watch):
    forged = "x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a<script>"
    with watch:
        for path in (f"/{forged}", f"/version?{forged}", f"/connect?playerName={forged}"):
            with HttpClient(node.port) as client:
                response = client.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert "set-cookie" not in response.headers and b"<script>" not in response.body
        for value in (b"X-A\rSet-Cookie: a=b", b"X-A\x00Set-Cookie: a=b", b"X-A\nSet-Cookie: a=b", b"X-A: b"):
            with HttpClient(node.port) as client:
                response = client.ask(b"OPTIONS /version HTTP/1.1\r\nHost: x\r\nOrigin: x\r\n"
                                      b"Access-Control-Request-Method: GET\r\n"
                                      b"Access-Control-Request-Headers: " + value + b"\r\n\r\n")
                assert "set-cookie" not in response.headers
                assert response.headers.get("access-control-allow-headers") is None


# --- pages of other sites

OURS, THEIRS = "https://game.example", "https://evil.example"


def handshake_status(node, origin, path="/connect", host="127.0.0.1"):
    with HttpClient(node.port) as client:
        return client.ask(handshake_request(path, Origin=origin, Host=host)).status


async def test_a_page_of_another_site_opens_no_websocket(yard):
    node = yard.node(origins=f"{OURS}, http://localhost:3000")
    for origin in (OURS, "HTTPS://Game.Example", "http://localhost:3000", None):
        assert handshake_status(node, origin) == 101, origin
    for origin in (THEIRS, "null", "", OURS + ".evil.example", OURS + ":8443", "http://game.example", "http://localhost",
                   f"{OURS}, {THEIRS}", f"{OURS},http://localhost:3000", ","):
        assert handshake_status(node, origin) == 403, origin
    client = await SyncClient.member(node, new_session())
    await close_all([client])


def node_at(port):
    """For handshake_status."""
    return types.SimpleNamespace(port=port)


def ask_as(port, origin, line, body=b"", **more):
    fields = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json", "Content-Length": len(body), **more}
    if origin is not None:
        fields["Origin"] = origin
    text = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with HttpClient(port) as client:
        return client.ask(f"{line} HTTP/1.1\r\n{text}\r\n".encode() + body)


@pytest.mark.parametrize("path", ["/api/status", "/metrics"])
def test_what_operators_see_is_for_its_own_pages_only(node, path):
    """Whatever page an operator's browser has open beside it."""
    for origin in (None, f"http://127.0.0.1:{node.port}", f"https://127.0.0.1:{node.port}"):
        answer = ask_as(node.port, origin, f"GET {path}")
        assert answer.status == 200, origin
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    for origin in (THEIRS, "null", f"http://127.0.0.1:{node.port}.evil.example", "127.0.0.1", "http://", "://"):
        for line in (f"GET {path}", f"OPTIONS {path}"):
            answer = ask_as(node.port, origin, line)
            assert answer.status == 403 and "access-control-allow-origin" not in answer.headers, (origin, line)
    assert handshake_status(node, THEIRS, "/api/status/live") == 403
    assert handshake_status(node, f"http://127.0.0.1:{node.port}", "/api/status/live", host=f"127.0.0.1:{node.port}") == 101


def test_the_admin_address_answers_no_other_page(yard):
    admin = free_port()
    node = yard.begin(admin=f"127.0.0.1:{admin}", origins=THEIRS)
    wait_until(lambda: listens(admin), "the admin address listens")
    for path in ("/", "/metrics", "/api/status", "/readyz", "/nowhere"):
        answer = ask_as(admin, THEIRS, f"GET {path}")
        assert answer.status == 403 and "access-control-allow-origin" not in answer.headers, path
    assert ask_as(admin, None, "GET /metrics").status == 200
    assert ask_as(admin, None, "BAD").headers.get("access-control-allow-origin") is None
    assert ask_as(node.port, THEIRS, "GET /version").status == 200


NOBODYS = ["127.0.0.1", "[::1]", "localhost", "x.localhost", "muster-admin", "Muster.ns.svc", "a.b.svc.cluster.local", "node.internal."]
SITES = ["evil.example", "evil.example.", "EVIL.example", "127.0.0.1.evil.example", "svc.evil.example", "xsvc.example", "1.2.3", "a.svcx.y"]


def test_a_site_that_names_itself_after_the_admin_address_reads_nothing(yard):
    """DNS rebinding: its page is of the same origin then, and Host has the site's name."""
    admin = free_port()
    node = yard.begin(admin=f"127.0.0.1:{admin}", admin_hosts="status.example, .ops.example")
    wait_until(lambda: listens(admin), "the admin address listens")

    def status(host, path="/metrics", port=admin):
        return ask_as(port, f"http://{host}", f"GET {path}", Host=host).status
    for host in NOBODYS + ["status.example", "STATUS.example.", "a.ops.example", "a.b.ops.example"]:
        for name in (host, f"{host}:{admin}"):
            assert status(name) == 200, name
            assert handshake_status(node_at(admin), f"http://{name}", "/api/status/live", host=name) == 101, name
    for host in SITES + ["ops.example", "status.example.evil.example", "xstatus.example"]:
        for name in (host, f"{host}:{admin}"):
            for path in ("/metrics", "/api/status", "/", "/logs.html"):
                assert status(name, path) == 421, (name, path)
            assert handshake_status(node_at(admin), f"http://{name}", "/api/status/live", host=name) == 421, name
            assert handshake_status(node_at(admin), f"http://{name}", "/logs/listen", host=name) == 421, name
            assert ask_as(admin, None, "GET /healthz", Host=name).status == 200, "a balancer's probe"
    for name in ("[::1].evil.example", "127.0.0.1:80.evil.example", "[::1]:9.evil.example", "[::1]9.evil.example"):
        assert status(name) == 421, f"{name}: what follows an address is no port"
    for target, host, expected in (("localhost", "evil.example", 421), ("evil.example", "localhost", 421), ("evil.example:80", "127.0.0.1", 421),
                                   ("status.example", "localhost", 200), ("STATUS.example:9", "status.example", 200)):
        assert ask_as(admin, None, f"GET http://{target}/metrics", Host=host).status == expected, f"{target} goes before {host}"
        assert ask_as(admin, f"http://{target}", f"GET http://{target}/metrics", Host=host).status == expected, f"{target} is its own page"
    assert ask_as(admin, "http://localhost", "GET http://status.example/metrics", Host="localhost").status == 403, "another page's"
    with HttpClient(admin) as client:
        assert client.ask(b"GET /metrics HTTP/1.0\r\n\r\n").status == 200, "no browser"
    assert status("game.example", "/version", node.port) == 200, "clients come by any name"


def test_without_an_admin_address_names_count_once_they_are_listed(yard):
    free, bound = yard.node(), yard.node(admin_hosts="status.example")
    for node, expected in ((free, 200), (bound, 421)):
        answer = ask_as(node.port, None, "GET /metrics", Host="evil.example")
        assert answer.status == expected and (expected == 200 or b"admin-hosts" in answer.body)
        assert ask_as(node.port, None, "GET /version", Host="evil.example").status == 200
    assert ask_as(bound.port, None, "GET /metrics", Host="status.example:1").status == 200


@pytest.mark.parametrize("value", ["a:80", "http://a", "a,,b", "a b", "a,", "*.a"])
def test_admin_hosts_are_names(value):
    done = muster("node", "--admin-hosts", value)
    assert done.returncode != 0 and "is no name of a host" in done.stderr, done.stderr


PRODUCTION = {"env": {"MUSTER_ENV": "production"}, "dispatch_ports": "", "chat_jwt_secret": "s" * 32}
WRITES = [("POST /logs/add", b'{"msg":"x"}'), ("POST /loki/api/v1/push", b'{"streams":[]}'), ("POST /v1/logs", b'{"resourceLogs":[]}'),
          ("POST /gelf", b'{"short_message":"x"}'), ("POST /api/webhook/minigame", b"")]


@pytest.mark.parametrize("line, body", WRITES)
def test_in_production_no_other_page_writes(yard, line, body):
    node = yard.node(**PRODUCTION)
    assert "origins is not set" in node.log()
    assert ask_as(node.port, None, line, body).status != 403
    assert ask_as(node.port, f"http://127.0.0.1:{node.port}", line, body).status != 403
    for one in (line, "OPTIONS " + line.split()[1]):
        assert ask_as(node.port, THEIRS, one, body if one is line else b"").status == 403


def test_no_picture_of_another_page_writes_or_reads(yard):
    """It bears no Origin. Browsers say where it comes from, if not over plain HTTP."""
    node = yard.node(**PRODUCTION)
    webhook = "GET /api/webhook/minigame"
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200), (None, 200)):
        fields = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"} if site else {}
        assert ask_as(node.port, None, webhook, **fields).status == status, site
        assert ask_as(node.port, None, "GET /metrics", **fields).status == status, site
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask_as(node.port, None, webhook, **followed).status == 403, "a link that writes"
    assert ask_as(node.port, None, "GET /metrics", **followed).status == 200, "a link to read"
    assert ask_as(yard.node().port, None, webhook, **followed).status == 200, "in development, without a list, any page may"


def test_writes_are_for_the_listed_pages(yard):
    node = yard.node(origins=OURS)
    for line, body in WRITES:
        assert ask_as(node.port, OURS, line, body).status != 403
        for other in (THEIRS, f"http://127.0.0.1:{node.port}"):
            assert ask_as(node.port, other, line, body).status == 403, other
    assert add(yard.node(), {"msg": "x"}, Origin=THEIRS)[0] == 200, "in development, without a list, any page may"


def test_a_site_that_names_itself_after_a_node_writes_nothing(yard):
    """DNS rebinding: its page is of the same origin then. A list of pages does not have it, nor one of names."""
    for node, expected in ((yard.node(origins=OURS, **PRODUCTION), 403), (yard.node(admin_hosts="status.example", **PRODUCTION), 403),
                           (yard.node(**PRODUCTION), 200)):
        answer = ask_as(node.port, THEIRS, "POST /logs/add", b'{"msg":"x"}', Host=THEIRS.removeprefix("https://"))
        assert answer.status == expected, node.settings
        assert ask_as(node.port, None, "POST /logs/add", b'{"msg":"x"}', Host="evil.example").status == 200, "no page"
    node = yard.node(admin_hosts="status.example", **PRODUCTION)
    for name in ("status.example", f"127.0.0.1:{node.port}"):
        assert ask_as(node.port, f"http://{name}", "POST /logs/add", b'{"msg":"x"}', Host=name).status == 200


def test_pages_run_their_own_scripts_only(node):
    for path in ("/", "/logs.html"):
        answer = ask_as(node.port, None, f"GET {path}", Accept="text/html")
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        scripts = re.findall(rb"<script[^>]*>(.*?)</script>", answer.body, re.DOTALL)
        assert scripts and policy["script-src"].split() == [
            f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'" for script in scripts]
        assert policy["frame-ancestors"] == "'none'"


def test_without_a_list_any_page_may(node):
    assert handshake_status(node, THEIRS) == 101


@pytest.mark.parametrize("value", ["game.example", "https://", "https://game.example/", "https://a.example,", "://a", "a b://c"])
def test_what_is_no_origin_is_refused_at_the_start(value):
    done = muster("node", "--origins", value)
    assert done.returncode != 0 and "--origins" in done.stderr, done.stderr


# --- and the one who does nothing but read nothing

async def test_a_reader_that_stops_is_closed_and_the_others_hear_all(node, watch):
    with watch:
        session = new_session()
        stuck = RawWebSocket(node, receive_buffer=4096).join(session)
        leader = await SyncClient.member(node, session, leader=True)
        honest = await SyncClient.member(node, session)
        await honest.in_state(3, True)
        for number in range(300):
            await leader.send(push(session, f"{number} " + "x" * 32_000))
            message = await honest.next_of(lambda m: m["type"] == "Push")
            assert message["data"].startswith(f"{number} ")
        await honest.in_state(2, True)
        stuck.close()
        await close_all([leader, honest])
