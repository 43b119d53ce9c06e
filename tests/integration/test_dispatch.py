# SPDX-License-Identifier: MIT
"""Dispatch on one node: drivers, devices, what is refused."""

import asyncio
import json
import re
import socket
import struct

import pytest

from lib.dispatch import (
    CLOSE, CLOSED, OPENED, RECEIVED, SECRET, WRITE, Datagrams, Device, Driver, pack, path_of, start_node,
    statistics, until_closed)
from lib.ports import free_port
from lib.tcp import HttpClient, raw_get
from lib.waiting import until


@pytest.fixture(scope="module")
def dispatch_node(module_yard):
    return start_node(module_yard, store="memory:")


@pytest.fixture
def node(dispatch_node):
    yield dispatch_node
    assert dispatch_node.alive(), dispatch_node.log_tail()


async def test_a_device_and_its_driver_talk(node):
    port = free_port()
    driver = await Driver.connect(node, port)
    device = await Device.connect(node, port)
    opened = await driver.expect(OPENED)
    assert (opened.ip, opened.data) == ("127.0.0.1", b"") and opened.id < 2 ** 53
    await device.send(b"hello")
    received = await driver.expect(RECEIVED)
    assert (received.ip, received.id, received.data) == ("127.0.0.1", opened.id, b"hello")
    await driver.write(opened, b"welcome")
    assert await device.read(7) == b"welcome"
    await device.send(b"and good bye")
    device.close()
    assert await driver.data_of(opened.id, 12) == b"and good bye"
    closed = await driver.expect(CLOSED)
    assert (closed.ip, closed.id, closed.data) == ("127.0.0.1", opened.id, b"")
    await driver.close()
    await until_closed([node], port)


async def test_the_paths_of_the_drivers_in_use_today(node):
    port = free_port()
    driver = await Driver.connect(node, port, base="/api/dispatch/v1")
    status, body = node.get(f"/api/dispatch/v1/?bearer_token={SECRET}")
    assert status == 200 and json.loads(body)["tcp_listeners"][str(port)] == 1
    await driver.close()
    assert node.get("/api/dispatch/v1/healthz")[0] == 200
    status, body = node.get("/api/dispatch/v1/version")
    version = json.loads(body)
    assert status == 200 and version["service"] == "dispatch"
    assert all(isinstance(version[name], str) and version[name] for name in ("version", "build_time", "commit"))


async def test_bytes_of_any_value_and_size_come_through(node):
    port = free_port()
    driver = await Driver.connect(node, port)
    device = await Device.connect(node, port)
    opened = await driver.expect(OPENED)
    data = bytes(range(256)) * 4000
    sending = asyncio.create_task(device.send(data))
    assert await driver.data_of(opened.id, len(data)) == data
    await sending
    for start in range(0, len(data), 200_000):
        await driver.write(opened, data[start:start + 200_000])
    assert await device.read(len(data)) == data
    await driver.write(opened, b"")
    await driver.write(opened, b"x")
    assert await device.read(1) == b"x"
    device.close()
    await driver.expect(CLOSED)
    await driver.close()


async def test_close_reaches_the_device_after_what_was_written(node):
    port = free_port()
    driver = await Driver.connect(node, port)
    device = await Device.connect(node, port)
    opened = await driver.expect(OPENED)
    await driver.write(opened, b"last words")
    await driver.shut(opened)
    assert await device.read(10) == b"last words"
    assert await device.at_end()
    assert (await driver.expect(CLOSED)).id == opened.id
    await driver.shut(opened)  # harmless
    await driver.write(opened, b"nobody")
    other = await Device.connect(node, port)
    assert (await driver.expect(OPENED)).id != opened.id
    other.close()
    await driver.close()


async def test_a_device_that_says_no_more_still_gets_what_was_written(node):
    def written():
        return node.metrics()["muster_dispatch_sent_bytes_total"]
    port, before = free_port(), written()
    driver = await Driver.connect(node, port)
    device = await Device.connect(node, port, limit=1024)  # which reads nothing by itself beyond that
    opened = await driver.expect(OPENED)

    async def write():
        for _ in range(80):  # more than the kernel takes
            await driver.write(opened, b"x" * 200_000)
    writing = asyncio.create_task(write())
    seen = [0, -1]
    while seen[-1] != seen[-2] or seen[-1] == before:
        await asyncio.sleep(0.1)  # until it stands still
        seen.append(written())
    device.writer.write_eof()
    size = 0
    while data := await device.reader.read(65536):
        size += len(data)
    assert size >= seen[-1] - before > 1_000_000
    assert (await driver.expect(CLOSED)).id == opened.id
    await writing
    await driver.close()


