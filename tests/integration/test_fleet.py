# SPDX-License-Identifier: MIT
"""Every node shows the whole fleet: GET /api/status, the live WebSocket, and who may look."""

import asyncio
import json
import re
import time
import urllib.error
import urllib.request

import pytest

from lib.chat import ChatClient
from lib.dispatch import Driver, node_settings
from lib.fleet import HOSTILE, Load, start_fleet
from lib.ports import free_port, free_ports
from lib.relay import Splitter
from lib.sync import SyncClient, close_all, members, new_session, push
from lib.waiting import until, wait_until
from lib.ws import Client


class Viewer(Client):
    path = "/api/status/live"


def status(node, token=None):
    request = urllib.request.Request(node.http("/api/status"))
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["content-type"] == "application/json"
        return json.load(answer)["nodes"]


def names(nodes):
    return {node["name"] for node in nodes}


def test_each_node_knows_all(cluster):
    wait_until(lambda: all(len(names(status(node))) == 3 for node in cluster), "each sees three")
    assert len({frozenset(names(status(node))) for node in cluster}) == 1
    for entry in status(cluster[0]):
        assert entry["state"] in ("well", "starting")  # as of its last word
        assert entry["version"] and entry["started"] > 1.7e9 and entry["time"] > 1.7e12
        assert entry["figures"]["process_resident_memory_bytes"] > 0


async def test_figures_follow(cluster):
    clients = await members(cluster, new_session())
    total = lambda name: sum(entry["figures"][name] for entry in status(cluster[1]))
    await until(lambda: total("muster_sync_members") == 3, "three members")
    await until(lambda: total("muster_sync_sessions_first") == 1, "of one session")
    await close_all(clients)


async def test_a_page_sees_a_node_die_and_another_come(yard, redis):
    first, second = yard.fleet([redis.url] * 2, lease="2s")
    viewer = await Viewer.connect(first)
    seen = await viewer.next_of(lambda message: "nodes" in message)
    while len(names(seen["nodes"])) < 2:
        news = await viewer.next_of(lambda message: "node" in message)
        seen["nodes"].append(news["node"])
    second.kill()
    gone = await viewer.next_of(lambda message: "gone" in message)
    assert gone["gone"] in names(seen["nodes"])
    [third] = yard.fleet([redis.url], lease="2s")
    await viewer.next_of(lambda message: message.get("node", {}).get("name", gone["gone"]) not in names(seen["nodes"]))
    await viewer.close()
    assert third.alive()


async def test_without_the_token_nobody_looks(yard):
    node = yard.node(status_token="open sesame")
    for token in (None, "wrong", "open sesame!"):
        with pytest.raises(urllib.error.HTTPError) as error:
            status(node, token)
        assert error.value.code == 401 and error.value.headers["www-authenticate"] == "Bearer"
    assert names(status(node, "open sesame"))
    with pytest.raises(Exception, match="401"):
        await Viewer.connect(node)
    viewer = await Viewer.connect(node, "/api/status/live?token=open%20sesame")
    assert (await viewer.next())["nodes"]
    await viewer.close()


async def test_a_store_that_is_away_is_said(yard, redis):
    [node] = yard.fleet([redis.url], lease="2s")
    viewer = await Viewer.connect(node)
    await viewer.next_of(lambda message: "nodes" in message)
    redis.kill()
    await viewer.next_of(lambda message: message.get("stale"))
    await viewer.close()
    with pytest.raises(urllib.error.HTTPError) as error:
        status(node)
    assert error.value.code == 503


