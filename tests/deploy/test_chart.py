# SPDX-License-Identifier: MIT
"""The chart: linted and rendered over a matrix of values, each result held to the rules of kube_rules.py."""

import json
import os
import re

import pytest
import yaml

import manifests
from deploying import hold_to_settings, run
from kube_rules import containers, environment, is_hook, judge, named, of_kind, pod_of, variables_of

pytestmark = pytest.mark.usefixtures("helm")

BASE = {"secret": {"store": "redis://r:6379", "postgres": "postgresql://p/muster", "dispatchSecret": "told"}}
KEPT = {"secret": {"existing": "mine"}}

HARD = {"image": "x", "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                          "capabilities": {"drop": ["ALL"]}}}

# name: (values, names of what the operator keeps)
MATRIX = {
    "least": (BASE, ()),
    "kept secret": (KEPT, ("mine",)),
    "nothing but sync": ({"secret": {"store": "redis://r"}, "sink": {"enabled": False}, "relay": {"enabled": False},
                          "tracker": {"enabled": False}, "dispatch": {"enabled": False}}, ()),
    "autoscaled": ({**BASE, "autoscaling": {"enabled": True, "targetConnections": 5000}}, ()),
    "by connections": ({**BASE, "autoscaling": {"enabled": True, "targetCPUPercent": 0, "targetConnections": 1}}, ()),
    "ingress": ({**BASE, "ingress": {"enabled": True, "className": "nginx", "tls": [
        {"secretName": "tls", "hosts": ["muster.example"]}]}}, ()),
    "balancers": ({**BASE, **{name: {"service": {"type": "LoadBalancer", "loadBalancerClass": "cloud/nlb",
                                                 "loadBalancerSourceRanges": ["10.0.0.0/8", "::/0"]}}
                              for name in ("relay", "tracker")},
                   "service": {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}}, ()),
    "node ports": ({**BASE, "service": {"type": "NodePort", "nodePort": 30080},
                    "relay": {"service": {"type": "NodePort", "nodePorts": {"1337": 31337}}},
                    "tracker": {"service": {"type": "NodePort", "nodePort": 30300}},
                    "dispatch": {"ports": [{"port": 6001, "nodePort": 30601}], "service": {"type": "NodePort"}}}, ()),
    "devices": ({**BASE, "dispatch": {"proxy": ["10.0.0.0/8"], "ports": [
        {"port": 6001}, {"port": 6002}, {"port": 6162, "protocol": "UDP", "servicePort": 162}]}}, ()),
    "networks": ({**BASE, "relay": {"networks": [{"port": 1337}, {"name": "skyblock", "port": 1338}]}}, ()),
    "policy": ({**BASE, "networkPolicy": {"enabled": True}}, ()),
    "strict policy": ({**BASE, "networkPolicy": {
        "enabled": True, "clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "metrics": [{"namespaceSelector": {}}],
        "egress": {"enabled": True, "store": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "storePorts": [6379, 26379],
                   "postgres": [{"podSelector": {}}], "extra": [{"ports": [{"port": 443}]}]}}}, ()),
    "a Redis Cluster": ({"secret": {**BASE["secret"], "store": "redis+cluster://:p@redis-redis-cluster:6379"}, "networkPolicy": {
        "enabled": True, "egress": {"enabled": True, "store": [
            {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "redis-cluster"}}}]}}}, ()),
    "watched": ({**BASE, "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
                                     "prometheusRule": {"enabled": True, "namespace": "monitoring"},
                                     "dashboard": {"enabled": True, "logs": True}}}, ()),
    "keys of chat": ({**BASE, "chatKeys": {"pem": "-----BEGIN PUBLIC KEY-----\nx\n", "jwks": '{"keys":[]}'}}, ()),
    "kept keys of chat": ({**BASE, "chatKeys": {"existing": "keys", "existingKeys": ["jwks.json"]}}, ("keys",)),
    "own account": ({**BASE, "serviceAccount": {"create": False, "name": "mine"}}, ("mine",)),
    "owner of the tables": ({**BASE, "migrate": {"postgresKey": "owner", "postgres": "postgresql://o@p/muster"}}, ()),
    "own migration": ({**BASE, "migrate": {"enabled": False}}, ()),
    "route": ({**BASE, "service": {"appProtocol": "kubernetes.io/ws"}, "gateway": {
        "enabled": True, "parentRefs": [{"name": "public", "namespace": "edge"}], "hostnames": ["play.example"]}}, ()),
    "keda": ({**BASE, "autoscaling": {"enabled": True, "targetConnections": 2000000, "keda": {
        "enabled": True, "prometheus": "http://prometheus.monitoring:9090"}}}, ()),
    "a large registry": ({**BASE, "global": {"imageRegistry": "registry.example/mirror"}, "dnsConfig": {
        "options": [{"name": "ndots", "value": "1"}]}, "hostAliases": [{"ip": "10.0.0.5", "hostnames": ["r"]}],
        "node": {"schedulerName": "other", "deploymentAnnotations": {"a": "b"}, "progressDeadlineSeconds": 900},
        "service": {"labels": {"tier": "edge"}, "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.1"]}}, ()),
    "OpenShift": ({**BASE, "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}, ()),
    "before and beside": ({**BASE, "node": {"initContainers": [{"name": "wait", **HARD}], "extraContainers": [
        {"name": "agent", **HARD}]}, "sink": {"initContainers": [{"name": "wait", **HARD}]}}, ()),
    "placed": ({**BASE, "node": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}], "affinity": {
        "nodeAffinity": {}}, "priorityClassName": "high", "topologySpread": [], "runtimeClassName": "gvisor",
        "podAnnotations": {"a": "b"}, "podLabels": {"team": "games"}}}, ()),
    "extras": ({**BASE, "commonLabels": {"owner": "me"}, "extraEnv": [{"name": "PGSSLROOTCERT", "value": "/tls/ca"}],
                "extraEnvFrom": [{"configMapRef": {"name": "more"}}], "imagePullSecrets": [{"name": "pull"}],
                "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
                "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls"}],
                "node": {"extraContainers": [], "extraEnv": [{"name": "TZ", "value": "UTC"}],
                         "extraVolumes": [{"name": "x", "emptyDir": {}}],
                         "extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]},
                "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}},
                                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}"]}, ()),
    "IPv6": ({**BASE, "listen": "[::]", "ipFamilyPolicy": "PreferDualStack"}, ()),
    "files": ({**BASE, "settings": {"log-level": "debug"}, "chatKeys": {"pem": "x"}, "secret": {
        **BASE["secret"], "logsAddToken": "t", "reload": ["store", "postgres", "logs-add-token"]}}, ()),
    "files of a kept secret": ({"secret": {"existing": "mine", "reload": ["store", "minigame-token"]}}, ("mine",)),
    "a settings file of one's own": ({**BASE, "settings": {"config": "/etc/mine/muster.conf", "log-level": "debug"}}, ()),
    "as the cluster has it": ({**BASE, "node": {"unreachableSeconds": None}, "sink": {"unreachableSeconds": None}}, ()),
    "long names": ({**BASE, "fullnameOverride": "m" * 80, "image": {"digest": "sha256:" + "a" * 64}}, ()),
}

