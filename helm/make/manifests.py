#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Renders k8s/muster.yaml from the chart; with --check, only says whether it is up to date. Needs Helm for that, but a
sum of what it was made from tells a stale one without."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART, PLAIN = ROOT / "helm/muster", ROOT / "k8s"
MADE = PLAIN / "muster.yaml"
HEAD = "# Made from helm/muster and k8s/values.yaml by `make manifests`.\n# Their sum: {}\n"
OF_HELM = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)


def helm():
    """Path of a Helm, or None."""
    built = ROOT / "build-tools/helm"
    return os.environ.get("HELM") or (str(built) if built.exists() else shutil.which("helm"))


def template(values, *flags, release="muster", namespace="muster"):
    """What Helm prints for the files of values, with flags; raises with its words."""
    files = [word for path in values for word in ("-f", str(path))]
    done = subprocess.run([helm(), "template", release, str(CHART), "--namespace", namespace, "--kube-version", "1.30.0",
                           *files, *flags], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr)
    return done.stdout


def inputs():
    return [CHART / "Chart.yaml", CHART / "values.yaml", *sorted((CHART / "templates").rglob("*.*")), PLAIN / "values.yaml"]


def input_sum():
    total = hashlib.sha256()
    for path in inputs():
        total.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def render():
    return HEAD.format(input_sum()) + OF_HELM.sub("", template([PLAIN / "values.yaml"], "--skip-tests"))


def is_stale():
    return HEAD.format(input_sum()) != "".join(MADE.read_text().splitlines(keepends=True)[:2])


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit("k8s/muster.yaml is stale: run `make manifests`" if is_stale() else 0)
    if helm() is None:
        sys.exit("no helm: put it on PATH, name it in HELM, or have Go 1.21")
    MADE.write_text(render())
