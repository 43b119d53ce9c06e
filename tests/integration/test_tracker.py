# SPDX-License-Identifier: MIT
"""The peer tracker over UDP: both dialects, one node and several, faults and hostile datagrams."""

import contextlib
import json
import random
import re
import signal
import socket
import socketserver
import string
import threading

import pytest

from lib.ports import free_port
from lib.process import muster
from lib.tracker import Peer
from lib.waiting import wait_until

NAMES = {"documented": ("announceReceived", "pushReceived"), "sobani": ("announced", "pushed")}
UNKNOWN = {"error": "unknown shareId"}


def udp_port():
    """A port that nobody has for UDP."""
    while True:
        port = free_port()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            probe.bind(("::", port))
            return port


def tracker_node(yard, begin=False, host="127.0.0.1", **settings):
    port = udp_port()
    node = yard.begin(tracker=f"{host}:{port}", **settings)
    node.tracker_port = port
    return node if begin else node.ready()


@pytest.fixture(params=["documented", "sobani"])
def dialect(request):
    return request.param


@pytest.fixture
def fleet(yard, redis, dialect):
    nodes = [tracker_node(yard, begin=True, store=redis.url, lease="2s", tracker_dialect=dialect) for _ in range(3)]
    return [node.ready() for node in nodes]


@pytest.fixture
def lone(yard):
    return tracker_node(yard)


def refused(node, reason):
    return node.metrics()[f'muster_tracker_refused_total{{reason="{reason}"}}']


# --- what the protocol says

def test_answers_of_both_dialects(yard, dialect):
    announced, pushed = NAMES[dialect]
    node = tracker_node(yard, tracker_dialect=dialect)
    with Peer(node) as a, Peer(node) as b:
        assert a.ask("alive") == {"action": "expired"}
        unknown = a.ask("pulse")["data"]
        assert unknown["status"] not in ("0", 0) and unknown["error"] and unknown["overriden"] == "false"
        answer = a.ask("announce")
        share_id = answer["data"]["shareId"]
        assert answer == {"action": announced, "data": {"shareId": share_id}}
        assert re.fullmatch("[0-9A-Za-z]{8}", share_id)
        assert a.ask("alive") == {"action": "alived"}
        assert a.ask("pulse") == {"action": "pulseReceived", "data": {"status": "0", "overriden": "false"}}
        b.announce()
        expected = {"peeraddr": a.address}
        if dialect == "sobani":
            expected["peerShareId"] = share_id
        assert b.ask("push", shareId=share_id) == {"action": pushed, "data": expected}
        nobody = b.ask("push", shareId="00000000")
        assert nobody == {"action": pushed, "data": UNKNOWN}


def test_who_never_announced(yard, dialect):
    node = tracker_node(yard, tracker_dialect=dialect)
    with Peer(node) as known, Peer(node) as stranger:
        share_id = known.announce()
        answer = stranger.ask("push", shareId=share_id)
        if dialect == "sobani":
            assert answer == {"action": "expired"}
            assert known.is_silent(node)
        else:
            assert answer["data"] == {"peeraddr": known.address}


def test_announce_forgets_the_id_before(lone):
    with Peer(lone) as a, Peer(lone) as b:
        ids = [a.announce() for _ in range(5)]
        assert len(set(ids)) == 5
        assert [b.push(share_id) for share_id in ids] == [UNKNOWN] * 4 + [{"peeraddr": a.address}]


def test_share_ids_do_not_repeat(lone):
    ids = set()
    with Peer(lone) as a:
        for _ in range(300):
            ids.add(a.announce())
    assert len(ids) >= 300
    assert len({character for share_id in ids for character in share_id}) == 62


def test_a_new_id_with_a_pulse(lone):
    with Peer(lone) as a, Peer(lone) as b:
        old = a.announce()
        a.ask("pulse", override=True, port=7)
        answer = a.ask("pulse", shareId=True)["data"]
        assert answer == {"status": "0", "overriden": "false", "shareId": answer["shareId"]}
        assert b.push(old) == UNKNOWN
        assert b.push(answer["shareId"]) == {"peeraddr": "127.0.0.1:7"}
        with Peer(lone) as stranger:
            fresh = stranger.ask("pulse", shareId=True)["data"]
            assert b.push(fresh["shareId"]) == {"peeraddr": stranger.address}