# What is refused, and a word of why.
REFUSED = {
    "a typing error": ({**BASE, "nodes": {}}, "nodes"),
    "one below": ({**BASE, "node": {"replica": 3}}, "replica"),
    "no store": ({"dispatch": {"enabled": False}}, "secret.store is needed"),
    "no postgres": ({"secret": {"store": "redis://r", "dispatchSecret": "x"}}, "secret.postgres is needed"),
    "another store": ({"secret": {"store": "http://r", "postgres": "postgresql://p/m"}}, "secret.store"),
    "memory": ({"secret": {**BASE["secret"], "store": "memory:"}}, "know nothing of each other"),
    "a port of root": ({**BASE, "ports": {"http": 80}}, "ports.http"),
    "a device port outside": ({**BASE, "dispatch": {"ports": [{"port": 7000}]}}, "not in dispatch.range"),
    "a device port of the other kind": ({**BASE, "dispatch": {"range": "6000-6999, udp:3671", "ports": [{"port": 3671}]}},
                                        "3671 .TCP. is not in dispatch.range"),
    "a device port below": ({**BASE, "dispatch": {"range": "6000-6999,tcp:80"}}, "dispatch.range"),
    "a protocol": ({**BASE, "dispatch": {"ports": [{"port": 6001, "protocol": "SCTP"}]}}, "protocol"),
    "a setting with a value of its own": ({**BASE, "settings": {"drain": "5s"}}, "settings.drain"),
    "a secret among settings": ({**BASE, "settings": {"dispatch-secret": "x"}}, "settings.dispatch-secret"),
    "a setting's spelling": ({**BASE, "settings": {"MUSTER_LEASE": "5s"}}, "MUSTER_LEASE"),
    "more workers": ({**BASE, "settings": {"workers": 2}}, "settings.workers"),
    "a token that nobody gave, without a cluster": ({"secret": {**BASE["secret"], "dispatchSecret": ""}}, "secret.dispatchSecret"),
    "a prefix by the side door": ({**BASE, "settings": {"store-prefix": "x"}}, "settings.store-prefix"),
    "a spread of other pods": ({**BASE, "node": {"topologySpread": [{
        "topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "matchLabelKeys": []}]}}, "topologySpread"),
    "KEDA without Prometheus": ({**BASE, "autoscaling": {"enabled": True, "targetConnections": 9, "keda": {"enabled": True}}},
                                "keda.prometheus"),
    "a route to nowhere": ({**BASE, "gateway": {"enabled": True}}, "gateway.parentRefs"),
    "scaling by nothing": ({**BASE, "autoscaling": {"enabled": True, "targetCPUPercent": 0}}, "by what"),
    "a file of no setting": ({"secret": {"existing": "mine", "reload": ["redis"]}}, "no key of a setting"),
    "a file of nothing": ({"secret": {**BASE["secret"], "reload": ["minigame-token"]}}, "no value in secret.minigameToken"),
    "a service type": ({**BASE, "service": {"type": "ExternalName"}}, "type"),
}


def objects_of(text):
    return [thing for thing in yaml.safe_load_all(text) if thing]


@pytest.fixture
def render(tmp_path):
    def render(values, *flags):
        path = tmp_path / "values.json"
        path.write_text(json.dumps(values))
        return manifests.template([path], *flags, release="live", namespace="games")
    return render


def node_of(objects):
    return pod_of(named(objects, "Deployment", "live-muster-node"))[1]


def test_the_ports_of_the_public_drivers(render):
    ports = "6000-6999, tcp:2020, udp:3671, udp:47808"
    reached = [{"port": 2020}, {"port": 6001}, {"port": 3671, "protocol": "UDP"}, {"port": 47808, "protocol": "UDP"}]
    objects = objects_of(render({**BASE, "dispatch": {"range": ports, "ports": reached}}))
    assert node_env(objects)["MUSTER_DISPATCH_PORTS"] == ports
    for protocol, numbers in (("TCP", [2020, 6001]), ("UDP", [3671, 47808])):
        service = named(objects, "Service", f"live-muster-dispatch-{protocol.lower()}")
        assert [(port["port"], port["protocol"]) for port in service["spec"]["ports"]] == [(n, protocol) for n in numbers]


def node_env(objects):
    return environment(node_of(objects)["containers"][0])


@pytest.mark.parametrize("name", MATRIX)
def test_lint(helm, tmp_path, name):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(MATRIX[name][0]))
    run(helm, "lint", "--strict", "--kube-version", "1.30.0", manifests.CHART, "-f", path)


@pytest.mark.parametrize("name", MATRIX)
def test_rules(render, name):
    values, kept = MATRIX[name]
    judge(objects_of(render(values)), kept=kept)


@pytest.mark.parametrize("name", MATRIX)
def test_types_of_kubernetes(render, strict, name):
    strict(render(MATRIX[name][0]))


def test_only_settings_that_the_program_has(render, variables):
    used = set()
    for values, _ in MATRIX.values():
        used |= variables_of(objects_of(render(values)))
    hold_to_settings(used, variables)


def test_nodes_do_not_know_postgres(render):
    env = node_env(objects_of(render(BASE)))
    assert "MUSTER_POSTGRES" not in env and env["MUSTER_LOGS_SINK"] == "on"


def test_every_secret_of_the_program_has_its_place(render, secrets):
    objects = objects_of(render(BASE))
    given = {name for thing in of_kind(objects, "Deployment") for container in containers(pod_of(thing)[1])
             for name, source in environment(container).items() if isinstance(source, dict)}
    assert secrets <= given, f"no place for {sorted(secrets - given)}"


@pytest.mark.parametrize("name", REFUSED)
def test_refused(render, name):
    values, word = REFUSED[name]
    with pytest.raises(ValueError, match=word):
        render(values)


def test_services_that_are_off_listen_nowhere(render):
    objects = objects_of(render(MATRIX["nothing but sync"][0]))
    env = node_env(objects)
    assert (env["MUSTER_RELAY"], env["MUSTER_TRACKER"], env["MUSTER_DISPATCH_PORTS"]) == ("", "", "")
    assert env["MUSTER_LOGS_SINK"] == "off"
    assert {thing["metadata"]["name"] for thing in of_kind(objects, "Service")} == {"live-muster", "live-muster-metrics"}
    assert not of_kind(objects, "Job")
    assert [thing["metadata"]["name"] for thing in of_kind(objects, "Deployment")] == ["live-muster-node"]


def test_drain_fits_the_grace_period(render):
    spec = node_of(objects_of(render({**BASE, "drain": {"seconds": 300, "preStopSeconds": 15, "marginSeconds": 20}})))
    assert spec["terminationGracePeriodSeconds"] == 335
    assert environment(spec["containers"][0])["MUSTER_DRAIN"] == "300s"
    assert spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "15"]


def test_probes_ask_the_admin_port(render):
    for name in ("live-muster-node", "live-muster-sink"):
        container = pod_of(named(objects_of(render(BASE)), "Deployment", name))[1]["containers"][0]
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        port = next(port["containerPort"] for port in container["ports"] if port["name"] == "metrics")
        env = environment(container)
        assert env.get("MUSTER_ADMIN", env["MUSTER_HTTP"]) == f"0.0.0.0:{port}"


def test_the_autoscaler_owns_the_number_of_nodes(render):
    objects = objects_of(render(MATRIX["autoscaled"][0]))
    assert named(objects, "Deployment", "live-muster-node")["spec"]["replicas"] == 3, "the field's absence would be one pod"
    spec = named(objects, "HorizontalPodAutoscaler", "live-muster-node")["spec"]
    assert [metric["type"] for metric in spec["metrics"]] == ["Resource", "Pods"]
    assert spec["metrics"][0]["resource"]["target"] == {"type": "AverageValue", "averageValue": "600m"}
    down = spec["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 600 and down["policies"] == [
        {"type": "Pods", "value": 1, "periodSeconds": 600}]
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0


def test_device_ports(render):
    objects = objects_of(render(MATRIX["devices"][0]))
    tcp = named(objects, "Service", "live-muster-dispatch-tcp")["spec"]
    udp = named(objects, "Service", "live-muster-dispatch-udp")["spec"]
    assert [(port["port"], port["targetPort"], port["protocol"]) for port in tcp["ports"]] == [
        (6001, 6001, "TCP"), (6002, 6002, "TCP")]
    assert [(port["port"], port["targetPort"], port["protocol"]) for port in udp["ports"]] == [(162, 6162, "UDP")]
    assert node_env(objects)["MUSTER_DISPATCH_PROXY"] == "10.0.0.0/8"


def test_addresses_arrive_where_they_matter(render):
    balancer = {"service": {"type": "LoadBalancer"}}
    objects = objects_of(render({**BASE, "relay": balancer, "tracker": balancer,
                                 "dispatch": {"ports": [{"port": 6001}], **balancer}}))
    policies = {thing["metadata"]["name"]: thing["spec"].get("externalTrafficPolicy") for thing in of_kind(objects, "Service")}
    assert policies["live-muster-tracker"] == policies["live-muster-dispatch-tcp"] == "Local"
    assert policies["live-muster-relay"] == "Cluster"
    assert policies["live-muster"] is None


def test_addresses_to_listen_on(render):
    env = node_env(objects_of(render(MATRIX["IPv6"][0])))
    assert (env["MUSTER_HTTP"], env["MUSTER_ADMIN"], env["MUSTER_TRACKER"]) == ("[::]:8080", "[::]:9090", "[::]:3000")
    assert (env["MUSTER_RELAY"], env["MUSTER_DISPATCH_BIND"]) == ("[::]:1337", "::")


def test_networks_of_the_relay(render):
    objects = objects_of(render(MATRIX["networks"][0]))
    assert node_env(objects)["MUSTER_RELAY"] == "0.0.0.0:1337,skyblock=0.0.0.0:1338"
    assert [port["port"] for port in named(objects, "Service", "live-muster-relay")["spec"]["ports"]] == [1337, 1338]


def test_settings_become_variables(render):
    env = node_env(objects_of(render({**BASE, "settings": {"lease": "15s", "chat-history": 50, "message-limit": "1m"}})))
    assert (env["MUSTER_LEASE"], env["MUSTER_CHAT_HISTORY"], env["MUSTER_MESSAGE_LIMIT"]) == ("15s", "50", "1m")
    assert env["MUSTER_ENV"] == "production"


def test_no_secret_is_made_beside_a_kept_one(render):
    assert not of_kind(objects_of(render(KEPT)), "Secret")


def test_pods_start_anew_with_another_secret(render):
    def sums(values):
        return named(objects_of(render(values)), "Deployment", "live-muster-node")["spec"]["template"]["metadata"]["annotations"]
    assert sums(BASE) == sums(BASE)
    assert sums(BASE) != sums({"secret": {**BASE["secret"], "store": "redis://other"}})


def test_the_sinks_pods_migrate_first(render):
    objects = objects_of(render(MATRIX["owner of the tables"][0]))
    pod = pod_of(named(objects, "Deployment", "live-muster-sink"))[1]
    migrate, = pod["initContainers"]
    key = {"name": "live-muster", "key": "owner"}
    assert environment(migrate)["MUSTER_POSTGRES"]["secretKeyRef"] == key
    assert named(objects, "Secret", "live-muster")["stringData"]["owner"] == "postgresql://o@p/muster"
    assert environment(pod["containers"][0])["MUSTER_POSTGRES"]["secretKeyRef"]["key"] == "postgres"
    assert not [thing for thing in objects if is_hook(thing) and thing["kind"] != "Pod"], "nothing has to be done before an upgrade"


@pytest.mark.parametrize("ends, tries, code", [([1, 1, 0], 3, 0), ([1, 2], 2, 2)])
def test_the_migration_tries_until_postgres_is_there(render, tmp_path, ends, tries, code):
    """The container's own script, with a stand-in for the program that ends as `ends` says."""
    pod = pod_of(named(objects_of(render({**BASE, "migrate": {"retrySeconds": 1}})), "Deployment", "live-muster-sink"))[1]
    program = tmp_path / "muster"
    program.write_text(f"#!/bin/bash\nends=({' '.join(map(str, ends))})\necho x >>{tmp_path}/tries\n"
                       f"exit ${{ends[$(wc -l <{tmp_path}/tries) - 1]}}\n")
    program.chmod(0o755)
    done = run(*pod["initContainers"][0]["command"], check=False, timeout=30,
               env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert (done.returncode, len((tmp_path / "tries").read_text().split())) == (code, tries)


def test_policies(render):
    objects = objects_of(render(MATRIX["policy"][0]))
    spec = named(objects, "NetworkPolicy", "live-muster-node")["spec"]
    clients, metrics = spec["ingress"]
    assert "from" not in clients and metrics["from"] == [{"podSelector": {}}]
    assert spec["policyTypes"] == ["Ingress"]
    strict_spec = named(objects_of(render(MATRIX["strict policy"][0])), "NetworkPolicy", "live-muster-sink")["spec"]
    assert strict_spec["policyTypes"] == ["Ingress", "Egress"]
    assert ports_out(strict_spec) == [53, 53, 5353, 5353, 6379, 26379, 5432, 443]


def ports_out(spec):
    return [port["port"] for rule in spec["egress"] for port in rule["ports"]]


def test_policies_let_out_what_each_needs(render):
    objects = objects_of(render(MATRIX["strict policy"][0]))
    nodes = named(objects, "NetworkPolicy", "live-muster-node")["spec"]
    assert 5432 not in ports_out(nodes), "nodes face the internet and do not speak to PostgreSQL"
    test = named(objects, "NetworkPolicy", "live-muster-test")["spec"]
    labels = pod_of(named(objects, "Pod", "live-muster-test"))[0]
    assert test["podSelector"]["matchLabels"].items() <= labels.items()
    assert {53, 6379, 5432, "http"} <= set(ports_out(test))
    assert {"podSelector": test["podSelector"]} in nodes["ingress"][0]["from"], "it asks the Service, as a client"


def test_prometheus_of_another_namespace_is_let_in(render):
    objects = objects_of(render({**BASE, "networkPolicy": {"enabled": True, "metricsNamespaces": ["monitoring"]}}))
    for name in ("live-muster-node", "live-muster-sink"):
        rule = named(objects, "NetworkPolicy", name)["spec"]["ingress"][-1]
        assert {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}} in rule["from"]


@pytest.mark.parametrize("component", ["node", "sink"])
def test_spread(render, component):
    spec = pod_of(named(objects_of(render(BASE)), "Deployment", f"live-muster-{component}"))[1]
    labels = {"app.kubernetes.io/name": "muster", "app.kubernetes.io/instance": "live", "app.kubernetes.io/component": component}
    # One key alone: with a second that a machine does not bear, the scheduler gives that machine no points for either.
    one, = spec["topologySpreadConstraints"]
    assert one["topologyKey"] == "kubernetes.io/hostname" and one["labelSelector"]["matchLabels"] == labels
    assert one["matchLabelKeys"] == ["pod-template-hash"], "else pods about to end push the new ones together"
    zone, = spec["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert zone["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"
    assert zone["podAffinityTerm"]["labelSelector"]["matchLabels"] == labels


@pytest.mark.parametrize("component", ["node", "sink"])
def test_a_zone_is_that_of_the_machine_or_of_the_settings(render, component):
    def zone(values):
        env = pod_of(named(objects_of(render(values)), "Deployment", f"live-muster-{component}"))[1]["containers"][0]["env"]
        return [{key: value for key, value in one.items() if key != "name"} for one in env if one["name"] == "MUSTER_ZONE"]
    assert zone(BASE) == [{"valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['topology.kubernetes.io/zone']"}}}]
    assert zone({**BASE, "settings": {"zone": "rack-4"}}) == [{"value": "rack-4"}]


def test_own_affinity_takes_the_place_of_zones(render):
    own = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}
    assert node_of(objects_of(render({**BASE, "node": {"affinity": own}})))["affinity"] == own


def test_large_numbers_stay_whole(render, tmp_path):
    """From a file of YAML, whose numbers Helm reads as floats."""
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({**BASE, "settings": {"logs-bound": 2000000, "tracker-rate": 1000000}, "autoscaling": {
        "enabled": True, "targetConnections": 3000000, "targetCPUPercent": 0}, "podSecurityContext": {"runAsUser": 1000700000}}))
    text = manifests.template([path], release="live", namespace="games")
    objects = objects_of(text)
    env = node_env(objects)
    assert (env["MUSTER_LOGS_BOUND"], env["MUSTER_TRACKER_RATE"]) == ("2000000", "1000000")
    metric, = named(objects, "HorizontalPodAutoscaler", "live-muster-node")["spec"]["metrics"]
    assert metric["pods"]["target"]["averageValue"] == "3000000"
    assert node_of(objects)["securityContext"]["runAsUser"] == 1000700000
    assert "e+" not in text


