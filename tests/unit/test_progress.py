"""The line of long runs: written over on a terminal, plain elsewhere."""

import io
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.progress import CLEAR_LINE, Progress  # noqa: E402


class Terminal(io.StringIO):
    def isatty(self):
        return True


def screen(text):
    """What stands there in the end: what was cleared is gone."""
    return [line.split(CLEAR_LINE)[-1] for line in text.split("\n")]


@pytest.fixture(autouse=True)
def terminal_settings(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def test_one_line_is_written_over():
    out = Terminal()
    progress = Progress(out)
    progress.step("first")
    progress.step("second")
    progress.line("this stays")
    progress.tick("third")
    progress.tick("fourth")
    assert screen(out.getvalue()) == ["this stays", "fourth"]


def test_it_never_wraps():
    out = Terminal()
    Progress(out).step("x" * 100 + "\nmore")
    assert screen(out.getvalue()) == ["x" * 39]


@pytest.mark.parametrize("terminal", ["dumb", "", None])
def test_elsewhere_lines_are_plain(terminal, monkeypatch):
    out = io.StringIO() if terminal is None else Terminal()
    monkeypatch.setenv("TERM", terminal or "")
    progress = Progress(out, every=1000)
    progress.begin("case 1 of 2")
    progress.step("a round")
    for _ in range(5):
        progress.tick("still at it")
    progress.end()
    progress.line("done")
    assert out.getvalue() == "case 1 of 2\na round\nstill at it\ndone\n"


def test_the_seconds_of_a_task_go_on_by_themselves():
    out = Terminal()
    progress = Progress(out)
    progress.begin("case 1 of 2")
    progress.step("round 1")
    end = time.monotonic() + 20
    while "1 s: round 1" not in out.getvalue():
        assert time.monotonic() < end, out.getvalue()
        time.sleep(0.05)
    assert screen(out.getvalue())[0].startswith("case 1 of 2, ")
    progress.end()
    assert screen(out.getvalue()) == [""], "nothing of it is left"
    progress.line("done")
    assert screen(out.getvalue()) == ["done", ""]
