# SPDX-License-Identifier: MIT
"""The pages in Markdown are for people whose first language is not English: short cells, no phrase that readers stumbled over."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(ROOT / name for name in subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
CELL = 100  # characters; the addresses of links do not count
HARD = [r"\bwhoever\b", r"\banew\b", r"\bmend(ed|s)?\b", r"\. Who [a-z]+s\b", "cannot quite be excluded", "neither yes nor no", "closed without words",
        "drop what one has", "nothing of this is felt", "asks nobody", "shares only its fate", "so many as Redis keeps", "needs it twice", "by so much"]


def prose(page):
    """(number, line) of each line outside of blocks of code."""
    code = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```"):
            code = not code
        elif not code:
            yield number, line


def long_cells(page):
    for number, line in prose(page):
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", re.sub(r"\]\([^)]*\)", "]", line))
            yield from (f"{page.name}:{number}: {cell.strip()}" for cell in cells if len(cell.strip()) >= CELL)


def hard_words(page):
    return [f"{page.name}:{number}: {found[0]}" for number, line in prose(page) for one in HARD if (found := re.search(one, line))]


def test_pages_are_found():
    assert len(PAGES) > 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_plain(page):
    assert list(long_cells(page)) + hard_words(page) == []
