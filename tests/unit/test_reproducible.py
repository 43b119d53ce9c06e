# SPDX-License-Identifier: MIT
"""The program says nothing of the machine and the moment that it was built on. The whole proof, two builds that are the same
bytes, is packaging/reproducible.sh."""

import os
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("MUSTER_BIN", "build-test/muster")


@pytest.fixture(scope="module")
def program():
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not there")
    return BINARY.read_bytes()


def test_no_path_of_the_tree_is_in_it(program):
    places = [match.start() for match in re.finditer(re.escape(str(ROOT).encode()), program)]
    assert [program[at:at + 100] for at in places[:3]] == []


def test_its_date_is_that_of_the_commit(program):
    if "SOURCE_DATE_EPOCH" in os.environ:
        pytest.skip("SOURCE_DATE_EPOCH chooses the date")
    cache = (BINARY.parent / "build.ninja").read_text()
    told = re.search(r'MUSTER_BUILD_TIME=\\"([^\\]+)\\"', cache).group(1)
    assert told.encode() in program


def test_no_source_asks_for_the_time_of_the_build():
    sources = [*ROOT.glob("node/**/*.[ch]"), *ROOT.glob("store/**/*.[ch]")]
    assert [path for path in sources if re.search(r"__(DATE|TIME|TIMESTAMP)__", path.read_text())] == []
