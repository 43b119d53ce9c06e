# SPDX-License-Identifier: MIT
"""What `make kube` (tests/cluster) is made of, where there is no cluster: its clients against nodes of this machine, its Prometheus'
configuration, and what it says when nothing is there."""

import json
import os
import subprocess
import sys

import pytest
import yaml

import manifests
from deploying import HERE, run

sys.path.append(str(HERE.parent / "cluster"))

# pylint: disable=wrong-import-position
import place  # noqa: E402
import stores  # noqa: E402
import watch  # noqa: E402
from crowd import Asking, Crowd, Six, Talkers  # noqa: E402
from place import TCP_PORT, UDP_PORT, Release, Way, laid_over  # noqa: E402
from lib.dispatch import SECRET, bind_of  # noqa: E402
from lib.logs import begin_sink  # noqa: E402
from lib.ports import free_port  # noqa: E402
from lib.postgres import Postgres  # noqa: E402
from lib.process import clean_env, muster  # noqa: E402
from lib.tokens import Key  # noqa: E402
from lib.waiting import until  # noqa: E402
from try_change import kept_alive, peer_of  # noqa: E402
from try_drills import DRILLS, hand  # noqa: E402
from watch import panels, rendered, scrape_of  # noqa: E402


class Here:
    """Looks like a release: two nodes, which each have ports of devices on an address of their own."""

    def __init__(self, yard, redis, key, folder):
        self.nodes, self.all_ways = [], []
        for number in range(2):
            ports = {"relay": free_port(), "tracker": free_port(), f"d-{TCP_PORT}": TCP_PORT, f"d-{UDP_PORT}": UDP_PORT}
            node = yard.begin(store=redis.url, lease="2s", relay=f"127.0.0.1:{ports['relay']}", tracker=f"127.0.0.1:{ports['tracker']}",
                              dispatch_bind=bind_of(number), dispatch_ports="6000-6999", dispatch_secret=SECRET, drain="2s",
                              chat_jwt_key=key.pem_file(folder), chat_history=1000)
            way = Way("127.0.0.1", {"http": node.port, **ports})
            way.bind = bind_of(number)
            self.nodes.append(node)
            self.all_ways.append(way)
        for node in self.nodes:
            node.ready()

    def ways(self):
        return self.all_ways


@pytest.fixture
def key():
    return Key("ES256")


@pytest.fixture
def here(yard, tmp_path, key):
    made = Here(yard, yard.redis(), key, tmp_path)
    made.store = made.nodes[0].settings["store"]
    return made


async def test_all_six_protocols_are_spoken(yard, here, key):
    postgres = yard.keep(Postgres("postgres", yard.folder)).make().start()
    assert muster("migrate", "--postgres", postgres.uri).returncode == 0
    begin_sink(yard, here.store, postgres).ready()
    assert await Six(here, key, postgres, SECRET).all() == {}


async def test_what_does_not_answer_is_named(here, key):
    here.all_ways[1].tracker_port = free_port()
    failed = await Six(here, key, None, "not the token").all(limit=15)
    assert set(failed) == {"tracker", "dispatch", "logs"}, failed


async def test_crowds_tell_what_a_node_that_leaves_does_to_them(here, key):
    crowd = await Crowd(here.ways(), 20).start()
    talkers = await Talkers(here.ways(), key).start()
    asking = [Asking(kept_alive(here.ways()[0])), Asking(peer_of(here.ways()[0]))]
    for thread in asking:
        thread.start()
    await until(lambda: all(thread.asked > 5 for thread in asking), "they ask")
    here.nodes[1].term()
    await until(lambda: crowd.codes[1001] == 10, "those of that node are told")
    await crowd.all_in()
    for thread in asking:
        thread.stop()
    await talkers.stop()
    await crowd.stop()
    assert len(crowd.back) == 10 and crowd.twice() == 0 and crowd.slowest() > 0
    assert len(talkers.missing()) <= talkers.refused
    assert not any(thread.failures for thread in asking)