@pytest.mark.parametrize("fields, told", [
    ({"ip": "198.51.100.9"}, "198.51.100.9:{port}"),
    ({"port": "4242"}, "127.0.0.1:4242"),
    ({"port": 4242}, "127.0.0.1:4242"),
    ({"ip": "198.51.100.9", "port": 1}, "198.51.100.9:1"),
    ({"ip": "2001:db8:0::1", "port": 1}, "[2001:db8::1]:1"),
    ({"multiaddr": "/ip4/198.51.100.9/udp/1/p2p/Qm\u00fc\"x"}, "/ip4/198.51.100.9/udp/1/p2p/Qm\u00fc\"x"),
])
def test_override_with_each_field(lone, fields, told):
    with Peer(lone) as a, Peer(lone) as b:
        share_id = a.announce()
        assert a.ask("pulse", **fields)["data"] == {"status": "0", "overriden": "false"}
        assert b.push(share_id) == {"peeraddr": a.address}
        assert a.ask("pulse", override=True, **fields)["data"] == {"status": "0", "overriden": "true"}
        port = a.address.rsplit(":", 1)[1]
        assert b.push(share_id) == {"peeraddr": told.format(port=port)}
        a.ask("pulse")
        assert b.push(share_id) == {"peeraddr": told.format(port=port)}, "a pulse without it leaves it"
        assert b.push(a.announce()) == {"peeraddr": a.address}, "announce begins again"


@pytest.mark.parametrize("fields", [
    {}, {"ip": "example.org"}, {"ip": 7}, {"ip": "1.2.3.4", "port": 0}, {"port": "x"}, {"port": 65536},
    {"port": [1]}, {"multiaddr": ""}, {"multiaddr": {}}, {"multiaddr": "x" * 101},
    {"ip": "1.2.3.4", "override": "yes"},
])
def test_override_with_nonsense(lone, fields):
    with Peer(lone) as a, Peer(lone) as b:
        share_id = a.announce()
        a.ask("pulse", override=True, port=7)
        answer = a.ask("pulse", **{"override": True, **fields})["data"]
        assert answer["status"] != "0" and answer["overriden"] == "false" and answer["error"]
        assert b.push(share_id) == {"peeraddr": "127.0.0.1:7"}
        assert a.alive()


def test_ipv6_and_ipv4_on_one_socket(yard, dialect):
    node = tracker_node(yard, host="[::]", tracker_dialect=dialect)
    with Peer(node) as four, Peer(node, "::1") as six:
        ids = four.announce(), six.announce()
        assert four.push(ids[1])["peeraddr"] == six.address == f"[::1]:{six.socket.getsockname()[1]}"
        assert six.push(ids[0])["peeraddr"] == four.address
        if dialect == "sobani":
            assert four.income()[0] == {"peeraddr": six.address, "peerShareId": ids[1]}
            assert six.income()[0] == {"peeraddr": four.address, "peerShareId": ids[0]}


@pytest.mark.parametrize("say", ["alive", "pulse"])
def test_a_peer_that_slept_comes_back_to_its_share_id(yard, redis, say):
    """A client that does not announce again when it hears that it expired: the public desktop client."""
    a, b = (tracker_node(yard, store=redis.url, tracker_dialect="sobani", tracker_expiry="2s") for _ in range(2))
    with Peer(a) as sleeper, Peer(b) as other, Peer(b) as stranger:
        share_id = sleeper.announce()
        sleeper.ask("pulse", override=True, ip="192.0.2.9")
        other.announce()
        wait_until(lambda: other.alive() and other.push(share_id) == UNKNOWN, "it is forgotten")
        a.kill()
        answer = sleeper.ask(say, b)
        assert answer["action"] == "alived" or answer["data"]["status"] == "0"
        assert b.metrics()["muster_tracker_returned_total"] == 1
        other.announce()
        assert other.push(share_id)["peeraddr"] == f"192.0.2.9:{sleeper.socket.getsockname()[1]}"
        assert stranger.ask("alive") == {"action": "expired"}
        assert sleeper.announce(b) != share_id
        assert other.push(share_id) == UNKNOWN