async def test_only_accepted_addresses_get_in(node):
    port = free_port()
    driver = await Driver.connect(node, port, "127.0.0.5, 127.0.1.0/24")
    refused = await Device.connect(node, port, "127.0.0.6")
    assert await refused.at_end(2)
    plain = await Device.connect(node, port, "127.0.0.5")
    ranged = await Device.connect(node, port, "127.0.1.200")
    assert {(await driver.expect(OPENED)).ip for _ in range(2)} == {"127.0.0.5", "127.0.1.200"}
    assert statistics(node)["tcp_clients"][str(port)] == 2
    plain.close()
    ranged.close()
    assert {(await driver.expect(CLOSED)).ip for _ in range(2)} == {"127.0.0.5", "127.0.1.200"}
    await driver.close()


async def test_several_drivers_get_everything(node):
    port = free_port()
    drivers = [await Driver.connect(node, port) for _ in range(3)]
    stranger = await Driver.connect(node, port, "10.0.0.1")
    device = await Device.connect(node, port)
    opened = [await driver.expect(OPENED) for driver in drivers]
    assert len(set(opened)) == 1
    await device.send(b"for all")
    for driver in drivers:
        assert await driver.data_of(opened[0].id, 7) == b"for all"
    await drivers[0].write(opened[0], b"0")
    assert await device.read(1) == b"0"
    await drivers[0].close()
    await drivers[1].write(opened[1], b"1")
    assert await device.read(1) == b"1"
    late = await Driver.connect(node, port)
    assert (await late.expect(OPENED)).id == opened[0].id
    await stranger.write(opened[0], b"not mine")
    await drivers[2].shut(opened[2])
    assert await device.at_end()
    for driver in (drivers[1], drivers[2], late):
        await driver.expect(CLOSED)
    await stranger.nothing()
    for driver in (*drivers[1:], late, stranger):
        await driver.close()


async def test_devices_go_with_the_last_driver_that_accepts_them(node):
    port = free_port()
    one = await Driver.connect(node, port, "127.0.0.5")
    two = await Driver.connect(node, port, "127.0.0.5,127.0.0.6")
    five = await Device.connect(node, port, "127.0.0.5")
    six = await Device.connect(node, port, "127.0.0.6")
    await one.expect(OPENED)
    await two.expect(OPENED)
    await two.expect(OPENED)
    await two.close()
    assert await six.at_end()
    await five.send(b"still here")
    assert (await one.expect(RECEIVED)).data == b"still here"
    await one.close()
    assert await five.at_end()
    await until_closed([node], port)
    assert str(port) not in statistics(node)["tcp_listeners"]


