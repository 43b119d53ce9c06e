# SPDX-License-Identifier: MIT
"""HTTP/1.1 as seen on the wire: every byte of these requests is meant."""

import json
import random
import re
import socket

import pytest

from lib.frames import accept_for, handshake_request
from lib.ports import free_port
from lib.tcp import Closed, HttpClient
from lib.waiting import wait_until

VERSION = b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n"
SAMPLE = re.compile(
    r'[a-zA-Z_:][a-zA-Z0-9_:]*'
    r'(\{([a-zA-Z_][a-zA-Z0-9_]*="([^"\\\n]|\\["\\n])*"(,(?=[^}]))?)*\})?'
    r' ([-+]?([0-9]*\.?[0-9]+)([eE][-+]?[0-9]+)?|[-+]Inf|NaN)( -?[0-9]+)?')
HELP = re.compile(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)")
TYPE = re.compile(r"# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)")


def request(line, *fields, body=b""):
    """A request of a line, its fields, and a Host unless given."""
    fields = list(fields)
    if not any(field.lower().startswith("host") for field in fields):
        fields.insert(0, "Host: a")
    return "\r\n".join([line, *fields, "", ""]).encode("latin-1") + body


def answer(node, data, method="GET"):
    with HttpClient(node.port) as client:
        return client.ask(data, method)


def assert_error(response, *statuses):
    """An error with the JSON body that says what is wrong, readable from any origin."""
    assert response.status in statuses, response
    assert response.headers["content-type"].startswith("application/json")
    error = json.loads(response.body)["error"]
    assert isinstance(error, str) and error
    assert response.headers["access-control-allow-origin"] == "*"


def assert_version(response):
    assert (response.status, response.body) == (200, b"0.1"), response


# --- pages

def test_version(node):
    response = answer(node, VERSION)
    assert response.version == "HTTP/1.1"
    assert_version(response)
    assert re.match(r"text/(html|plain)", response.headers["content-type"])
    assert response.headers["content-length"] == "3"
    assert response.headers["access-control-allow-origin"] == "*"


def test_page_for_a_person(node):
    response = answer(node, request("GET / HTTP/1.1"))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/")
    text = response.body.decode().lower()
    for word in ("session", "socket", "byte", "uptime"):
        assert word in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes(node, path):
    assert answer(node, request(f"GET {path} HTTP/1.1")).status == 200


def test_metrics_follow_the_text_grammar(node):
    response = answer(node, request("GET /metrics HTTP/1.1"))
    assert response.status == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.body.decode()
    assert text.endswith("\n")
    typed, sampled, seen = {}, set(), set()
    for line in text.splitlines():
        if help_line := HELP.fullmatch(line):
            assert help_line[1] not in typed
        elif type_line := TYPE.fullmatch(line):
            assert type_line[1] not in typed and type_line[1] not in sampled
            typed[type_line[1]] = type_line[2]
        else:
            assert SAMPLE.fullmatch(line), line
            series = line.rsplit(" ", 1)[0]
            assert series not in seen, f"twice: {series}"
            seen.add(series)
            sampled.add(re.sub(r"_(bucket|sum|count)$", "", name) if (name := re.split(r"[{ ]", line)[0]) not in typed
                        else name)
    assert sampled == set(typed)
    assert all(name.startswith(("muster_", "process_")) for name in typed)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in typed.items())


def test_histograms_are_whole(yard, redis):
    node = yard.node(store=redis.url)
    buckets = "muster_bus_lag_seconds_bucket"

    def lags():
        samples = node.metrics()
        return samples if samples["muster_bus_lag_seconds_count"] > 0 else None
    samples = wait_until(lags, "a bus lag is measured")
    counts = [value for name, value in samples.items() if name.startswith(buckets)]
    assert counts == sorted(counts)
    assert samples[buckets + '{le="+Inf"}'] == samples["muster_bus_lag_seconds_count"]
    assert samples["muster_bus_lag_seconds_sum"] > 0


def test_one_slash_more_and_a_query_are_the_same_path(node):
    for target in ("/version/", "/version?", "/version?a=b&c", "/version/?x", "/Version", "/VERSION/"):
        assert_version(answer(node, request(f"GET {target} HTTP/1.1")))


