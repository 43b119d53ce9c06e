# SPDX-License-Identifier: MIT
"""Who a client is when balancers stand between: what those in trusted-proxies say counts, and nobody else's word."""

import json
import socket
import struct

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.relay import handshake
from lib.tcp import RawSocket
from lib.waiting import wait_until

V1 = b"PROXY TCP4 %s 127.0.0.1 40000 80\r\n"
UPGRADE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def v2(client):
    return (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton(client) + socket.inet_aton("127.0.0.1")
            + struct.pack("!HH", 40000, 80))


class Client:
    """A connection from one of the loopback's addresses."""

    def __init__(self, node, source="127.0.0.1"):
        self.link = socket.create_connection(("127.0.0.1", node.port), timeout=10, source_address=(source, 0))

    def send(self, data, bytewise=False):
        for piece in ([data[i:i + 1] for i in range(len(data))] if bytewise else [data]):
            self.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.link.sendall(piece)

    def ask(self, line, body=b"", before=b"", bytewise=False, **fields):
        """The status."""
        fields = {"Host": "x", **({"Content-Length": len(body), "Content-Type": "application/json"} if body else {}),
                  **{name.replace("_", "-"): value for name, value in fields.items()}}
        head = f"{line} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        self.send(before + head.encode() + body, bytewise)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.link.recv(4096)
            assert more, answer
            answer += more
        return int(answer.split()[1])

    def close(self):
        self.link.close()


def websocket(node, before=b"", source="127.0.0.1", **fields):
    """(status, connection that stays open)."""
    client = Client(node, source)
    return client.ask("GET /connect", before=before, **UPGRADE, **fields), client


def adds(node, source="127.0.0.1", **fields):
    """Whether /logs/add takes one entry."""
    client = Client(node, source)
    status = client.ask("POST /logs/add", json.dumps({"msg": "x"}).encode(), Connection="close", **fields)
    client.close()
    return status


@pytest.fixture
def limited(yard):
    return yard.node(trusted_proxies="127.0.0.1, 10.0.0.0/8", address_limit=2, logs_rate=1)


@pytest.mark.parametrize("field, value", [
    ("X_Forwarded_For", "{}"), ("X_Forwarded_For", "198.51.100.9, {}, 10.1.2.3"), ("Forwarded", 'for="{}:4711";proto=https'),
    ("X_Forwarded_For", '", {}'), ("Forwarded", 'for=", for={}'),
])
def test_rates_count_the_client_and_not_the_balancer(limited, field, value):
    first, second = value.format("203.0.113.1"), value.format("203.0.113.2")
    taken = [adds(limited, **{field: first}) for _ in range(5)]
    assert taken[0] == 200 and taken[-1] == 429, taken
    assert adds(limited, **{field: second}) == 200, "another client behind the same balancer"


@pytest.mark.parametrize("spellings", [
    ["203.0.113.9", "::ffff:203.0.113.9", "203.0.113.9:4711", "[::ffff:cb00:7109]:80", "198.51.100.1, 203.0.113.9, ::ffff:10.1.2.3"],
    ["2001:db8:0:7::1", "[2001:DB8:0:7::2]:80", "2001:0db8:0000:0007:ffff::3", "[2001:db8:0:7::4]", "2001:db8:0:7::5"]])
def test_a_client_is_one_however_it_is_written(limited, spellings):
    """Also those of an IPv6 network of one customer, a /64."""
    taken = [adds(limited, X_Forwarded_For=one) for one in spellings]
    assert taken[0] == 200 and taken[-1] == 429, taken
    quoted = [adds(limited, Forwarded=f'for="{one}"') for one in spellings[:4]]
    assert set(quoted) == {429}, quoted


def test_others_are_not_believed(limited):
    taken = [adds(limited, source="127.0.0.2", X_Forwarded_For=f"203.0.113.{i}") for i in range(5)]
    assert taken[-1] == 429, taken


def test_a_client_cannot_write_the_field_that_its_balancer_lets_pass(limited):
    """nginx as the docs have it adds to X-Forwarded-For, and passes on what a client calls Forwarded."""
    made_up = [adds(limited, X_Forwarded_For="203.0.113.1", Forwarded=f"for=198.51.100.{i}") for i in range(3)]
    assert made_up == [400] * 3
    made_up = [adds(limited, Forwarded="for=203.0.113.1", X_Forwarded_For=f"198.51.100.{i}") for i in range(3)]
    assert made_up == [400] * 3
    assert adds(limited, X_Forwarded_For="203.0.113.1", Forwarded="for=unknown") == 200


