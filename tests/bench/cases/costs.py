# SPDX-License-Identifier: MIT
"""What each kind of request costs its node, for the byte that the sender spends: CPU time of the node (all its threads) by
request and by byte received, and bytes sent back by byte received. For the table of SECURITY.md: where a little asks for
much, there must be a bound. One client, as fast as it is answered, on the memory store with 100 sessions' sockets there; then
what is asked of others: Redis (rosters: sessions, their members) and an operator's services (keys of tokens, accounts)."""
import contextlib
import gzip
import itertools
import json
import pathlib
import re
import selectors
import socket
import threading
import time

from harness import BenchError, Result
from lib.accounts import AccountService
from lib.dispatch import CLOSE, SECRET, WRITE, node_settings, pack, path_of
from lib.frames import BINARY, PING, TEXT, deflate, frame_bytes, handshake_request
from lib.ports import free_port, free_ports
from lib.relay import handshake as relay_handshake
from lib.tokens import Key
from lib.waiting import wait_until
from noise import read_frames, read_head, websocket

HEAD = "| request | bytes | CPU | by byte received | bytes back by byte | bounded by |"
PAGE = pathlib.Path(__file__).resolve().parents[3] / "SECURITY.md"
SECONDS = 1.0
SETTLE = 0.3  # until what was asked last is with all

# What holds it, by how a request's name begins: the first one counts.
BOUNDS = [
    ("`GET /metrics`", "`admin`; what costs more with many connections is looked up once a second"),
    ("`GET /api/status`", "`admin`, `status-token`; told again for 2 s"),
    ("the ", "`admin` (the fleet's); 64 KB of answers that wait, then no more is read"),
    ("a header", "`header-limit`"),
    ("a WebSocket", "`address-limit`, 16 accepted a turn"),
    ("a bomb", "`message-limit` after inflating"),
    ("`/api/status/live`", "`admin`, `status-token`"),
    ("`/logs/listen`", "four searches at once, one of an address, 20 MB/s of a node"),
    ("`/logs/stored`", "`postgres`, `logs-listen-token`; one query at a time, 16 wait, 4 of an address"),
    ("`/logs/add`, half refused", "a server that refused is asked once a second"),
    ("`/logs/add`", "`logs-rate`, `logs-add-token`; `message-limit` after inflating, 10,000 entries"),
    ("`/loki", "as `/logs/add`"), ("`/v1/logs`", "as `/logs/add`"), ("`/gelf`", "as `/logs/add`"),
    ("syslog", "`logs-rate`"),
    ("sync: 250 KB", "`message-limit`, after inflating; waits behind those that are short"),
    ("sync: 500 KB", "`message-limit`, after inflating"),
    ("sync: over the limit", "`message-limit`, after inflating: closed"),
    ("sync: into", "one change of session at a time; its id has to be known"),
    ("sync: a push refused", "what a turn has for one connection"),
    ("sync: a push", "only its leader; `message-limit`; what goes to many goes last"),
    ("sync", "what a turn has for one connection"),
    ("chat: a login with ", "`chat-account-parallel` at once, 8,192 wait; `chat-rate`"),
    ("chat: a token of a key", "one fetch in `chat-jwks-pause` for all"),
    ("chat: a token whose account", "good tokens only, `chat-account-parallel` at once, once in `chat-account-cache`"),
    ("chat: a history", "`chat-rate`, a login; `queue-limit`, then closed"),
    ("chat: a login", "`chat-rate`; signatures in threads, 8,192 waiting"),
    ("chat: a message", "`chat-rate`, a login"), ("chat", "`chat-rate`"),
    ("tracker", "`tracker-rate` an address, which can be made up; no answer over three times the question"),
    ("relay: a game server", "`relay-joins`, `relay-secret`"),
    ("relay", "`relay-rate`; pacing"), ("`GET /api/relay`", "`relay-status-token`"),
    ("dispatch: a device", "whom the driver accepts; `connection-limit`"), ("dispatch", "`dispatch-secret`"),
    ("minigame: who is online", "20 a second and socket, `minigame-token`; listed a tenth of the time"),
    ("minigame: the webhook", "`webhook-token`; ten times a second at most"),
    ("minigame: another period", "players drawn a tenth of the time, 64 letters wait; 20 a second and socket, `minigame-token`"),
    ("minigame", "20 a second and socket, `minigame-token`"),
    ("", "16 requests a turn"),
]


