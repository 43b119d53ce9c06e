# SPDX-License-Identifier: MIT
"""Fleets of the last release and this one: every protocol at work, nodes and sinks updated and rolled back one by one."""

import asyncio
import pathlib
import random
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from lib.process import BINARY  # noqa: E402
from lib.store import STREAM  # noqa: E402
from lib.waiting import until  # noqa: E402
from play import at_work  # noqa: E402
from release import NoRelease, build, commit  # noqa: E402
from run import NOT_JUDGED, plays_of, settle  # noqa: E402
from tally import Tally  # noqa: E402
from world import World  # noqa: E402

STEPS = (  # which nodes and sinks change, and to what
    ("one node is new", (0,), (), "new"),
    ("half of all are new", (2,), (0,), "new"),
    ("all are new", (1, 3), (1,), "new"),
    ("one node is rolled back", (0,), (), "old"),
    ("half of all are rolled back", (2,), (0,), "old"),
    ("all are rolled back", (1, 3), (1,), "old"),
)


@pytest.fixture(scope="module", name="binaries")
def both():
    try:
        return {"old": build(commit()), "new": BINARY}
    except NoRelease as reason:
        pytest.skip(str(reason))


async def change(world, process, binary):
    """Ends it in order and starts it again as that binary, as an update does."""
    world.harm(process.name)
    await asyncio.to_thread(process.term)
    process.binary = binary
    await asyncio.to_thread(world.revive, process)
    await asyncio.to_thread(process.ready)
    world.harmed_no_more(process.name)


async def until_all_let_it_in(process, plays):
    """Each server does so by itself. A node of the last release serves as soon as the first one does, and says nothing to a listener
    that comes before the one with the stream; since then it is told (store/stream_follow.c)."""
    await until(lambda: "away" not in process.get("/readyz")[1], f"all servers let {process.name} in")
    for play in plays:
        if play.name == "logs":
            play.begins_now(process.name)


async def nothing(words):
    del words


async def perform(world, plays, tally, binaries, look=nothing):
    async with at_work(plays, world, random.Random(1)):
        await settle(world, plays, tally)
        for words, nodes, sinks, which in STEPS:
            tally.line(words)
            for process in [*(world.nodes[i] for i in nodes), *(world.sinks[i] for i in sinks)]:
                await change(world, process, binaries[which])
                if which == "old":
                    await until_all_let_it_in(process, plays)
            await look(words)
            await settle(world, plays, tally)


def unread(world):
    return {name: value for node in world.nodes for metrics in node.each_metrics() for name, value in metrics.items()
            if name.startswith("muster_wire_unread_total") and value > 0}


def test_all_protocols_across_an_update_and_back(tmp_path, binaries):
    tally = Tally(sys.stdout)
    tally.promise_in_calm(NOT_JUDGED)
    plays = plays_of(tally)
    world = World(tmp_path, tally, plays=plays, faults=False, binary=binaries["old"])
    try:
        world.start()
        asyncio.run(perform(world, plays, tally, binaries))
        assert not unread(world)
    finally:
        world.stop()
    tally.report()
    assert tally.kept(), "\n".join(tally.details)


def in_other_parts(world):
    """How many entries were ever written to other parts of the log stream than the first, the one that the last release knows."""
    count = 0
    for server in world.servers:
        for name in set(server.keys("muster:{*}:s")) - {STREAM}:
            words = server.ask("HGETALL", name)
            count += sum(int(value) for field, value in zip(words[::2], words[1::2]) if field.startswith("a"))
    return count


def test_the_stream_has_one_part_while_the_last_release_is_there(tmp_path, binaries):
    """Two servers, over which this release spreads it; the clients of both count what they hear, and the table has each once."""
    tally = Tally(sys.stdout)
    tally.promise_in_calm(NOT_JUDGED)
    plays = [play for play in plays_of(tally) if play.name == "logs"]
    world = World(tmp_path, tally, plays=plays, faults=False, servers=2, binary=binaries["old"])
    seen = {}

    async def look(words):
        seen[words] = in_other_parts(world)
        if words == "all are new":
            await until(lambda: in_other_parts(world) > seen[words], "the stream is spread once the nodes know that all are new")

    try:
        world.start()
        asyncio.run(perform(world, plays, tally, binaries, look))
        last = in_other_parts(world)
        assert not unread(world)
    finally:
        world.stop()
    tally.report()
    print(seen, last)
    assert tally.kept(), "\n".join(tally.details)
    assert seen["half of all are new"] == 0, "one of the last release is there"
    assert seen["one node is rolled back"] == last, "one of the last release was there from then on"
