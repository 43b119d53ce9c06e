# SPDX-License-Identifier: MIT
"""RFC 6455 and RFC 7692 to the letter, after the sections of the Autobahn suite.

The server echoes nothing by itself: a leader pushes what is to be echoed, and a follower on a
connection of its own gets it byte for byte. What is no JSON is answered with a warning.
"""

import os
import random
import re

import pytest

from lib.frames import (
    BINARY, CLOSE, CONTINUATION, DEFLATE_TAIL, PING, PONG, TEXT, RawWebSocket, close_code, close_payload,
    deflate, fragments, frame_bytes, handshake_request, mask_bytes)
from lib.sync import is_warning, new_session, push

MESSAGE_LIMIT = 65536
DEFLATE = "permessage-deflate"
# Autobahn 6.2 and 6.5 to 6.19: texts at the borders of UTF-8.
VALID_UTF8 = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x7f", "\x80", "\u07ff", "\u0800", "\uffff", "\U00010000",
              "\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\ufffe", "\ufdd0", "\U0001fffe", "😀" * 100]
INVALID_UTF8 = """
    cebae1bdb9cf83cebcceb5eda080656469746564 80 bf 8080 c0 c0af c1bf e08080 e080af e09fbf f0808080
    f08080af f08fbfbf f8808080af fc80808080af eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf
    eda080edb080 f4908080 f7bfbfbf f888808080 fe ff feff fefeffff c2 e0a0 f0908d f48fbf ce c320
    e28228a1 f0288cbc
""".split()


@pytest.fixture(scope="module")
def node_settings():
    return {"message_limit": str(MESSAGE_LIMIT)}


@pytest.fixture
def client(node):
    with RawWebSocket(node) as client:
        yield client


class Pair:
    """A leader and a follower: what the one pushes the other receives."""

    def __init__(self, node, leader_offer=None, follower_offer=None):
        self.session = new_session()
        self.follower = RawWebSocket(node, deflate_offer=follower_offer).join(self.session)
        self.leader = RawWebSocket(node, deflate_offer=leader_offer).join(self.session, leader=True)
        self.follower.next_of(lambda m: m.get("leaderConnected") is True)

    def message(self, data="x"):
        return push(self.session, data).encode()

    def of_length(self, length):
        """A push of exactly `length` bytes."""
        empty = len(self.message(""))
        return self.message("x" * (length - empty))

    def echoes(self, message, frames=None):
        """The follower gets `message`, sent as `frames`."""
        self.leader.send(frame_bytes(TEXT, message) if frames is None else frames)
        opcode, payload = self.follower.next_data()
        return opcode == TEXT and payload == message

    def close(self):
        self.leader.close()
        self.follower.close()


@pytest.fixture
def pair(node):
    pair = Pair(node)
    yield pair
    pair.close()


@pytest.fixture
def deflating_pair(node):
    pair = Pair(node, DEFLATE, DEFLATE)
    yield pair
    pair.close()


