# SPDX-License-Identifier: MIT
"""Every protocol at work on two nodes over a Redis Cluster, with the clients of `make chaos` that keep count: slots move, the
log stream too, a server comes and goes, a master hands over and one dies."""

import asyncio
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from faults import Storm  # noqa: E402
from play import at_work  # noqa: E402
from run import NOT_JUDGED, plays_of, settle  # noqa: E402
from slots import Slots  # noqa: E402
from tally import Tally  # noqa: E402
from world import World  # noqa: E402


async def perform(world, plays, tally):
    servers = Storm(world, random.Random(1)).servers
    async with at_work(plays, world, random.Random(1)):
        await settle(world, plays, tally)
        for acts in ((servers.move_slots, servers.move_the_stream, servers.server_more_or_less, servers.server_more_or_less),
                     (servers.fail_over_planned, servers.kill_master)):
            world.calm = False
            for act in acts:
                assert await act(), act.__name__
            await settle(world, plays, tally)


def test_all_protocols_while_slots_move_and_a_master_dies(tmp_path):
    tally = Tally(sys.stdout)
    tally.promise_in_calm(NOT_JUDGED)
    plays = plays_of(tally)
    world = World(tmp_path, tally, plays=plays, faults=False, workers=(1, 1), place=lambda folder: Slots(folder, random.Random(1)))
    try:
        world.start()
        asyncio.run(perform(world, plays, tally))
        assert all(node.metrics()["muster_store_moves_total"] > 60 for node in world.nodes)
    finally:
        world.stop()
    tally.report()
    assert tally.kept(), "\n".join(tally.details)
    assert tally.figures["logs: entries accepted, each in one row"] > 100
