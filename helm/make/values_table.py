#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Puts the table of values, read off the comments in values.yaml, into the chart's README; with --check, only says
whether it is there. A value's row is the comment "# -- ..." above it; a group's comment stands for all of it."""
import json
import pathlib
import re
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "helm/muster"
BEGIN, END = "<!-- made from values.yaml by helm/make/values_table.py -->\n", "<!-- end -->"
LINE = re.compile(r"^( *)(?:# -- (?P<text>.*)|(?P<key>[A-Za-z0-9_.-]+):.*)$")


def described(text):
    """(dotted key, comment) of each documented value, in order."""
    path, comment = [], None
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        depth = len(match[1]) // 2
        if match["text"] is not None:
            comment = match["text"]
            continue
        path = path[:depth] + [match["key"]]
        if comment is not None:
            yield ".".join(path), comment
            comment = None


def undescribed(values, documented, path=()):
    """Keys of values without a row of their own, above them or below them."""
    missing = []
    for key, value in values.items():
        here = path + (key,)
        if ".".join(here) in documented:
            continue
        if isinstance(value, dict) and value:
            missing += undescribed(value, documented, here)
        else:
            missing.append(".".join(here))
    return missing


def shown(value):
    if isinstance(value, (dict, list)) and len(json.dumps(value)) > 60:
        return "see `values.yaml`"
    return f"`{json.dumps(value)}`".replace("|", "\\|")


def table():
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = dict(described(text))
    missing = [key for key in undescribed(values, rows) if not key.startswith("settings.")]
    if missing:
        sys.exit("values.yaml: no comment for " + ", ".join(missing))
    lines = ["| value | default | |", "| --- | --- | --- |"]
    for key, comment in rows.items():
        value = values
        for part in key.split("."):
            value = value[part]
        lines.append(f"| `{key}` | {shown(value)} | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def main(check):
    path = CHART / "README.md"
    head, rest = path.read_text().split(BEGIN)
    made = head + BEGIN + table() + END + rest.split(END, 1)[1]
    if check and made != path.read_text():
        sys.exit("helm/muster/README.md: the table of values is stale; run `make manifests`")
    path.write_text(made)


if __name__ == "__main__":
    main("--check" in sys.argv[1:])