def both(limited, first, second):
    """`first` and `second` make a WebSocket's status of what clients; two of each may be there."""
    opened = [first() for _ in range(2)]
    assert [status for status, _ in opened] == [101, 101]
    status, client = first()
    assert status == 503
    client.close()
    status, other = second()
    assert status == 101, "another client behind the same balancer"
    opened[0][1].close()

    def again():
        status, client = first()
        client.close()
        return status == 101
    wait_until(again, "one has gone, so one may come")
    for _, client in [*opened[1:], (0, other)]:
        client.close()
    assert limited.status("/readyz") == 200


def test_websockets_are_counted_by_client(limited):
    both(limited, lambda: websocket(limited, X_Forwarded_For="203.0.113.1"), lambda: websocket(limited, X_Forwarded_For="203.0.113.2"))


@pytest.mark.parametrize("header", [lambda client: V1 % client.encode(), v2])
def test_a_proxy_header_before_http(limited, header):
    both(limited, lambda: websocket(limited, header("203.0.113.1")), lambda: websocket(limited, header("203.0.113.2")))


@pytest.mark.parametrize("bytewise", [False, True])
def test_requests_that_look_like_the_beginning_of_a_header(limited, bytewise):
    """P, PR, PRO: a trusted balancer's requests may begin so."""
    client = Client(limited)
    for before, line, body, status in ((b"", "POST /logs/add", b'{"msg": "x"}', 200), (b"", "PROPFIND /", b"", 405),
                                       (b"", "GET /healthz", b"", 200)):
        assert client.ask(line, body, before, bytewise) == status
    client.close()
    client = Client(limited)
    assert client.ask("GET /healthz", b"", V1 % b"203.0.113.1", bytewise) == 200
    assert client.ask("GET /healthz") == 200
    client.close()


def test_a_proxy_header_of_others_is_a_bad_request(limited):
    client = Client(limited, "127.0.0.2")
    assert client.ask("GET /healthz", before=V1 % b"203.0.113.1") == 400
    client.close()


def test_the_balancer_itself_is_not_limited(limited):
    clients = [Client(limited) for _ in range(6)]
    assert [client.ask("GET /healthz") for client in clients] == [200] * 6
    direct = [Client(limited, "127.0.0.2") for _ in range(2)]
    assert [client.ask("GET /healthz") for client in direct] == [200] * 2
    third = Client(limited, "127.0.0.2")
    assert third.ask("GET /healthz") == 503
    for client in [*clients, *direct, third]:
        client.close()


def test_the_relay_believes_the_list(yard):
    port = free_port()
    node = yard.node(relay=f"127.0.0.1:{port}", relay_proxy="on", trusted_proxies="127.0.0.2")
    hello = json.dumps(handshake("x")).encode()
    with RawSocket(port) as direct:
        direct.send(hello)
        assert direct.read(22) == b'{"type":"acknowledge",', "from no balancer: no header is wanted"
    with RawSocket(port) as liar:
        liar.send_while_taken(V1 % b"203.0.113.1" + hello)
        assert liar.at_end()
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=("127.0.0.2", 0)) as balancer:
        balancer.sendall(V1 % b"203.0.113.1" + hello)
        assert balancer.recv(22).startswith(b'{"type":"acknowledge"')
    wait_until(lambda: "peer=203.0.113.1:40000" in node.log(), "the log names the client")


@pytest.mark.parametrize("flags, words", [
    (["--trusted-proxies", "nonsense"], ["--trusted-proxies", "nonsense"]),
    (["--trusted-proxies", "10.0.0.0/33"], ["--trusted-proxies", "10.0.0.0/33"]),
    (["--relay-proxy", "on"], ["--relay-proxy", "--trusted-proxies"]),
    (["--dispatch-proxy", "on"], ["--dispatch-proxy", "--trusted-proxies"]),
])
def test_what_cannot_be(flags, words):
    for verb in ("node", "check"):
        done = muster(verb, *flags, env={"MUSTER_DISPATCH_PORTS": "6000"} if "--dispatch-proxy" in flags else None)
        assert done.returncode == 2, done
        assert all(word.lstrip("-") in done.stdout + done.stderr for word in words), done
