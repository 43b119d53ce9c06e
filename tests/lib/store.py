# SPDX-License-Identifier: MIT
"""Where keys of the store are: store/partition.c in Python."""

import re

from lib.process import ROOT

PARTITIONS = 256
TAGS = re.findall(r'"(\w+)"', re.search(r"tags\[PARTITIONS\] = \{(.*?)\};", (ROOT / "store/partition.c").read_text(), re.S)[1])


def partition_of(name):
    number = 2166136261
    for byte in name.encode():
        number = (number ^ byte) * 16777619 & 0xFFFFFFFF
    number = (number ^ number >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    number = (number ^ number >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return (number ^ number >> 16) % PARTITIONS


def key(kind, name, prefix="muster"):
    """The key or channel of that kind, as docs/store.md lists them."""
    return f"{prefix}:{{{TAGS[partition_of(name)]}}}:{kind}:{name}"


STREAM = key("s", "l").rsplit(":", 1)[0]  # its lanes: STREAM:0 and so on


def inboxes(name, prefix="muster"):
    """How the channels begin by which nodes of a cluster hear what is said of a key: those of the 16 partitions around it."""
    return f"{prefix}:{{{TAGS[partition_of(name) // 16 * 16]}}}:i:"
