# SPDX-License-Identifier: MIT
"""What the compiler and the linker add against memory errors is in the binary that is shipped."""

import os
import pathlib
import platform
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / os.environ.get("MUSTER_BIN", "build-test/muster")


def readelf(*options):
    return subprocess.run(["readelf", "-W", *options, str(BINARY)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", autouse=True)
def shipped():
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not there")
    if "__asan_init" in readelf("--dyn-syms"):
        pytest.skip("a sanitized build is for tests only")


def test_it_is_loaded_anywhere():
    assert re.search(r"Type:\s+DYN", readelf("-h"))
    assert re.search(r"FLAGS_1.*\bPIE\b", readelf("-d"))


def test_what_the_linker_fills_in_is_read_only_afterwards():
    assert "GNU_RELRO" in readelf("-l")
    assert re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", readelf("-d"))


def test_no_memory_is_both_written_and_run():
    segments = re.findall(r"^\s+(LOAD|GNU_STACK)\s.*\s([R ][W ][E ])\s", readelf("-l"), re.MULTILINE)
    assert {kind for kind, _ in segments} == {"LOAD", "GNU_STACK"}
    assert not [flags for _, flags in segments if "W" in flags and "E" in flags]


@pytest.mark.parametrize("symbol", ["__stack_chk_fail", "__snprintf_chk", "__vsnprintf_chk"])
def test_stack_protector_and_fortify_are_at_work(symbol):
    assert re.search(rf"\bUND {symbol}\b", readelf("--dyn-syms"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="CET is of x86-64")
def test_every_function_of_ours_begins_with_a_landing_pad():
    """Where the C library's start files have no such mark, the linker leaves it off the program: so look at the code."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(BINARY)], check=True, capture_output=True,
                          text=True).stdout
    first = dict(re.findall(r"^[0-9a-f]+ <((?:conn|http|ws|room|store|roster|sync)_\w+)>:\n\s+[0-9a-f]+:\s+(\S+)", code,
                            re.MULTILINE))
    assert len(first) > 100
    # What the compiler made of a static function, called directly only, needs none.
    bare = [name for name, instruction in first.items() if instruction != "endbr64"]
    assert len(bare) < len(first) / 2, bare[:20]