def test_two_releases_on_one_redis_are_two_fleets(render):
    def prefixes(values):
        objects = objects_of(render(values))
        return {environment(container)["MUSTER_STORE_PREFIX"] for thing in of_kind(objects, "Deployment", "Pod")
                for container in containers(pod_of(thing)[1]) if "MUSTER_STORE" in environment(container)}
    assert prefixes(BASE) == {"games-live"}
    assert prefixes({**BASE, "storePrefix": "muster"}) == {"muster"}


def test_keda_asks_for_this_release_alone(render):
    objects = objects_of(render(MATRIX["keda"][0]))
    assert not of_kind(objects, "HorizontalPodAutoscaler")
    cpu, connections = named(objects, "ScaledObject", "live-muster-node")["spec"]["triggers"]
    assert cpu["metadata"]["value"] == "600m"
    assert connections["metadata"]["query"] == 'sum(muster_connections{namespace="games",job="live-muster-metrics"})'
    assert connections["metadata"]["threshold"] == "2000000"


def test_the_route_of_the_gateway(render):
    route = named(objects_of(render(MATRIX["route"][0])), "HTTPRoute", "live-muster")["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "edge"}] and route["hostnames"] == ["play.example"]
    assert route["rules"][0]["backendRefs"] == [{"name": "live-muster", "port": 80}]
    assert route["rules"][0]["timeouts"] == {"request": "0s"}


def test_images_come_from_one_registry(render):
    images = {container["image"] for thing in of_kind(objects_of(render(MATRIX["a large registry"][0])), "Deployment", "Pod")
              for container in containers(pod_of(thing)[1])}
    version = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())["appVersion"]
    assert images == {f"registry.example/mirror/muster:{version}"}