def cut(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


# --- 1 framing: lengths and their forms

@pytest.mark.parametrize("length", [100, 124, 125, 126, 127, 128, 129, 255, 256, 65534, 65535, 65536])
def test_lengths(pair, length):
    message = pair.of_length(length)
    assert len(message) == length
    assert pair.echoes(message)


def test_frames_byte_by_byte(pair):
    message = pair.of_length(300)
    pair.leader.send_bytewise(frame_bytes(TEXT, message))
    assert pair.follower.next_data() == (TEXT, message)


def test_many_frames_in_one_segment(pair):
    messages = [pair.message(number) for number in range(200)]
    pair.leader.send(b"".join(frame_bytes(TEXT, message) for message in messages))
    for message in messages:
        assert pair.follower.next_data() == (TEXT, message)


def test_frames_in_the_segment_of_the_handshake(node):
    with RawWebSocket(node, handshake=False) as client:
        assert client.ask(handshake_request() + frame_bytes(TEXT, "ping")).status == 101
        assert client.next_text() == "pong"


def test_an_empty_message(client):
    client.text(b"")
    assert is_warning(client.next_message())
    client.frame(BINARY, b"")
    assert is_warning(client.next_message())


@pytest.mark.parametrize("width, length", [(16, 0), (16, 125), (64, 0), (64, 125), (64, 126), (64, 65535)])
def test_lengths_not_in_their_shortest_form(client, width, length):
    client.send_while_taken(frame_bytes(TEXT, b"x" * length, width=width))
    assert client.failed_with() == 1002


def test_a_length_with_the_highest_bit(client):
    client.send(bytes([0x81, 0xFF]) + b"\xff" * 8 + b"abcd")
    assert client.failed_with() in (1002, 1009)


# --- 2 pings and pongs

@pytest.mark.parametrize("payload", [b"", b"Hello", bytes(range(0x80, 0x100))[:125], b"\x00", os.urandom(125)],
                         ids=["empty", "text", "high bytes", "NUL", "longest"])
def test_ping_is_answered_with_its_payload(client, payload):
    client.frame(PING, payload)
    frame = client.next_frame()
    assert frame == (True, 0, PONG, payload)


def test_ping_longer_than_125(client):
    client.frame(PING, b"x" * 126)
    assert client.failed_with() == 1002


def test_pings_in_a_row(client):
    payloads = [b"payload-%d" % number for number in range(100)]
    client.send(b"".join(frame_bytes(PING, payload) for payload in payloads))
    for payload in payloads:
        assert client.next_frame() == (True, 0, PONG, payload)


def test_ping_byte_by_byte(client):
    client.send_bytewise(frame_bytes(PING, b"x" * 125))
    assert client.next_frame() == (True, 0, PONG, b"x" * 125)


def test_unsolicited_pongs_are_let_fall(client):
    client.frame(PONG)
    client.frame(PONG, b"unsolicited")
    assert client.fence() == []


# --- 3 reserved bits

@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE], ids=["text", "binary", "ping", "close"])
def test_reserved_bits(client, opcode, rsv):
    client.frame(opcode, b"", rsv=rsv)
    assert client.failed_with() == 1002


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_reserved_bits_besides_deflate(node, rsv):
    with RawWebSocket(node, deflate_offer=DEFLATE) as client:
        client.frame(TEXT, deflate(b"ping"), rsv=rsv)
        assert client.failed_with() == 1002


# --- 4 opcodes

@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
@pytest.mark.parametrize("payload", [b"", b"reserved"], ids=["empty", "payload"])
def test_reserved_opcodes(client, opcode, payload):
    client.frame(opcode, payload)
    assert client.failed_with() == 1002


def test_what_came_before_a_fault_counts(pair):
    pair.leader.send(frame_bytes(TEXT, pair.message()) + frame_bytes(5))
    assert pair.follower.next_data() == (TEXT, pair.message())
    assert pair.leader.failed_with() == 1002


# --- 5 fragments

@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_fragments_are_put_together(pair, size):
    message = pair.of_length(5000)
    assert pair.echoes(message, fragments(TEXT, cut(message, size)))


def test_empty_fragments(pair):
    message = pair.message()
    assert pair.echoes(message, fragments(TEXT, [b"", message, b""]))
    assert pair.echoes(message, fragments(TEXT, [b"", b"", b"", message]))
    assert pair.echoes(message, fragments(TEXT, [message] + [b""] * 5000))
    pair.leader.send(fragments(TEXT, [b"", b""]))
    assert is_warning(pair.leader.next_message())


def test_pings_between_fragments(pair):
    message = pair.message()
    pieces = cut(message, 10)
    pair.leader.frame(TEXT, pieces[0], fin=False)
    for piece in pieces[1:-1]:
        pair.leader.frame(PING, piece)
        assert pair.leader.next_frame() == (True, 0, PONG, piece)
        pair.leader.frame(PONG, b"unsolicited")
        pair.leader.frame(CONTINUATION, piece, fin=False)
    pair.leader.frame(CONTINUATION, pieces[-1])
    assert pair.follower.next_data() == (TEXT, message)


def test_close_between_fragments(client):
    client.frame(TEXT, b"half", fin=False)
    client.frame(CLOSE, close_payload(1000))
    assert client.failed_with() == 1000


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE], ids=["ping", "pong", "close"])
def test_fragmented_control_frames(client, opcode):
    client.send_while_taken(fragments(opcode, [b"", b""]))
    assert client.failed_with() == 1002


