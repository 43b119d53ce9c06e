# SPDX-License-Identifier: MIT
"""What each kind of request costs its node, for the byte that the sender spends: CPU time of the node (all its threads) by
request and by byte received, and bytes sent back by byte received. For the table of SECURITY.md: where a little asks for
much, there must be a bound. One client, as fast as it is answered, on the memory store with 100 sessions' sockets there; then
what is asked of others: Redis (rosters: sessions, their members) and an operator's services (keys of tokens, accounts)."""
import contextlib
import itertools
import json
import selectors
import socket
import threading
import time

from harness import Result
from lib.accounts import AccountService
from lib.frames import TEXT, frame_bytes
from lib.measure import cpu_of
from lib.ports import free_port
from lib.relay import handshake as relay_handshake
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


def datagrams(bench):
    """Of the tracker, through Redis: addresses of senders can be made up, so each may be another's."""
    port = free_port()
    with bench.redis() as redis, bench.node(redis.url, tracker=f"127.0.0.1:{port}", tracker_rate="0") as node:
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.settimeout(5)
        link.connect(("127.0.0.1", port))
        for name, message in (("tracker: announce", {"action": "announce"}),
                              ("tracker: a share id that nobody has", {"action": "push", "shareId": "abcdefgh"}),
                              ("tracker: what is no JSON", "x")):
            data = message.encode() if isinstance(message, str) else json.dumps(message).encode()
            count, before = itertools.count(), cpu_of(redis.pid)

            def ask(data=data, count=count):
                next(count)
                link.send(data)
                return len(link.recv(2048))
            try:
                us, ns, back = measure(node, ask, len(data))
            except socket.timeout:
                bench.progress.step(f"{name}: no answer")
                continue
            yield row(name, len(data), us, ns, back, f"; Redis {(cpu_of(redis.pid) - before) / next(count) * 1e6:.0f} us")
        link.close()


def game_servers(bench):
    """Of the relay: one that comes and goes in a network of 100 on two nodes, and what one says to them."""
    ports = [free_port(), free_port()]
    common = {"relay_joins": "0", "relay_rate": "0", "relay_pacing": "off"}
    with bench.redis() as redis, bench.node(redis.url, relay=f"127.0.0.1:{ports[0]}", **common) as node, \
            bench.node(redis.url, relay=f"127.0.0.1:{ports[1]}", **common) as other:
        others = []
        hello = json.dumps(relay_handshake("a")).encode()

        def join(port):
            link = socket.create_connection(("127.0.0.1", port), 10)
            link.sendall(hello)
            size = len(link.recv(1 << 16))
            return link, size
        drained = threading.Event()

        def drain():
            chosen = selectors.DefaultSelector()
            for link in others:
                chosen.register(link, selectors.EVENT_READ)
            while not drained.is_set():
                for key, _ in chosen.select(0.1):
                    key.fileobj.recv(1 << 16)
        for number in range(100):
            others.append(join(ports[number % 2])[0])
        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        speaker, saying = join(ports[0])[0], json.dumps({"type": "message", "content": "x" * 100, "username": "u"}).encode()
        count = itertools.count()

        def come_and_go():
            next(count)
            link, size = join(ports[0])
            link.close()
            return size

        def say():
            next(count)
            speaker.sendall(saying)
            time.sleep(0.001)
            return 0
        for name, ask, size in (("relay: one that comes and goes", come_and_go, len(hello)), ("relay: a message to 100", say, len(saying))):
            count, redis_cpu, other_cpu = itertools.count(), cpu_of(redis.pid), cpu_of(other.pid)
            us, ns, back = measure(node, ask, size)
            asked = next(count)
            note = (f"; Redis {(cpu_of(redis.pid) - redis_cpu) / asked * 1e6:.0f} us, "
                    f"the other node {(cpu_of(other.pid) - other_cpu) / asked * 1e6:.0f} us")
            yield row(name, size, us, ns, back, note)
        drained.set()
        reader.join()
        for link in [speaker, *others]:
            link.close()


def rounds_of_games(bench):
    """Of minigame: who is online, 5,000 of them on another node; and the webhook, with 100 game servers on two nodes."""
    settings = {"chat_login": "development"}
    with bench.redis() as redis, bench.node(redis.url, **settings) as node, bench.node(redis.url, **settings) as other:
        users = [websocket(other.address, "/chat") for _ in range(5000)]
        for number, user in enumerate(users):
            ask_frame(user, text({"action": "login", "token": f"user-{number:05}"}))
        servers = [websocket(one.address, "/minigame") for one in (node, other) for _ in range(50)]
        question = text({"action": "online_players"})
        asking = itertools.cycle([websocket(node.address, "/minigame") for _ in range(200)])
        for name, ask, size in (("minigame: who is online, of 5,000", lambda: ask_last(next(asking), question), len(question)),):
            us, ns, back = measure(node, ask, size)
            yield row(name, size, us, ns, back)
        hook, link = post("/api/webhook/minigame", b"{}"), connected(node)
        redis_cpu, other_cpu, count = cpu_of(redis.pid), cpu_of(other.pid), itertools.count()

        def call():
            next(count)
            return ask_http(link, hook)
        us, ns, back = measure(node, call, len(hook))
        asked = next(count)
        yield row("minigame: the webhook, 100 game servers", len(hook), us, ns, back,
                  f"; Redis {(cpu_of(redis.pid) - redis_cpu) / asked * 1e6:.0f} us, the other node {(cpu_of(other.pid) - other_cpu) / asked * 1e6:.0f} us")
        for one in [*users, *servers]:
            one.close()


def ask_last(link, request):
    """Bytes of the answer, whatever was said to all before it."""
    link.sendall(request)
    while b"online_players" not in (answer := read_frames(link, 1)) and b"error" not in answer:
        pass
    return len(answer) + 4


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
    return rows + [*rosters(bench), *datagrams(bench), *game_servers(bench), *rounds_of_games(bench), *of_operators(bench)]
