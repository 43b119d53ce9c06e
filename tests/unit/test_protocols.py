# SPDX-License-Identifier: MIT
"""docs/protocols.md says what the code says: texts of errors, close codes with their reasons; its examples are JSON, and
links between the pages lead somewhere."""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/protocols.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = "\n".join(path.read_text() for folder in ("node/app", "node/service", "node/proto", "store") for path in sorted((ROOT / folder).rglob("*.[ch]")))
HOLE = "\0"  # what differs from message to message


def joined(source):
    """The source with the parts of each literal in one piece, as the compiler sees it."""
    source = re.sub(r'"\s*(?:PRIu64|PRId64)?\s*"', "", source)
    return source.replace('\\"', '"')


def with_holes(text):
    text = re.sub(r"%(?:\.\*s|zu|[a-z])?|<\w+>|\b\d+\b", HOLE, text)
    return re.sub(f"{HOLE}+", HOLE, text)


CODE = with_holes(joined(SOURCES))


def rows():
    """The cells of each row of the page's tables."""
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def texts():
    """What is quoted in tables, lists and paragraphs of errors and is a sentence: no path, no JSON, no setting."""
    items = re.findall(r"^- (.*(?:\n  .*)*)", PAGE, re.M)
    cells = [cell for row in rows() for cell in row] + items + re.findall(r"^Errors: (.*?)\n\n", PAGE, re.M | re.S)
    found = {" ".join(text.split()) for cell in cells for text in re.findall(r"`([^`]+)`", cell)}
    return sorted(text for text in found if not re.fullmatch(r"\w+: true", text) and re.fullmatch(r"[A-Za-z0-9][^{}/]* [^{}/]*", text)
                  and not text.startswith(("Authorization", "Access-Control", "Retry-After", "Connection", "WWW", "Accept", "GET", "POST")))


def test_there_are_texts():
    assert len(texts()) > 75


@pytest.mark.parametrize("text", texts())
def test_text_is_in_the_code(text):
    part = text.split("...")[0].removesuffix("<type>").removesuffix("<id>").strip()
    assert with_holes(part) in CODE


def close_rows():
    for row in rows():
        if re.fullmatch(r"10\d\d", row[0]):
            for reason in re.findall(r"`([^`]+)`", row[1]):
                yield int(row[0]), reason


@pytest.mark.parametrize("code, reason", close_rows())
def test_close_code(code, reason):
    names = {int(number): name for name, number in re.findall(r"(WS_\w+) = (1\d\d\d)", (ROOT / "node/proto/ws/ws.h").read_text())}
    calls = [joined(SOURCES)[max(0, found.start() - 120):found.start()]
             for found in re.finditer(f'"{re.escape(reason)}"', joined(SOURCES))]
    assert names[code] in {re.findall(r"WS_[A-Z_]+", call)[-1] for call in calls if "WS_" in call}


def test_examples_are_json():
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", PAGE, re.S))
    examples = re.findall(r"^\w*[<>]? ?([{\[].*?[}\]])(?:   .*)?$", blocks, re.M)
    assert len(examples) > 40
    for example in examples:
        json.loads(example.replace("...", '"..."') if '{"nodes":[...]}' in example else example)


def anchors(page):
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


def named_in_comments():
    """(file, page, anchor) of each page of docs/ that a comment names."""
    for folder in ("node", "store"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            text = path.read_text()
            assert "wire page" not in text, path
            for page, anchor in re.findall(r"((?:[a-z-]+/)*[A-Za-z-]+\.md)(?:#([a-z-]+))?", text):
                yield path.relative_to(ROOT).as_posix(), page, anchor


def test_a_page_that_a_comment_names_is_there():
    named = list(named_in_comments())
    assert len(named) > 10
    for source, page, anchor in named:
        there = ROOT / page
        assert there.is_file() and (not anchor or anchor in anchors(there)), f"{source}: {page}#{anchor}"


def test_each_figure_of_the_page_is_explained():
    """Its help leads to a title of docs/figures.md, under which it is named."""
    source = (ROOT / "node/service/fleet/nodes.js").read_text().split("const HELP = {", 1)[1].split("\n};", 1)[0]
    page = (ROOT / "docs/figures.md").read_text()
    places = dict(re.findall(r'^  "([^"]+)": \[.*, "([a-z-]+)"\],$', source, re.M))
    assert len(places) == len(source.strip().splitlines()) > 40
    sections = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-"): text for title, text in re.findall(r"^### (.*)\n((?:(?!##).*\n)*)", page, re.M)}
    for figure, place in places.items():
        assert f"`{figure}`" in sections[place], (figure, place)