async def test_statistics_count_drivers_and_clients(node):
    tcp, udp = free_port(), free_port()
    drivers = [await Driver.connect(node, tcp), await Driver.connect(node, tcp)]
    listeners = [await Driver.connect(node, udp, proto="udp") for _ in range(3)]
    device = await Device.connect(node, tcp)
    await drivers[0].expect(OPENED)
    counted = statistics(node)
    assert counted["tcp_listeners"][str(tcp)] == 2
    assert counted["udp_listeners"] == {str(udp): 3}
    assert counted["tcp_clients"] == {str(tcp): 1}
    device.close()
    await drivers[0].expect(CLOSED)
    for driver in drivers + listeners:
        await driver.close()
    await until(lambda: statistics(node) == {"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}},
                "nothing is left")


# ---------------------------------------------------------------------------------------- refusals

async def refusal(node, path, **headers):
    """Status and error of an upgrade that is refused."""
    def ask():
        fields = {"Host": "x", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers}
        text = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        with HttpClient(node.port) as client:
            client.send(text.encode())
            response = client.response()
            return response.status, json.loads(response.body)["error"] if response.body else None
    return await asyncio.to_thread(ask)


@pytest.mark.parametrize("port, accept, status, named", [
    (None, "127.0.0.1", 422, "port"), ("20000", None, 422, "accept"), ("", "127.0.0.1", 400, "port"),
    ("0", "127.0.0.1", 400, "port"), ("65536", "127.0.0.1", 400, "port"), ("-1", "127.0.0.1", 400, "port"),
    ("20000x", "127.0.0.1", 400, "port"), ("80", "127.0.0.1", 400, "port"), ("31001", "127.0.0.1", 400, "port"),
    ("20000", "", 400, "accept"), ("20000", ",", 400, "accept"), ("20000", "localhost", 400, "accept"),
    ("20000", "127.0.0.1/33", 400, "accept"), ("20000", "127.0.0.1,nonsense", 400, "accept"),
    ("20000", "::1/129", 400, "accept"), ("20000", "1.2.3.4/", 400, "accept")])
async def test_bad_parameters_are_named(node, port, accept, status, named):
    for proto in ("tcp", "udp"):
        got, error = await refusal(node, path_of(port, accept, proto))
        assert got == status and named in error, (got, error)


async def test_the_token_is_needed(node):
    port = free_port()
    for token in (None, "", "wrong", "testin", "testing2"):
        status, error = await refusal(node, path_of(port, "127.0.0.1", token=token))
        assert status == 401 and "token" in error
    status, _ = await refusal(node, path_of(port, "127.0.0.1", token=None), Authorization="Bearer nonsense")
    assert status == 401
    headers = {"Authorization": f"Bearer {SECRET}"}
    driver = await Driver.connect(node, port, token=None, extra_headers=headers)
    await driver.close()
    assert (await asyncio.to_thread(node.get, "/api/server"))[0] == 401
    assert (await asyncio.to_thread(node.get, "/api/dispatch/v1?bearer_token=no"))[0] == 401


async def test_a_port_that_is_taken_is_an_error_on_the_upgrade(node):
    port = free_port()
    taken = await asyncio.start_server(lambda reader, writer: None, node.bind, port)
    status, error = await refusal(node, path_of(port, "127.0.0.1"))
    assert status == 409 and str(port) in error, (status, error)
    taken.close()
    await taken.wait_closed()
    driver = await Driver.connect(node, port)
    await driver.close()


@pytest.mark.parametrize("message, code", [
    (b"", 1007), (b"\x03", 1007), (b"\x03127.0.0.1", 1007), (b"\x03127.0.0.1\0" + b"\0" * 11, 1007),
    (pack(WRITE, "127.0.0.1", 1, b"abc")[:-1], 1007), (pack(WRITE, "127.0.0.1", 1, b"abc") + b"d", 1007),
    (b"\x03" + b"1" * 64 + b"\0" + struct.pack("!QI", 1, 0), 1007), (b"\x03127.0.0.1\0" + b"\xff" * 12, 1007),
    (pack(5, "127.0.0.1", 1), 1002), (b"\xff", 1002), (pack(OPENED, "127.0.0.1", 1), 1002),
    (pack(RECEIVED, "127.0.0.1", 1, b"x"), 1002), ("text", 1002)])
async def test_malformed_frames_close_the_driver_alone(node, message, code):
    port = free_port()
    driver = await Driver.connect(node, port)
    bystander = await Driver.connect(node, port)
    await driver.socket.send(message)
    assert await driver.close_code() == code
    assert driver.socket.close_reason
    device = await Device.connect(node, port)
    opened = await bystander.expect(OPENED)
    await bystander.write(opened, b"fine")
    assert await device.read(4) == b"fine"
    device.close()
    await bystander.close()


async def test_unknown_devices_are_passed_over(node):
    port = free_port()
    driver = await Driver.connect(node, port)
    for id_ in (0, 1, 2 ** 53, 2 ** 64 - 1):
        await driver.socket.send(pack(WRITE, "127.0.0.1", id_, b"x"))
        await driver.socket.send(pack(CLOSE, "127.0.0.1", id_))
    device = await Device.connect(node, port)
    await driver.expect(OPENED)
    device.close()
    await driver.close()


def test_an_ordinary_request_is_told_to_upgrade(node):
    status, _ = node.get(path_of(20000, "127.0.0.1"))
    assert status == 426


# --------------------------------------------------------------------------------------------- UDP

@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
async def test_a_write_leaves_from_the_address_that_the_device_asked(yard, bind):
    """A device with a connected socket, or behind a NAT, hears nothing from another address."""
    node = start_node(yard, store="memory:", dispatch_bind=bind)
    port = free_port()
    driver = await Driver.connect(node, port, proto="udp")
    await hear_an_answer([driver], port)
    await driver.close()


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])
async def test_the_same_by_whichever_worker_the_driver_writes(yard, redis, bind):
    port = free_port()
    workers = yard.workers(2, store=redis.url, dispatch_secret=SECRET, dispatch_bind=bind, dispatch_ports=str(port)).ready()
    workers.bind = "127.0.0.1"
    drivers = [await Driver.connect(workers, port, proto="udp") for _ in range(8)]
    await hear_an_answer(drivers, port)
    for driver in drivers:
        await driver.close()


