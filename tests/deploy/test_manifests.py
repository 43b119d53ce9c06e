# SPDX-License-Identifier: MIT
"""The plain manifests of k8s/: up to date with the chart, and a whole that stands by itself."""

import shutil
from urllib.parse import urlsplit

import pytest
import yaml

import manifests
from deploying import hold_to_settings, run
from kube_rules import containers, environment, judge, named, of_kind, pod_of, variables_of

KUSTOMIZATION = yaml.safe_load((manifests.PLAIN / "kustomization.yaml").read_text())


def objects():
    return [thing for name in KUSTOMIZATION["resources"]
            for thing in yaml.safe_load_all((manifests.PLAIN / name).read_text()) if thing]


def literals():
    return dict(word.split("=", 1) for word in KUSTOMIZATION["secretGenerator"][0]["literals"])


def test_not_stale():
    assert not manifests.is_stale(), "k8s/muster.yaml is stale: run `make manifests`"


def test_equal_to_the_chart(helm):
    made = list(yaml.safe_load_all(manifests.render()))
    assert made == list(yaml.safe_load_all(manifests.MADE.read_text())), "edited by hand? run `make manifests`"


def test_every_file_has_its_place():
    files = {path.name for path in manifests.PLAIN.glob("*.yaml")} - {"kustomization.yaml", "values.yaml"}
    assert files == set(KUSTOMIZATION["resources"])


def test_rules():
    # Everything in the one namespace, which holds pods to the restricted profile.
    judge(objects(), kept=("muster",))
    labels = named(objects(), "Namespace", "muster")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_settings_of_the_program(variables):
    hold_to_settings(variables_of(objects()), variables)


def test_types_of_kubernetes(strict):
    for name in KUSTOMIZATION["resources"]:
        strict((manifests.PLAIN / name).read_text())


def test_the_secret_has_what_pods_ask_for():
    for thing in of_kind(objects(), "Deployment"):
        for source in [value for one in containers(pod_of(thing)[1]) for value in environment(one).values()]:
            reference = source.get("secretKeyRef", {}) if isinstance(source, dict) else {}
            assert reference.get("optional", True) or reference["key"] in literals()


def test_the_stores_are_where_the_secret_says():
    for key in ("store", "postgres"):
        url = urlsplit(literals()[key])
        service = named(objects(), "Service", url.hostname)
        assert service["spec"]["ports"][0]["port"] == (url.port or 5432)
        assert url.password == literals()[{"store": "redis-password", "postgres": "postgres-password"}[key]]


def test_the_image_is_named_once():
    images = {container["image"] for thing in of_kind(objects(), "Deployment")
              for container in containers(pod_of(thing)[1])}
    tag = KUSTOMIZATION["images"][0]["newTag"]
    assert f"muster:{tag}" in images
    assert yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())["appVersion"] == tag


def test_kustomize_takes_it(strict):
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl: k8s/ is not put together by kustomize")
    made = run("kubectl", "kustomize", manifests.PLAIN).stdout
    strict(made)
    names = [(thing["kind"], thing["metadata"]["name"]) for thing in yaml.safe_load_all(made)]
    assert ("Secret", "muster") in names and ("Deployment", "muster-node") in names


def test_the_table_of_values_is_up_to_date():
    run("/usr/bin/python3", manifests.ROOT / "helm/make/values_table.py", "--check")


def test_a_change_of_the_chart_is_noticed(tmp_path, monkeypatch):
    for name in ("helm", "k8s"):
        shutil.copytree(manifests.ROOT / name, tmp_path / name)
    monkeypatch.setattr(manifests, "ROOT", tmp_path)
    monkeypatch.setattr(manifests, "CHART", tmp_path / "helm/muster")
    monkeypatch.setattr(manifests, "PLAIN", tmp_path / "k8s")
    monkeypatch.setattr(manifests, "MADE", tmp_path / "k8s/muster.yaml")
    assert not manifests.is_stale()
    with open(tmp_path / "helm/muster/templates/service.yaml", "a", encoding="utf-8") as template:
        template.write("# changed\n")
    assert manifests.is_stale()
