"""Every node shows the whole fleet: GET /api/status, the live WebSocket, and who may look."""

import asyncio
import json
import urllib.error
import urllib.request

import pytest

from clients import Client, close_all, members, new_session
from waiting import until, wait_until


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
        assert entry["state"] in ("well", "the store cannot be reached")  # as of its last word
        assert entry["version"] and entry["started"] > 1.7e9 and entry["time"] > 1.7e12
        assert entry["figures"]["process_resident_memory_bytes"] > 0


def test_figures_follow(cluster):
    async def scenario():
        clients = await members(cluster, new_session())
        total = lambda name: sum(entry["figures"][name] for entry in status(cluster[1]))
        await until(lambda: total("muster_sync_members") == 3, "three members")
        await until(lambda: total("muster_sync_sessions_first") == 1, "of one session")
        await close_all(clients)
    asyncio.run(scenario())


def test_a_page_sees_a_node_die_and_another_come(yard, redis):
    first, second = yard.fleet([redis.url] * 2, lease="2s")

    async def scenario():
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
    asyncio.run(scenario())


def test_without_the_token_nobody_looks(yard):
    node = yard.node(status_token="open sesame")
    for token in (None, "wrong", "open sesame!"):
        with pytest.raises(urllib.error.HTTPError) as error:
            status(node, token)
        assert error.value.code == 401 and error.value.headers["www-authenticate"] == "Bearer"
    assert names(status(node, "open sesame"))

    async def scenario():
        with pytest.raises(Exception, match="401"):
            await Viewer.connect(node)
        viewer = await Viewer.connect(node, "/api/status/live?token=open%20sesame")
        assert (await viewer.next())["nodes"]
        await viewer.close()
    asyncio.run(scenario())


def test_a_store_that_is_away_is_said(yard, redis):
    [node] = yard.fleet([redis.url], lease="2s")

    async def scenario():
        viewer = await Viewer.connect(node)
        await viewer.next_of(lambda message: "nodes" in message)
        redis.kill()
        await viewer.next_of(lambda message: message.get("stale"))
        await viewer.close()
    asyncio.run(scenario())
    with pytest.raises(urllib.error.HTTPError) as error:
        status(node)
    assert error.value.code == 503


def test_the_page_is_whole_in_itself(node):
    request = urllib.request.Request(node.http("/"), headers={"Accept": "text/html"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        page = answer.read().decode()
    assert page.startswith("<!doctype html>")
    assert "http://" not in page and "https://" not in page