def test_an_id_that_somebody_else_has_by_now_is_not_given_back(yard, redis):
    node = tracker_node(yard, store=redis.url, tracker_dialect="sobani", tracker_expiry="500ms")
    with Peer(node) as sleeper, Peer(node) as other:
        share_id = sleeper.announce()
        *_, key = redis.command("KEYS", f"*tracker:s:{share_id}").split()
        wait_until(lambda: redis.command("EXISTS", key).startswith(b":0"), "the id is free")
        *_, others = redis.command("KEYS", f"*tracker:s:{other.announce()}").split()
        redis.command("RENAME", others, key)
        assert sleeper.ask("alive") == {"action": "expired"}


def test_silence_makes_a_peer_unknown(yard, redis, dialect):
    nodes = [tracker_node(yard, store=redis.url, tracker_dialect=dialect, tracker_expiry="1500ms",
                          tracker_grace="0") for _ in range(2)]
    with Peer(nodes[0]) as pulses, Peer(nodes[1]) as lives, Peer(nodes[0]) as silent, Peer(nodes[1]) as asker:
        ids = [peer.announce() for peer in (pulses, lives, silent)]
        asker.announce()

        def is_gone():
            assert pulses.ask("pulse")["data"]["status"] == "0"
            assert lives.alive() and asker.alive()
            return asker.push(ids[2]) == UNKNOWN
        wait_until(is_gone, "the silent peer is forgotten")
        for _ in range(2):  # longer than the key that finds them lives without renewal
            silent.announce()
            ids[2] = silent.announce()
            wait_until(is_gone, "the silent peer is forgotten again")
        assert silent.ask("alive") == {"action": "expired"}
        assert asker.push(ids[0])["peeraddr"] == pulses.address
        assert asker.push(ids[1])["peeraddr"] == lives.address
    keys = redis.command("KEYS", "muster:*:l:tracker:*")
    assert keys.startswith(b"*")
    wait_until(lambda: redis.command("KEYS", "muster:*:l:tracker:*").startswith(b"*0"), "nothing is left behind")


# --- both dialects at once

def both_dialects(yard, redis, host="127.0.0.1", **settings):
    """A node whose tracker_port speaks `documented`, and whose sobani_port the other dialect."""
    ports = udp_port(), udp_port()
    node = yard.begin(store=redis.url, lease="2s", tracker=f"{host}:{ports[0]},sobani={host}:{ports[1]}", **settings)
    node.tracker_port, node.sobani_port = ports
    return node


class Sobani(Peer):
    """Talks to the nodes' other port."""

    def __init__(self, node):
        super().__init__(node)
        self.node = At(node)

    def ask(self, message, node=None, **fields):
        return super().ask(message, At(node) if node else None, **fields)


class At:
    def __init__(self, node):
        self.tracker_port = node.sobani_port


def test_both_dialects_at_once_are_one_space_of_share_ids(yard, redis):
    a, b = (both_dialects(yard, redis) for _ in range(2))
    a.ready(), b.ready()
    with Peer(a) as old, Sobani(b) as new, Peer(b) as nobody:
        old_id, answer = old.announce(), new.ask("announce")
        new_id = answer["data"]["shareId"]
        assert answer["action"] == "announced"
        assert new.ask("push", shareId=old_id) == {"action": "pushed",
                                                   "data": {"peeraddr": old.address, "peerShareId": old_id}}
        assert old.is_silent(a), "it knows no income"
        assert old.ask("push", shareId=new_id) == {"action": "pushReceived", "data": {"peeraddr": new.address}}
        assert new.income() == ({"peeraddr": old.address, "peerShareId": old_id}, b.sobani_port)
        assert nobody.ask("push", shareId=new_id)["data"] == {"peeraddr": new.address}
        assert new.income() == ({"peeraddr": nobody.address}, b.sobani_port), "one that never announced has no id to tell"
        assert new.alive(a), "it moves"
        assert old.push(new_id) == {"peeraddr": new.address}
        assert new.income()[1] == a.sobani_port
        new.alive(b)
        a.kill()
        assert old.alive(b), "answered, though its dialect has no such word"
        assert new.ask("pulse", b)["data"]["status"] == "0", "the same"
        assert old.push(new_id, b) == {"peeraddr": new.address}
        assert new.income()[1] == b.sobani_port


