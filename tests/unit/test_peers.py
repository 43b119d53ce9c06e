# SPDX-License-Identifier: MIT
"""The comparison with other servers (tests/bench/cases/peers.py): its page, and what a machine without their tools is told."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/bench"), str(ROOT / "tests")]

from peers import PEERS, page, peer as peers  # noqa: E402

BUILD = pathlib.Path(os.environ.get("MUSTER_BIN", ROOT / "build-test/muster")).resolve().parent
TEXT = page.PAGE.read_text()
BROUGHT = [one for one in PEERS if one.name not in ("Muster", "the floor")]


class Seen:
    """A side of the comparison, as the case has it."""

    def __init__(self, one, figures, failure=None):
        self.peer, self.failure, self.seen = one, failure, {name: [value] for name, value in figures.items()}

    def result(self):
        return {name: values[0] for name, values in self.seen.items()}


@pytest.mark.parametrize("one", PEERS, ids=lambda one: one.name)
def test_each_has_a_row_or_is_named_as_left_out(one):
    made = TEXT.partition(page.BEGIN)[2].partition(page.END)[0]
    assert re.search(rf"^(\| {re.escape(one.name)} \||- .*\b{re.escape(one.name)}\b)", made, re.M)


@pytest.mark.parametrize("one", BROUGHT, ids=lambda one: one.name)
def test_the_page_says_how_it_is_set_up_and_what_it_does_better(one):
    for part in ("## How each is set up", "## What they do better"):
        assert f"**{one.name.split(' with ')[0]}**" in TEXT.partition(part)[2].partition("\n## ")[0]


def test_only_what_stands_between_the_markers_is_written(tmp_path, monkeypatch):
    path = tmp_path / "compare.md"
    path.write_text(TEXT)
    muster, floor = PEERS[:2]
    for one in (muster, floor):
        monkeypatch.setattr(one, "program", pathlib.Path(sys.executable), raising=False)
        monkeypatch.setattr(one, "version", lambda: "0")
    sides = {"fan-out": [Seen(muster, {"us_a_delivery": 1.0, "us_a_delivery_of_several": 0.5}), Seen(floor, {"us_a_delivery": 2.0})], "idle": [Seen(muster, {"KiB_each": 0.5})],
             "groups": [Seen(muster, {"us_of_nodes_a_push": 60, "us_of_Redis_a_push": 33.0, "lost": 7}, "it ended")]}
    page.write(page.Found([muster, floor], {"ws": "no npm"}, sides, {"receivers": 10, "idle": 10, "sessions": 10, "pushes": 100}), path)
    before, _, rest = path.read_text().partition(page.BEGIN)
    made, _, after = rest.partition(page.END)
    assert before == TEXT.partition(page.BEGIN)[0] and after == TEXT.partition(page.END)[2]
    assert "| Muster | 1.00 |" in made and "| the floor | 2.00 |" in made and "33.0" in made
    assert "- ws was left out: no npm" in made and "gave up. `it ended`" in made


def test_it_is_said_where_others_need_less():
    muster, floor, *others = PEERS
    given = {muster: 3.0, floor: 1.0, others[0]: 2.0, others[1]: 2.5, others[2]: 4.0}
    assert page.below("a join", given) == [["a join", "3.00", f"{others[0].name} 2.00; {others[1].name} 2.50"]]
    assert page.below("a join", {**given, muster: 1.5}) == []
    assert page.below("a join", {others[0]: 1.0}) == []


def test_a_page_without_markers_is_not_written():
    with pytest.raises(AssertionError, match="no markers"):
        page.written("# A page", ["a line"])


@pytest.mark.parametrize("one", BROUGHT, ids=lambda one: one.name)
def test_without_its_tools_a_peer_says_what_is_missing(one, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(peers.Unavailable, match="is not installed"):
        one.install(tmp_path / "shelf")


def test_what_fails_to_come_is_told(tmp_path, monkeypatch):
    (tmp_path / "node").write_text("#!/bin/sh\n")
    (tmp_path / "npm").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    for name in ("node", "npm"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    with pytest.raises(peers.Unavailable, match="npm install ws .*no network"):
        peers.npm_modules(tmp_path / "shelf", "ws", "ws")


def test_a_figure_has_two_or_three_digits():
    assert [page.figure(value) for value in (None, 0.123, 1.5, 12.34, 1234.5)] == ["", "0.12", "1.50", "12.3", "1,234"]


@pytest.mark.skipif(not (BUILD / "tests/bench/bench_load").exists(), reason="bench_load is not built (-DMUSTER_BENCH=ON)")
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="no redis-server")
def test_the_case_runs_to_its_end():
    """With what needs no registry, a few of each."""
    words = "peers --quick --rounds 1 --receivers 20 --idle 40 --sessions 10".split()
    done = subprocess.run([sys.executable, ROOT / "tests/bench/run.py", *words, "--only", "Muster,the floor", "--build", BUILD],
                          env={name: value for name, value in os.environ.items() if name != "MUSTER_BIN"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for row in (r"\| Muster( \| \S+){7} \|", r"\| the floor( \| \S+){7} \|", r"\| the floor: a bare `PUBLISH` \|"):
        assert re.search(rf"^{row}", done.stdout, re.M), done.stdout
