# SPDX-License-Identifier: MIT
"""The project has one version, in CMakeLists.txt; every other place that names it names the same one."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERSION = re.search(r"project\(muster VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)

PLACES = {
    "Dockerfile": r"ARG VERSION=(\S+)",
    "compose.yaml": r"muster:(\d[\w.]*)",
    "helm/muster/Chart.yaml": r"(?m)^(?:appVersion|version): (\S+)",
    "helm/muster/README.md": r"/muster:(\d[\w.]*)",
    "k8s/kustomization.yaml": r"newTag: (\S+)",
    "k8s/muster.yaml": r"(?:muster:|app.kubernetes.io/version: \")(\d[\w.]*)",
    "docs/operate.md": r"(?:muster:|\"version\":\")(\d[\w.]*)",
    "packaging/debian/changelog": r"\Amuster \(([\d.]+)",
}


@pytest.mark.parametrize("place", PLACES)
def test_it_is_the_same_everywhere(place):
    found = re.findall(PLACES[place], (ROOT / place).read_text())
    assert found and set(found) == {VERSION}


def test_the_changelog_begins_with_it():
    assert re.search(r"(?m)^## (\S+?),", (ROOT / "CHANGELOG.md").read_text()).group(1) == VERSION