@pytest.mark.parametrize("tracker, word", [
    ("sobany=127.0.0.1:3000", "documented and sobani"), ("127.0.0.1:3000,sobani=127.0.0.1:3000", "same address"),
    ("sobani=nowhere", "host:port"), ("=127.0.0.1:3000", "host:port")])
def test_bad_addresses_are_named(tracker, word):
    answer = muster("check", "--tracker", tracker)
    assert answer.returncode == 2 and "--tracker" in (text := answer.stdout + answer.stderr) and word in text, answer


# --- a host with several addresses

class Connected(Peer):
    """Hears only what comes from the address that it asked, as NATs and firewalls let through."""

    def __init__(self, node, address):
        super().__init__(node)
        self.socket.connect((address, node.tracker_port))

    def send(self, message, node=None):
        data = json.dumps(message).encode()
        self.socket.send(data)
        return data


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_an_answer_and_an_income_leave_from_the_address_that_was_asked(yard, redis, host):
    a, b = (tracker_node(yard, store=redis.url, host=host, tracker_dialect="sobani") for _ in range(2))
    with Connected(a, "127.5.6.7") as peer, Connected(a, "127.0.0.1") as near, Peer(b) as far:
        share_id = peer.announce()
        near.announce(), far.announce()
        assert peer.alive()
        assert near.push(share_id)["peeraddr"] == peer.address
        assert peer.income()[0]["peeraddr"] == near.address
        assert far.push(share_id)["peeraddr"] == peer.address
        assert peer.income()[0]["peeraddr"] == far.address, "by way of another node"
        b.kill()
        assert peer.alive()


# --- an older tracker beside

