# SPDX-License-Identifier: MIT
"""Names have one meaning: an external begins with the name of its module, and no two struct tags, enum tags or enumerators of
the program are alike."""

import collections
import os
import pathlib
import re
import subprocess

import pytest

from test_includes import ROOT, SOURCES, code_of

BUILD = pathlib.Path(os.environ.get("MUSTER_BIN", ROOT / "build-test/muster")).parent

# Folders in which each file is a subject of its own; elsewhere the folder is.
SHARED_FOLDERS = {"node/app", "node/core", "node/fanout", "node/net", "node/proto", "store", "store/base"}

# What the word for a file's subject is in its externals, where it is not the file's name.
SUBJECTS = {"node/fanout/message": "shared_message", "node/net/drain": "drain", "node/net/relief": "net", "node/net/work": "net_work",
            "store/open": "store",
            "store/store": "store"}


def modules_of(path):
    """The words that an external of that file may begin with."""
    folder, name = path.rsplit(".", 1)[0].rsplit("/", 1)
    if folder in SHARED_FOLDERS:
        return [SUBJECTS.get(f"{folder}/{name}", name.split("_")[0])]
    return [folder.rsplit("/", 1)[-1], name.split("_")[0]] if not folder.startswith("node/service/") else [folder.split("/")[2]]


def objects():
    """Object files of the build with their sources."""
    for path in BUILD.glob("*/CMakeFiles/*.dir/**/*.c.o"):
        source = path.as_posix().split(".dir/", 1)[1].removesuffix(".o")
        floor = path.relative_to(BUILD).parts[0]
        if floor in ("node", "store") and not source.startswith("__/"):
            yield f"{floor}/{source}", path


def externals(paths):
    """(object file, name) of each."""
    said = subprocess.run(["nm", "--defined-only", "-g", "-A", *paths], capture_output=True, text=True, check=True).stdout
    told = [line.partition(":") for line in said.splitlines()]
    return [(pathlib.Path(path), words.split()[2]) for path, _, words in told
            if len(words.split()) == 3 and not words.split()[2].startswith("__")]


def test_an_external_begins_with_its_module():
    sources = {path: source for source, path in objects() if (ROOT / source).exists() and (ROOT / source).stem != "main"}
    names = externals(sources)
    for path, name in names:
        assert name.startswith(tuple(modules_of(sources[path]))), f"{sources[path]}: {name}"
    assert len(names) > 300


def definitions():
    """Each struct and enum tag and each enumerator, with the file that defines it."""
    for path in SOURCES:
        code = re.sub(r'"(?:\\.|[^"\\])*"', '""', code_of(path))
        for kind, tag in re.findall(r"\b(struct|union|enum)\s+(\w+)\s*\{", code):
            yield "tag", tag, path
        for body in re.findall(r"\benum\b[^{};()]*\{([^}]*)\}", code):
            if "#" in body:
                continue
            for name in re.findall(r"(?:^|,)\s*([A-Z]\w*)", body):
                yield "enumerator", name, path


@pytest.mark.parametrize("kind", ["tag", "enumerator"])
def test_a_name_is_defined_once(kind):
    homes = collections.defaultdict(list)
    for what, name, path in definitions():
        if what == kind:
            homes[name].append(path)
    assert len(homes) > 150
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("path", SOURCES)
def test_sizeof_has_parentheses(path):
    assert not re.findall(r"\bsizeof [^(\"\n]\w*", code_of(path))
