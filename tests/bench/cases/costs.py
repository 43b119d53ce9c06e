# SPDX-License-Identifier: MIT
"""What each kind of request costs its node, for the byte that the sender spends: CPU time of the node (all its threads) by
request and by byte received, and bytes sent back by byte received. For the table of SECURITY.md: where a little asks for
much, there must be a bound. One client, as fast as it is answered, on the memory store with 100 sessions' sockets there."""
import json
import socket
import time

from harness import Result
from lib.frames import TEXT, frame_bytes
from lib.measure import cpu_of
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
            rows.append(Result(f"{name} ({size:,} bytes): CPU by request", None, us, " us",
                               note=f"{ns:,.0f} ns by byte received, {back:,.1f} bytes back by byte"))
    return rows
