# SPDX-License-Identifier: MIT
"""docs/migrate.md: each section has its parts, and sets what can be set. Its commands: test_migrate_steps.py."""

import pathlib
import re

import pytest

from lib.process import muster

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/migrate.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
KNOWN = set(re.findall(r"--([a-z-]+)", muster("node", "--help").stdout + muster("sink", "--help").stdout))


def test_there_is_a_section_for_each_old_server():
    assert len(SECTIONS) == 5


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_has_its_parts(name):
    section = SECTIONS[name]
    assert "| old" in section and "```console\n$ muster" in section
    for part in ("On purpose otherwise:", "*Side by side:*", "*Switch:*", "*Way back:*"):
        assert part in section, part


@pytest.mark.parametrize("name", SECTIONS)
def test_what_is_to_be_set_can_be_set(name):
    rows = [line.split("|")[2] for line in SECTIONS[name].splitlines() if line.startswith("| ") and "---" not in line][1:]
    named = {word.split("=")[0] for row in rows for word in re.findall(r"`([a-z][a-z-]+(?:=[^`]*)?)`", row)}
    assert named and named - KNOWN <= {"production", "testing", "documented"}, named - KNOWN
