# SPDX-License-Identifier: MIT
"""A function is read at one sight: no body is longer than a screen."""

import re

from test_includes import ROOT, SOURCES

LINES_MOST = 60
BODY = re.compile(r"^([A-Za-z_][^;{}#]*\([^;{}]*\))\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)


def functions(text):
    """(name, lines of the body) of each, in a file as clang-format has it."""
    for head, body in BODY.findall(text):
        yield re.findall(r"(\w+)\s*\(", head)[0], body.count("\n")


def lengths():
    return [(lines, path, name) for path in SOURCES for name, lines in functions((ROOT / path).read_text())]


def test_functions_are_found():
    assert len(lengths()) > 3000
    assert list(functions("static int one(int a,\n               int b)\n{\n    int c;\n\n    return a;\n}\n")) == [("one", 3)]


def test_no_function_is_longer_than_a_screen():
    assert [(path, name, lines) for lines, path, name in lengths() if lines > LINES_MOST] == []