def test_the_icon(node):
    response = answer(node, request("GET /favicon.svg HTTP/1.1"))
    assert response.status == 200 and response.body.startswith(b"<svg ")


def test_absolute_form(node):
    assert_version(answer(node, request("GET http://a/version HTTP/1.1")))
    assert_version(answer(node, request("GET http://a:80/version?x HTTP/1.1")))


def test_admin_pages_move_to_their_own_port(yard):
    port = free_port()
    node = yard.begin(admin=f"127.0.0.1:{port}")

    def status_at(port_, path):
        try:
            with HttpClient(port_) as client:
                return client.ask(request(f"GET {path} HTTP/1.1")).status
        except OSError:
            return None
    wait_until(lambda: status_at(port, "/readyz") == 200, "the admin port is ready")
    for path in ("/metrics", "/healthz", "/readyz", "/api/status"):
        assert (status_at(port, path), status_at(node.port, path)) == (200, 404)
    assert status_at(port, "/") == status_at(node.port, "/") == status_at(node.port, "/version") == 200


# --- methods

@pytest.mark.parametrize("path", ["/version", "/", "/healthz", "/readyz"])
def test_head_is_get_without_body(node, path):
    with HttpClient(node.port) as client:
        head = client.ask(request(f"HEAD {path} HTTP/1.1"), "HEAD")
        get = client.ask(request(f"GET {path} HTTP/1.1"))
    assert head.status == get.status == 200
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/":  # its numbers may grow in between
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(node, method):
    with HttpClient(node.port) as client:
        response = client.ask(request(f"{method} /version HTTP/1.1", "Content-Length: 0"))
        assert_error(response, 405)
        assert {"GET", "HEAD"} <= set(re.split(r", *", response.headers["allow"]))
        assert_version(client.ask(VERSION))


@pytest.mark.parametrize("line, status", [("POST /version HTTP/1.1", 405), ("GET /nowhere HTTP/1.1", 404)])
def test_the_body_of_a_refused_request_is_no_request(node, line, status):
    """It is read past, or the connection ends and says so."""
    with HttpClient(node.port) as client:
        response = client.ask(request(line, f"Content-Length: {len(VERSION)}", body=VERSION))
        assert_error(response, status)
        if response.headers.get("connection") == "close":
            assert client.at_end()
        else:
            assert_error(client.ask(request("GET /nowhere HTTP/1.1")), 404)


def test_unknown_methods(node):
    for method in ("BREW", "get", "CONNECT", "TRACE"):
        assert answer(node, request(f"{method} /version HTTP/1.1")).status in (400, 405, 501)


def test_unknown_paths_are_404(node):
    for path in ("/nowhere", "/version/x", "//version", "/versio", "/..", "/%00", "/version%20"):
        assert_error(answer(node, request(f"GET {path} HTTP/1.1")), 404)
    assert answer(node, request("HEAD /nowhere HTTP/1.1"), "HEAD").status == 404


def test_preflight(node):
    for path in ("/version", "/connect", "/"):
        response = answer(node, request(f"OPTIONS {path} HTTP/1.1", "Origin: https://elsewhere.example",
                                        "Access-Control-Request-Method: GET",
                                        "Access-Control-Request-Headers: content-type,x-thing"))
        assert response.status in (200, 204)
        assert response.headers["access-control-allow-origin"] == "*"
        assert "GET" in response.headers["access-control-allow-methods"]
        allowed = response.headers["access-control-allow-headers"].lower()
        assert allowed == "*" or "content-type" in re.split(r", *", allowed)
        assert response.body == b""


def test_answers_to_players_are_open_to_any_origin(node):
    for path in ("/version", "/", "/nowhere", "/connect", "/readyz"):
        response = answer(node, request(f"GET {path} HTTP/1.1", "Origin: https://elsewhere.example"))
        assert response.headers["access-control-allow-origin"] == "*"


# --- the connection

def test_keep_alive(node):
    with HttpClient(node.port) as client:
        for _ in range(50):
            response = client.ask(VERSION)
            assert_version(response)
            assert response.headers.get("connection", "keep-alive").lower() == "keep-alive"