class OldTracker(socketserver.ThreadingUDPServer):
    """As the two that there were: one says nothing of share ids that nobody has, and wants an asker to announce."""

    def __init__(self, dialect):
        super().__init__(("127.0.0.1", 0), OldTracker.Handler)
        self.dialect, self.ids, self.asked = dialect, {"OldPeer1": "192.0.2.1:7000"}, []
        self.known = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self):
        self.shutdown()
        self.server_close()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            data, link = self.request
            request, server = json.loads(data), self.server
            server.asked.append(request)
            announced, pushed = NAMES[server.dialect]
            answer = None
            if request["action"] == "announce":
                server.known.add(self.client_address)
                answer = {"action": announced, "data": {"shareId": "Bridge00"}}
            elif server.dialect == "sobani" and self.client_address not in server.known:
                answer = {"action": "expired"}
            elif request["shareId"] in server.ids:
                answer = {"action": pushed, "data": {"peeraddr": server.ids[request["shareId"]]}}
            if answer is not None:
                link.sendto(json.dumps(answer).encode(), self.client_address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_share_ids_of_an_older_tracker_are_found_there(yard, redis, dialect, host):
    old = yard.keep(OldTracker(dialect))
    a, b = (tracker_node(yard, store=redis.url, tracker_dialect=dialect,
                         tracker_forward=f"{host}:{old.server_address[1]}") for _ in range(2))
    with Peer(a) as peer, Peer(b) as other:
        peer.announce()
        share_id = other.announce()
        for node in (a, b):
            wait_until(lambda n=node: "forwards" in n.log(), "the old tracker's address is known")
        assert peer.push("OldPeer1")["peeraddr"] == "192.0.2.1:7000"
        b.kill()
        assert peer.push("OldPeer1")["peeraddr"] == "192.0.2.1:7000"
        asked = len(old.asked)
        assert peer.push(share_id)["peeraddr"] == other.address
        assert len(old.asked) == asked, "what is known here is not asked there"
        assert peer.push("00000000") == UNKNOWN, "neither knows it"
        assert a.metrics()['muster_tracker_forwarded_total{result="found"}'] == 2


def test_guesses_reach_an_older_tracker_no_faster_than_it_answers(yard):
    old = yard.keep(OldTracker("documented"))
    node = tracker_node(yard, tracker_forward=f"127.0.0.1:{old.server_address[1]}")
    wait_until(lambda: "forwards" in node.log(), "the old tracker's address is known")
    with Peer(node) as guesser:
        for number in range(200):
            guesser.send({"action": "push", "shareId": f"{number:08}"})
        answers = [guesser.read() for _ in range(200)]
        assert all(answer[0]["data"] == UNKNOWN for answer in answers)
    assert len(old.asked) == 64
    assert node.metrics()['muster_tracker_forwarded_total{result="too_many"}'] == 136


@pytest.mark.parametrize("value", ["old", "old:", ":3000", "old:x", "old:70000"])
def test_a_bad_address_of_an_older_tracker_is_named(value):
    answer = muster("check", "--tracker-forward", value)
    assert answer.returncode == 2 and "--tracker-forward" in answer.stdout


# --- several nodes

def test_peers_of_different_nodes_find_each_other_and_talk(fleet, dialect):
    with Peer(fleet[0]) as a, Peer(fleet[1]) as b:
        ids = a.announce(), b.announce()
        for node in fleet:
            assert a.ask("pulse", fleet[0])["data"]["status"] == "0"
            b.alive(fleet[1])
            found = b.push(ids[0], node)["peeraddr"]
            assert found == a.address
            if dialect == "sobani":
                data, port = a.income()
                assert data == {"peeraddr": b.address, "peerShareId": ids[1]}
                assert port == fleet[0].tracker_port, "from the socket that the peer talked to"
        host, port = found.rsplit(":", 1)
        b.socket.sendto(b'"hello"', (host, int(port)))
        assert a.read()[:2] == ("hello", b.socket.getsockname()[1])
        host, port = a.push(ids[1], fleet[2])["peeraddr"].rsplit(":", 1)
        b.incomes.clear()
        a.socket.sendto(b'"back"', (host, int(port)))
        answers = [b.read()[0] for _ in range(2 if dialect == "sobani" else 1)]
        assert "back" in answers


@pytest.mark.parametrize("dialect", ["sobani"], indirect=True)
def test_income_follows_the_peer_to_another_node(fleet):
    with Peer(fleet[0]) as a, Peer(fleet[1]) as b:
        share_id = a.announce()
        b.announce()
        for say in (lambda node: a.alive(node), lambda node: a.ask("pulse", node),
                    lambda node: a.push("00000000", node), lambda node: a.announce(node)):
            for node in fleet:
                said = say(node)
                share_id = said if isinstance(said, str) else share_id
                b.push(share_id, random.choice(fleet))
                assert a.income()[1] == node.tracker_port


def test_kill_of_a_node_loses_no_share_id(fleet, dialect):
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(fleet[number % 2])) for number in range(20)]
        ids = [peer.announce() for peer in peers]
        peers[0].ask("pulse", override=True, port=7)
        asker = stack.enter_context(Peer(fleet[2]))
        asker.announce()
        fleet[0].kill()
        for number, peer in enumerate(peers):
            assert peer.alive(fleet[1 + number % 2])
        for number, share_id in enumerate(ids):
            expected = "127.0.0.1:7" if number == 0 else peers[number].address
            assert asker.push(share_id)["peeraddr"] == expected
            if dialect == "sobani":
                assert peers[number].income()[1] == fleet[1 + number % 2].tracker_port


