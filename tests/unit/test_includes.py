# SPDX-License-Identifier: MIT
"""The house: includes point down the floors, never up and never in a circle; a service includes no other; each header
stands by itself; names have one meaning."""

import concurrent.futures
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# From the top down: a file may include what stands below its floor, or on it.
FLOORS = ["node/app", "node/service", "node/fanout", "node/proto", "node/net", "node/core", "store", "store/base"]

# The two tables from which code, documentation and `--help` come.
TABLES = ["node/core/settings_table.h", "node/core/metrics_table.h"]
HEADER_LINES_MOST = 150

# Words of the wire, each the business of one source file under node/.
WIRE_WORDS = ["SetSession", "SessionState", "LeaveSession", "ServerMsg", "leaderConnected", "playerName",
              "acknowledge", "hostIdentifier", "playerCount",
              "announceReceived", "pulseReceived", "pushReceived", "overriden", "peeraddr", "multiaddr",
              "user_id", "refreshToken", "scheduler_start", "balance_update", "enough_players"]


def files_of(*suffixes):
    paths = [*(ROOT / "node").rglob("*"), *(ROOT / "store").rglob("*")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths if path.suffix in suffixes)


HEADERS = files_of(".h")
SOURCES = files_of(".h", ".c")


def text_of(path):
    return (ROOT / path).read_text()


def includes_of(path):
    """What it includes in quotes: always a path from the top of the repository."""
    return INCLUDE.findall(text_of(path))


def floor_of(path):
    return max((floor for floor in FLOORS if path.startswith(f"{floor}/")), key=len)


def depth_of(path):
    return FLOORS.index(floor_of(path))


def unit_of(path):
    """The file without its ending. x.c, x.h and x_impl.h are one, and so are x/x.c, x/x.h and x/impl.h."""
    folder, name = path.rsplit(".", 1)[0].removesuffix("_impl").rsplit("/", 1)
    return f"{folder}/{folder.rsplit('/', 1)[-1] if name == 'impl' else name}"


def circle(graph):
    """A list of nodes that closes upon itself, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        found = next(filter(None, map(visit, graph.get(node, ()))), None)
        path.pop()
        done.add(node)
        return found
    return next(filter(None, map(visit, sorted(graph))), None)


def test_there_is_something_to_check():
    assert len(HEADERS) > 20 and len(SOURCES) > len(HEADERS)


@pytest.mark.parametrize("path", SOURCES)
def test_no_include_points_up(path):
    for included in includes_of(path):
        assert (ROOT / included).is_file(), f"{path} includes {included}, which is no path from the top"
        assert depth_of(included) >= depth_of(path), f"{path} includes {included} of a floor above"


def test_store_knows_nothing_of_node():
    for path in SOURCES:
        if path.startswith("store/"):
            assert not [included for included in includes_of(path) if included.startswith("node/")], path


def test_services_do_not_include_each_other():
    """A service is a folder in node/service."""
    def service(path):
        return path.split("/")[2]
    for path in SOURCES:
        if path.startswith("node/service/"):
            for included in includes_of(path):
                assert not included.startswith("node/service/") or service(included) == service(path), (path, included)


def test_headers_make_no_circle():
    assert circle({path: includes_of(path) for path in HEADERS}) is None


def graph_of(place):
    """Which place uses which others, where `place` says where a file stands."""
    graph = {}
    for path in SOURCES:
        graph.setdefault(place(path), set()).update({place(included) for included in includes_of(path)} - {place(path)})
    return {name: sorted(used) for name, used in graph.items()}


def test_floors_make_no_circle():
    assert circle(graph_of(floor_of)) is None


def test_units_make_no_circle():
    assert circle(graph_of(unit_of)) is None


@pytest.mark.parametrize("path", sorted(set(HEADERS) - set(TABLES)))
def test_header_is_short(path):
    lines = [line for line in text_of(path).splitlines() if "SPDX-License-Identifier" not in line]
    assert len(lines) <= HEADER_LINES_MOST


def compiler_says(header):
    """What is wrong with the header alone, or nothing."""
    command = ["gcc", "-fsyntax-only", "-std=c17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-I.", "-x", "c"]
    source = f'#include "{header}"\n#include "{header}"\n'
    return subprocess.run([*command, "-"], cwd=ROOT, input=source, capture_output=True, text=True, check=False).stderr


def test_each_header_compiles_alone():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        faults = [fault for fault in pool.map(compiler_says, HEADERS) if fault]
    assert not faults, "\n".join(faults)


def code_of(path):
    """The text without its comments, which may speak of the wire."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text_of(path), flags=re.DOTALL)


@pytest.mark.parametrize("word", WIRE_WORDS)
def test_a_wire_word_has_one_home(word):
    homes = [path for path in SOURCES if path.startswith("node/") and re.search(rf"\b{word}\b", code_of(path))]
    assert len(homes) == 1, homes


def test_a_circle_would_be_found():
    assert circle({"a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]
    assert circle({"a": ["b", "c"], "b": ["c"], "c": []}) is None
