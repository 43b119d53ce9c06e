# SPDX-License-Identifier: MIT
"""What the fleet's page, /api/status and `muster status` tell of Redis and PostgreSQL: which server, how it is, what happened to it."""

import json

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from lib.browser import chromium
from lib.logs import begin_sink, stored
from lib.process import muster
from lib.redis import Cluster
from lib.waiting import wait_until
from test_fleet_page import complaints, states, text_of
from test_store_sentinel import Group


def answer(node):
    status, body = node.get("/api/status")
    return json.loads(body) if status == 200 else {"nodes": [], "servers": [], "problems": [], "events": []}


def servers(node):
    return [server for told in answer(node)["servers"] for server in told["servers"]]


def events(node, what):
    return [event["text"] for event in answer(node)["events"] if event["what"] == what]


def card(driver, title):
    """The figures of a card of the stores, by name; None: there is no such card."""
    return driver.execute_script("""const card = [...document.querySelectorAll(".store")].find(card => card.querySelector("h3 span").textContent.startsWith(arguments[0]));
        return card ? Object.fromEntries([...card.querySelectorAll("dt")].map(dt => [dt.textContent, dt.nextElementSibling.textContent])) : null""", title)


def test_redis_tells_of_itself_through_one_node(yard, tmp_path):
    redis = yard.redis("--maxmemory", "100mb")
    replica = yard.redis("--replicaof", f"127.0.0.1 {redis.port}")
    nodes = yard.fleet([redis.url] * 2, lease="2s")
    wait_until(lambda: servers(nodes[0]) and servers(nodes[0])[0].get("followers"), "it was asked")
    [told] = answer(nodes[1])["servers"]
    assert told["by"] in {node["name"] for node in answer(nodes[0])["nodes"]} and len(told["servers"]) == 1, "one node asks for all"
    [server] = told["servers"]
    assert server["name"] == f"127.0.0.1:{redis.port}" and server["at"] == f"127.0.0.1 {redis.port}" and server["role"] == "master"
    assert server["version"] in redis.command("INFO", "server").decode() and server["most"] == 100 << 20 and 0 < server["used"] < 100 << 20
    assert server["replicas"] == 1 and server["followers"][0]["at"] == f"127.0.0.1:{replica.port}" and server["ms"] > 0
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: (card(driver, "Redis ") or {}).get("replicas", "").startswith(f"1, behind: 127.0.0.1:{replica.port} "), "its card")
        figures = card(driver, "Redis ")
        assert figures["server"] == f"127.0.0.1:{redis.port}" and figures["role"] == "master" and "of 100.0 MiB (" in figures["of its memory"]
        assert figures["version"] == server["version"] and figures["answers in"].endswith(" ms") and float(figures["commands/s"]) > 0
        assert not complaints(driver)
    said = muster("status", "--http", f"localhost:{nodes[0].port}").stdout
    [line] = [line.split() for line in said.splitlines() if line.startswith(f"127.0.0.1:{redis.port}")]
    assert line[1:3] == [server["version"], "master"] and line[6:] == ["100", "1"], said
    asker = next(node for node in nodes if f"node={told['by']} " in node.log())
    other = next(node for node in nodes if node is not asker)
    asker.kill()
    wait_until(lambda: (by := [told["by"] for told in answer(other)["servers"]]) and by[0] in other.log(), "then another asks", 40)


def test_a_fail_over_is_an_event(yard):
    group = Group(yard)
    nodes = yard.fleet([group.url] * 2, lease="2s")
    wait_until(lambda: servers(nodes[0]) and servers(nodes[0])[0].get("role") == "master", "the master was asked")
    group.master.kill()
    wait_until(group.replica.is_master, "the sentinels promote the replica", 60)
    wait_until(lambda: len(events(nodes[0], "failover")) == 1, "it is told once", 60)
    [text] = events(nodes[1], "failover")
    assert text == f"Redis {group.sentinels[0].NAME} failed over: 127.0.0.1 {group.replica.port} serves it now, before it was 127.0.0.1 {group.master.port}"
    wait_until(lambda: servers(nodes[0])[0]["at"] == f"127.0.0.1 {group.replica.port}", "its card names the new one")


def test_a_restart_is_an_event_and_no_fail_over(yard, redis):
    [node] = yard.fleet([redis.url], lease="2s")
    wait_until(lambda: servers(node), "it was asked")
    redis.kill()
    wait_until(lambda: node.status("/readyz") == 503, "it is away")
    redis.start()
    wait_until(lambda: events(node, "failover") == [f"Redis 127.0.0.1:{redis.port} began a new history: it was restarted, or another server took its place"],
               "it is told", 40)
    wait_until(lambda: [text.startswith(f"the store could not be reached; away: 127.0.0.1:{redis.port} (256 of 256 partitions)") for text in events(node, "store lost")] == [True],
               "and what was away", 40)