@pytest.mark.parametrize("fin", [True, False])
def test_nothing_to_continue(client, fin):
    client.frame(CONTINUATION, b"orphan", fin=fin)
    assert client.failed_with() == 1002


def test_nothing_to_continue_after_a_whole_message(client):
    client.send(fragments(TEXT, [b"pi", b"ng"]))
    assert client.next_text() == "pong"
    client.frame(CONTINUATION, b"orphan")
    assert client.failed_with() == 1002


@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["text", "binary"])
def test_a_new_message_inside_another(client, opcode):
    client.frame(TEXT, b"half", fin=False)
    client.frame(opcode, b"new")
    assert client.failed_with() == 1002


# --- 6 UTF-8

@pytest.mark.parametrize("text", VALID_UTF8, ids=ascii)
def test_valid_utf8(pair, text):
    message = f'{{"type":"Push","sessionId":"{pair.session}","data":"{text}"}}'.encode()
    assert pair.echoes(message)
    assert pair.echoes(message, fragments(TEXT, cut(message, 1)))


@pytest.mark.parametrize("encoded", INVALID_UTF8)
@pytest.mark.parametrize("how", ["whole", "fragments", "deflated"])
def test_invalid_utf8(node, encoded, how):
    data = b'{"type":"' + bytes.fromhex(encoded) + b'"}'
    with RawWebSocket(node, deflate_offer=DEFLATE if how == "deflated" else None) as client:
        frames = {"whole": frame_bytes(TEXT, data), "fragments": fragments(TEXT, cut(data, 1)),
                  "deflated": frame_bytes(TEXT, deflate(data), rsv=4)}
        client.send_while_taken(frames[how])
        assert client.failed_with() == 1007


@pytest.mark.parametrize("encoded", ["ce", "e2 82", "f0 90 8d"])
def test_text_that_ends_inside_a_character(client, encoded):
    client.text(bytes.fromhex(encoded))
    assert client.failed_with() == 1007


def test_binary_need_not_be_utf8(client):
    client.frame(BINARY, b"\xff\xfe\x80")
    assert is_warning(client.next_message())


# --- 7 closing

@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999,
                                  4000, 4999])
def test_valid_close_codes_are_echoed(client, code):
    client.frame(CLOSE, close_payload(code, "reason ü".encode()))
    assert close_code(client.close_frame()) == code
    assert client.at_end()


