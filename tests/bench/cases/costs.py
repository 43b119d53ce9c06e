# SPDX-License-Identifier: MIT
"""What each kind of request costs its node, for the byte that the sender spends: CPU time of the node (all its threads) by
request and by byte received, and bytes sent back by byte received. For the table of SECURITY.md: where a little asks for
much, there must be a bound. One client, as fast as it is answered, on the memory store with 100 sessions' sockets there; then
what is asked of others: Redis (rosters: sessions, their members) and an operator's services (keys of tokens, accounts)."""
import contextlib
import gzip
import itertools
import json
import selectors
import socket
import threading
import time

from harness import BenchError, Result
from lib.accounts import AccountService
from lib.dispatch import CLOSE, SECRET, WRITE, node_settings, pack, path_of
from lib.frames import BINARY, PING, TEXT, deflate, frame_bytes, handshake_request
from lib.measure import cpu_of
from lib.ports import free_port, free_ports
from lib.relay import handshake as relay_handshake
from lib.tokens import Key
from lib.waiting import wait_until
from noise import read_frames, read_head, websocket

SECONDS = 1.0


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
              ("chat: history of 100", chat, text({"action": "history", "limit": 100})),
              ("chat: a login", chat, text({"action": "login", "token": "bench"})),
              ("chat: an unknown action", chat, text({"action": "x"})),
              ("chat: a message to one", chat, text({"action": "message", "message": "hi"})),
              ("minigame: one request too many", game, text("x"))]
    for name, request in http:
        yield name, lambda request=request: ask_http(plain, request), len(request)
    for name, link, request in frames:
        yield name, lambda link=link, request=request: ask_frame(link, request), len(request)
    yield "a WebSocket opened and closed", lambda: handshake(node, "/connect"), 200
    bomb = frame_bytes(TEXT, deflate(text_of_push), rsv=4)
    squeezed = deflating(node)
    yield "sync: 250 KB of JSON, deflated", lambda: ask_frame(squeezed, bomb), len(bomb)
    empty = [frame_bytes(TEXT, deflate(b" " * size), rsv=4) for size in (500_000, 600_000)]
    yield "sync: 500 KB of spaces, deflated", lambda: ask_frame(squeezed, empty[0]), len(empty[0])
    yield "sync: over the limit, deflated: 1009", lambda: bombed(node, empty[1]), 250 + len(empty[1])
    yield "/api/status/live opened and closed", lambda: handshake(node, "/api/status/live"), 200
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
            ask, note = counted(lambda link=link, order=order: ask_frame(link, next(order)), ("Redis", redis.pid), ("the other node", other.pid))
            us, ns, back = measure(node, ask, len(frames[0]))
            yield row(name, len(frames[0]), us, ns, back, note())


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
            ask, note = counted(ask, ("Redis", redis.pid))
            try:
                us, ns, back = measure(node, ask, len(data))
            except socket.timeout:
                bench.progress.step(f"{name}: no answer")
                continue
            yield row(name, len(data), us, ns, back, note())
        link.close()


def game_servers(bench):
    """Of the relay: one that comes and goes in a network of 100 on two nodes, and what one says to them."""
    ports = [free_port(), free_port()]
    common = {"relay_joins": "0", "relay_rate": "0", "relay_pacing": "off", "relay_status_token": "bench"}
    with bench.redis() as redis, bench.node(redis.url, relay=f"127.0.0.1:{ports[0]}", **common) as node, \
            bench.node(redis.url, relay=f"127.0.0.1:{ports[1]}", **common) as other:
        others = []
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

        def say():
            speaker.sendall(saying)
            time.sleep(0.001)
            return 0
        listing, plain = get("/api/relay", "Authorization: Bearer bench"), connected(node)
        with drained(others):
            for name, ask, size in (("GET /api/relay, of 100", lambda: ask_http(plain, listing), len(listing)),
                                    ("relay: one that comes and goes", come_and_go, len(hello)), ("relay: a message to 100", say, len(saying))):
                ask, note = counted(ask, ("Redis", redis.pid), ("the other node", other.pid))
                us, ns, back = measure(node, ask, size)
                yield row(name, size, us, ns, back, note())
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
                ask, note = counted(say, ("Redis", redis.pid), ("the other node", other.pid))
                us, ns, _ = measure(node, ask, len(request))
                yield row(name, len(request), us, ns, 0, note() + ", said to 200 sockets")
            for one in fresh:
                one.close()
        time.sleep(1)
        question = text({"action": "online_players"})
        asking = itertools.cycle([websocket(node.address, "/minigame") for _ in range(200)])
        for name, ask, size in (("minigame: who is online, of 5,000", lambda: len(ask_last(next(asking), question)) + 4, len(question)),):
            us, ns, back = measure(node, ask, size)
            yield row(name, size, us, ns, back)
        hook, link = post("/api/webhook/minigame", b"{}"), connected(node)
        ask, note = counted(lambda: ask_http(link, hook), ("Redis", redis.pid), ("the other node", other.pid))
        us, ns, back = measure(node, ask, len(hook))
        yield row("minigame: the webhook, 100 game servers", len(hook), us, ns, back, note())
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