def test_the_page_is_whole_in_itself(node):
    request = urllib.request.Request(node.http("/"), headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        page = answer.read().decode()
    assert page.startswith("<!doctype html>")
    assert "http://" not in page and "https://" not in page


# ------------------------------------------------------------------- what the nodes carry

def lists_of(node, name, about=None):
    """Rows of all nodes, as that node tells them: (name of the node, row)."""
    return [(entry["name"], row) for entry in status(about or node) for row in entry.get("lists", {}).get(name, {}).get("rows", [])]


def name_of(node):
    return node.log().split("serving node=")[1].split()[0]


async def test_what_each_node_carries(yard, redis):
    nodes = start_fleet(yard, redis.url)
    first, second, third = nodes
    one, two, three = map(name_of, nodes)
    load = await Load(nodes).start()
    rows = lambda name: lists_of(first, name)
    await until(lambda: sorted(row["members"] for _, row in rows("sessions")) == [1, 3], "each session is told once")
    (_, shared), = [pair for pair in rows("sessions") if pair[1]["members"] == 3]
    assert shared["nodes"] == 3 and shared["leader"] is True
    await until(lambda: len(lists_of(second, "chat")) == len(rows("chat")) == 2, "users that said something are named")
    assert sorted((node, row["name"]) for node, row in rows("chat")) == sorted([(one, HOSTILE), (two, "Ada")])
    silent = next(entry for entry in status(third) if entry["name"] == two)["lists"]["chat"]
    assert silent["more"] == 1, "users that said nothing are only counted"
    await until(lambda: len([1 for _, row in rows("relay") for _ in row["servers"]]) == 3, "the servers")
    relay = {(node, row["name"]): row for node, row in rows("relay")}
    assert relay[one, "default"]["servers"] == [{"name": HOSTILE[:48], "players": 7}]
    assert relay[two, "default"]["servers"] == [{"name": "Beta", "players": 2}]
    assert relay[one, "default"]["addresses"] == [f"127.0.0.1:{first.relay_port}"]
    assert relay[three, "island"]["servers"] == []
    await until(lambda: sum(row.get("devices", 0) for _, row in rows("ports")) == 3, "the devices")
    ports = dict(rows("ports"))
    assert ports[three] == {"port": load.port, "proto": "tcp", "open": True, "devices": 0,
                            "drivers": [load.driver_address()], "more": 0}
    assert ports[one]["devices"] == 2 and ports[one]["drivers"] == [] and ports[two]["devices"] == 1
    peers = lambda: [entry["figures"]["muster_tracker_peers"] for entry in status(first) if entry["name"] == two]
    await until(lambda: peers() == [12] or peers() == [11], "the peers; two may look like one")
    told = first.get("/api/status")[1]
    assert load.session not in told and "another session" not in told, "an id is all it takes to join"
    assert "127.0.0.0/24" not in told, "whom a driver accepts is its own business"
    third.kill()
    await until(lambda: three not in names(status(first)), "it is gone")
    assert not load.driver_address() in first.get("/api/status")[1], "and its lists with it"
    await load.stop()


async def test_lists_are_bounded(yard):
    node = yard.node(relay=f"127.0.0.1:{(port := free_port())}", relay_joins=0, chat_login="development", **node_settings(0))
    long_name = "é" * 40
    clients = [await SyncClient.member(node, f"{number}") for number in range(35)]
    clients += [await SyncClient.member(node, "34"), await SyncClient.member(node, "34")]
    plugins = [await Splitter.connect(port, f"{long_name} {number}") for number in range(66)]
    first = free_ports(33)
    clients += [await Driver.connect(node, first + number) for number in range(33)]
    crowded = free_port()
    clients += [await Driver.connect(node, crowded) for _ in range(6)]
    chatters = [await ChatClient.member(node, f"{number} {long_name}") for number in range(34)]
    for chatter in chatters:
        await chatter.say("hello")
    lists = lambda: {name: of for name, of in status(node)[0]["lists"].items() if name != "hour"}
    size = lambda of: len(of["rows"]) + of["more"]
    await until(lambda: {name: size(of) for name, of in lists().items()} ==
                {"sessions": 35, "relay": 1, "ports": 34, "chat": 34}, "all are counted")
    seen = lists()
    assert (len(seen["sessions"]["rows"]), seen["sessions"]["more"]) == (32, 3)
    assert seen["sessions"]["rows"][0]["members"] == 3, "the busiest come first"
    assert (len(seen["ports"]["rows"]), seen["ports"]["more"]) == (32, 2)
    assert (len(seen["chat"]["rows"]), seen["chat"]["more"]) == (32, 2)
    [network] = seen["relay"]["rows"]
    assert (len(network["servers"]), network["more"]) == (64, 2)
    assert all(row["name"] == "é" * 24 + "…" for row in network["servers"])
    for row in seen["ports"]["rows"]:
        assert len(row["drivers"]) + row["more"] == (6 if row["port"] == crowded else 1) and len(row["drivers"]) <= 4
    assert len(json.dumps(seen, separators=(",", ":"), ensure_ascii=False).encode()) < 16 * 1024
    for plugin in plugins:
        plugin.close()
    for client in (*clients, *chatters):
        client.vanish()


async def test_a_port_that_cannot_be_opened_is_told(yard, redis):
    """Both nodes bind the same address, so that the second one finds the port taken."""
    nodes = [yard.node(store=redis.url, lease="2s", **node_settings(0)) for _ in range(2)]
    driver = await Driver.connect(nodes[0], port := free_port())
    await until(lambda: sorted(row["open"] for _, row in lists_of(nodes[0], "ports")) == [False, True], "one could not")
    await driver.close()
    await until(lambda: not lists_of(nodes[1], "ports"), f"{port} is gone")


async def test_lists_cost_what_changes(yard, redis):
    """Figures come all the time; lists only when they changed, and no faster than a kilobyte a second."""
    [node] = yard.fleet([redis.url])
    viewer = await Viewer.connect(node)
    clients = [await SyncClient.member(node, f"{number}") for number in range(50)]
    await viewer.next_of(lambda message: message.get("lists", {}).get("sessions", {}).get("more") == 18)
    loop = asyncio.get_running_loop()
    began, size, figures = loop.time(), 0, 0
    while figures < 4:  # all the while sessions come and go
        clients.append(await SyncClient.member(node, f"{len(clients)}"))
        message = await viewer.next()
        figures += "node" in message
        size += len(json.dumps(message["lists"])) if "of" in message else 0
    assert size <= (loop.time() - began) * 1000 + 5000, f"{size} bytes of lists"
    last = status(node)[0]["lists"]["sessions"]
    assert len(last["rows"]) == 32
    await viewer.next_of(lambda message: message.get("lists", {}).get("sessions", {}).get("more") == len(clients) - 32)
    for _ in range(3):
        assert "of" not in await viewer.next(), "nothing changed"
    await close_all([*clients, viewer])


def test_the_depth_of_the_log_stream(yard, redis):
    first, second = yard.fleet([redis.url] * 2)
    request = urllib.request.Request(first.http("/logs/add"), json.dumps([{"msg": "x"}] * 5).encode(),
                                     {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
    depth = lambda: second.metrics()["muster_logs_stream_entries"]
    wait_until(lambda: depth() >= 5, "a node that took none of them knows")
    assert second.metrics()["muster_logs_unstored_entries"] >= 5


@pytest.mark.parametrize("settings, warned", [({}, True), ({"status_token": "t"}, False), ({"admin": "127.0.0.1:0"}, False)])
def test_in_production_an_open_page_is_warned_of(yard, settings, warned):
    node = yard.begin(env={"MUSTER_ENV": "production", "MUSTER_CHAT_LOGIN": "jwt", "MUSTER_CHAT_JWT_SECRET": "s" * 32}, dispatch_secret="x" * 20,
                      **settings)
    wait_until(lambda: "serving" in node.log(), "it serves")
    assert ("the status page is open" in node.log()) == warned


async def test_what_the_old_server_told_is_told_to_curl(yard, redis):
    """Is it well, active sessions and sockets, bytes pushed, uptime (docs/protocols.md#sync), as text where no HTML is asked for."""
    node = yard.begin(store=redis.url, lease="2s", admin=f"127.0.0.1:{(admin := free_port())}")
    session = new_session()

    def told(port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.headers["content-type"].startswith("text/plain") and answer.status == 200
            return dict(line.split(None, 1) if line.split()[0] in ("state", "node", "uptime") else line.rsplit(None, 1)
                        for line in answer.read().decode().splitlines())

    wait_until(lambda: "store link up" in node.log() and told(node.port)["state"] == "well", "it is well")
    leader, *followers = clients = await members([node] * 3, session, leaders=[0])
    idle = await SyncClient.connect(node)
    message = push(session, "x" * 100)
    await leader.send(message)
    for follower in followers:
        assert await follower.receive() == message
    for port in (node.port, admin):
        lines = {name.strip(): value for name, value in told(port).items()}
        assert lines.pop("uptime").startswith("0d 00:0") and lines.pop("node") in node.log()
        assert lines == {"state": "well", "active sessions": "1", "active sockets": "4",
                         "bytes pushed": str(2 * len(message))}
    redis.kill()
    await until(lambda: told(node.port)["state"] == "the store cannot be reached", "it is not well")
    await close_all([*clients, idle])


def reads_of_the_roster(redis):
    """Each begins with a subscription to its changes."""
    return int(re.search(r"cmdstat_subscribe:calls=(\d+)", "\n".join(redis.ask("info", "commandstats")))[1])


def test_many_who_ask_read_the_roster_once(yard):
    redis = yard.redis()
    first, second = yard.fleet([redis.url] * 2)
    wait_until(lambda: len(names(status(first))) == 2, "it sees both")
    asked, before, began = 40, reads_of_the_roster(redis), time.monotonic()
    answers = [status(first) for _ in range(asked)]
    assert all(names(answer) == names(answers[0]) for answer in answers)
    every = 2  # seconds: so often nodes say something new
    assert reads_of_the_roster(redis) - before <= (time.monotonic() - began) / every + 1 < asked
    second.kill()
    wait_until(lambda: len(names(status(first))) == 1, "what is told is not kept for long")
