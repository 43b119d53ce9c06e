# SPDX-License-Identifier: MIT
"""What each kind of request costs its node, for the byte that the sender spends: CPU time of the node (all its threads) by
request and by byte received, and bytes sent back by byte received. For the table of SECURITY.md: where a little asks for
much, there must be a bound. One client, as fast as it is answered, on the memory store with 100 sessions' sockets there; then
what is asked of others: Redis (rosters: sessions, their members) and an operator's services (keys of tokens, accounts)."""
import contextlib
import itertools
import json
import socket
import time

from harness import Result
from lib.accounts import AccountService
from lib.frames import TEXT, frame_bytes
from lib.measure import cpu_of
from lib.tokens import Key
from noise import read_frames, read_head, websocket

SECONDS = 1.0


def get(path, *fields):
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: x", *fields, "")).encode()


def post(path, body):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def ask_http(link, request):
    link.sendall(request)
    head = read_head(link)
    length = int((head.lower().split(b"content-length: ") + [b"0\r\n"])[1].split(b"\r\n")[0])
    came = len(head) + length
    while length > 0:
        length -= len(link.recv(min(length, 1 << 16)))
    return came


def ask_frame(link, request):
    link.sendall(request)
    return len(read_frames(link, 1)) + 4


def connected(node):
    host, port = node.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 10)


def handshake(node, path):
    websocket(node.address, path).close()
    return 130


def text(message):
    return frame_bytes(TEXT, message if isinstance(message, str) else json.dumps(message))


def logged_in(node):
    link = websocket(node.address, "/chat")
    ask_frame(link, text({"action": "login", "token": "bench"}))
    return link


def measure(node, ask, size):
    """(µs of CPU by request, ns by byte received, bytes back by byte received)"""
    count, back, begun, cpu = 0, 0, time.monotonic(), cpu_of(node.pid)
    while time.monotonic() - begun < SECONDS:
        back += ask()
        count += 1
    used = cpu_of(node.pid) - cpu
    return used / count * 1e6, used / count / size * 1e9, back / count / size


def kinds(node):
    plain, sync, chat = connected(node), websocket(node.address, "/connect"), logged_in(node)
    deep = "[" * 100 + "]" * 100
    entry = {"msg": "x" * 180, "level": "info", "room": "bench", "n": 1.5}
    http = [("GET /version", get("/version")), ("GET /metrics", get("/metrics")), ("GET /api/status", get("/api/status")),
            ("the fleet's page", get("/", "Accept: text/html")), ("the logs page", get("/logs.html")),
            ("a path that is not there", get("/nowhere")),
            ("/logs/add, one entry", post("/logs/add", json.dumps(entry).encode())),
            ("/logs/add, 250 KB", post("/logs/add", json.dumps([entry] * 1000).encode())),
            ("a header of 15 KB", get("/version", "X: " + "x" * 15000))]
    frames = [("sync: no JSON", sync, text("x")), ("sync: a push refused", sync, text({"type": "Push", "sessionId": "x"})),
              ("sync: 250 KB of JSON", sync, text('{"type":"Push","a":[' + ",".join([deep] * 1200) + "]}")),
              ("chat: history of 100", chat, text({"action": "history", "limit": 100})),
              ("chat: a login", chat, text({"action": "login", "token": "bench"}))]
    for name, request in http:
        yield name, lambda request=request: ask_http(plain, request), len(request)
    for name, link, request in frames:
        yield name, lambda link=link, request=request: ask_frame(link, request), len(request)
    yield "a WebSocket opened and closed", lambda: handshake(node, "/connect"), 200
    yield "/logs/listen with a backlog", lambda: handshake(node, "/logs/listen?room=unknown&backlog=2000"), 230


def row(name, size, us, ns, back, note=""):
    return Result(f"{name} ({size:,} bytes): CPU by request", None, us, " us",
                  note=f"{ns:,.0f} ns by byte received, {back:,.1f} bytes back by byte{note}")


def rosters(bench):
    """Claims in Redis: a client that goes from one session to another, of its own and of 1,000 members on two nodes."""
    with bench.redis() as redis, bench.node(redis.url) as node, bench.node(redis.url) as other:
        frames = [text({"type": "SetSession", "sessionId": f"s{number}", "isLeader": False}) for number in range(2)]
        crowd = [websocket(one.address, "/connect") for one in (node, other) for _ in range(250)]
        for member in crowd:
            ask_frame(member, text({"type": "SetSession", "sessionId": "crowd", "isLeader": False}))
        alone, many = websocket(node.address, "/connect"), websocket(node.address, "/connect")
        turns = itertools.cycle(frames)
        crowded = itertools.cycle([frames[0], text({"type": "SetSession", "sessionId": "crowd", "isLeader": False})])
        for name, link, order in (("sync: into another session", alone, turns),
                                  ("sync: into and out of one of 500", many, crowded)):
            cpu, begun = cpu_of(redis.pid), cpu_of(other.pid)
            count = itertools.count()

            def ask(link=link, order=order, count=count):
                next(count)
                return ask_frame(link, next(order))
            us, ns, back = measure(node, ask, len(frames[0]))
            asked = next(count)
            note = (f"; Redis {(cpu_of(redis.pid) - cpu) / asked * 1e6:.0f} us, "
                    f"the other node {(cpu_of(other.pid) - begun) / asked * 1e6:.0f} us")
            yield row(name, len(frames[0]), us, ns, back, note)


@contextlib.contextmanager
def services():
    service = AccountService().start()
    try:
        yield service
    finally:
        service.stop()


def of_operators(bench):
    """Logins that make the node ask an operator's services: how often it does is the bound."""
    key, forger = Key("ES256", "known"), Key("ES256", "made up")
    settings = {"chat_rate": "100000", "chat_burst": "100000"}
    with services() as service:
        service.jwks = {"keys": [key.jwk()]}
        with bench.node(chat_jwks=service.url + "/jwks", chat_account_url=service.url, **settings) as node:
            known = [text({"action": "login", "token": key.token(f"user {number}")}) for number in range(3000)]
            forged = [text({"action": "login", "token": forger.token(f"user {number}")}) for number in range(100)]
            for name, path, frames in (("chat: a token of a key that is not known", "/jwks", itertools.cycle(forged)),
                                       ("chat: a token whose account is looked up", "/idm", iter(known))):
                before, count = service.count(path), itertools.count()

                def ask(frames=frames, count=count):
                    next(count)
                    link = websocket(node.address, "/chat")
                    with link:
                        return ask_frame(link, next(frames))
                us, ns, back = measure(node, ask, 200 + len(known[0]))
                asked = next(count)
                yield row(name, 200 + len(known[0]), us, ns, back, f"; {service.count(path) - before} requests to the service "
                          f"for {asked} of these")


def run(bench):
    rows = []
    settings = {"chat_rate": "100000", "chat_burst": "100000", "message_limit": "512k", "chat_login": "development"}
    with bench.node(**settings) as node:
        writer = logged_in(node)
        for number in range(100):
            ask_frame(writer, text({"action": "message", "message": f"{number} " + "x" * 300}))
        for name, ask, size in kinds(node):
            us, ns, back = measure(node, ask, size)
            bench.progress.step(f"{name}: {us:.0f} us")
            rows.append(row(name, size, us, ns, back))
    return rows + [*rosters(bench), *of_operators(bench)]
