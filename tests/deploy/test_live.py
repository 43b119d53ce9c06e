# SPDX-License-Identifier: MIT
"""The chart where Helm can ask a cluster what is there: a stand-in for its API, which knows of two kinds."""

import base64
import http.server
import json
import subprocess
import threading

import pytest
import yaml

import manifests
from kube_rules import named, of_kind

SECRETS = {"store": "redis://r", "postgres": "postgresql://p/m"}
KINDS = {"/apis/apps/v1": ("apps/v1", "Deployment", "deployments"), "/api/v1": ("v1", "Secret", "secrets")}
VERSIONS = {"/api": {"kind": "APIVersions", "versions": ["v1"]}, "/apis": {"kind": "APIGroupList", "groups": []},
            "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}}


class Cluster(http.server.ThreadingHTTPServer):
    """Answers what Helm's `lookup` asks; `there` holds objects by kind and name."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Api)
        self.there = {}

    def put(self, kind, name, **fields):
        self.there[kind, name] = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **fields}

    def answer(self, path):
        path = path.split("?")[0]
        if path in VERSIONS:
            return VERSIONS[path]
        for group, (version, kind, plural) in KINDS.items():
            if path == group:
                return {"kind": "APIResourceList", "groupVersion": version, "resources": [
                    {"name": plural, "kind": kind, "namespaced": True, "verbs": ["get", "list"]}]}
            if path == f"{group}/namespaces/games/{plural}":
                return {"apiVersion": version, "kind": f"{kind}List", "metadata": {}, "items": []}
            if path.startswith(f"{group}/namespaces/games/{plural}/"):
                return self.there.get((kind, path.rsplit("/", 1)[1]))
        return None


class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.server.answer(self.path)
        body = json.dumps(found or {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
                                    "code": 404}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def cluster(helm):
    with Cluster() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def render(cluster, tmp_path):
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{cluster.server_port}"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {}}]}))

    def render(values):
        path = tmp_path / "values.json"
        path.write_text(json.dumps({"secret": SECRETS, **values}))
        done = subprocess.run([manifests.helm(), "template", "live", manifests.CHART, "-n", "games", "--dry-run=server",
                               "--kubeconfig", config, "--kube-version", "1.30.0", "-f", path],
                              capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return [thing for thing in yaml.safe_load_all(done.stdout) if thing]
    return render


def nodes(objects):
    return named(objects, "Deployment", "live-muster-node")["spec"].get("replicas")


@pytest.mark.parametrize("running", [3, 7])
def test_turning_autoscaling_on_or_on_again_changes_no_number(cluster, render, running):
    cluster.put("Deployment", "live-muster-node", spec={"replicas": running})
    assert nodes(render({"autoscaling": {"enabled": True}})) == running


def test_a_first_install_with_autoscaling_starts_with_the_fewest(render):
    assert nodes(render({"autoscaling": {"enabled": True, "minReplicas": 4}})) == 4


def test_for_gitops_the_number_can_be_left_out(cluster, render):
    cluster.put("Deployment", "live-muster-node", spec={"replicas": 5})
    assert nodes(render({"autoscaling": {"enabled": True, "omitReplicas": True}})) is None


def token(objects):
    secret = named(objects, "Secret", "live-muster-dispatch")
    assert secret["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    return base64.b64decode(secret["data"]["dispatch-secret"]).decode()


def test_a_token_of_drivers_is_made_up_at_the_install_alone(cluster, render):
    first, second = token(render({})), token(render({}))
    assert len(first) == 40 and first != second, "nothing was there: each is made up"
    cluster.put("Secret", "live-muster-dispatch", data={"dispatch-secret": base64.b64encode(b"kept").decode()})
    assert token(render({})) == "kept"


def test_the_token_of_an_older_chart_is_taken_over(cluster, render):
    cluster.put("Secret", "live-muster", data={"dispatch-secret": base64.b64encode(b"older").decode()})
    assert token(render({})) == "older"


def test_no_token_is_made_up_beside_a_given_one(render):
    objects = render({"secret": {**SECRETS, "dispatchSecret": "told"}})
    assert [thing["metadata"]["name"] for thing in of_kind(objects, "Secret")] == ["live-muster"]
