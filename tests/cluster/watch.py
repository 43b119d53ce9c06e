# SPDX-License-Identifier: MIT
"""A real Prometheus in the cluster. It asks what the chart's ServiceMonitor selects, as the operator would have it, and judges by the chart's
rules, each release by its own."""

import json
import pathlib
import threading
import time
import urllib.parse

import yaml

from place import CHART, OURS, Failed, Place, helm, run
from lib.waiting import wait_until

IMAGE = "muster-try-prometheus:1"
EVERY = "5s"  # between two scrapes and two judgements
RATE = "1m"  # what a panel's $__rate_interval is
FOLDER = pathlib.Path(__file__).resolve().parent / "prometheus"


def rendered(release):
    """(ServiceMonitor, PrometheusRule) of a release, as the chart makes them."""
    values = {**release.values, "secret": {**release.values["secret"], "dispatchSecret": "x"},
              "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}}}
    text = helm("template", release.name, CHART, "-n", release.namespace, "--kube-version", "1.30.0", "-f", "-", "-s",
                "templates/monitoring.yaml", data=json.dumps(values))
    made = {thing["kind"]: thing for thing in yaml.safe_load_all(text) if thing}
    return made["ServiceMonitor"], made["PrometheusRule"]


def selected(release, monitor):
    """(name, port) of the one Service that a ServiceMonitor selects."""
    selector = ",".join(f"{name}={value}" for name, value in monitor["spec"]["selector"]["matchLabels"].items())
    service, = release.items("services", selector)
    wanted = monitor["spec"]["endpoints"][0]["port"]
    return service["metadata"]["name"], next(port["port"] for port in service["spec"]["ports"] if port["name"] == wanted)


def scrape_of(namespace, service, port):
    """A job of Prometheus for a Service whose pods have addresses of their own in DNS, with the labels that the operator gives.
    Debian's Prometheus cannot ask Kubernetes itself."""
    labels = {"namespace": namespace, "service": service, "job": service}
    return {"job_name": f"{namespace}-{service}", "scrape_interval": EVERY, "scrape_timeout": EVERY,
            "dns_sd_configs": [{"names": [f"{service}.{namespace}.svc.cluster.local"], "type": "A", "port": port, "refresh_interval": EVERY}],
            "relabel_configs": [{"target_label": name, "replacement": value} for name, value in labels.items()]}


class Watch(Place):
    """Prometheus, for these releases."""

    def __init__(self):
        super().__init__(f"{OURS}-watch")
        self.lock, self.seen, self.seen_at = threading.Lock(), [], 0.0

    def build(self, world):
        run("docker", "build", "-q", "--network", "host", "-t", IMAGE, FOLDER, limit=1800)
        world.load(IMAGE)

    def start(self, releases):
        self.make()
        made = [rendered(release) for release in releases]
        files = {f"{release.namespace}.yml": yaml.safe_dump(rule["spec"]) for release, (_, rule) in zip(releases, made)}
        files["prometheus.yml"] = yaml.safe_dump({"global": {"evaluation_interval": EVERY}, "rule_files": [f"/etc/watch/{OURS}-*.yml"],
                                                  "scrape_configs": [scrape_of(release.namespace, *selected(release, monitor))
                                                                     for release, (monitor, _) in zip(releases, made)]})
        self.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watch"}, "data": files},
                   {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prometheus"}, "spec": {
                       "containers": [{"name": "prometheus", "image": IMAGE, "ports": [{"containerPort": 9090}], "volumeMounts": [
                           {"name": "watch", "mountPath": "/etc/watch"}], "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}}}],
                       "volumes": [{"name": "watch", "configMap": {"name": "watch"}}]}})
        self.kubectl("wait", "--for=condition=Ready", "pod/prometheus", "--timeout=300s")
        for release in releases:
            wait_until(lambda release=release: self.targets(release) > 0, f"{release.namespace} is scraped", 180, pause=2)
        return self

    def api(self, path, **query):
        """Asks again for a minute where Kubernetes or Prometheus has no time."""
        words = urllib.parse.urlencode(query)
        end = time.monotonic() + 60
        while True:
            try:
                return json.loads(run("kubectl", "get", "--raw",
                                      f"/api/v1/namespaces/{self.namespace}/pods/prometheus:9090/proxy/api/v1/{path}?{words}", limit=60))["data"]
            except Failed:
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def targets(self, release):
        found = self.query(f'sum(up{{namespace="{release.namespace}"}})')
        return found[0] if found else 0

    def query(self, expression):
        """The values, biggest first, without what is no number."""
        values = [float(one["value"][1]) for one in self.api("query", query=expression)["result"]]
        return sorted((value for value in values if value == value), reverse=True)

    def alerts(self, release):
        """Names of those that fire for it. Asked once for all releases, each few seconds."""
        with self.lock:
            if time.monotonic() - self.seen_at > 3:
                self.seen, self.seen_at = self.api("alerts")["alerts"], time.monotonic()
            return {one["labels"]["alertname"] for one in self.seen
                    if one["state"] == "firing" and one["labels"]["namespace"] == release.namespace}


def panels():
    """Title of each panel of the dashboard to its expressions by legend."""
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())
    return {panel["title"]: {target.get("legendFormat", ""): target["expr"] for target in panel["targets"]}
            for panel in dashboard["panels"] if panel.get("targets")}


def shown(watch, release, title):
    """What a panel shows of a release just now, by legend."""
    here = panels()[title]
    job = f"{release.full}-metrics"
    return {legend: watch.query(expression.replace("$job", job).replace('instance=~"$instance"', f'namespace="{release.namespace}"')
                                .replace("$__rate_interval", RATE)) for legend, expression in here.items()}
