# SPDX-License-Identifier: MIT
"""docs/operate.md speaks of settings, paths and files that there are."""

import re

import pytest

import manifests
from deploying import hold_to_settings

TEXT = (manifests.ROOT / "docs/operate.md").read_text()


def limits():
    """(settings, default) of each row of the table of limits."""
    section = TEXT.split("## Limits\n", 1)[1].split("\n## ", 1)[0]
    for row in section.splitlines()[2:]:
        if row.startswith("|"):
            _, names, default, *_ = (cell.strip() for cell in row.split("|"))
            yield re.findall(r"`([a-z-]+)`", names), default


def variable(setting):
    return "MUSTER_" + setting.upper().replace("-", "_")


def test_limits_are_settings(variables):
    used = {variable(name) for names, _ in limits() for name in names}
    assert len(used) > 8
    hold_to_settings(used, variables)


@pytest.mark.parametrize("names, default", [row for row in limits() if len(row[0]) == 1 and re.fullmatch(r"\d+[a-z]*", row[1])])
def test_defaults_of_limits(defaults, names, default):
    assert defaults[variable(names[0])] == default


def test_files_are_there():
    for path in re.findall(r"`((?:helm|k8s|docs|tests)/[\w./-]*|haproxy\.cfg|compose\.yaml)`", TEXT):
        assert (manifests.ROOT / path).exists(), path
