# SPDX-License-Identifier: MIT
"""Pages and comments are for people whose first language is not English: short cells, no phrase that readers stumbled over."""

import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tracked(*patterns):
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(ROOT / name for name in listed.split())


PAGES = tracked("*.md")
CODE = tracked("*.c", "*.h", "*.lua", "*.py", "*.sh", "*.js", "*.css", "*.html", "*.cmake", "*CMakeLists.txt", "*.yaml", "*.yml", "Dockerfile", "Makefile")
CELL = 100  # characters; the addresses of links do not count
# Without an antecedent the reader looks for the subject: "a client that reads", not "who reads".
EVERYWHERE = [r"\b[Ww]hoever\b", r"\b[Aa]new\b", r"\blets? fall\b", r"\bhow-manieth\b", r"\b(is|are|was) through\b(?! [a-z`])",
              r"(\. |/\* |^# |^ *\"\"\")Who (?!is\b)[a-z]+s\b[^?:]*,"]
HARD = [r"\bmend(ed|s)?\b", r"\. Who [a-z]+s\b", "cannot quite be excluded", "neither yes nor no", "closed without words",
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
    return [f"{page.name}:{number}: {found[0]}" for number, line in prose(page) for one in EVERYWHERE + HARD if (found := re.search(one, line))]


def test_pages_are_found():
    assert len(PAGES) > 25


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_plain(page):
    assert list(long_cells(page)) + hard_words(page) == []


def test_comments_are_plain():
    assert len(CODE) > 500
    here = pathlib.Path(__file__).resolve()
    said = [(path, number, line) for path in CODE if path != here for number, line in enumerate(path.read_text().splitlines(), 1)]
    assert [f"{path.relative_to(ROOT)}:{number}: {found[0]}" for path, number, line in said for one in EVERYWHERE if (found := re.search(one, line))] == []


@pytest.mark.parametrize("line", ["whoever reads", "/* Who reads too little, is closed. */", "built anew", "it is through."])
def test_a_hard_word_is_found(line):
    assert any(re.search(one, line) for one in EVERYWHERE)


def test_what_the_map_of_decisions_names_is_there():
    """docs/develop.md, "Where it is decided": each function is defined in the file beside it, each other path is one."""
    rows = [line.split("|")[1:4] for line in (ROOT / "docs/develop.md").read_text().split("## Where it is decided")[1].split("\n## ")[0].splitlines()
            if line.startswith("| ") and "`" in line]
    assert len(rows) > 8
    for _, read, beside in rows:
        function, path = re.findall(r"`([^`]+)` in `([^`]+)`", read)[0]
        assert re.search(rf"^[a-z].*\b{function.replace('...', '[a-z]+')}\(", (ROOT / path).read_text(), re.MULTILINE), (function, path)
        for name in re.findall(r"`([a-z_/]+\.(?:[ch]|lua))`", beside):
            assert [known for known in CODE if known.as_posix().endswith(f"/{name}")], name


def test_the_map_of_the_house_has_each_folder():
    """But for the three of dispatch, which its door explains."""
    house = (ROOT / "docs/develop.md").read_text().split("## The house")[1].split("```")[1]
    folders = {path.parent.relative_to(ROOT).as_posix() for path in tracked("node/*.[ch]", "node/*.js", "store/*.[ch]")}
    missing = {folder for folder in folders if not re.search(rf"\b{folder.rsplit('/', 1)[-1]}\b", house)}
    assert len(folders) > 25 and {folder for folder in missing if "/dispatch/" not in folder} == set()
