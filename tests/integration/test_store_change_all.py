# SPDX-License-Identifier: MIT
"""Every protocol at work while the list of servers changes, with the clients of `make chaos` that keep count: one server becomes
two, two three, three one again; nodes and sinks are started again one by one with `old;new`, then with the new list. A node is
killed while partitions move, and a server."""

import asyncio
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "chaos"))

from lib.waiting import until  # noqa: E402
from play import at_work  # noqa: E402
from run import NOT_JUDGED, plays_of, settle  # noqa: E402
from tally import Tally  # noqa: E402
from world import World  # noqa: E402

WAITING = "muster_store_partitions_waiting"


class Growing(World):
    """Its list begins with one of three servers."""

    def list_of(self, *numbers):
        return ",".join(f"redis://127.0.0.1:{self.servers[number].port}#{self.servers[number].name}" for number in numbers)

    def link_to_redis(self, kind):
        return self.list_of(0)

    def processes(self):
        return [*self.nodes, *self.sinks]

    async def started_again(self, process, store):
        """Ended in order and started again with that list, as an update does."""
        self.harm(process.name)
        process.settings["store"] = store
        await asyncio.to_thread(process.term)
        await asyncio.to_thread(self.revive, process)
        await asyncio.to_thread(process.ready)
        self.harmed_no_more(process.name)

    def waiting(self):
        return [metrics[WAITING] for node in self.nodes for metrics in node.each_metrics()]

    def has_changed(self):
        return all("the list of servers has changed" in process.get("/readyz")[1] for process in self.processes())


async def killed(world, process):
    world.harm(process.name)
    await asyncio.to_thread(process.kill)
    await asyncio.to_thread(world.revive, process)
    await asyncio.to_thread(process.ready)
    world.harmed_no_more(process.name)


async def server_killed(world, server):
    for node in world.nodes:
        world.harm(node.name)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(0.5)  # the fault itself
    await asyncio.to_thread(server.start)
    for node in world.nodes:
        world.harmed_no_more(node.name)


async def change(world, tally, old, new, fault=None):
    both, after = f"{world.list_of(*old)};{world.list_of(*new)}", world.list_of(*new)
    tally.line(f"{old} becomes {new}")
    world.calm = False
    for number, process in enumerate(world.processes()):
        await world.started_again(process, both)
        assert number == len(world.processes()) - 1 or min(world.waiting()[:1]) > 0, "nothing moves yet"
    if fault is not None:
        await until(lambda: 0 < min(world.waiting()) < 60, "some have moved", 30)
        await fault
    await until(world.has_changed, "all have moved", 60)
    assert set(world.waiting()) == {0}
    for process in world.processes():
        await world.started_again(process, after)


async def perform(world, plays, tally):
    async with at_work(plays, world, random.Random(1)):
        await settle(world, plays, tally)
        await change(world, tally, (0,), (0, 1), killed(world, world.nodes[0]))
        await settle(world, plays, tally)
        await change(world, tally, (0, 1), (0, 1, 2), server_killed(world, world.servers[1]))
        await settle(world, plays, tally)
        await change(world, tally, (0, 1, 2), (0,), server_killed(world, world.servers[0]))
        await settle(world, plays, tally)


def test_all_protocols_while_the_list_changes(tmp_path):
    tally = Tally(sys.stdout)
    tally.promise_in_calm(NOT_JUDGED)
    plays = plays_of(tally)
    world = Growing(tmp_path, tally, plays=plays, faults=False, workers=(1, 1, 1), servers=3)
    try:
        world.start()
        asyncio.run(perform(world, plays, tally))
    finally:
        world.stop()
    tally.report()
    assert tally.kept(), "\n".join(tally.details)
    assert tally.figures["logs: entries accepted, each in one row"] > 100
