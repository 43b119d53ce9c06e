#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Puts the settings table that the binary prints into README.md; with --check, only says whether it is there."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- made by: build/muster --help-markdown -->\n", "<!-- end -->"


def with_table(readme, table):
    head, rest = readme.split(BEGIN)
    return head + BEGIN + table + END + rest.split(END, 1)[1]


def main(binary, check):
    path = ROOT / "README.md"
    table = subprocess.run([binary, "--help-markdown"], check=True, capture_output=True, text=True).stdout
    made = with_table(path.read_text(), table)
    if check and made != path.read_text():
        sys.exit("README.md: the settings table is stale; run `make readme`")
    path.write_text(made)


if __name__ == "__main__":
    main(sys.argv[1], "--check" in sys.argv[2:])