async def hear_an_answer(drivers, port):
    device = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    device.settimeout(10)
    device.connect(("127.5.6.7", port))
    device.send(b"hello")
    for driver in drivers:
        frame = await driver.expect(RECEIVED)
        await driver.write(frame, b"answer")
        assert await asyncio.get_running_loop().run_in_executor(None, device.recv, 2048) == b"answer"
    device.close()


async def test_datagrams_come_whole_and_are_answered(node):
    port = free_port()
    driver = await Driver.connect(node, port, proto="udp")
    device = Datagrams()
    for size in (1, 0, 2048, 2049, 65507):
        device.send(node, port, b"d" * size)
        frame = await driver.expect(RECEIVED)
        assert (frame.ip, frame.id, len(frame.data)) == ("127.0.0.1", device.port, size)
        await driver.write(frame, b"a" * size)
        data, sender = await device.next()
        assert len(data) == size and sender == (node.bind, port)
    stranger = Datagrams("127.0.0.77")
    picky = await Driver.connect(node, port, "127.0.0.77", proto="udp")
    stranger.send(node, port, b"from 77")
    assert (await picky.expect(RECEIVED)).data == b"from 77"
    assert (await driver.expect(RECEIVED)).ip == "127.0.0.77"
    device.send(node, port, b"not for the picky")
    assert (await driver.expect(RECEIVED)).data == b"not for the picky"
    await picky.nothing()
    await driver.socket.send(pack(CLOSE, "127.0.0.1", device.port))  # means nothing
    await driver.socket.send(pack(WRITE, "127.0.0.1", device.port, b"unasked"))
    assert (await device.next())[0] == b"unasked"
    before = node.metrics()["muster_dispatch_dropped_total"]
    await driver.socket.send(pack(WRITE, "127.0.0.1", device.port, b"x" * 65508))
    await until(lambda: node.metrics()["muster_dispatch_dropped_total"] == before + 1, "too large: dropped")
    for what in (driver, picky):
        await what.close()
    device.close()
    stranger.close()
    await until(lambda: str(port) not in statistics(node)["udp_listeners"], "the port is forgotten")


@pytest.mark.parametrize("ip, port", [("localhost", 5), ("", 5), ("127.0.0.1", 0), ("127.0.0.1", 65536)])
async def test_datagrams_need_an_address(node, ip, port):
    driver = await Driver.connect(node, free_port(), proto="udp")
    await driver.socket.send(pack(WRITE, ip, port, b"x"))
    assert await driver.close_code() == 1007


# -------------------------------------------------------------------------------- IPv6, PROXY, rest

async def test_ipv6_and_ipv4_on_one_port(yard):
    node = start_node(yard, dispatch_bind="::")
    port = free_port()
    six = await Driver.connect(node, port, "::1/128")
    four = await Driver.connect(node, port, "127.0.0.1")
    device = await Device.connect(node, port, "::1", host="::1")
    assert (await six.expect(OPENED)).ip == "::1"
    plain = await Device.connect(node, port, "127.0.0.1", host="127.0.0.1")
    assert (await four.expect(OPENED)).ip == "127.0.0.1"
    await six.nothing()
    refused = await Device.connect(node, port, "127.0.0.2", host="127.0.0.1")
    assert await refused.at_end()
    device.close()
    plain.close()
    await six.close()
    await four.close()


V1 = b"PROXY TCP4 10.1.2.3 10.0.0.1 5555 6001\r\n"
V2 = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes([10, 1, 2, 3, 10, 0, 0, 1]) + struct.pack("!HH", 5555, 6001))
V2_SIX = (b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes.fromhex("20010db8" + "0" * 22 + "01") * 2
          + struct.pack("!HH", 5555, 6001))


