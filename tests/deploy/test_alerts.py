# SPDX-License-Identifier: MIT
"""Each alert fires in the fault that it is for, and is silent in a rolling update: on series recorded from real fleets
(record.py), or made here where a machine's own fault would be needed. Prometheus itself judges (promtool test rules)."""

import json
import shutil

import pytest
import yaml

import manifests
from deploying import HERE, run
from kube_rules import named

RULES = manifests.CHART / "files/alerts.yaml"
ALERTS = [rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]]
LABELS = 'namespace="games",job="live-muster-metrics"'
KUBE = 'namespace="games",deployment="live-muster-node"'

# Recorded: the fault, and the alerts that must fire in it.
RECORDED = {
    "nodes-gone": ["MusterGone"],
    "node-hangs": ["MusterTargetDown"],
    "node-restarts": ["MusterRestarting"],
    "store-away": ["MusterStoreDown", "MusterChatGivenUp", "MusterLogsRefused"],
    "store-links-break": ["MusterStoreFlapping"],
    "store-full": ["MusterStoreErrors", "MusterLogsRefused"],
    "store-slow": ["MusterStoreSlow", "MusterBusLate"],
    "crowded": ["MusterRefusing"],
    "memory-short": ["MusterMemoryShort"],
    "logins-fail": ["MusterLoginsFail"],
    "device-port-taken": ["MusterDevicePortClosed"],
    "logs-lost": ["MusterLogsLost"],
    "stream-lost": ["MusterStreamLost"],
    "chat-lost": ["MusterChatLost"],
    "postgres-away": ["MusterSinkGone", "MusterSinkBehind"],
    "postgres-never": ["MusterSinkGone"],
    "sinks-gone": ["MusterSinkGone"],
    "stream-full": ["MusterLogsRefused", "MusterSinkGone"],
}


def of_node(name, values, instance="node1"):
    return {f'{name}{{{LABELS},instance="{instance}"}}': values}


def turns(all_of_them, short):
    """Of a loop: how many there were, and how many of them took no more than 50 ms."""
    name = "muster_loop_turn_seconds"
    return {**of_node(f"{name}_count", all_of_them), f'{name}_bucket{{{LABELS},instance="node1",le="0.05"}}': short}


# Made: what a test's machine cannot be brought to. One sample in 15 s, all well for 2 minutes.
MADE = {
    "MusterPodsMissing": {f"kube_deployment_spec_replicas{{{KUBE}}}": "3x80",
                          f"kube_deployment_status_replicas_available{{{KUBE}}}": "3x8 2x71"},
    "MusterBusRefuses": {**of_node("muster_bus_unpublished_total", "0x8 1+20x71"), **of_node("muster_store_up", "1x80")},
    "MusterNodeBusy": of_node("muster_cpu_milliseconds_total", "0+1500x8 12000+14000x71"),
    "MusterTurnsLong": turns("0+1500x79", "0+1500x8 12010+1485x70"),
    "MusterSlowReaders": of_node("muster_websocket_overflows_total", "0x8 30+30x71"),
    "MusterDatagramsDropped": of_node("muster_udp_dropped_total", "0x8 45+45x71"),
    "MusterDevicesCut": of_node("muster_dispatch_cut_total", "0x8 3+3x71"),
    "MusterCheckFailed": of_node("muster_checks_failed_total", "0x8 1x71"),
    "MusterDeadLetters": of_node("muster_sink_rejected_total", "0x8 2x71", "sink1"),
}
# What is like it and no fault: a short one, or a little of it.
HARMLESS = {
    "MusterPodsMissing": {f"kube_deployment_spec_replicas{{{KUBE}}}": "3x80",
                          f"kube_deployment_status_replicas_available{{{KUBE}}}": "3x8 2x8 3x62"},
    "MusterBusRefuses": {**of_node("muster_bus_unpublished_total", "0x8 1+20x71"), **of_node("muster_store_up", "1x8 0x71")},
    "MusterNodeBusy": of_node("muster_cpu_milliseconds_total", "0+1500x8 12000+14000x16 240000+1500x54"),
    "MusterTurnsLong": turns("0+1500x79", "0+1500x8 13495+1500x70"),
    "MusterSlowReaders": of_node("muster_websocket_overflows_total", "0x8 3+3x71"),
    "MusterDatagramsDropped": of_node("muster_udp_dropped_total", "0x8 5+5x71"),
    "MusterDevicesCut": of_node("muster_dispatch_cut_total", "0x8 3 3x70"),
    "MusterSinkGone": {**of_node("muster_logs_sink_expected", "0x80"), **of_node("muster_sink_postgres_up", "0x80")},
    "MusterLoginsFail": {**of_node("muster_chat_logins_failed_total", "0+9x80"), **of_node("muster_chat_logins_total", "0+20x80")},
}
FAULTS = [(name, alerts) for name, alerts in RECORDED.items()] + [(None, [alert]) for alert in MADE]


