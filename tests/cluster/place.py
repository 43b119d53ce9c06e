# SPDX-License-Identifier: MIT
"""kubectl and helm, as a user calls them, and a release of the chart with its way in from outside."""

import contextlib
import json
import os
import subprocess
import time

from lib.process import ROOT, samples
from lib.waiting import wait_until

CHART = ROOT / "helm/muster"
SLOW = 300  # seconds that anything in a cluster may take on a busy machine
TCP_PORT, UDP_PORT = 6000, 6100  # of devices
OURS = os.environ.get("KUBE_NAMES", "muster-try")  # begins the name of each namespace that is made here
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Failed(AssertionError):
    """A command said no; its words."""


def run(*words, data=None, check=True, limit=SLOW):
    """What it printed."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(words, input=data, capture_output=True, text=True, timeout=limit, check=False,
                              **({} if data is not None else {"stdin": subprocess.DEVNULL}))
    except subprocess.TimeoutExpired as late:
        raise Failed(f"{' '.join(words)[:300]}: nothing in {late.timeout} s") from late
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(words)[:300]}: {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


def helm_program():
    built = ROOT / "build-tools/helm"
    return os.environ.get("HELM") or (str(built) if built.exists() else "helm")


def helm(*words, **options):
    return run(helm_program(), *words, **options)


class Place:
    """A namespace, and kubectl in it."""

    def __init__(self, namespace):
        self.namespace = namespace

    def kubectl(self, *words, **options):
        return run("kubectl", "-n", self.namespace, *words, **options)

    def make(self, labels=None):
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels or {}}})
        return self

    def apply(self, *objects):
        self.kubectl("apply", "-f", "-", data=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def get(self, *words):
        """Objects as Kubernetes has them; None for one that is not there."""
        text = self.kubectl("get", *words, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text else None

    def items(self, kind, selector=""):
        found = self.get(kind, *(["-l", selector] if selector else []))
        return found["items"] if found else []

    def rolled_out(self, *names, limit=SLOW):
        for name in names:
            self.kubectl("rollout", "status", name, f"--timeout={limit}s", limit=limit + 30)

    def is_there(self):
        return self.get("namespace", self.namespace) is not None

    def delete(self):
        self.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", f"--timeout={SLOW}s", limit=SLOW + 30)


def is_ready(thing):
    """Of a pod or a machine."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in thing["status"].get("conditions", ()))


def machines():
    """Name to address of those that take pods."""
    found = {}
    for one in json.loads(run("kubectl", "get", "nodes", "-o", "json"))["items"]:
        if is_ready(one) and not one["spec"].get("unschedulable"):
            addresses = {entry["type"]: entry["address"] for entry in one["status"]["addresses"]}
            found[one["metadata"]["name"]] = os.environ.get("KUBE_ADDRESS") or addresses["InternalIP"]
    return found


class Way:
    """One machine's ports of a release. Looks like a node to the clients of `lib`."""

    def __init__(self, host, ports):
        self.host = self.bind = self.name = host
        self.ports = ports
        self.port = ports["http"]
        self.relay_port, self.tracker_port = ports.get("relay"), ports.get("tracker")

    def ws(self, path):
        return f"ws://{self.host}:{self.port}{path}"

    def http(self, path):
        return f"http://{self.host}:{self.port}{path}"


class Release(Place):
    """The chart, installed. `values` are those of every call; node ports are the way in."""

    def __init__(self, namespace, values, name="games"):
        super().__init__(namespace)
        self.name = name
        self.full = name if "muster" in name else f"{name}-muster"
        self.values = laid_over(values, {"commonLabels": {"tried-in": namespace}}) if values else {}
        self.before = self.values

    def helm(self, *words, values=None, **options):
        data = None
        if values is not None:
            data, words = json.dumps(values), [*words, "-f", "-"]
        return helm("-n", self.namespace, *words, data=data, **options)

    def install(self, *flags):
        self.helm("install", self.name, CHART, *flags, values=self.values)
        return self

    def upgrade(self, more=None, *flags):
        """`more` is laid over the values, and stays."""
        self.before, self.values = self.values, laid_over(self.values, more or {})
        self.helm("upgrade", self.name, CHART, *flags, values=self.values)
        return self

    def roll_back(self):
        """What the last upgrade changed is as it was before; once."""
        self.helm("rollback", self.name)
        self.values = self.before
        return self

    def uninstall(self):
        self.helm("uninstall", self.name)

    def ready(self, limit=SLOW):
        parts = [f"deployment/{self.full}-node"]
        if self.values.get("sink", {}).get("enabled", True):
            parts.append(f"deployment/{self.full}-sink")
        self.rolled_out(*parts, limit=limit)
        return self

    def pods(self, component="node", living=True):
        """Those that serve; with `living` false those that end, too."""
        found = self.items("pods", f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}")
        return [pod for pod in found if not living or "deletionTimestamp" not in pod["metadata"]]

    def restarts(self):
        """How often a container of nodes or sinks ended and was started again. A pod that is new has none."""
        return sum(status["restartCount"] for part in ("node", "sink") for pod in self.pods(part)
                   for status in pod["status"].get("containerStatuses", ()))

    def wanted(self, component="node"):
        return self.get("deployment", f"{self.full}-{component}")["spec"]["replicas"]

    def proxied(self, pod, path):
        """What its admin port answers, through Kubernetes' API."""
        return run("kubectl", "get", "--raw", f"/api/v1/namespaces/{self.namespace}/pods/{pod}:9090/proxy{path}", limit=60)

    def metrics(self, pod):
        return samples(self.proxied(pod, "/metrics"))

    def sum_of(self, metric, component="node"):
        total = 0
        for pod in self.pods(component):
            with contextlib.suppress(Failed):  # one that ends just now
                total += self.metrics(pod["metadata"]["name"]).get(metric, 0)
        return total

    def ways(self):
        """From every machine. Not of those without a pod, which drop what keeps its sender's address."""
        ports = {}
        for service in self.items("services"):
            for port in service["spec"]["ports"]:
                if "nodePort" in port:
                    ports[port["name"]] = port["nodePort"]
        on = {pod["spec"]["nodeName"] for pod in self.pods() if is_ready(pod)}
        return [Way(address, ports) for name, address in machines().items() if name in on]

    def token(self):
        """The drivers'."""
        return run("sh", "-c", f"kubectl -n {self.namespace} get secret {self.full}-dispatch "
                               "-o 'jsonpath={.data.dispatch-secret}' | base64 -d")


def laid_over(values, more):
    """As Helm does with values."""
    made = dict(values)
    for key, value in more.items():
        made[key] = laid_over(made[key], value) if isinstance(value, dict) and isinstance(made.get(key), dict) else value
    return made


def every(seconds, check, what, limit=SLOW):
    """wait_until for what costs a call of kubectl."""
    began = time.monotonic()
    wait_until(check, what, limit, pause=seconds)
    return time.monotonic() - began
