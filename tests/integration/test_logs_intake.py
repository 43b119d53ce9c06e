# SPDX-License-Identifier: MIT
"""What people ship logs with: each form of body, and what becomes of its parts."""

import asyncio
import gzip
import http.client
import json
import logging
import logging.handlers
import pathlib
import zlib

import pytest

from lib.logs import Listener, add
from lib.node import is_sanitized
from lib.protobuf import fixed, logs_request, part, varint
from lib.waiting import DEADLINE


@pytest.fixture
def node(yard):
    [one] = yard.fleet(["memory:"], logs_room_keys="app,job", logs_user_keys="host,service.name", logs_entry_limit="4k")
    return one


def post(node, path, body, **fields):
    """(status, text)."""
    link = http.client.HTTPConnection("127.0.0.1", node.port, timeout=DEADLINE)
    try:
        link.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(),
                     {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in fields.items()}})
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


async def heard(node, count, *requests, answer=(200, "")):
    """What a listener hears after these requests, as (path, body, fields), in the stream's order."""
    listener = await Listener.join(node)
    for path, body, fields in requests:
        assert await asyncio.to_thread(post, node, path, body, **fields) == answer
    entries = sorted(await listener.heard(count), key=lambda entry: entry["seqNumber"])
    await listener.close()
    return [{name: value for name, value in entry.items() if name not in ("serverTime", "seqNumber")} for entry in entries]


def zstd_frame(data):
    """RFC 8878: one raw block of up to 255 bytes."""
    return b"\x28\xb5\x2f\xfd\x20" + bytes([len(data)]) + (len(data) << 3 | 1).to_bytes(3, "little") + data


def raw_deflate(data):
    squeezer = zlib.compressobj(wbits=-15)
    return squeezer.compress(data) + squeezer.flush()


@pytest.mark.parametrize("coding, encode", [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate),
                                            ("zstd", zstd_frame), ("GZIP", gzip.compress), ("identity", bytes)])
async def test_a_body_may_be_squeezed(node, coding, encode):
    [entry] = await heard(node, 1, ("/logs/add", encode(b'{"msg":"small"}'), {"Content_Encoding": coding}))
    assert entry == {"room": "", "msg": "small"}


def test_what_is_squeezed_is_bounded_and_judged(node):
    bomb = gzip.compress(b'[' + b' ' * 50_000_000 + b']')
    assert len(bomb) < 200_000
    assert post(node, "/logs/add", bomb, Content_Encoding="gzip") == (
        413, '{"error": "the body has more than 262144 bytes, decoded"}\n')
    assert post(node, "/logs/add", b"no gzip", Content_Encoding="gzip") == (
        400, '{"error": "the body is not what its Content-Encoding says"}\n')
    assert post(node, "/logs/add", zstd_frame(b"{}")[:-1], Content_Encoding="zstd")[0] == 400
    assert post(node, "/logs/add", b"{}", Content_Encoding="br") == (
        415, '{"error": "of content codings, gzip, deflate, zstd, snappy are taken"}\n')
    assert node.metrics()["muster_logs_malformed_total"] == 3
    assert node.metrics()["muster_logs_too_large_total"] == 1


async def test_lines_and_marks(node):
    lines = b'{"msg":"1"}\n\r\n{"msg":"2"}\n'
    entries = await heard(node, 7, ("/logs/add", lines, {"Content_Type": "application/x-ndjson"}),
                          ("/logs/add", lines, {}), ("/logs/add", b'\xef\xbb\xbf{"msg":"bom"}', {}),
                          ("/logs/add", 'plain "text"\r\n\nand \u00e4\n'.encode(), {"Content_Type": "text/plain; charset=utf-8"}))
    assert [entry["msg"] for entry in entries] == ["1", "2", "1", "2", "bom", 'plain "text"', "and \u00e4"]
    assert post(node, "/logs/add", b'{"msg":"1"}\n{"msg":', Content_Type="application/jsonlines") == (
        400, '{"error": "line 2 is no JSON object"}\n')


TIME = 1700000000123