@pytest.fixture
def promtool():
    path = shutil.which("promtool")
    if path is None:
        pytest.skip("no promtool: alerts are not tried")
    return path


def recorded(name):
    return json.loads((HERE / "recorded" / f"{name}.json").read_text())["series"]


def judge(promtool, folder, series, alerts, fires, rules=RULES):
    """Asks whether each of the alerts was firing at any time; promtool names those that are not as wanted."""
    wanted = [{"labels": "{}", "value": 1}] if fires else []
    questions = [{"expr": f'count(max_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[30m])) > bool 0',
                  "eval_time": "20m", "exp_samples": wanted} for alert in alerts]
    test = {"interval": "15s", "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": questions}
    path = folder / "alerts_test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": [test]}))
    run(promtool, "test", "rules", path)


def test_every_alert_has_its_fault():
    assert {alert for _, alerts in FAULTS for alert in alerts} == set(ALERTS)


@pytest.mark.parametrize("name, alerts", FAULTS)
def test_it_fires(promtool, tmp_path, name, alerts):
    judge(promtool, tmp_path, MADE[alerts[0]] if name is None else recorded(name), alerts, True)


def test_all_are_silent_in_a_rolling_update(promtool, tmp_path):
    pods = {f"kube_deployment_spec_replicas{{{KUBE}}}": "3x64",
            f"kube_deployment_status_replicas_available{{{KUBE}}}": "3x8 4x1 3x2 4x1 3x2 4x1 3x44"}
    judge(promtool, tmp_path, {**recorded("rolling-update"), **pods}, ALERTS, False)


@pytest.mark.parametrize("alert", HARMLESS)
def test_it_is_silent_where_there_is_no_fault(promtool, tmp_path, alert):
    judge(promtool, tmp_path, HARMLESS[alert], [alert], False)


def in_namespace(series, namespace):
    return {name.replace('namespace="games"', f'namespace="{namespace}"'): values for name, values in series.items()}


@pytest.mark.parametrize("alert, name", [("MusterGone", "nodes-gone"), ("MusterSinkGone", "postgres-away"),
                                         ("MusterSinkGone", "postgres-never")])
@pytest.mark.parametrize("values, job", [({}, "live-muster"), ({"fullnameOverride": "games"}, "games")])
def test_a_healthy_release_hides_no_broken_one(helm, promtool, tmp_path, alert, name, values, job):
    """The chart's own rules, whatever the release is called, with another one's series beside it."""
    path = tmp_path / "values.json"
    path.write_text(json.dumps({"secret": {"store": "redis://r", "postgres": "postgresql://p/m", "dispatchSecret": "x"},
                                "metrics": {"prometheusRule": {"enabled": True}}, **values}))
    objects = [thing for thing in yaml.safe_load_all(manifests.template([path], release="live", namespace="games")) if thing]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(named(objects, "PrometheusRule", job)["spec"]))
    own = {key.replace("live-muster-metrics", f"{job}-metrics"): row for key, row in recorded(name).items()}
    judge(promtool, tmp_path, {**own, **in_namespace(recorded("rolling-update"), "elsewhere")}, [alert], True, rules)