def test_one_sink_has_no_budget(render):
    objects = objects_of(render({**BASE, "sink": {"replicas": 1}}))
    assert [thing["metadata"]["name"] for thing in of_kind(objects, "PodDisruptionBudget")] == ["live-muster-node"]


def test_what_watches(render):
    objects = objects_of(render(MATRIX["watched"][0]))
    monitor = named(objects, "ServiceMonitor", "live-muster")
    service = named(objects, "Service", "live-muster-metrics")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    rules = named(objects, "PrometheusRule", "live-muster")
    assert rules["metadata"]["namespace"] == "monitoring"
    plain = yaml.safe_load((manifests.CHART / "files/alerts.yaml").read_text())["groups"][0]["rules"]
    made = rules["spec"]["groups"][0]["rules"]
    assert [rule["alert"] for rule in made] == [rule["alert"] for rule in plain]
    for rule, of_all in zip(made, plain):
        assert rule["labels"] == {**of_all["labels"], "namespace": "games", "release": "live"}
        assert rule["annotations"] == of_all["annotations"]
    board = named(objects, "ConfigMap", "live-muster-dashboard")
    assert json.loads(board["data"]["muster-logs.json"]) == json.loads((manifests.CHART / "files/logs-dashboard.json").read_text())
    assert json.loads(board["data"]["muster.json"]) == json.loads((manifests.CHART / "files/dashboard.json").read_text())


