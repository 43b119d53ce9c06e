# SPDX-License-Identifier: MIT
"""Syslog into the log stream: both forms of message, both ways to end one, real senders, and a Redis that goes away."""

import asyncio
import datetime
import logging.handlers
import socket
import subprocess
import time

import pytest

from lib.logs import Listener, begin_sink
from lib.ports import free_port
from lib.process import muster
from lib.waiting import wait_until


def fleet(yard, stores, **settings):
    """Nodes that take syslog; their `syslog` is the port, of UDP and TCP."""
    nodes = []
    for store in stores:
        port = free_port()
        [node] = yard.fleet([store], logs_syslog=f"127.0.0.1:{port}", **settings)
        node.syslog = port
        nodes.append(node)
    return nodes


def without_place(entries):
    return [{name: value for name, value in entry.items() if name not in ("serverTime", "seqNumber")}
            for entry in sorted(entries, key=lambda entry: entry["seqNumber"])]


async def heard(node, count, data, udp=False):
    """What a listener hears of these bytes, which are one datagram or what one connection sends."""
    listener = await Listener.join(node)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as link:
        link.connect(("127.0.0.1", node.syslog))
        link.sendall(data)
    entries = await listener.heard(count)
    await listener.close()
    return without_place(entries)


@pytest.fixture
def node(yard):
    return fleet(yard, ["memory:"], logs_room_keys="app", logs_user_keys="host", logs_entry_limit="4k")[0]