async def test_crowds_tell_what_a_killed_node_does_to_them(here):
    crowd = await Crowd(here.ways(), 8).start()
    asking = Asking(kept_alive(here.ways()[1]))
    asking.start()
    here.nodes[1].kill()
    await crowd.all_in()
    await until(lambda: asking.failures, "a client that asks the killed one is cut")
    asking.stop()
    assert set(crowd.codes) == {1006}
    await crowd.stop()


def test_prometheus_takes_what_is_made_of_the_chart(helm, monkeypatch, tmp_path):
    monkeypatch.setenv("HELM", helm)
    monitor, rule = rendered(Release("games", {"secret": {"store": "redis://r", "postgres": "postgresql://p/m"}}, name="live"))
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rule["spec"]))
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "scrape_configs": [
        scrape_of("games", "live-muster-metrics", 9090)]}))
    run("promtool", "check", "config", tmp_path / "prometheus.yml")
    assert monitor["spec"]["namespaceSelector"]["matchNames"] == ["games"]


@pytest.fixture
def applied(monkeypatch):
    """What would be applied to a cluster of one machine, as text."""
    texts = []

    def kubectl(_, *words, data=None, **options):
        texts.extend([data] if "apply" in words else [])
        return ""
    monkeypatch.setattr(place.Place, "kubectl", kubectl)
    monkeypatch.setattr(stores, "machines", lambda: {"n1": "10.0.0.1"})
    return texts


def test_what_is_applied_is_known_to_kubernetes(helm, monkeypatch, strict, applied):
    monkeypatch.setenv("HELM", helm)
    monkeypatch.setattr(watch, "selected", lambda release, monitor: (f"{release.full}-metrics", 9090))
    monkeypatch.setattr(watch.Watch, "targets", lambda *_: 3)
    stores.Stores().make()
    watch.Watch().start([Release("games", {"secret": {"store": "redis://r", "postgres": "postgresql://p/m"}})])
    hand("n1", "true")
    kinds = [thing["kind"] for text in applied for thing in json.loads(text)["items"]]
    assert kinds.count("Deployment") == 2 and kinds.count("Pod") == 2 and kinds.count("Namespace") == 3
    for text in applied:
        for thing in json.loads(text)["items"]:
            strict(json.dumps(thing))


def test_drills_name_alerts_and_panels_that_there_are():
    alerts = {rule["alert"] for group in yaml.safe_load((manifests.CHART / "files/alerts.yaml").read_text())["groups"]
              for rule in group["rules"]}
    for drill in DRILLS:
        assert set(drill.alerts) <= alerts and set(drill.panels) <= panels().keys(), drill.__name__


def test_values_are_laid_over_as_helm_does():
    assert laid_over({"a": {"b": 1, "c": [1]}, "d": 2}, {"a": {"c": [2]}, "e": 3}) == {"a": {"b": 1, "c": [2]}, "d": 2, "e": 3}


def test_without_a_cluster_it_says_how_to_get_one(helm, tmp_path):
    config = tmp_path / "none"
    config.write_text('{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":"http://127.0.0.1:1"}}],'
                      '"contexts":[{"name":"c","context":{"cluster":"c"}}]}')
    done = subprocess.run(["/usr/bin/python3", HERE.parent / "cluster/run.py"], capture_output=True, text=True, check=False, timeout=60,
                          env=clean_env({"KUBECONFIG": str(config), "HELM": helm, "PATH": os.environ["PATH"]}))
    assert done.returncode == 2 and all(word in done.stdout for word in ("kind create", "k3d cluster", "minikube start")), done


def test_a_try_that_there_is_not_is_refused():
    done = subprocess.run(["/usr/bin/python3", HERE.parent / "cluster/run.py", "dance"], capture_output=True, text=True, check=False, timeout=60,
                          env=clean_env())
    assert done.returncode == 1 and "no try named dance; there are install" in done.stderr