def test_connection_close(node):
    with HttpClient(node.port) as client:
        response = client.ask(request("GET /version HTTP/1.1", "Connection: close"))
        assert_version(response)
        assert response.headers["connection"] == "close"
        assert client.at_end()


def test_half_closed_client_gets_its_answers(node):
    with HttpClient(node.port) as client:
        client.send(VERSION * 3)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            assert_version(client.response())
        assert client.at_end()


def test_http_1_0(node):
    with HttpClient(node.port) as client:
        response = client.ask(b"GET /version HTTP/1.0\r\n\r\n")
        assert_version(response)
        assert response.headers.get("connection", "close") == "close"
        assert client.at_end()


def test_http_1_0_keep_alive(node):
    with HttpClient(node.port) as client:
        response = client.ask(b"GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert_version(response)
        if response.headers.get("connection", "").lower() == "keep-alive":
            assert_version(client.ask(VERSION))
        else:
            assert client.at_end()


def test_pipelining(node):
    with HttpClient(node.port) as client:
        client.send(b"".join(request(f"GET {path} HTTP/1.1") for path in ("/version", "/nowhere", "/version/") * 30))
        for _ in range(30):
            assert_version(client.response())
            assert_error(client.response(), 404)
            assert_version(client.response())


def test_byte_by_byte(node):
    with HttpClient(node.port) as client:
        client.send_bytewise(VERSION)
        assert_version(client.response())


def test_empty_lines_before_a_request(node):
    with HttpClient(node.port) as client:
        assert_version(client.ask(b"\r\n\r\n" + VERSION))
        assert_version(client.ask(b"\r\n" + VERSION))


def test_bodies_are_read_past(node):
    with HttpClient(node.port) as client:
        assert_version(client.ask(request("GET /version HTTP/1.1", "Content-Length: 5", body=b"GET /")))
        assert_version(client.ask(request("GET /version HTTP/1.1", "Content-Length: 0")))
        assert_version(client.ask(request("GET /version HTTP/1.1", "Transfer-Encoding: chunked",
                                          body=b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n")))
        assert_version(client.ask(request("GET /version HTTP/1.1", "transfer-encoding: Chunked", body=b"0\r\n\r\n")))
        assert_version(client.ask(VERSION))


def test_chunked_byte_by_byte(node):
    with HttpClient(node.port) as client:
        client.send_bytewise(request("GET /version HTTP/1.1", "Transfer-Encoding: chunked",
                                     body=b"3\r\nabc\r\n00a\r\n0123456789\r\n000\r\n\r\n") + VERSION)
        assert_version(client.response())
        assert_version(client.response())


def test_expect_100_continue(node):
    with HttpClient(node.port) as client:
        client.send(request("GET /version HTTP/1.1", "Content-Length: 3", "Expect: 100-continue"))
        first = client.response_head()
        if first.status == 100:
            client.send(b"abc")
            assert_version(client.response())
        else:
            assert first.status in (200, 417)


# --- what is malformed

MALFORMED = {
    "no version": b"GET /version\r\nHost: a\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
    "only spaces": b"   \r\nHost: a\r\n\r\n",
    "bad version": b"GET /version HTTQ/1.1\r\nHost: a\r\n\r\n",
    "space in target": b"GET /ver sion HTTP/1.1\r\nHost: a\r\n\r\n",
    "control byte in target": b"GET /ver\x01sion HTTP/1.1\r\nHost: a\r\n\r\n",
    "target without slash": b"GET version HTTP/1.1\r\nHost: a\r\n\r\n",
    "no host": b"GET /version HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /version HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "space before colon": b"GET /version HTTP/1.1\r\nHost: a\r\nX-Y : z\r\n\r\n",
    "field without colon": b"GET /version HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "field without name": b"GET /version HTTP/1.1\r\nHost: a\r\n: z\r\n\r\n",
    "name with bad byte": b"GET /version HTTP/1.1\r\nHost: a\r\nX\x00Y: z\r\n\r\n",
    "name with parenthesis": b"GET /version HTTP/1.1\r\nHost: a\r\nX(Y: z\r\n\r\n",
    "value with NUL": b"GET /version HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
    "value with bare CR": b"GET /version HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
    "leading space": b"GET /version HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
}

SMUGGLING = {
    "length and chunked": ["Content-Length: 4", "Transfer-Encoding: chunked"],
    "chunked and length": ["Transfer-Encoding: chunked", "Content-Length: 4"],
    "two lengths": ["Content-Length: 4", "Content-Length: 40"],
    "length list": ["Content-Length: 4, 40"],
    "negative length": ["Content-Length: -1"],
    "signed length": ["Content-Length: +4"],
    "hexadecimal length": ["Content-Length: 0x4"],
    "length with a word": ["Content-Length: 4 four"],
    "empty length": ["Content-Length:"],
    "length beyond 64 bits": ["Content-Length: 18446744073709551620"],
    "space before length's colon": ["Content-Length : 4"],
    "folded length": ["X: y", " Content-Length: 4"],
    "unknown coding": ["Transfer-Encoding: xchunked"],
    "coding after chunked": ["Transfer-Encoding: chunked, gzip"],
    "coding before chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked twice": ["Transfer-Encoding: chunked, chunked"],
    "two codings": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    "identity": ["Transfer-Encoding: identity"],
    "vertical tab before chunked": ["Transfer-Encoding: \x0bchunked"],
    "quoted chunked": ['Transfer-Encoding: "chunked"'],
}

BAD_CHUNKS = {
    "no number": b"x\r\nabc\r\n0\r\n\r\n",
    "empty number": b"\r\nabc\r\n0\r\n\r\n",
    "negative number": b"-3\r\nabc\r\n0\r\n\r\n",
    "prefixed number": b"0x3\r\nabc\r\n0\r\n\r\n",
    "number beyond 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "64 bits": b"ffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "too short": b"2\r\nabc\r\n0\r\n\r\n",
    "no line end after data": b"3\r\nabcX\r\n0\r\n\r\n",
}


def assert_refused(node, data, *statuses):
    """An error, and the rest of the connection is not taken for a request."""
    with HttpClient(node.port) as client:
        client.send_while_taken(data + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert_error(client.response(), *statuses)
        assert client.at_end()


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_requests_are_400(node, data):
    assert_refused(node, data, 400)


@pytest.mark.parametrize("fields", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_ambiguous_lengths_are_refused(node, fields):
    assert_refused(node, request("GET /version HTTP/1.1", *fields, body=b"0\r\n\r\n"), 400, 413, 501)


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_bad_chunks_are_refused(node, chunks):
    assert_refused(node, request("GET /version HTTP/1.1", "Transfer-Encoding: chunked", body=chunks), 400, 413)


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/3.7"])
def test_other_versions_are_refused(node, version):
    assert_refused(node, request(f"GET /version {version}"), 400, 505)


def test_the_preface_of_http_2_is_refused(node):
    with HttpClient(node.port) as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert_error(client.response(), 400, 405, 505)


# --- limits

@pytest.mark.parametrize("data", [b"GET /" + b"a" * 300000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                                  request("GET /version HTTP/1.1", "X: " + "a" * 300000),
                                  request("GET /version HTTP/1.1", *[f"X{i}: y" for i in range(30000)])],
                         ids=["target", "one field", "many fields"])
def test_a_large_header_is_431(node, data):
    with HttpClient(node.port) as client:
        client.send_while_taken(data)
        assert_error(client.response(), 431, 414)


@pytest.mark.parametrize("fields, body", [
    (["Content-Length: 1000000000"], b""),
    (["Transfer-Encoding: chunked"], b"3b9aca00\r\n"),
    (["Transfer-Encoding: chunked"], b"10000\r\n" + b"x" * 65536 + b"\r\n")], ids=["length", "one chunk", "chunks"])
def test_a_large_body_is_413(node, fields, body):
    with HttpClient(node.port) as client:
        client.send(request("POST /version HTTP/1.1", *fields))
        if body:
            for _ in range(2000):
                client.send_while_taken(body)
        assert_error(client.response(), 413, 405)


def test_slow_requests_are_408(yard):
    node = yard.node(request_timeout="1s")
    slow = {"nothing after the line": b"GET /version HTTP/1.1\r\n",
            "half a field": b"GET /version HTTP/1.1\r\nHost: a\r\nX-Y",
            "half a body": b"GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"}
    clients = [HttpClient(node.port) for _ in slow]
    for client, data in zip(clients, slow.values()):
        client.send(data)
    for client in clients:
        assert_error(client.response(), 408)
        assert client.at_end()
        client.close()
    assert node.is_ready()


def test_a_trickle_does_not_extend_the_time(yard):
    node = yard.node(request_timeout="1s")
    with HttpClient(node.port) as client:
        client.trickle(b"GET /version HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 1000)
        assert_error(client.response(), 408)


def test_a_silent_connection_is_ended(yard):
    node = yard.node(request_timeout="1s")
    with HttpClient(node.port) as client:
        try:
            assert_error(client.response(), 408)
        except Closed:
            pass


def admitted(node):
    """A client that was let in and stays, or None. One that was here before may not be gone yet."""
    client = HttpClient(node.port)
    client.send_while_taken(VERSION)
    if client.response().status == 200:
        return client
    client.close()
    return None


@pytest.mark.parametrize("limit", ["connection_limit", "address_limit"])
def test_connections_beyond_a_limit_are_503(yard, limit):
    node = yard.node(**{limit: "5"})
    kept = [wait_until(lambda: admitted(node), "there is room") for _ in range(5)]
    with HttpClient(node.port) as one_more:
        one_more.send_while_taken(VERSION)
        assert_error(one_more.response(), 503)
        assert one_more.at_end()
    assert_version(kept[0].ask(VERSION))
    kept.pop().close()
    kept.append(wait_until(lambda: admitted(node), "there is room again"))
    for client in kept:
        client.close()


def can_connect(port):
    try:
        HttpClient(port).close()
    except OSError:
        return False
    return True


def test_a_full_node_still_answers_those_who_watch_it(yard):
    """Else a probe of liveness would have it started again, with everybody on it."""
    node = yard.begin(connection_limit="5", admin=f"127.0.0.1:{(admin := free_port())}")
    wait_until(lambda: can_connect(node.port), "it serves")
    kept = [wait_until(lambda: admitted(node), "there is room") for _ in range(5)]
    with HttpClient(node.port) as one_more:
        one_more.send_while_taken(VERSION)
        assert_error(one_more.response(), 503)
    for path, status in (("/healthz", 200), ("/metrics", 200), ("/readyz", 503)):
        with HttpClient(admin) as watcher:
            assert watcher.ask(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).status == status, path
    for client in kept:
        client.close()


def test_idle_connections_are_ended(yard):
    node = yard.node(keep_alive="500ms")
    with HttpClient(node.port) as client:
        assert_version(client.ask(VERSION))
        assert client.at_end()


def test_the_header_limit_is_a_setting(yard):
    node = yard.node(header_limit="2k")
    assert_version(answer(node, request("GET /version HTTP/1.1", "X: " + "a" * 1500)))
    assert_error(answer(node, request("GET /version HTTP/1.1", "X: " + "a" * 2500)), 431)


def test_noise_harms_nobody(node):
    noise = random.Random(3)
    whole = [VERSION, handshake_request(), request("POST /version HTTP/1.1", "Transfer-Encoding: chunked",
                                                   body=b"5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n")]
    for _ in range(300):
        data = bytearray(noise.choice(whole) * noise.randint(1, 3))
        for _ in range(noise.randint(1, 5)):
            data[noise.randrange(len(data))] = noise.choice(b"\0\r\n :;,09af\xff")
        with HttpClient(node.port) as client:
            client.send_while_taken(data[:noise.randint(1, len(data))])
            if noise.random() < 0.3:
                client.reset()
    assert_version(answer(node, VERSION))


def test_many_connections_that_say_nothing_harm_nobody(node):
    silent = [HttpClient(node.port) for _ in range(200)]
    assert_version(answer(node, VERSION))
    for client in silent[::2]:
        client.reset()
    for client in silent[1::2]:
        client.close()
    assert_version(answer(node, VERSION))


# --- the way to a WebSocket

def test_the_sample_handshake_of_the_rfc(node):
    response = answer(node, handshake_request(key="dGhlIHNhbXBsZSBub25jZQ=="))
    assert response.status == 101
    assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert response.headers["upgrade"].lower() == "websocket"
    assert "upgrade" in response.headers["connection"].lower()
    assert "sec-websocket-extensions" not in response.headers
    assert "sec-websocket-protocol" not in response.headers


@pytest.mark.parametrize("how", [
    {"Upgrade": "WebSocket"}, {"Upgrade": "foo, websocket"}, {"Connection": "keep-alive, Upgrade"},
    {"Connection": "upgrade"}, {"path": "/connect/"}, {"path": "/connect?playerName=" + "x" * 2000},
    {"path": "/connect?playerName=%zz%"}, {"path": "/connect?&&=&playerName"}, {"Origin": "https://elsewhere.example"},
    {"Sec_WebSocket_Protocol": "chat, superchat"}, {"Sec_WebSocket_Extensions": "foo; bar=1, x-y"}],
    ids=lambda how: "".join(how) + ":" + "".join(how.values())[:30])
def test_handshakes_that_hold(node, how):
    key = "x3JJHMbDL1EzLkh9GBhXDw=="
    response = answer(node, handshake_request(key=key, **how))
    assert response.status == 101
    assert response.headers["sec-websocket-accept"] == accept_for(key)
    assert "sec-websocket-extensions" not in response.headers


@pytest.mark.parametrize("how, status", [
    ({"key": ""}, 400), ({"Sec_WebSocket_Key": None}, 400), ({"key": "c2hvcnQ="}, 400), ({"key": "!" * 24}, 400),
    ({"key": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
    ({"Sec_WebSocket_Version": None}, None), ({"Sec_WebSocket_Version": "8"}, 426),
    ({"Sec_WebSocket_Version": "14"}, 426), ({"Sec_WebSocket_Version": "x"}, 426),
    ({"Upgrade": None}, None), ({"Upgrade": "h2c"}, 426), ({"Connection": "keep-alive"}, None),
    ({"Connection": None}, None), ({"path": "/nowhere"}, 404), ({"path": "/version"}, None)],
    ids=lambda how: str(how)[:50])
def test_handshakes_that_do_not_hold(node, how, status):
    """None: an error or, where no WebSocket is served, the plain page."""
    with HttpClient(node.port) as client:
        if how.get("key") == "":
            how = {"Sec_WebSocket_Key": ""}
        response = client.ask(handshake_request(**how))
        if how.get("path") == "/version":
            assert_version(response)
        else:
            assert_error(response, *([status] if status else [400, 426]))
        if response.status == 426:
            assert response.headers["upgrade"].lower() == "websocket"  # RFC 9110 15.5.22
        if how.get("Sec_WebSocket_Version") is not None:
            assert response.headers["sec-websocket-version"] == "13"  # RFC 6455 4.2.2


def test_a_plain_request_for_a_websocket_is_426(node):
    with HttpClient(node.port) as client:
        response = client.ask(request("GET /connect HTTP/1.1"))
        assert_error(response, 426)
        assert response.headers["upgrade"].lower() == "websocket"
        assert_version(client.ask(VERSION))


def test_other_methods_make_no_websocket(node):
    response = answer(node, handshake_request().replace(b"GET", b"POST", 1))
    assert_error(response, 400, 405, 411)


def test_http_1_0_makes_no_websocket(node):
    response = answer(node, handshake_request().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert_error(response, 400, 426, 505)


def test_an_upgrade_after_a_plain_request(node):
    with HttpClient(node.port) as client:
        assert_version(client.ask(VERSION))
        assert client.ask(handshake_request()).status == 101


def test_an_upgrade_pipelined_after_a_plain_request(node):
    with HttpClient(node.port) as client:
        client.send(VERSION + handshake_request())
        assert_version(client.response())
        assert client.response().status == 101
