"""Includes point down the layers, never up and never in a circle; each header stands by itself."""

import concurrent.futures
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

# From the top down: a file may include what stands below its layer, or in it.
LAYERS = ["node", "node/service", "node/fanout", "node/proto", "node/net", "node/core", "store", "store/base"]

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


def layer_of(path):
    return LAYERS.index(pathlib.PurePosixPath(path).parent.as_posix())


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
        assert layer_of(included) >= layer_of(path), f"{path} includes {included} of a layer above"


def test_store_knows_nothing_of_node():
    for path in SOURCES:
        if path.startswith("store/"):
            assert not [included for included in includes_of(path) if included.startswith("node/")], path


def test_services_do_not_include_each_other():
    """sync.c may include sync_session.h: a service is the first word of the name."""
    def service(path):
        return pathlib.PurePosixPath(path).stem.split("_")[0]
    for path in SOURCES:
        if path.startswith("node/service/"):
            for included in includes_of(path):
                assert not included.startswith("node/service/") or service(included) == service(path), (path, included)


def test_headers_make_no_circle():
    assert circle({path: includes_of(path) for path in HEADERS}) is None


def test_folders_make_no_circle():
    graph = {}
    for path in SOURCES:
        folder = pathlib.PurePosixPath(path).parent.as_posix()
        used = {pathlib.PurePosixPath(included).parent.as_posix() for included in includes_of(path)} - {folder}
        graph.setdefault(folder, set()).update(used)
    assert circle({folder: sorted(used) for folder, used in graph.items()}) is None


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