async def test_the_proxy_header_of_trusted_balancers_counts(yard):
    node = start_node(yard, dispatch_proxy="127.0.0.8/29")
    port = free_port()
    driver = await Driver.connect(node, port, "10.1.2.3,2001:db8::/32")
    for header, ip in ((V1, "10.1.2.3"), (V2, "10.1.2.3"), (V2_SIX, "2001:db8::1")):
        device = await Device.connect(node, port, "127.0.0.9")
        await device.send(header[:7])
        await asyncio.sleep(0.01)  # so that they come apart; together they must do as well
        await device.send(header[7:] + b"after the header")
        opened = await driver.expect(OPENED)
        assert opened.ip == ip
        assert await driver.data_of(opened.id, 16) == b"after the header"
        await driver.write(opened, b"hello")
        assert await device.read(5) == b"hello"
        device.close()
        await driver.expect(CLOSED)
    for first in (b"no header at all, but long enough to see that", V1.replace(b"10.1.2.3", b"10.9.9.9")):
        device = await Device.connect(node, port, "127.0.0.9")
        await device.send(first)
        assert await device.at_end()
    forger = await Device.connect(node, port, "127.0.0.1")  # not trusted: it is 127.0.0.1, and not accepted
    await forger.send(V1)
    assert await forger.at_end()
    silent = await Device.connect(node, port, "127.0.0.9")
    assert await silent.at_end(10)
    await driver.close()


async def test_a_drained_node_takes_leave_of_drivers_and_devices(yard):
    node = start_node(yard, drain="5s")
    port = free_port()
    driver = await Driver.connect(node, port)
    device = await Device.connect(node, port)
    await driver.expect(OPENED)
    node.term()
    assert await driver.close_code() == 1001
    assert await device.at_end()
    await until(lambda: not node.alive(), "the node ends")
    assert node.exit_code() == 0


def test_the_secret_of_development_is_refused_in_production(yard):
    node = yard.begin(env={"SG_ENV": "production"})
    node.expected_exit = 2
    assert node.popen.wait(20) == 2
    assert "dispatch-secret" in node.log()


def test_the_secret_comes_from_the_variables_of_old(yard):
    for name in ("PLACE_SERVER_SECRET", "SERVER_SECRET"):
        node = start_node(yard, env={name: "an-old-secret", "SG_ENV": "production"})
        assert statistics(node, "an-old-secret") == {"udp_listeners": {}, "tcp_listeners": {}, "tcp_clients": {}}
        assert node.get("/api/server?bearer_token=testing")[0] == 401


def test_dispatch_can_be_off(yard):
    node = yard.node(dispatch_ports="", env={"SG_ENV": "production"})
    assert node.get("/api/server?bearer_token=testing")[0] == 404


@pytest.mark.parametrize("setting, value", [
    ("dispatch_ports", "6000-6999,x"), ("dispatch_ports", "sctp:2020"), ("dispatch_ports", ","),
    ("dispatch_ports", "70000"), ("dispatch_ports", "7000-6000"), ("dispatch_ports", "x"), ("dispatch_ports", "0-5"),
    ("dispatch_bind", "localhost"), ("dispatch_proxy", "10.0.0.0/40"), ("dispatch_secret", "")])
def test_bad_settings_are_named(yard, setting, value):
    node = yard.begin(**{setting: value})
    node.expected_exit = 2
    assert node.popen.wait(20) == 2
    assert setting.replace("_", "-") in node.log()


HANDSHAKE = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")


def test_errors_say_which_parameter_and_answers_bear_an_id(node):
    for path, parameter in [(path_of(80, "127.0.0.1"), "port"), (path_of(20000, "x"), "accept")]:
        head, body = raw_get(node, path, HANDSHAKE.replace("Connection: Upgrade\r\n", "Connection: Upgrade\r\nX-Request-ID: ab-1\r\n"))
        error = json.loads(body)
        assert error["parameter"] == parameter and error["restriction"] and parameter in error["error"], error
        assert "x-request-id: ab-1" in head.lower(), head
    for path in ("/api/dispatch/v1/version", "/api/dispatch/v1/healthz", f"/api/server?bearer_token={SECRET}", "/api/server"):
        head, _ = raw_get(node, path)
        assert re.search(r"(?mi)^x-request-id: [0-9a-f]{32}\r?$", head), head


async def test_single_ports_of_one_kind_may_be_listed(yard):
    tcp, udp, both = free_port(), free_port(), free_port()
    node = yard.node(dispatch_bind="127.0.0.1", dispatch_ports=f"tcp:{tcp}, udp:{udp}-{udp},{both}")
    drivers = [await Driver.connect(node, port, proto=proto)
               for port, proto in ((tcp, "tcp"), (udp, "udp"), (both, "tcp"), (both, "udp"))]
    for port, proto in ((tcp, "udp"), (udp, "tcp")):
        status, error = await refusal(node, path_of(port, "127.0.0.1", proto))
        assert status == 400 and f"udp:{udp}-{udp}" in error, (status, error)
    for driver in drivers:
        await driver.close()