def selectors(rule):
    return re.findall(r"[a-z_]+\{([^}]*)\}", rule["expr"])


@pytest.mark.parametrize("values, name", [({}, "live-muster"), ({"fullnameOverride": "games"}, "games")])
def test_alerts_are_of_one_release(render, values, name):
    """Another one's health must hide nothing, whatever it is called."""
    watched = {**BASE, **values, "metrics": {"prometheusRule": {"enabled": True, "alertLabels": {"team": "games"}}}}
    rules = named(objects_of(render(watched)), "PrometheusRule", name)["spec"]["groups"][0]["rules"]
    for rule in rules:
        assert rule["labels"]["team"] == "games"
        assert selectors(rule), rule
        for selector in selectors(rule):
            assert 'namespace="games"' in selector, rule
            assert f'job="{name}-metrics"' in selector or f'deployment=~"{name}-(node|sink)"' in selector, rule
        assert not re.search(r"\b(muster|process|kube)_[a-z_]+(?![a-z_{])", rule["expr"]), f"no selector: {rule['expr']}"


def test_the_test_pod_asks_the_service(render):
    pod = named(objects_of(render(BASE)), "Pod", "live-muster-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    check, service = pod["spec"]["containers"]
    assert check["args"] == ["check"]
    assert environment(service) == {"HOST": "live-muster", "PORT": "80"}


def mounted(objects, name):
    """Path below /etc/muster of each volume of a Deployment's container, and the keys of its files of secrets."""
    _, spec = pod_of(named(objects, "Deployment", name))
    keys = {item["key"] for volume in spec["volumes"] if volume["name"] == "secret" for item in volume["secret"]["items"]}
    return {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}, keys


def test_secrets_from_files_are_for_who_needs_them(render):
    objects = objects_of(render(MATRIX["files"][0]))
    env = node_env(objects)
    assert env["MUSTER_STORE_FILE"] == "/etc/muster/secret/store" and "MUSTER_STORE" not in env
    assert env["MUSTER_LOGS_ADD_TOKEN_FILE"] == "/etc/muster/secret/logs-add-token"
    assert "MUSTER_STATUS_TOKEN_FILE" not in env and "MUSTER_STATUS_TOKEN" in env, "what is not named comes as before"
    places, keys = mounted(objects, "live-muster-node")
    assert places["secret"] == "/etc/muster/secret" and keys == {"store", "logs-add-token"}, "nodes do not speak to PostgreSQL"
    assert mounted(objects, "live-muster-sink")[1] == {"store", "postgres"}
    migrate = pod_of(named(objects, "Deployment", "live-muster-sink"))[1]["initContainers"][0]
    assert environment(migrate)["MUSTER_POSTGRES_FILE"] == "/etc/muster/secret/postgres"


def sums(objects):
    return [named(objects, "Deployment", f"live-muster-{part}")["spec"]["template"]["metadata"]["annotations"]["checksum/secret"]
            for part in ("node", "sink")]


def test_a_change_of_what_is_read_again_restarts_nobody(render):
    def with_secret(**changes):
        return objects_of(render({**MATRIX["files"][0], "secret": {**MATRIX["files"][0]["secret"], **changes}}))
    before = sums(with_secret())
    assert sums(with_secret(logsAddToken="another", store="redis://:new@r", postgres="postgresql://m:new@p/m")) == before
    changed = sums(with_secret(statusToken="x"))
    assert changed[0] != before[0] and changed[1] != before[1]


def test_levels_of_the_log_stand_where_pods_look_again(render):
    def node(**settings):
        objects = objects_of(render({**BASE, "settings": settings}))
        return objects, named(objects, "Deployment", "live-muster-node")["spec"]["template"]
    objects, pod = node(**{"log-level": "debug", "lease": "5s"})
    assert named(objects, "ConfigMap", "live-muster-live")["data"]["muster.conf"] == "log-format = json\nlog-level = debug\n"
    env = node_env(objects)
    assert env["MUSTER_CONFIG"] == "/etc/muster/live/muster.conf" and env["MUSTER_LEASE"] == "5s"
    assert "MUSTER_LOG_LEVEL" not in env, "a variable would count more than the file"
    assert node(**{"log-level": "info", "lease": "5s"})[1] == pod, "nobody is restarted"


def test_they_are_settings_that_the_program_reads_again():
    table = (manifests.ROOT / "node/core/settings_table.h").read_text()
    live = re.findall(r"FIELD\((\w+)\)", table[table.index("#define SETTINGS_LIVE"):])
    used = re.search(r'\$name := list (.*?) -}}', (manifests.CHART / "templates/_helpers.tpl").read_text())[1]
    assert {name.replace("-", "_") for name in re.findall(r'"([a-z-]+)"', used)} <= set(live)


def test_pods_of_a_lost_machine_are_replaced_soon(render):
    def tolerations(values, part="node"):
        return pod_of(named(objects_of(render(values)), "Deployment", f"live-muster-{part}"))[1].get("tolerations", [])
    for part in ("node", "sink"):
        told = tolerations({**BASE, part: {"unreachableSeconds": 10, "tolerations": [{"operator": "Exists", "key": "gpu"}]}}, part)
        assert [(one["key"], one.get("tolerationSeconds")) for one in told] == [
            ("gpu", None), ("node.kubernetes.io/not-ready", 10), ("node.kubernetes.io/unreachable", 10)]
    assert tolerations(MATRIX["as the cluster has it"][0]) == []