def test_one_peer_at_all_nodes_at_once(fleet):
    """Whatever the order in which its announces came through, one share id is left."""
    with Peer(fleet[0]) as a, Peer(fleet[0]) as b:
        b.announce()
        for _ in range(10):
            for node in fleet:
                a.send({"action": "announce"}, node)
                a.send({"action": "pulse", "override": True, "port": 9, "shareId": True}, node)
                a.send({"action": "pulse"}, node)
            ids = set()
            for _ in range(9):
                answer = a.read()
                assert answer is not None
                data = answer[0]["data"]
                assert data.get("status", "0") in ("0", "1"), data
                ids |= {data["shareId"]} if "shareId" in data else set()
            assert len(ids) == 6
            found = [b.push(share_id) for share_id in ids]
            assert len([data for data in found if "peeraddr" in data]) == 1, found
            a.incomes.clear()
            while a.read(0.01) is not None:
                pass


# --- faults of the store

def test_redis_gone_for_a_while(yard, redis, dialect):
    announced, pushed = NAMES[dialect]
    node = tracker_node(yard, store=redis.url, lease="2s", tracker_dialect=dialect)
    with Peer(node) as a:
        share_id = a.announce()
        redis.kill()
        wait_until(lambda: not node.is_ready(), "not ready")
        pulse = a.ask("pulse")["data"]
        assert pulse["status"] not in ("0", "1") and pulse["error"] and pulse["overriden"] == "false"
        assert a.ask("announce") == {"action": announced, "data": {"error": pulse["error"]}}
        assert a.ask("push", shareId=share_id) == {"action": pushed, "data": {"error": pulse["error"]}}
        assert a.ask("alive") == {"action": "alived", "data": {"error": pulse["error"]}}
        assert node.metrics()["muster_tracker_store_failures_total"] >= 4
        assert node.status("/healthz") == 200
        redis.start()
        wait_until(node.is_ready, "ready again")
        assert a.ask("pulse")["data"]["status"] == "1", "it came back empty"
        assert a.announce()


def test_what_waits_for_redis_is_answered_when_it_dies(yard, redis):
    node = tracker_node(yard, store=redis.url, lease="2s")
    with Peer(node) as a:
        a.announce()
        redis.pause()
        a.send({"action": "pulse"})
        a.send({"action": "announce"})
        redis.kill()
        answers = [a.read()[0]["data"] for _ in range(2)]
        assert all("error" in answer for answer in answers)


def test_a_shard_that_comes_back_empty_costs_no_living_peer_its_id(yard, redis):
    """Whichever half of what is known of a peer was lost: the next pulse repairs it, or tells."""
    other = yard.redis()
    node = tracker_node(yard, store=f"{redis.url},{other.url}", lease="2s")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(node)) for _ in range(40)]
        ids = [peer.announce() for peer in peers]
        other.restart_empty()
        wait_until(lambda: node.get("/readyz")[1] == "ready\n", "nothing is away")
        states = [peer.ask("pulse")["data"]["status"] for peer in peers]
        assert set(states) == {"0", "1"}  # one in four is told: of twelve it is none in 3 % of all runs
        with Peer(node) as asker:
            for peer, share_id, state in zip(peers, ids, states):
                if state == "0":
                    wait_until(lambda: asker.push(share_id) == {"peeraddr": peer.address}, "found again")
                else:
                    assert asker.push(share_id) == UNKNOWN


def test_while_a_shard_is_gone_share_ids_live_on_the_others(yard, dialect):
    """Peers that cannot be served are those whose address lives on the lost one, and nobody else."""
    shards = [yard.redis(), yard.redis()]
    node = tracker_node(yard, store=",".join(shard.url for shard in shards), lease="2s", tracker_dialect=dialect)
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(node)) for _ in range(16)]
        shards[1].kill()
        wait_until(lambda: "away: " in node.get("/readyz")[1], "it has noticed")
        answers = [["shareId" in peer.ask("announce").get("data", {}) for _ in range(8)] for peer in peers]
        served = [peer for peer, given in zip(peers, answers) if all(given)]
        assert all(all(given) or not any(given) for given in answers)
        assert 0 < len(served) < len(peers)
        share_id = served[0].announce()
        assert served[-1].push(share_id)["peeraddr"] == served[0].address


# --- hostile datagrams

