# SPDX-License-Identifier: MIT
"""Dashboard and alerts use only metrics that a running node offers, as Prometheus would read them."""

import json
import re
import shutil

import pytest
import yaml

import manifests
from lib.node import Node
from lib.process import BINARY
from deploying import run

FILES = manifests.CHART / "files"
OURS = re.compile(r"\b(?:muster|process)_[a-z0-9_]+")
NOT_SHOWN = {"process_start_time_seconds", "muster_sync_sessions"}  # an alert's; counted on each node of a session
ALERTS = [rule for group in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for panel in json.loads((FILES / "dashboard.json").read_text())["panels"] if panel["type"] != "row"]


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    """Sample name to the type of its metric."""
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not there")
    node = Node("node", tmp_path_factory.mktemp("node"), relay="", tracker="", dispatch_ports="")
    known = run(BINARY, "--help").stdout
    node.settings = {name: value for name, value in node.settings.items() if f"--{name.replace('_', '-')} " in known}
    node.start().ready()
    text = node.get("/metrics")[1]
    node.stop()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    samples = set(re.findall(r"^([a-z_0-9]+)", text, re.MULTILINE))
    return {name: types.get(name) or types[name.rsplit("_", 1)[0]] for name in samples}


def expressions():
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_metrics_exist(offered):
    used = {(name, where) for where, text in expressions() for name in OURS.findall(text)}
    assert used
    missing = sorted((name, where) for name, where in used if name not in offered)
    assert not missing, f"no such metric: {missing}"


def test_counters_are_rates_and_gauges_are_not(offered):
    for where, text in expressions():
        for name in OURS.findall(text):
            rated = re.search(rf"\b(rate|increase)\({name}\b", text) is not None
            counts = offered.get(name) in ("counter", "histogram")
            assert rated == counts, f"{where}: {name} is a {offered.get(name)}"


def test_names_follow_the_custom(offered):
    for name, kind in offered.items():
        assert (kind != "counter") or name.endswith("_total"), name


def test_each_alert_says_what_it_is_and_is_explained():
    text = (manifests.ROOT / "docs/operate.md").read_text()
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= rule["annotations"].keys()
        assert f"`{rule['alert']}`" in text, f"docs/operate.md does not speak of {rule['alert']}"
    explained = set(re.findall(r"`(Muster[A-Z][A-Za-z]+)`", text))
    assert explained == {rule["alert"] for rule in ALERTS}


def test_the_dashboard_is_up_to_date():
    run("/usr/bin/python3", manifests.ROOT / "helm/make/dashboard.py", "--check")
    run("/usr/bin/python3", manifests.ROOT / "helm/make/logs_dashboard.py", "--check")


def test_each_metric_is_on_the_dashboard(offered):
    shown = {name for panel in PANELS for target in panel["targets"] for name in OURS.findall(target["expr"])}
    shown |= {name.rsplit("_", 1)[0] for name in shown if name.endswith("_bucket")}
    hidden = {name for name in offered if not name.endswith(("_bucket", "_sum", "_count"))} - shown - NOT_SHOWN
    assert not hidden, f"no panel of helm/make/dashboard.py shows {sorted(hidden)}"


def test_panels_are_whole():
    ids = [panel["id"] for panel in PANELS]
    assert len(ids) == len(set(ids))
    for panel in PANELS:
        assert panel["title"] and panel["targets"]
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert target["expr"].count("(") == target["expr"].count(")")


@pytest.fixture
def promtool():
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool: rules and panels are not read by Prometheus itself")
    return path


def test_prometheus_takes_the_rules(promtool):
    run(promtool, "check", "rules", FILES / "alerts.yaml")


def test_prometheus_takes_the_panels(promtool, tmp_path):
    """Each expression as if it were a rule."""
    rules = [{"record": f"panel:{panel['id']}:{target['refId']}", "expr": filled_in(target["expr"])}
             for panel in PANELS for target in panel["targets"]]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run(promtool, "check", "rules", path)


def filled_in(expression):
    for variable, value in {"$__rate_interval": "1m", "$job": ".*", "$instance": ".*"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression
