# SPDX-License-Identifier: MIT
"""The libraries that CMake asks for are the ones that docs/build.md, the Makefile and the Debian package name."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAME = {"libevent_core": "libevent", "libevent_openssl": "libevent", "libcrypto": "openssl"}


def asked_for():
    """Name -> [least version, Debian, Fedora, Alpine, Arch]."""
    table = {}
    for line in re.findall(r"(?m)^muster_(?:pkg|plain)\((.*)\)$", (ROOT / "cmake/libraries.cmake").read_text()):
        words = line.split()
        table[SAME.get(words[1], words[1])] = words[-5:]
    return table


def documented():
    page = (ROOT / "docs/build.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    return {row[0]: row[1:] for row in rows if len(row) == 6 and row[0] != "library" and "---" not in row[0]}


def test_the_page_has_the_table():
    assert len(asked_for()) >= 11
    assert documented() == asked_for()


def test_debian_packages_are_installed_and_depended_on():
    packages = {row[1] for row in asked_for().values()}
    makefile = re.search(r"BUILD_PACKAGES := ((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text()).group(1)
    assert packages <= set(makefile.replace("\\", " ").split())
    control = re.search(r"Build-Depends: ((?:.*\n )*.*)", (ROOT / "packaging/debian/control").read_text()).group(1)
    assert packages <= set(re.split(r"[,\s]+", control))