HOSTILE = [b"", b"x", b"[]", b"null", b'"pulse"', b"{", b'{"action":"pul', b'{"action":"pulse"', b"\x00" * 100,
           b'{"action":"\xff\xfe"}', b'{"action":"pulse"}{}', b"[" * 1200, b'{"action":' + b'{"a":' * 200,
           b'{"a":' * 150 + b"1" + b"}" * 150, b'{"action":' + b"[" * 500 + b"]" * 500 + b"}"]
NO_ACTION = [b"{}", b'{"action":null}', b'{"action":["pulse"]}', b'{"action":""}', b'{"action":"income"}',
             b'{"data":{"action":"pulse"}}']


def test_what_gets_no_answer(lone):
    with Peer(lone) as a:
        a.alive()
        before = refused(lone, "json"), refused(lone, "action"), refused(lone, "size")
        oversize = b'{"action":"pulse","x":"' + b"x" * 1176 + b'"}'
        assert len(oversize) == 1201
        for data in [*HOSTILE, *NO_ACTION, oversize, b"x" * 60000]:
            a.send(data)
        assert a.is_silent(lone)
        after = refused(lone, "json"), refused(lone, "action"), refused(lone, "size")
        assert [now - then for now, then in zip(after, before)] == [len(HOSTILE), len(NO_ACTION), 2]
        a.announce()
        assert a.ask(oversize.replace(b"xx", b"x", 1))["data"]["status"] == "0", "1,200 bytes are taken"


def test_random_bytes_harm_nobody(lone):
    chance = random.Random(7)
    valid = [b'{"action":"pulse","override":true,"ip":"1.2.3.4","port":"5","multiaddr":null,"shareId":true}',
             b'{"action":"push","shareId":"12345678"}', b'{"action":"announce"}']
    with Peer(lone) as noise, Peer(lone) as a:
        for number in range(600):
            data = bytearray(chance.choice(valid))
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            noise.send(bytes(data[:chance.randrange(1, len(data) + 1)]))
            if number % 100 == 0:
                a.announce()
                assert a.alive()


def test_guessed_share_ids(yard):
    node = tracker_node(yard, tracker_rate="0")
    with Peer(node) as a, Peer(node) as guesser:
        a.announce()
        letters = string.ascii_letters + string.digits
        for _ in range(300):
            assert guesser.push("".join(random.choices(letters, k=8))) == UNKNOWN
        for share_id in ("", "x", "12345678\0", "%s%s%s%s", "../../..", 12345678, None, True, {}, "é" * 4, "a" * 1000):
            assert set(guesser.push(share_id)) == {"error"}
        assert node.metrics()["muster_tracker_unknown_ids_total"] >= 300


def test_a_flood_from_one_address_leaves_others_their_answers(yard):
    node = tracker_node(yard, host="0.0.0.0", tracker_rate="50", tracker_burst="100")
    flood = b'{"action":"announce"}'
    with Peer(node, source="127.0.0.2") as flooder, Peer(node) as other:
        other.announce()
        for round_ in range(20):
            for _ in range(100):
                flooder.send(flood)
            assert other.ask("pulse")["data"]["status"] == "0"
        answers = 0
        while flooder.read(0.2) is not None:
            answers += 1
        assert 90 <= answers <= 1000
        assert refused(node, "rate") + answers <= 2000
        assert refused(node, "rate") > 500


# --- the process

def test_off(yard):
    node = yard.node(tracker="")
    assert "for=tracker" not in node.log()


def test_a_taken_port_is_named(yard, lone):
    node = yard.begin(tracker=f"127.0.0.1:{lone.tracker_port}")
    node.expected_exit = 1
    wait_until(lambda: node.exit_code() == 1, "it does not start")
    assert f"127.0.0.1:{lone.tracker_port}" in node.log()


def test_sigterm_under_load(yard, redis):
    node = tracker_node(yard, store=redis.url)
    with Peer(node) as a:
        a.announce()
        redis.pause()
        for _ in range(200):
            a.send({"action": "pulse"})
            a.send({"action": "pulse", "override": True, "port": 7})
        node.term(signal.SIGTERM)
        wait_until(lambda: node.exit_code() == 0, "it ends")