@pytest.mark.parametrize("sent, kept", [
    # winston, pino, bunyan, logstash, zap, Docker, Serilog compact and as its sink writes it, GELF
    ({"level": "warn", "message": "m", "timestamp": "2023-11-14T22:13:20.123Z"}, {"level": "warn", "msg": "m", "timestamp": TIME}),
    ({"level": 50, "time": TIME, "pid": 7, "msg": "m"}, {"level": "error", "timestamp": TIME, "pid": 7, "msg": "m"}),
    ({"name": "a", "level": 30, "msg": "m", "time": "2023-11-14T23:13:20.123+01:00", "v": 0},
     {"name": "a", "level": "info", "msg": "m", "timestamp": TIME, "v": 0}),
    ({"@timestamp": "2023-11-14T22:13:20.123456789Z", "message": "m", "log.level": "ERROR"},
     {"timestamp": TIME + 0.456, "msg": "m", "level": "ERROR"}),
    ({"ts": 1700000000.123, "severity": "warning", "msg": "m"}, {"timestamp": TIME, "level": "warn", "msg": "m"}),
    ({"log": "m", "time": "2023-11-14T22:13:20.123000000Z"}, {"msg": "m", "timestamp": TIME}),
    ({"@t": "2023-11-14T22:13:20.1230000Z", "@mt": "hello {x}", "@l": "Information", "x": 1},
     {"timestamp": TIME, "msg": "hello {x}", "level": "info", "x": 1}),
    ({"Timestamp": "2023-11-14T22:13:20.123+00:00", "Level": "Warning", "RenderedMessage": "m"},
     {"timestamp": TIME, "level": "warn", "msg": "m"}),
    ({"version": "1.1", "host": "h", "short_message": "m", "timestamp": 1700000000.123, "level": 3, "_app": "a"},
     {"version": "1.1", "user": "h", "msg": "m", "timestamp": TIME, "level": "error", "room": "a"}),
    # by size: seconds, micro- and nanoseconds; a string too
    ({"time": 1700000000}, {"timestamp": 1700000000000}),
    ({"time": 1700000000123456}, {"timestamp": TIME + 0.456}),
    ({"time": "1700000000123456789"}, {"timestamp": TIME + 0.456}),
    # ours as they are; what is not understood as it is, under its own name
    ({"timestamp": str(TIME), "level": "Info"}, {"timestamp": str(TIME), "level": "Info"}),
    ({"timestamp": 5, "message": {"a": 1}, "time": "soon", "log": None},
     {"timestamp": 5, "message": {"a": 1}, "time": "soon", "log": None}),
    ({"msg": "ours", "message": "theirs", "@timestamp": "2023-02-30T00:00:00Z"},
     {"msg": "ours", "message": "theirs", "@timestamp": "2023-02-30T00:00:00Z"}),
])
async def test_parts_under_their_usual_names(node, sent, kept):
    [entry] = await heard(node, 1, ("/logs/add", sent, {}))
    assert entry == {"room": "", **kept}


async def test_pythons_http_handler(node):
    listener = await Listener.join(node)
    logger = logging.Logger("shop")
    logger.addHandler(logging.handlers.HTTPHandler(f"127.0.0.1:{node.port}", "/logs/add", method="POST"))
    await asyncio.to_thread(logger.error, "100 % & more = \u00e4")
    [entry] = await listener.heard(1)
    assert (entry["level"], entry["msg"], entry["name"]) == ("ERROR", "100 % & more = \u00e4", "shop")
    assert abs(entry["timestamp"] - entry["serverTime"]) < 60000
    await listener.close()


async def test_loki(node):
    body = {"streams": [{"stream": {"job": "web", "host": "h1"}, "values": [
        ["1700000000123456789", "first"], ["1700000000124000000", "second", {"trace": "t"}]]}]}
    entries = await heard(node, 2, ("/loki/api/v1/push", body, {}), answer=(204, ""))
    assert entries == [{"room": "web", "user": "h1", "timestamp": TIME + 0.456, "msg": "first"},
                       {"room": "web", "user": "h1", "trace": "t", "timestamp": TIME + 1, "msg": "second"}]
    assert post(node, "/logs/add", b"", Content_Type="application/x-protobuf") == (
        415, '{"error": "protobuf is not taken here: send JSON"}\n')