def bound_of(name):
    return next(text for start, text in BOUNDS if name.startswith(start))


def get(path, *fields):
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "Host: x", *fields, "")).encode()


def post(path, body, *fields):
    more = "".join(f"{line}\r\n" for line in fields)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


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


def deflating(node):
    link = connected(node)
    link.sendall(handshake_request("/connect", Sec_WebSocket_Extensions="permessage-deflate"))
    read_head(link)
    return link


def bombed(node, bomb):
    with deflating(node) as link:
        return ask_frame(link, bomb) + 150


def text(message):
    return frame_bytes(TEXT, message if isinstance(message, str) else json.dumps(message))


def logged_in(node):
    link = websocket(node.address, "/chat")
    ask_frame(link, text({"action": "login", "token": "bench"}))
    return link


class Cost:
    """What one request takes: bytes that its node received for it, CPU time of that node and of others, and bytes that all nodes
    sent for it."""

    def __init__(self, name, size, us, back, others, note):
        self.name, self.size, self.us, self.back, self.others, self.note = name, size, us, back, others, note

    def result(self):
        others = "".join(f"; {name} {us:.0f} us" for name, us in self.others)
        return Result(f"{self.name} ({self.size:,.0f} bytes): CPU by request", None, self.us, " us",
                      note=f"{self.us / self.size * 1e3:,.0f} ns by byte received, {self.back / self.size:,.1f} bytes back by byte{others}{self.note}")

    def line(self):
        """Of the table in SECURITY.md."""
        others = "".join(f"; {name} {short(us)}" for name, us in self.others if us >= 1)
        return (f"| {self.name} | {self.size:,.0f} | {short(self.us)}{others}{self.note} | {short(self.us / self.size)} | "
                f"{rounded(self.back / self.size)} | {bound_of(self.name)} |")


def rounded(value):
    return f"{value:,.0f}" if value >= 9.5 else f"{value:.1f}" if value >= 0.05 else "0"


def short(us):
    return f"{us / 1e3:.1f} ms" if us >= 950 else f"{us:.0f} µs" if us >= 9.5 else f"{us:.1f} µs" if us >= 0.95 else f"{us * 1e3:.0f} ns"


def cpu_of(pid):
    """Seconds that its threads have run. (A process's own count is in hundredths.)"""
    total = 0
    for path in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((path / "schedstat").read_text().split()[0])
    return total / 1e9


def traffic(node):
    """Bytes received from clients, and sent to them."""
    metrics = node.metrics()
    return [metrics["muster_received_bytes_total"], metrics["muster_sent_bytes_total"]]


class Traffic:
    """Of some nodes, from here on, but for what it takes to ask them."""

    def __init__(self, nodes):
        self.nodes = nodes
        first = [traffic(node) for node in nodes]
        self.before = [traffic(node) for node in nodes]
        self.own = [[b - a for a, b in zip(*pair)] for pair in zip(first, self.before)]

    def since(self):
        """Received by the first, sent by all."""
        now = [traffic(node) for node in self.nodes]
        grown = [[b - a - own for a, b, own in zip(*three)] for three in zip(self.before, now, self.own)]
        return grown[0][0], sum(sent for _, sent in grown)


def measure(name, nodes, ask, *processes, many=1, size=None, seconds=SECONDS):
    """Asks the first of `nodes` for some time; each `ask` is so many requests. `size`: of a datagram, whose answer's length `ask`
    tells: both are none of a node's counts. `processes`: (name, pid) of others whose CPU time is wanted."""
    processes = [*processes, *(("the other node", node.pid) for node in nodes[1:])]
    back, count, seen = 0, 0, Traffic(nodes)
    begun, cpu, before = time.monotonic(), cpu_of(nodes[0].pid), [cpu_of(pid) for _, pid in processes]
    while time.monotonic() - begun < seconds:
        back += ask()
        count += many
    time.sleep(SETTLE)
    us = (cpu_of(nodes[0].pid) - cpu) / count * 1e6
    others = [(who, (cpu_of(pid) - was) / count * 1e6) for (who, pid), was in zip(processes, before)]
    received, sent = (size * count, back) if size else seen.since()
    return Cost(name, received / count, us, sent / count, others, "")