@pytest.mark.parametrize("code", [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_invalid_close_codes(client, code):
    client.frame(CLOSE, close_payload(code))
    assert client.failed_with() == 1002


def test_close_without_a_code(client):
    client.frame(CLOSE)
    assert close_code(client.close_frame()) in (1005, 1000)
    assert client.at_end()


def test_close_of_one_byte(client):
    client.frame(CLOSE, b"\x03")
    assert client.failed_with() == 1002


def test_close_with_the_longest_reason(client):
    client.frame(CLOSE, close_payload(1000, b"x" * 123))
    assert client.failed_with() == 1000


def test_close_longer_than_125(client):
    client.frame(CLOSE, close_payload(1000, b"x" * 124))
    assert client.failed_with() == 1002


def test_close_with_a_reason_that_is_no_utf8(client):
    client.frame(CLOSE, close_payload(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"))
    assert client.failed_with() in (1002, 1007)


def test_nothing_is_heard_after_a_close(pair):
    pair.leader.send(frame_bytes(CLOSE, close_payload(1000)) + frame_bytes(TEXT, pair.message()) +
                     frame_bytes(PING, b"late") + frame_bytes(CLOSE, close_payload(1001)))
    assert close_code(pair.leader.close_frame()) == 1000
    assert pair.leader.at_end()
    assert pair.follower.next_message()["playersCount"] == 1
    assert pair.follower.fence() == []


def test_what_came_before_a_close_is_answered(client):
    client.send(frame_bytes(TEXT, "ping") + frame_bytes(CLOSE, close_payload(1000)))
    assert client.next_text() == "pong"
    assert client.failed_with() == 1000


@pytest.mark.parametrize("end", [RawWebSocket.close, RawWebSocket.reset], ids=["in order", "reset"])
def test_the_end_of_tcp_without_a_close(pair, end):
    end(pair.leader)
    pair.follower.next_of(lambda m: m["playersCount"] == 1)


def test_a_frame_cut_off_by_the_end_of_tcp(node):
    whole = frame_bytes(TEXT, b"x" * 300)
    for length in (1, 2, 3, 4, 7, 8, 9, 200):
        with RawWebSocket(node) as client:
            client.send(whole[:length])


# --- 9 limits

def test_a_message_of_the_limit_is_taken(pair):
    assert pair.echoes(pair.of_length(MESSAGE_LIMIT))


def test_a_frame_beyond_the_limit_is_refused_at_its_start(client):
    client.send(frame_bytes(TEXT, b"x" * (MESSAGE_LIMIT + 1))[:15])
    assert client.failed_with() == 1009


@pytest.mark.parametrize("length", [1 << 20, 1 << 31, 1 << 32, (1 << 63) - 1])
def test_huge_lengths_are_refused_at_the_start(client, length):
    client.send(bytes([0x82, 0xFF]) + length.to_bytes(8, "big") + b"abcd" + b"x")
    assert client.failed_with() == 1009


@pytest.mark.parametrize("size", [1000, MESSAGE_LIMIT])
def test_fragments_beyond_the_limit(client, size):
    client.send_while_taken(fragments(TEXT, cut(b"x" * (MESSAGE_LIMIT + 1), size)))
    assert client.failed_with() == 1009


def test_a_message_beyond_the_limit_harms_nobody(pair, client):
    client.send_while_taken(frame_bytes(TEXT, b"x" * (10 * MESSAGE_LIMIT)))
    assert client.failed_with() == 1009
    assert pair.echoes(pair.message())


# --- masking

@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE], ids=["text", "binary", "ping", "close"])
def test_unmasked_frames(client, opcode):
    client.frame(opcode, b"" if opcode == CLOSE else b"ping", key=None)
    assert client.failed_with() == 1002


@pytest.mark.parametrize("key", [b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\xff\x80\x7f"], ids=bytes.hex)
def test_any_mask_will_do(client, key):
    client.frame(TEXT, "ping", key=key)
    assert client.next_text() == "pong"


def test_the_mask_of_each_fragment_is_its_own(client):
    client.frame(TEXT, b"p", fin=False, key=b"abcd")
    client.frame(CONTINUATION, b"in", fin=False, key=b"\x00\x00\x00\x00")
    client.frame(CONTINUATION, b"g", key=b"wxyz")
    assert client.next_text() == "pong"
    assert mask_bytes(mask_bytes(b"hello", b"abcd"), b"abcd") == b"hello"


# --- 12 and 13 permessage-deflate

def parameters(answer):
    name, *parts = [part.strip() for part in answer.split(";")]
    assert name == DEFLATE and len(set(parts)) == len(parts)
    return set(parts)


NO_TAKEOVER = {"server_no_context_takeover", "client_no_context_takeover"}


@pytest.mark.parametrize("offer", [
    DEFLATE, f"{DEFLATE}; client_max_window_bits", f"{DEFLATE};client_max_window_bits=15",
    f"{DEFLATE}; client_max_window_bits=8", f'{DEFLATE}; client_max_window_bits="10"',
    f"{DEFLATE}; server_no_context_takeover", f"{DEFLATE}; client_no_context_takeover",
    f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
    f"{DEFLATE}; server_max_window_bits=15", f"{DEFLATE}; server_max_window_bits=15; client_max_window_bits=15",
    f"x-webkit-deflate-frame, {DEFLATE}", f"{DEFLATE}; unknown_parameter, {DEFLATE}",
    f"{DEFLATE}; server_max_window_bits=99, {DEFLATE}; client_max_window_bits, {DEFLATE}",
    f'foo; bar="a, b; c", {DEFLATE}', f" ,, {DEFLATE} ; client_max_window_bits ,"])
def test_offers_that_are_answered(node, offer):
    with RawWebSocket(node, deflate_offer=offer) as client:
        answered = parameters(client.extensions)
        assert NO_TAKEOVER <= answered
        rest = answered - NO_TAKEOVER
        assert all(re.fullmatch(r"(server|client)_max_window_bits=(9|1[0-5])", part) for part in rest)
        if "server_max_window_bits=15" in offer:
            assert rest & {f"server_max_window_bits={bits}" for bits in range(9, 16)}
        if "client_max_window_bits" not in offer:
            assert not any(part.startswith("client_max_window_bits") for part in rest)
        client.frame(TEXT, deflate(b"ping"), rsv=4)
        assert client.next_text() == "pong"


@pytest.mark.parametrize("offer", [
    "", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflat", "permessage-deflates",
    f"{DEFLATE}; unknown_parameter", f"{DEFLATE}; server_max_window_bits", f"{DEFLATE}; server_max_window_bits=7",
    f"{DEFLATE}; server_max_window_bits=16", f"{DEFLATE}; server_max_window_bits=0x9",
    f"{DEFLATE}; client_max_window_bits=16", f"{DEFLATE}; client_max_window_bits=7",
    f"{DEFLATE}; client_max_window_bits=", f"{DEFLATE}; server_no_context_takeover=1",
    f"{DEFLATE}; client_no_context_takeover; client_no_context_takeover"])
def test_offers_that_do_not_hold(node, offer):
    with RawWebSocket(node, deflate_offer=offer) as client:
        assert client.extensions is None
        client.frame(TEXT, deflate(b"ping"), rsv=4)
        assert client.failed_with() == 1002


@pytest.mark.parametrize("bits", range(8, 15))
def test_a_smaller_server_window_is_kept_or_declined(node, bits):
    pair = Pair(node, follower_offer=f"{DEFLATE}; server_max_window_bits={bits}")
    if pair.follower.extensions is not None:
        assert f"server_max_window_bits={bits}" in parameters(pair.follower.extensions)
    assert pair.echoes(pair.message("x" * 40000))
    pair.close()


@pytest.mark.parametrize("offer", [f"{DEFLATE};;", ";", "=", '"', f'{DEFLATE}; a="b', "\xff\xfe", "," * 500],
                         ids=range(7))
def test_malformed_offers_harm_nobody(node, offer):
    with RawWebSocket(node, handshake=False) as client:
        response = client.ask(handshake_request(Sec_WebSocket_Extensions=offer))
        assert response.status in (101, 400)
        assert "sec-websocket-extensions" not in response.headers


def test_offers_in_several_fields(node):
    with RawWebSocket(node, handshake=False) as client:
        request = handshake_request(Sec_WebSocket_Extensions="foo")
        response = client.ask(request.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
        assert parameters(response.headers["sec-websocket-extensions"]) >= NO_TAKEOVER


def test_long_messages_go_out_deflated_and_short_ones_do_not(deflating_pair):
    pair = deflating_pair
    pair.leader.text(b"ping")
    assert pair.leader.next_frame() == (True, 0, TEXT, b"pong")
    pair.leader.text(pair.message("x" * 1000))
    frame = pair.follower.next_frame()
    assert (frame.fin, frame.rsv, frame.opcode) == (True, 4, TEXT)
    assert len(frame.payload) < 200


def test_no_context_is_taken_over_by_the_server(deflating_pair):
    """next_data inflates each message by itself."""
    for _ in range(5):
        assert deflating_pair.echoes(deflating_pair.message("the same again " * 20))


def test_what_does_not_shrink(deflating_pair):
    noise = random.Random(7)
    for length in (60, 500, 30000):
        assert deflating_pair.echoes(deflating_pair.message("".join(chr(noise.randint(35, 91)) for _ in range(length))))


@pytest.mark.parametrize("length", [100, 1000, 32768, 65536])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_deflated_messages(deflating_pair, length, level):
    message = deflating_pair.of_length(length)
    assert deflating_pair.echoes(message, frame_bytes(TEXT, deflate(message, level), rsv=4))


@pytest.mark.parametrize("window", [9, 10, 15])
def test_smaller_client_windows(deflating_pair, window):
    message = deflating_pair.message("".join(map(str, range(5000))))
    assert deflating_pair.echoes(message, frame_bytes(TEXT, deflate(message, window=window), rsv=4))


@pytest.mark.parametrize("size", [1, 16, 300])
def test_deflated_fragments(deflating_pair, size):
    message = deflating_pair.message("".join(map(str, range(1000))))
    assert deflating_pair.echoes(message, fragments(TEXT, cut(deflate(message), size), rsv=4))
    assert deflating_pair.echoes(message, fragments(TEXT, [*cut(deflate(message), size), b""], rsv=4))


def test_a_deflated_message_with_a_final_block(deflating_pair):
    """RFC 7692 7.2.3.4."""
    message = deflating_pair.message()
    assert deflating_pair.echoes(message, frame_bytes(TEXT, deflate(message, final=True), rsv=4))
    assert deflating_pair.echoes(message)


def test_a_deflated_message_of_several_blocks(deflating_pair):
    """RFC 7692 7.2.3.5."""
    message = deflating_pair.message("two blocks")
    blocks = deflate(message[:30]) + DEFLATE_TAIL + deflate(message[30:])
    assert deflating_pair.echoes(message, frame_bytes(TEXT, blocks, rsv=4))


def test_a_deflated_message_that_is_empty(deflating_pair):
    for empty in (b"\x00", b"\x02\x00"):
        deflating_pair.leader.frame(TEXT, empty, rsv=4)
        assert is_warning(deflating_pair.leader.next_message())


def test_plain_messages_where_deflate_was_agreed(deflating_pair):
    message = deflating_pair.message("x" * 1000)
    assert deflating_pair.echoes(message)
    assert deflating_pair.echoes(message, frame_bytes(TEXT, deflate(message), rsv=4))
    assert deflating_pair.echoes(message, fragments(TEXT, cut(message, 100)))


def test_pings_between_deflated_fragments(deflating_pair):
    message = deflating_pair.message("x" * 100)
    first, second = cut(deflate(message), 20)[0], deflate(message)[20:]
    deflating_pair.leader.frame(TEXT, first, fin=False, rsv=4)
    deflating_pair.leader.frame(PING, b"between")
    assert deflating_pair.leader.next_frame() == (True, 0, PONG, b"between")
    deflating_pair.leader.frame(CONTINUATION, second)
    assert deflating_pair.follower.next_data() == (TEXT, message)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE], ids=["ping", "pong", "close"])
def test_deflated_control_frames(node, opcode):
    with RawWebSocket(node, deflate_offer=DEFLATE) as client:
        client.frame(opcode, deflate(b"\x03\xe8"), rsv=4)
        assert client.failed_with() == 1002


def test_the_deflate_bit_on_a_continuation(node):
    with RawWebSocket(node, deflate_offer=DEFLATE) as client:
        data = deflate(b"ping")
        client.frame(TEXT, data[:2], fin=False, rsv=4)
        client.frame(CONTINUATION, data[2:], rsv=4)
        assert client.failed_with() == 1002


@pytest.mark.parametrize("data", [b"\xff" * 20, b"\x06", deflate(b"ping" * 50)[:-3] + b"\xff\xff\xff",
                                  b"\x03\x01\x00\x00", deflate(b"x" * 500)[1:]], ids=bytes.hex)
def test_broken_deflate_data(node, data):
    with RawWebSocket(node, deflate_offer=DEFLATE) as client:
        client.frame(TEXT, data, rsv=4)
        assert client.failed_with() in (1002, 1007)


def test_a_compression_bomb(yard):
    node = yard.node(message_limit="64k")
    bomb = deflate(b"\x00" * (1 << 26), level=9)
    with RawWebSocket(node, deflate_offer=DEFLATE) as client:
        before = node.metrics()["process_resident_memory_bytes"]
        assert len(bomb) < (1 << 16) - 8
        client.send_while_taken(frame_bytes(BINARY, bomb, rsv=4))
        assert client.failed_with() == 1009
        assert node.metrics()["process_resident_memory_bytes"] - before < 1 << 24


def test_noise_harms_nobody(node, pair):
    noise = random.Random(1)
    for _ in range(100):
        with RawWebSocket(node, deflate_offer=noise.choice([None, DEFLATE])) as client:
            client.send_while_taken(noise.randbytes(noise.randint(1, 2000)))
    for _ in range(100):
        with RawWebSocket(node, deflate_offer=DEFLATE) as client:
            client.send_while_taken(frame_bytes(noise.choice([TEXT, BINARY]), noise.randbytes(noise.randint(1, 2000)),
                                                rsv=noise.choice([0, 4])))
    assert pair.echoes(pair.message())