async def test_a_browser_that_another_site_has_send_a_request_writes_nothing(node):
    """A page may send a form to any port; the lines of its body would be entries of its choice."""
    forged = b"<14>1 2023-11-14T22:13:20.123Z bank app - - - all is well\n"
    post = b"POST /x HTTP/1.1\r\nHost: 10.0.0.5:5514\r\nContent-Type: text/plain\r\n\r\n" + forged
    for request in (post, b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n" + forged, b"OPTIONS * HTTP/1.0\r\n\r\n" + forged):
        for piece in (1, 7, len(request)):
            with socket.create_connection(("127.0.0.1", node.syslog)) as link:
                link.settimeout(10)
                try:
                    for at in range(0, len(request), piece):
                        link.sendall(request[at:at + piece])
                    assert link.recv(1) == b"", "it is closed"
                except (BrokenPipeError, ConnectionResetError):
                    pass
    assert node.metrics()["muster_logs_malformed_total"] == 9
    # By hand, in capitals, it is a message as any other.
    [entry] = await heard(node, 1, b"GET well soon\n")
    assert entry["msg"] == "GET well soon"
    assert node.metrics()["muster_logs_added_total"] == 1, "nothing else was stored"


NOVEMBER = 1700000000123


@pytest.mark.parametrize("message, entry", [
    # RFC 5424, 6.5: examples 1 and 3
    (b"<34>1 2023-11-14T22:13:20.123Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed on /dev/pts/8",
     {"room": "su", "level": "fatal", "facility": "auth", "timestamp": NOVEMBER, "user": "mymachine.example.com", "msgid": "ID47",
      "msg": "'su root' failed on /dev/pts/8"}),
    (b'<165>1 2023-11-14T23:13:20.123+01:00 h evntslog 7 ID47 [ex@32473 iut="3" eventSource="Appli\\"c"][examplePriority@32473 class="high"] event',
     {"room": "evntslog", "level": "info", "facility": "local4", "timestamp": NOVEMBER, "user": "h", "procid": "7", "msgid": "ID47",
      "ex@32473.iut": "3", "ex@32473.eventSource": 'Appli"c', "examplePriority@32473.class": "high", "msg": "event"}),
    (b"<14>1 - - - - - -", {"room": "", "level": "info", "facility": "user", "msg": ""}),
    (b"<11>1 - h app - - [broken msg", {"room": "app", "level": "error", "facility": "user", "user": "h", "msg": "[broken msg"}),
    # as rsyslog forwards, Cisco (no host), a kernel, without any head, bytes that are no UTF-8
    (b"<13>2023-11-14T22:13:20.123000+00:00 h app[7]: m", {"room": "app", "level": "info", "facility": "user", "timestamp": NOVEMBER,
                                                           "user": "h", "procid": "7", "msg": "m"}),
    (b"<189>%SYS-5-CONFIG_I: Configured", {"room": "", "level": "info", "facility": "local7", "msg": "%SYS-5-CONFIG_I: Configured"}),
    (b"no head at all", {"room": "", "level": "info", "facility": "user", "msg": "no head at all"}),
    (b"<999>1 what", {"room": "", "level": "info", "facility": "user", "msg": "<999>1 what"}),
    (b"<12>bad \xff\xfe \x00 end", {"room": "", "level": "warn", "facility": "user", "msg": "bad \ufffd\ufffd \0 end"}),
])
@pytest.mark.parametrize("way", ["udp", "counted"])
async def test_messages(node, message, entry, way):
    data = message if way == "udp" else b"%d %s" % (len(message), message)
    [got] = await heard(node, 1, data, way == "udp")
    assert got == entry


async def test_a_time_without_year_is_the_nearest(node):
    for days in (-100, 0, 100):
        when = (datetime.datetime.now() + datetime.timedelta(days=days)).replace(microsecond=0)
        text = f"<13>{when.strftime('%b')} {when.day:2d} {when.strftime('%H:%M:%S')} host app[12]: m"
        [got] = await heard(node, 1, text.encode(), udp=True)
        assert got == {"room": "app", "level": "info", "facility": "user", "timestamp": int(when.timestamp()) * 1000,
                       "user": "host", "procid": "12", "msg": "m"}


async def test_where_a_message_ends(node):
    data = b"<13>one\n<13>two\r\n\n12 <13>thr\nee!!<13>four\0<13>five"
    assert [entry["msg"] for entry in await heard(node, 5, data)] == ["one", "two", "thr\nee!!"[:8], "four", "five"]
    large = b"5000 " + b"x" * 5000 + b"<13>after a count\n" + b"y" * 70000 + b"\n<13>after a line\n"
    assert [entry["msg"] for entry in await heard(node, 2, large)] == ["after a count", "after a line"]
    assert node.metrics()["muster_logs_too_large_total"] == 2


async def test_byte_by_byte(node):
    listener = await Listener.join(node)
    with socket.create_connection(("127.0.0.1", node.syslog)) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"7 <13>abc<13>line\n":
            link.send(bytes([byte]))
            await asyncio.sleep(0.002)
        assert [entry["msg"] for entry in without_place(await listener.heard(2))] == ["abc", "line"]
    await listener.close()


async def test_real_senders(node):
    """util-linux's logger in both forms over both ways, and Python's SysLogHandler."""
    listener = await Listener.join(node)
    for form in ("--rfc3164", "--rfc5424"):
        for way in (["--udp"], ["--tcp"], ["--tcp", "--octet-count"]):
            await asyncio.to_thread(subprocess.run, ["logger", "--server", "127.0.0.1", "--port", str(node.syslog), *way, form, "-t", "shop",
                                                     "-p", "local0.err", "it broke"], check=True)
    entries = without_place(await listener.heard(6))
    assert {(entry["room"], entry["level"], entry["facility"], entry["msg"]) for entry in entries} == {("shop", "error", "local0", "it broke")}
    assert all(abs(entry["timestamp"] / 1000 - time.time()) < 100 for entry in entries), entries
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        handler = logging.handlers.SysLogHandler(("127.0.0.1", node.syslog), socktype=kind)
        handler.handle(logging.LogRecord("till", logging.WARNING, "", 0, "low", (), None))
        handler.close()
    assert [(entry["level"], entry["msg"]) for entry in without_place(await listener.heard(8))[6:]] == [("warn", "low")] * 2
    await listener.close()


async def test_a_sender_waits_while_redis_is_away_and_nothing_is_lost(yard, redis):
    """Two nodes; what one takes a listener at the other hears. Redis stands still, then the taking node dies."""
    first, second = fleet(yard, [redis.url] * 2, logs_room_keys="app")
    listener = await Listener.join(second)
    link = socket.create_connection(("127.0.0.1", first.syslog))
    link.sendall(b"".join(b"<13>1 - h app - - - %d\n" % i for i in range(100)))
    await listener.heard(100)
    redis.pause()
    try:
        link.sendall(b"".join(b"<13>1 - h app - - - %d\n" % i for i in range(100, 3000)))
        await asyncio.sleep(1)
    finally:
        redis.cont()
    assert [entry["msg"] for entry in without_place(await listener.heard(3000))] == [str(i) for i in range(3000)]
    first.kill()
    with socket.create_connection(("127.0.0.1", second.syslog)) as other:
        other.sendall(b"<13>still here\n")
        entries = await listener.heard(3001)
    assert entries[-1]["msg"] == "still here"
    link.close()
    await listener.close()


def test_a_full_stream_holds_senders_back(yard, redis, postgres):
    """TCP senders are not read, and those that left are remembered; datagrams are lost and counted. A sink makes room."""
    [node] = fleet(yard, [redis.url], logs_bound="20", logs_sink="on")
    with socket.create_connection(("127.0.0.1", node.syslog)) as link:
        link.sendall(b"<13>a line\n" * 15)
        wait_until(lambda: node.metrics()["muster_logs_added_total"] == 15, "the first are stored")
        link.sendall(b"<13>too many\n" * 10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        wait_until(lambda: (udp.sendto(b"<13>a datagram", ("127.0.0.1", node.syslog)),
                            node.metrics()["muster_logs_refused_total"] > 0)[1], "a datagram is refused")
    begin_sink(yard, redis.url, postgres, sink_keep="0s", sink_keep_entries="0").ready()
    wait_until(lambda: postgres.value("select count(*) from log_entry where msg = 'too many'") == "10",
               "those that waited are stored")
    assert postgres.value("select count(*) from log_entry where msg = 'a line'") == "15"


def test_the_setting_is_checked():
    result = muster("check", "--logs-syslog", "tcp:here")
    assert result.returncode == 2
    assert "--logs-syslog: 'tcp:here' is not [tcp:|udp:]address:port, as in udp:0.0.0.0:514" in result.stdout + result.stderr