def test_one_of_several_servers_away_is_named_in_the_verdict(yard, tmp_path):
    shards = [yard.redis(), yard.redis()]
    nodes = yard.fleet([",".join(shard.url for shard in shards)] * 2, lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: states(driver) == ["well"] * 2 and text_of(driver, "verdict") == "All is well", "two nodes")
        wait_until(lambda: all(card(driver, f"Redis 127.0.0.1:{shard.port}") for shard in shards), "two cards")
        living, lost = sorted(shards, key=lambda shard: b":r:nodes" not in shard.command("KEYS", "*"))
        lost.kill()
        wait_until(lambda: text_of(driver, "verdict").startswith(f"1 problem: Redis 127.0.0.1:{lost.port} away, for "), "the verdict names it, and since when", 40)
        assert driver.title.startswith("⚠ 1 problem: Redis")
        assert "away" in driver.find_element(By.XPATH, f"//article[contains(., 'Redis 127.0.0.1:{lost.port}')]//span[@class='state bad']").text
        assert states(driver) == ["well"] * 2, "nodes serve what lives elsewhere"
        said = muster("status", "--http", f"localhost:{nodes[0].port}")
        assert said.returncode == 1 and said.stdout.startswith(f"1 problem: Redis 127.0.0.1:{lost.port} away since "), said.stdout
        lost.start()
        wait_until(lambda: text_of(driver, "verdict") == "All is well", "and all is well", 40)
        assert living.alive()


def test_postgres_has_a_card_with_its_last_error(yard, redis, postgres, tmp_path):
    [node] = yard.fleet([redis.url], lease="2s")
    begin_sink(yard, redis.url, postgres).ready()
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        version = postgres.value("show server_version").split()[0]
        wait_until(lambda: (card(driver, "PostgreSQL") or {}).get("server") == f"127.0.0.1:{postgres.port}/postgres", "its card", 40)
        figures = card(driver, "PostgreSQL")
        assert figures["role"] == "primary" and figures["version"] == version and figures["last error"] == "none", figures
        postgres.kill()
        stored(node, [{"msg": "x"}] * 5)
        wait_until(lambda: re_match(card(driver, "PostgreSQL")["last error"]), "the last error, with its time", 40)
        assert postgres.uri not in driver.page_source
        driver.find_element(By.XPATH, "//button[.='last error']").send_keys(Keys.ENTER)
        wait_until(lambda: "Worry when" in text_of(driver, "explain"), "each figure is explained")
    said = muster("status", "--http", f"localhost:{node.port}").stdout
    assert "AWAY" in said and "last error " in said


def re_match(text):
    return text[2] == ":" and len(text) > 12 and text[8] == " "


def test_the_embedded_store_is_called_so(yard, tmp_path):
    node = yard.node()
    wait_until(lambda: servers(node) == [{"name": "memory", "kind": "memory"}], "it is told")
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: card(driver, "Store") == {"kept in": "the memory of this process"}, "its card")
        for figure in driver.find_elements(By.CSS_SELECTOR, ":is(dt, .tile, figcaption, th.number)"):
            assert figure.find_elements(By.TAG_NAME, "button"), f"no help at {figure.text}"
        driver.find_element(By.ID, "part-services").find_element(By.TAG_NAME, "summary").click()
        count = wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#services dt button"), "all counts")[0]
        metric = count.get_attribute("title")
        count.send_keys(Keys.ENTER)
        wait_until(lambda: metric in text_of(driver, "explain-what"), "a count is explained, too, by the node's own words")
        assert len(text_of(driver, "explain-what")) > len(metric) + 10
        assert not complaints(driver)
    assert "STORE  the memory of this one process" in muster("status", "--http", f"localhost:{node.port}").stdout


def test_a_cluster_has_a_card_for_each_master_and_says_who_took_over(yard):
    cluster = yard.keep(Cluster(yard.folder)).start()
    nodes = yard.fleet([cluster.url] * 2, lease="2s")
    names = lambda: sorted(server["name"] for server in servers(nodes[0]) if server.get("role") == "master")
    wait_until(lambda: names() == sorted(f"127.0.0.1:{master.port}" for master in cluster.masters()), "each master has a card", 40)
    assert events(nodes[0], "failover") == []
    dead = cluster.masters()[1]
    dead.kill()
    cluster.settled()
    wait_until(lambda: events(nodes[0], "failover"), "it is told", 60)
    [text] = events(nodes[0], "failover")
    assert text.startswith("a part of the Redis Cluster failed over: 127.0.0.1:") and text.endswith(f"before it was 127.0.0.1:{dead.port}")
    wait_until(lambda: names() == sorted(f"127.0.0.1:{master.port}" for master in cluster.masters()), "the new one has a card", 40)
