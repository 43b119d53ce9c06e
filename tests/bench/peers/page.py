# SPDX-License-Identifier: MIT
"""The tables of docs/compare.md, which stand between two markers there."""
import collections
import os
import pathlib
import platform
import time

from lib.process import ROOT

PAGE = ROOT / "docs" / "compare.md"
BEGIN, END = "<!-- begin: make bench ARGS='peers --write' -->", "<!-- end -->"

KEPT_UP = 0.5  # seconds after the last message

MOST = 4        # peers in a cell

Found = collections.namedtuple("Found", "peers without parts counts")


def figure(value):
    """Two or three digits that count."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def row(*cells):
    return f"| {' | '.join(cells)} |"


def table(head, rows):
    return [row(*head), row(*["---"] * len(head)), *[row(*cells) for cells in rows]]


def figures_of(found, part, *names):
    """A row for each peer that has any."""
    for side in found.parts[part]:
        seen = side.result()
        if seen:
            yield side, [figure(seen.get(name)) for name in names]


def one_server(found):
    """Fan-out beside idle, by peer."""
    fan = {side.peer: figures for side, figures in figures_of(found, "fan-out", "us_a_delivery", "us_a_delivery_of_several")}
    names = "us_a_join", "seconds_until_all_are_in", "KiB_each", "ms_a_second", "MiB_empty"
    still = {side.peer: figures for side, figures in figures_of(found, "idle", *names)}
    rows = [[peer.name, *fan.get(peer, [""] * 2), *still.get(peer, [""] * len(names))] for peer in found.peers]
    head = ["", "a delivery, µs", "the same, 8 on their way", "a connection that joins, µs", "all are in, s", "memory of one, KiB", "all idle, ms a second", "empty, MiB"]
    return table(head, rows)


def several(found):
    names = "us_of_nodes_a_push", "us_of_Redis_a_push", "us_of_Redis_a_join", "ms_a_second_of_Redis", "commands_a_second", "ms_a_second_of_nodes"
    rows = [[side.peer.name, *figures] if side.peer.redis else [side.peer.name, figures[0], "", "", "", "", figures[-1]]
            for side, figures in figures_of(found, "groups", *names)]
    head = ["", "a push, nodes, µs", "a push, Redis, µs", "a join, Redis, µs", "quiet, Redis, ms a second", "commands a second", "quiet, nodes, ms a second"]
    return table(head, rows)


COLUMNS = {  # of both tables, in which less is better: the part, and in words
    "us_a_delivery": ("fan-out", "a delivery, µs"),
    "us_a_delivery_of_several": ("fan-out", "a delivery, 8 on their way, µs"),
    "us_a_join": ("idle", "a connection that joins, µs"),
    "seconds_until_all_are_in": ("idle", "all are in, s"),
    "KiB_each": ("idle", "memory of a connection, KiB"),
    "ms_a_second": ("idle", "all idle, ms a second"),
    "MiB_empty": ("idle", "empty, MiB"),
    "us_of_nodes_a_push": ("groups", "a push, nodes, µs"),
    "us_of_Redis_a_push": ("groups", "a push, Redis, µs"),
    "us_of_Redis_a_join": ("groups", "a join, Redis, µs"),
    "ms_a_second_of_Redis": ("groups", "quiet, Redis, ms a second"),
    "ms_a_second_of_nodes": ("groups", "quiet, nodes, ms a second"),
}


def below(words, values):
    """A row, if a peer needs less than Muster."""
    ours = next((value for peer, value in values.items() if peer.dialect == "muster"), None)
    less = sorted((value, peer.name) for peer, value in values.items() if None not in (value, ours) and value < ours and peer.dialect != "floor")
    return [[words, figure(ours), "; ".join(f"{name} {figure(value)}" for value, name in less[:MOST])]] if less else []


def lower(found):
    """A row for each column in which a peer needs less than Muster."""
    for name, (part, words) in COLUMNS.items():
        of_redis = "_of_Redis" in name
        yield from below(words, {side.peer: side.result().get(name) for side in found.parts[part] if side.peer.redis or not of_redis})
    yield from below("what must be there to run it, MiB", {peer: peer.size() / (1 << 20) for peer in found.peers})


def versions(found):
    seen = set()
    for peer in found.peers:
        if (peer.version(), peer.dialect) not in seen:
            seen.add((peer.version(), peer.dialect))
            yield [peer.name, peer.version(), figure(peer.size() / (1 << 20))]


def notes(found):
    for part, made in found.parts.items():
        for side in made:
            lost, behind = sum(side.seen.get("lost", [])), side.result().get("seconds_behind", 0)
            if side.failure is not None:
                yield f"- {part}, {side.peer.name}: gave up. `{side.failure}`"
            elif lost > 0:
                yield f"- {part}, {side.peer.name}: {lost:,.0f} deliveries were lost."
            elif behind > KEPT_UP:
                yield (f"- {part}, {side.peer.name}: did not keep up on this machine. The last delivery came {behind:.1f} s after the last message was "
                       "sent. What has to wait is joined, which makes each cheaper.")
    for name, reason in found.without.items():
        yield f"- {name} was left out: {reason}"


def tables(found):
    """Lines of Markdown."""
    counts = found.counts
    yield from ["", f"Seen on {time.strftime('%d %B %Y').lstrip('0')}: {os.cpu_count()} cores shared with other work, {platform.machine()}, Linux {platform.release().split('-')[0]}.", ""]
    yield from [f"**One server.** A group of {counts['receivers'] + 1:,}, 200-byte messages from one of them to all others, one after the other and 8 on their way. Then "
                f"{counts['idle']:,} connections that come at once, join groups of 4 and say nothing.", ""]
    yield from one_server(found)
    yield from ["", f"**Two servers.** {counts['sessions']:,} groups of 4 over both, 1 KB from the first of a group to the three others, {counts['pushes']:,} a second in all.", ""]
    yield from several(found)
    yield from ["", "**Versions, and what must be there to run it.** Program, its shared libraries, its packages; no operating system.", ""]
    yield from table(["", "version", "MiB"], versions(found))
    yield from ["", "**Where others need less than Muster** (the lowest four):", ""]
    yield from table(["", "Muster", "others"], lower(found))
    said = list(notes(found))
    if said:
        yield from ["", *said]
    yield ""


def written(text, lines):
    """The page with other lines between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise AssertionError(f"{PAGE}: no markers")
    return "\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"])


def write(found, path=PAGE):
    path = pathlib.Path(path)
    path.write_text(written(path.read_text(), tables(found)))