def counted(ask, *processes):
    """`ask`, and what tells of the CPU time that each of these took for one of it."""
    count, before = itertools.count(), [cpu_of(pid) for _, pid in processes]

    def one():
        next(count)
        return ask()

    def note():
        asked = next(count)
        return "".join(f"; {name} {(cpu_of(pid) - cpu) / asked * 1e6:.0f} us" for (name, pid), cpu in zip(processes, before))
    return one, note


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
            ask, note = counted(lambda request=request: ask_http(link, request), ("Redis", one.pid), ("the full one", two.pid))
            us, ns, back = measure(node, ask, len(request))
            yield row(f"/logs/add, {count:,} entries, half refused: 503", len(request), us, ns, back,
                      note() + ", which are asked once a second")


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
        for name, ask, size in (("dispatch: the statistics", bearer, 70), ("dispatch: a device that comes and goes", device, 120),
                                ("dispatch: a driver that comes and goes", come_and_go, 280)):
            ask, note = counted(ask, ("Redis", redis.pid), ("the other node", other.pid))
            us, ns, back = measure(node, ask, size)
            yield row(name, size, us, ns, back, note())
        for name, frame in zip(("dispatch: data for no device", "dispatch: an end of no device"), wrong):
            link = websocket(node.address, path_of(port, "127.0.0.0/24"))

            def say(link=link, frame=frame):
                link.sendall(frame * 100 + frame_bytes(PING, b"x"))
                return told(link, 1)
            say()  # it is open from here on
            us, ns, back = measure(node, say, 100 * len(frame))
            yield row(name, len(frame), us / 100, ns, back)


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
            begun, cpu = added(), cpu_of(node.pid)
            measure(node, ask, size)
            time.sleep(0.5)
            count = added() - begun
            used = (cpu_of(node.pid) - cpu) / count
            yield row(name, size, used * 1e6, used / size * 1e9, 0, f"; {count:,.0f} stored")


def talk(bench):
    """Of chat: what one says to 1,000 others on two nodes."""
    settings = {"chat_login": "development", "chat_rate": "100000", "chat_burst": "100000"}
    with bench.redis() as redis, bench.node(redis.url, **settings) as node, bench.node(redis.url, **settings) as other:
        users = [websocket(one.address, "/chat") for one in (node, other) for _ in range(500)]
        for number, user in enumerate(users):
            ask_frame(user, text({"action": "login", "token": f"user-{number}"}))
        writer, saying = logged_in(node), text({"action": "message", "message": "x" * 50})
        with drained(users):
            ask, note = counted(lambda: ask_frame(writer, saying), ("Redis", redis.pid), ("the other node", other.pid))
            us, ns, back = measure(node, ask, len(saying))
            yield row("chat: a message to 1,000", len(saying), us, ns, 500 * 150 / len(saying), note())
        for user in users:
            user.close()


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
    settings = {"chat_rate": "100000", "chat_burst": "100000", "message_limit": "512k", "chat_login": "development",
                "admin_hosts": "status.example", "logs_rate": "0"}
    with bench.node(**settings) as node:
        writer = logged_in(node)
        for number in range(100):
            ask_frame(writer, text({"action": "message", "message": f"{number} " + "x" * 300}))
        for name, ask, size in kinds(node):
            us, ns, back = measure(node, ask, size)
            bench.progress.step(f"{name}: {us:.0f} us")
            rows.append(row(name, size, us, ns, back))
    for others in (rosters, datagrams, game_servers, rounds_of_games, talk, devices_of_drivers, parts_of_streams, lines_of_syslog, of_operators):
        bench.progress.step(others.__doc__.split(":")[0])
        rows.extend(others(bench))
    return rows
