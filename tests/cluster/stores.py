# SPDX-License-Identifier: MIT
"""A Redis and a PostgreSQL from k8s/ in a namespace of their own. PostgreSQL keeps its tables on its machine, so that its pod can be
deleted; Redis forgets all."""

import uuid

import yaml

from place import OURS, Place, machines
from lib.process import ROOT

PASSWORD = "muster"
KEPT_AT = "/var/tmp/muster-try-"


def manifests(name):
    return [thing for thing in yaml.safe_load_all((ROOT / f"k8s/{name}.yaml").read_text()) if thing]


class Stores(Place):
    """Ask PostgreSQL as lib.postgres.Postgres is asked: psql, ask, value; of the database `database`."""

    database = "muster"

    def __init__(self, part="stores"):
        super().__init__(f"{OURS}-{part}")
        self.kept_at = KEPT_AT + uuid.uuid4().hex[:8]
        self.machine = None  # that keeps the tables

    def make(self, labels=None):
        self.machine = sorted(machines())[0]
        super().make(labels)
        self.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "muster"},
                    "stringData": {"redis-password": PASSWORD, "postgres-password": PASSWORD}})
        self.apply(*map(self.on_the_machine, manifests("redis") + manifests("postgres")))
        return self

    def ready(self):
        self.rolled_out("deployment/redis", "deployment/postgres")
        return self

    def on_the_machine(self, thing):
        if thing["kind"] != "Deployment":
            return thing
        pod = thing["spec"]["template"]["spec"]
        pod["nodeSelector"] = {"kubernetes.io/hostname": self.machine}
        for container in pod["containers"]:
            container["resources"]["requests"]["cpu"] = "10m"  # several of them may share that machine
        if thing["metadata"]["name"] != "postgres":
            return thing
        next(one for one in pod["volumes"] if one["name"] == "data")["hostPath"] = {
            "path": self.kept_at, "type": "DirectoryOrCreate"}
        for volume in pod["volumes"]:
            if "hostPath" in volume:
                volume.pop("emptyDir")
        pod["initContainers"] = [{
            "name": "own", "image": "postgres:17", "command": ["chown", "999:999", "/data"],
            "securityContext": {"runAsUser": 0, "runAsNonRoot": False}, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
        return thing

    def url(self):
        return f"redis://:{PASSWORD}@redis.{self.namespace}:6379"

    def uri(self, database=None):
        return f"postgresql://muster:{PASSWORD}@postgres.{self.namespace}/{database or self.database}"

    def secret(self, **more):
        return {"store": self.url(), "postgres": self.uri(), **more}

    def psql(self, sql, check=True):
        return self.kubectl("exec", "-i", "deployment/postgres", "-c", "postgres", "--", "env", f"PGPASSWORD={PASSWORD}", "psql", "-X", "-q",
                            "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "muster", "-d", self.database, data=sql, check=check)

    def ask(self, sql):
        return [line.split("|") for line in self.psql(sql).splitlines()]

    def value(self, sql):
        return self.psql(sql).strip()

    def redis(self, *words):
        return self.kubectl("exec", "deployment/redis", "--", "redis-cli", "-a", PASSWORD, "--no-auth-warning", *words)

    def away(self, name):
        """Its pod is deleted, and no other comes."""
        self.kubectl("scale", f"deployment/{name}", "--replicas=0")
        self.kubectl("wait", "--for=delete", "pod", "-l", f"app.kubernetes.io/name={name}", "--timeout=120s")

    def back(self, name):
        self.kubectl("scale", f"deployment/{name}", "--replicas=1")
        self.rolled_out(f"deployment/{name}")

    def delete(self):
        """With the folder on the machine."""
        if not self.is_there():
            return
        self.kubectl("delete", "deployment", "postgres", "--ignore-not-found", "--timeout=120s")
        self.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sweep"}, "spec": {
            "nodeName": self.machine, "restartPolicy": "Never", "volumes": [{"name": "tmp", "hostPath": {"path": "/var/tmp"}}],
            "containers": [{"name": "sweep", "image": "postgres:17", "command": ["rm", "-rf", self.kept_at],
                            "securityContext": {"runAsUser": 0}, "volumeMounts": [{"name": "tmp", "mountPath": "/var/tmp"}]}]}})
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/sweep", "--timeout=60s", check=False)
        super().delete()