async def test_otlp(node):
    def attribute(key, kind, value):
        return {"key": key, "value": {kind: value}}
    record = {"timeUnixNano": "1700000000123000000", "severityNumber": 17, "severityText": "Error",
              "body": {"stringValue": "it broke"}, "traceId": "5b8efff798038103d269b633813fc60c",
              "attributes": [attribute("app", "stringValue", "shop"), attribute("retries", "intValue", "3"),
                             attribute("ok", "boolValue", False)]}
    body = {"resourceLogs": [{"resource": {"attributes": [attribute("service.name", "stringValue", "till")]},
                              "scopeLogs": [{"scope": {"name": "s"}, "logRecords": [record]}]}]}
    [entry] = await heard(node, 1, ("/v1/logs", body, {}), answer=(200, "{}"))
    assert entry == {"room": "shop", "user": "till", "retries": 3, "ok": False, "level": "error", "timestamp": TIME,
                     "traceId": "5b8efff798038103d269b633813fc60c", "msg": "it broke"}
    large = {**record, "body": {"stringValue": "x" * 5000}}
    body["resourceLogs"][0]["scopeLogs"][0]["logRecords"] = [record, large]
    assert post(node, "/v1/logs", body) == (
        200, '{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"more than 4096 bytes"}}')


def snappy_block(data):
    """One literal, after the length (snappy's format description)."""
    return varint(len(data)) + (bytes([(len(data) - 1) << 2]) if len(data) <= 60 else b"\xf0" + bytes([len(data) - 1])) + data


PROTOBUF = {"Content_Type": "application/x-protobuf"}


async def test_otlp_as_protobuf(node):
    nested = part(5, part(1, part(1, "in")) + part(1, part(3, 7)))
    record = (fixed(1, 1700000000123456789) + part(2, 13) + part(3, "WARN") + part(5, part(1, b"bad \xff end")) +
              part(6, part(1, "app") + part(2, part(1, "shop"))) + part(6, part(1, "list") + part(2, nested)) +
              part(6, part(1, "few") + part(2, part(3, (1 << 64) - 3))) + part(6, part(1, "raw") + part(2, part(7, b"\x01\xab"))) +
              part(6, part(1, "half") + part(2, varint(4 << 3 | 1) + b"\0\0\0\0\0\0\xe0\x3f")) + part(9, bytes(range(16))) + part(99, "later"))
    [entry] = await heard(node, 1, ("/v1/logs", logs_request(record), PROTOBUF))
    assert entry == {"room": "shop", "level": "warn", "timestamp": TIME + 0.456, "msg": "bad \ufffd end", "few": -3, "half": 0.5, "raw": "01ab",
                     "list": {"values": [{"stringValue": "in"}, {"intValue": "7"}]}, "traceId": "000102030405060708090a0b0c0d0e0f"}
    large = part(5, part(1, "x" * 5000))
    status, text = post(node, "/v1/logs", logs_request(record, large), **PROTOBUF)
    assert (status, text.encode()) == (200, part(1, part(1, 1) + part(2, "more than 4096 bytes")))
    packed = gzip.compress(logs_request(record))
    assert post(node, "/v1/logs", packed, Content_Encoding="gzip", **PROTOBUF) == (200, "")


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 11, b"\x0b\x0c", b"\x00"])
def test_what_is_no_protobuf_is_refused(node, body):
    assert post(node, "/v1/logs", logs_request(b"\x2a\x7f"), **PROTOBUF)[0] == 400
    why = "the body is not the protobuf message of this protocol"
    assert post(node, "/v1/logs", body, **PROTOBUF) == (400, part(2, why).decode())
    assert post(node, "/loki/api/v1/push", snappy_block(body), **PROTOBUF) == (400, '{"error": "%s"}\n' % why)
    assert post(node, "/loki/api/v1/push", b"\xff\xff", **PROTOBUF) == (400, '{"error": "the body is not what its Content-Encoding says"}\n')
    assert post(node, "/loki/api/v1/push", varint(1 << 31) + b"\0a", **PROTOBUF)[0] == 413