def kinds(node):
    plain, sync, chat = connected(node), websocket(node.address, "/connect"), logged_in(node)
    game = websocket(node.address, "/minigame")
    deep = "[" * 100 + "]" * 100
    entry = {"msg": "x" * 180, "level": "info", "room": "bench", "n": 1.5}
    http = [("GET /version", get("/version")), ("GET /metrics", get("/metrics")), ("GET /api/status", get("/api/status")),
            ("the fleet's page", get("/", "Accept: text/html")), ("the logs page", get("/logs.html")),
            ("the docs page", get("/docs", "Accept: text/html")), ("GET / as text", get("/")), ("GET /readyz", get("/readyz")),
            ("GET /healthz", get("/healthz")), ("GET /favicon.svg", get("/favicon.svg")), ("GET /api/version", get("/api/version")),
            ("GET /api/gaming/events", get("/api/gaming/events")), ("GET /api/server", get(f"/api/server?bearer_token={SECRET}")),
            ("a path that is not there: 404", get("/nowhere")), ("a token that is not there: 401", get("/api/server")),
            ("another site's page: 403", get("/metrics", "Origin: http://evil.example")),
            ("under another name: 421", get("/metrics").replace(b"Host: x", b"Host: evil.example")),
            ("asked before (preflight): 204", get("/logs/add", "Origin: http://a.example").replace(b"GET", b"OPTIONS")),
            ("/logs/add, malformed: 400", post("/logs/add", b"{")),
            ("/logs/add, one entry, gzip", post("/logs/add", gzip.compress(json.dumps(entry).encode()), "Content-Encoding: gzip")),
            ("/logs/add, 250 KB in gzip", post("/logs/add", gzip.compress(json.dumps([entry] * 1000).encode()), "Content-Encoding: gzip")),
            ("/logs/add, 120,000 empty entries in gzip", post("/logs/add", gzip.compress(b"[" + b"{}," * 119999 + b"{}]"), "Content-Encoding: gzip")),
            ("/logs/add, a bomb of 20 MB in gzip: 413", post("/logs/add", gzip.compress(b" " * 20_000_000), "Content-Encoding: gzip")),
            ("/loki/api/v1/push", post("/loki/api/v1/push", json.dumps({"streams": [{"stream": {"a": "b"}, "values": [["1700000000000000000", "x" * 180]]}]}).encode())),
            ("/v1/logs", post("/v1/logs", json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x" * 180}}]}]}]}).encode())),
            ("/gelf", post("/gelf", json.dumps({"version": "1.1", "host": "h", "short_message": "x" * 180}).encode())),
            ("/logs/stored, no PostgreSQL", get("/logs/stored?room=x")),
            ("/logs/add, one entry", post("/logs/add", json.dumps(entry).encode())),
            ("/logs/add, 250 KB", post("/logs/add", json.dumps([entry] * 1000).encode())),
            ("a header of 15 KB", get("/version", "X: " + "x" * 15000))]
    text_of_push = ('{"type":"Push","a":[' + ",".join([deep] * 1200) + "]}").encode()
    frames = [("sync: no JSON", sync, text("x")), ("sync: a push refused", sync, text({"type": "Push", "sessionId": "x"})),
              ("sync: ping", sync, text("ping")), ("sync: an unknown type", sync, text({"type": "x"})),
              ("sync: 250 KB of JSON", sync, text(text_of_push.decode())),
              ("chat: a history of 100", chat, text({"action": "history", "limit": 100})),
              ("chat: a login", chat, text({"action": "login", "token": "bench"})),
              ("chat: an unknown action", chat, text({"action": "x"})),
              ("chat: a message to one", chat, text({"action": "message", "message": "hi"})),
              ("minigame: one request too many", game, text("x"))]
    for name, request in http:
        yield re.sub(r"^((GET )?/[^ ,]*)", r"`\1`", name), lambda request=request: ask_http(plain, request)
    for name, link, request in frames:
        yield name, lambda link=link, request=request: ask_frame(link, request)
    yield "a WebSocket opened and closed", lambda: handshake(node, "/connect")
    bomb = frame_bytes(TEXT, deflate(text_of_push), rsv=4)
    squeezed = deflating(node)
    yield "sync: 250 KB of JSON, deflated", lambda: ask_frame(squeezed, bomb)
    empty = [frame_bytes(TEXT, deflate(b" " * size), rsv=4) for size in (500_000, 600_000)]
    yield "sync: 500 KB of spaces, deflated", lambda: ask_frame(squeezed, empty[0])
    yield "sync: over the limit, deflated: 1009", lambda: bombed(node, empty[1])
    yield "`/api/status/live` opened and closed", lambda: handshake(node, "/api/status/live")
    yield "`/logs/listen` with a backlog", lambda: handshake(node, "/logs/listen?room=unknown&backlog=2000")


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
            with drained(crowd):
                yield measure(name, (node, other), lambda link=link, order=order: ask_frame(link, next(order)), ("Redis", redis.pid))


def datagrams(bench):
    """Of the tracker, through Redis: addresses of senders can be made up, so each may be another's."""
    port = free_port()
    with bench.redis() as redis, bench.node(redis.url, tracker=f"127.0.0.1:{port}", tracker_rate="0") as node:
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.settimeout(5)
        link.connect(("127.0.0.1", port))
        for name, message in (("tracker: announce", {"action": "announce"}),
                              ("tracker: a share id that nobody has", {"action": "push", "shareId": "abcdefgh"}),
                              ("tracker: pulse", {"action": "pulse"}), ("tracker: pulse, another id", {"action": "pulse", "shareId": True}),
                              ("tracker: alive", {"action": "alive"}), ("tracker: what is no JSON", "x")):
            data = message.encode() if isinstance(message, str) else json.dumps(message).encode()

            def ask(data=data):
                link.send(data)
                return len(link.recv(2048))
            try:
                yield measure(name, (node,), ask, ("Redis", redis.pid), size=len(data))
            except socket.timeout:
                bench.progress.step(f"{name}: no answer")
                continue
        link.close()


def game_servers(bench):
    """Of the relay: one that comes and goes in a network of 100 on two nodes, and what one says to them."""
    ports = [free_port(), free_port()]
    common = {"relay_joins": "0", "relay_rate": "0", "relay_pacing": "off", "relay_status_token": "bench"}
    with bench.redis() as redis, bench.node(redis.url, relay=f"127.0.0.1:{ports[0]}", **common) as node, \
            bench.node(redis.url, relay=f"127.0.0.1:{ports[1]}", **common) as other:
        others, came = [], []
        hello = json.dumps(relay_handshake("a")).encode()

        def join(port):
            link = socket.create_connection(("127.0.0.1", port), 10)
            link.sendall(hello)
            size = len(link.recv(1 << 16))
            return link, size
        for number in range(100):
            others.append(join(ports[number % 2])[0])
        speaker, saying = join(ports[0])[0], json.dumps({"type": "message", "content": "x" * 100, "username": "u"}).encode()

        def come_and_go():
            link, size = join(ports[0])
            link.close()
            return size

        def come():
            link, size = join(ports[0])
            came.append(link)
            return size

        def say():
            speaker.sendall(saying)
            time.sleep(0.001)
            return 0
        listing, plain = get("/api/relay", "Authorization: Bearer bench"), connected(node)
        with drained(others):
            for name, ask in (("`GET /api/relay`, of 100", lambda: ask_http(plain, listing)),
                              ("relay: a game server that comes and goes in a network of 100 on two nodes", come_and_go),
                              ("relay: a message to 100 on two nodes", say)):
                yield measure(name, (node, other), ask, ("Redis", redis.pid))
            cost = measure("relay: a game server that joins a network of 100 on two nodes", (node, other), come, ("Redis", redis.pid))
            cost.note = f"; it had grown to {100 + len(came)} by the end"
            yield cost
        for link in [speaker, *others, *came]:
            link.close()


def rounds_of_games(bench):
    """Of minigame: who is online, 5,000 of them on another node; and the webhook, with 100 game servers on two nodes."""
    settings = {"chat_login": "development"}
    with bench.redis() as redis, bench.node(redis.url, **settings) as node, bench.node(redis.url, **settings) as other:
        users = [websocket(other.address, "/chat") for _ in range(5000)]
        for number, user in enumerate(users):
            ask_frame(user, text({"action": "login", "token": f"user-{number:05}"}))
        servers = [websocket(one.address, "/minigame") for one in (node, other) for _ in range(50)]

        def answers(link=servers[0]):
            return b"scheduler is" in ask_last(link, text({"action": "scheduler_info"}), b"info")
        wait_until(answers, "the scheduler is known")
        for name, message in (("minigame: what is on", {"action": "scheduler_info"}), ("minigame: another period", {"action": "scheduler_start", "period": 600}),
                              ("minigame: the end of no game", {"action": "game_end", "id": "x"})):
            fresh = [websocket(node.address, "/minigame") for _ in range(100)]
            order, request = itertools.cycle(fresh), text(message)

            def say(order=order, request=request):
                next(order).sendall(request)
                time.sleep(0.01)  # so that none of them waits, or is told to slow down
                return 0
            with drained(fresh + servers):
                yield measure(f"{name}, said to 200 sockets on two nodes", (node, other), say, ("Redis", redis.pid))
            for one in fresh:
                one.close()
        time.sleep(1)
        question = text({"action": "online_players"})
        asking = itertools.cycle([websocket(node.address, "/minigame") for _ in range(200)])
        yield measure("minigame: who is online, of 5,000", (node,), lambda: len(ask_last(next(asking), question)))
        hook, link = post("/api/webhook/minigame", b"{}"), connected(node)

        def call():
            time.sleep(0.11)  # each is an update
            return ask_http(link, hook)
        with drained(servers):
            yield measure("minigame: the webhook, 100 game servers on two nodes", (node, other), call, ("Redis", redis.pid), seconds=3)
        for one in [*users, *servers]:
            one.close()


@contextlib.contextmanager
def drained(links):
    """What is said to these is read meanwhile."""
    over, chosen = threading.Event(), selectors.DefaultSelector()
    for link in links:
        chosen.register(link, selectors.EVENT_READ)

    def drain():
        while not over.is_set():
            for key, _ in chosen.select(0.1):
                key.fileobj.recv(1 << 16)
    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join()


def ask_last(link, request, word=b"online_players"):
    """The answer, whatever was said to all before it."""
    link.sendall(request)
    while word not in (answer := read_frames(link, 1)) and b"error" not in answer:
        pass
    return answer


def parts_of_streams(bench):
    """A request that touches two servers of which one's stream is full: the answer names each entry that is to be sent again."""
    with bench.redis() as one, bench.redis() as two, \
            bench.node(f"{one.url},{two.url}", logs_rate="0", logs_bound="200000", logs_sink="on") as node:
        link = connected(node)
        two.command("CONFIG", "SET", "maxmemory", "1")
        there, away = [], []
        for number in range(200):
            room = f"r{number}"
            (there if add(link, [room])[0] == 200 else away).append(room)
        two.command("CONFIG", "SET", "maxmemory", "0")
        wait_until(lambda: node.get("/readyz")[1] == "ready\n", "both are there")
        time.sleep(1.1)  # what refused something is asked again
        full = away[0]
        while add(link, [full] * 1000)[0] == 200:
            pass
        for count in (2, 1000):
            named = [room for one in there * 12 for room in (one, full)][:count]
            time.sleep(1.1)  # it is asked again
            status, body = add(link, named)
            if status != 503 or len(body["elements"]) != count / 2:
                raise BenchError(f"no answer that names what is missing: {status} {body}")
            request = post("/logs/add", json.dumps([{"msg": "x", "room": room} for room in named]).encode())
            yield measure(f"`/logs/add`, half refused (503): {count:,} entries", (node,), lambda request=request: ask_http(link, request),
                          ("Redis", one.pid), ("the full one", two.pid))


def add(link, rooms):
    """Status and body, for an entry in each room."""
    link.sendall(post("/logs/add", json.dumps([{"msg": "x", "room": room} for room in rooms]).encode()))
    head, body = read_head(link), b""
    length = int((head.lower().split(b"content-length: ") + [b"0\r\n"])[1].split(b"\r\n")[0])
    while len(body) < length:
        body += link.recv(length - len(body))
    return int(head.split(b" ")[1]), json.loads(body or b"{}")


def told(link, frames):
    """So many frames of a driver, of any size."""
    return len(read_frames(link, frames)) + 4


def devices_of_drivers(bench):
    """Of dispatch: drivers and devices that come and go, the driver on the other node; and what no driver may say."""
    port = free_ports(2)
    settings = {"lease": "2s"}
    with bench.redis() as redis, bench.node(redis.url, **node_settings(0, **settings)) as node, \
            bench.node(redis.url, **node_settings(1, **settings)) as other:
        driver = websocket(other.address, path_of(port, "127.0.0.0/24"))

        def device():
            with socket.create_connection(("127.0.0.1", port), 10):
                told(driver, 1)
            return told(driver, 1)

        def come_and_go():
            websocket(node.address, path_of(port + 1, "127.0.0.0/24")).close()
            return 130

        def bearer():
            return ask_http(plain, get(f"/api/server?bearer_token={SECRET}"))
        for _ in range(50):  # the port is open at both
            try:
                device()
                break
            except OSError:
                time.sleep(0.1)
        come_and_go()
        plain = connected(node)
        wrong = [frame_bytes(BINARY, pack(WRITE, "10.0.0.1", 99, b"x")), frame_bytes(BINARY, pack(CLOSE, "10.0.0.1", 99))]
        for name, ask in (("dispatch: `GET /api/server`", bearer), ("dispatch: a driver that comes and goes", come_and_go)):
            yield measure(name, (node, other), ask, ("Redis", redis.pid))
        # It says nothing, so by the bytes of its handshake (TCP's, of which the kernel does not tell).
        yield measure("dispatch: a device that comes and goes, its driver on another node", (node, other), device, ("Redis", redis.pid), size=120)
        for name, frame in zip(("dispatch: data for no device", "dispatch: an end of no device"), wrong):
            link = websocket(node.address, path_of(port, "127.0.0.0/24"))

            def say(link=link, frame=frame):
                link.sendall(frame * 100 + frame_bytes(PING, b"x"))
                return told(link, 1)
            say()  # it is open from here on
            yield measure(name, (node,), say, many=100)


def lines_of_syslog(bench):
    """Of syslog, over UDP and TCP, in the memory store."""
    port = free_port()
    with bench.node(logs_syslog=f"127.0.0.1:{port}", logs_rate="0") as node:
        line = b"<14>1 2026-01-01T00:00:00Z host app 1 - - " + b"x" * 180
        udp, tcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_connection(("127.0.0.1", port), 10)
        udp.connect(("127.0.0.1", port))

        def added():
            return node.metrics()["muster_logs_added_total"]

        def datagrams():
            for _ in range(100):
                udp.send(line)
            time.sleep(0.002)
            return 0
        for name, ask, size in (("syslog: a datagram", datagrams, len(line)), ("syslog: a line of TCP", lambda: tcp.sendall((line + b"\n") * 100) or 0, len(line)),
                                ("syslog: a short line of TCP", lambda: tcp.sendall(b"x\n" * 1000) or 0, 2)):
            begun, cpu, seen = added(), cpu_of(node.pid), Traffic((node,))
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                ask()
            time.sleep(2 * SETTLE)
            count = added() - begun
            used = (cpu_of(node.pid) - cpu) / count * 1e6
            yield Cost(name, size, used, seen.since()[1] / count, [], f"; {count:,.0f} stored")


def talk(bench):
    """Of chat: what one says to 1,000 others on two nodes."""
    settings = {"chat_login": "development", "chat_rate": "100000", "chat_burst": "100000"}
    with bench.redis() as redis, bench.node(redis.url, **settings) as node, bench.node(redis.url, **settings) as other:
        users = [websocket(one.address, "/chat") for one in (node, other) for _ in range(500)]
        for number, user in enumerate(users):
            ask_frame(user, text({"action": "login", "token": f"user-{number}"}))
        writer, saying = logged_in(node), text({"action": "message", "message": "x" * 50})
        with drained(users):
            yield measure("chat: a message to 1,000 on two nodes", (node, other), lambda: ask_frame(writer, saying), ("Redis", redis.pid))
        for user in users:
            user.close()


@contextlib.contextmanager
def services():
    service = AccountService().start()
    try:
        yield service
    finally:
        service.stop()


def pushes(bench):
    """Accepted pushes: the leader of a session tells one member, and 500 on two nodes."""
    with bench.redis() as redis, bench.node(redis.url) as node, bench.node(redis.url) as other:
        def member(of, session, leads=False):
            link = websocket(of.address, "/connect")
            ask_frame(link, text({"type": "SetSession", "sessionId": session, "isLeader": leads}))
            return link
        for name, session, count, size in (("sync: a push to one member", "few", 1, 10), ("sync: a push to 500 on two nodes", "many", 500, 10),
                                           ("sync: a push of 20 KB to 500 on two nodes", "large", 500, 20000)):
            members = [member((node, other)[number % 2], session) for number in range(count)]
            leader, push = member(node, session, True), text({"type": "Push", "sessionId": session, "data": "x" * size})
            heard = members[0]  # on this node, as the last word of a push

            def ask(leader=leader, push=push, heard=heard):
                leader.sendall(push)
                while b'"Push"' not in read_frames(heard, 1):
                    pass
                return 0
            with drained([leader, *members[1:]]):
                yield measure(name, (node, other), ask, ("Redis", redis.pid))
            for link in (leader, *members):
                link.close()


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
                cost = measure(name, (node,), ask, seconds=3)
                asked = next(count)
                cost.note = f"; {service.count(path) - before} requests to the service for {asked:,} of these"
                yield cost
        service.tokens = {(f"user {number}", "s3cret"): key.token(f"user {number}") for number in range(1000)}
        with bench.node(chat_jwks=service.url + "/jwks", chat_login_url=service.url, chat_account_url=service.url, **settings) as node:
            for name, words in (("chat: a login with a password", "s3cret"), ("chat: a login with a wrong password", "no")):
                before, count = service.count("/idm"), itertools.count()
                users = itertools.cycle(range(1000))

                def ask(users=users, count=count, words=words):
                    next(count)
                    link = websocket(node.address, "/chat")
                    with link:
                        return ask_frame(link, text({"action": "login", "username": f"user {next(users)}", "password": words}))
                cost = measure(name, (node,), ask, seconds=3)
                asked = next(count)
                cost.note = f"; {(service.count('/idm') - before) / asked:.1f} requests to the service"
                yield cost


def run(bench):
    costs = []
    settings = {"chat_rate": "100000", "chat_burst": "100000", "message_limit": "512k", "chat_login": "development",
                "admin_hosts": "status.example", "logs_rate": "0", "ws_ping": "1h"}
    with bench.node(**settings) as node:
        writer = logged_in(node)
        for number in range(100):
            ask_frame(writer, text({"action": "message", "message": f"{number} " + "x" * 300}))
        for name, ask in kinds(node):
            costs.append(measure(name, (node,), ask))
            bench.progress.step(f"{name}: {costs[-1].us:.0f} us")
    for others in (rosters, pushes, datagrams, game_servers, rounds_of_games, talk, devices_of_drivers, parts_of_streams, lines_of_syslog, of_operators):
        bench.progress.step(others.__doc__.split(":")[0])
        costs.extend(others(bench))
    tell(costs, bench.options.write)
    return [cost.result() for cost in costs]


def tell(costs, write):
    """The table, printed, or put into SECURITY.md in place of the one that is there."""
    table = "\n".join([HEAD, "| --- | --- | --- | --- | --- | --- |", *(cost.line() for cost in costs)]) + "\n"
    if not write:
        print(table)
        return
    page = PAGE.read_text(encoding="utf-8")
    begin = page.index(HEAD)
    end = page.index("\n\n", begin) + 1
    PAGE.write_text(page[:begin] + table + page[end:], encoding="utf-8")