async def test_values_within_values_have_an_end(node):
    value = part(1, "deep")
    for _ in range(20000):
        value = part(5, part(1, value))
    assert len(value) < 250_000
    [entry] = await heard(node, 1, ("/v1/logs", logs_request(part(5, part(1, "m")) + part(6, part(1, "k") + part(2, value))), PROTOBUF))
    assert entry["msg"] == "m" and "deep" not in json.dumps(entry)


async def test_loki_as_protobuf(node):
    def entry(seconds, nanos, line, *pairs):
        return part(2, part(1, part(1, seconds) + part(2, nanos)) + part(2, line) +
                    b"".join(part(3, part(1, name) + part(2, value)) for name, value in pairs))
    stream = part(1, '{job="web", host="h\\"1\\n"}') + entry(1700000000, 123456789, "first") + entry(1700000000, 124000000, "second", ("trace", "t"))
    expected = [{"room": "web", "user": "h\"1\n", "timestamp": TIME + 0.456, "msg": "first"},
                {"room": "web", "user": "h\"1\n", "trace": "t", "timestamp": TIME + 1, "msg": "second"}]
    body = snappy_block(part(1, stream))
    assert await heard(node, 2, ("/loki/api/v1/push", body, PROTOBUF), answer=(204, "")) == expected
    [odd] = await heard(node, 1, ("/loki/api/v1/push", snappy_block(part(1, part(1, "no labels") + entry(1700000000, 0, "m"))),
                                  {**PROTOBUF, "Content_Encoding": "snappy"}), answer=(204, ""))
    assert odd == {"room": "", "timestamp": 1700000000000, "msg": "m"}


async def test_gelf_and_serilog(node):
    [entry] = await heard(node, 1, ("/gelf", {"version": "1.1", "host": "h", "short_message": "m", "level": 6}, {}),
                          answer=(202, ""))
    assert entry == {"room": "", "version": "1.1", "user": "h", "msg": "m", "level": "info"}
    entries = await heard(node, 2, ("/logs/add", {"events": [{"RenderedMessage": "1"}, {"RenderedMessage": "2"}]}, {}))
    assert [entry["msg"] for entry in entries] == ["1", "2"]
    [entry] = await heard(node, 1, ("/logs/add", {"events": [1], "msg": "an entry that has events"}, {}))
    assert entry["msg"] == "an entry that has events"


async def test_one_entry_that_is_too_large_costs_no_other(node):
    listener = await Listener.join(node)
    status, body, _ = await asyncio.to_thread(add, node, [{"msg": "1"}, {"msg": "x" * 5000}, {"msg": "3"}])
    assert (status, json.loads(body)) == (200, {"stored": 2, "refused": 1, "reasons": [
        {"element": 1, "error": "more than 4096 bytes"}]})
    assert [entry["msg"] for entry in await listener.heard(2)] == ["1", "3"]
    await listener.close()
    assert node.metrics()["muster_logs_too_large_total"] == 1
    assert add(node, {"msg": "x" * 5000})[:2] == (413, '{"error": "the entry has more than 4096 bytes"}\n')


@pytest.mark.parametrize("store", ["memory", "redis"])
def test_a_large_body_holds_up_nobody(yard, store):
    """120 MB, in threads and in steps: no turn of the loop takes over 50 ms of CPU time (Node.judge). One that copies it once
    takes 100."""
    url = yard.redis().url if store == "redis" else "memory:"
    [node] = yard.fleet([url], message_limit="256m", logs_entry_limit="256k")
    size = 24_000 if is_sanitized(pathlib.Path(node.binary)) else 120_000  # there turns are not judged
    body = json.dumps([{"room": "large", "msg": "x" * size, "n": n} for n in range(1000)]).encode()
    assert post(node, "/logs/add", body) == (200, "")
    assert node.metrics()["muster_logs_added_total"] == 1000
