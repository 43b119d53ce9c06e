#!/usr/bin/env python3
"""usage: run.py [SECONDS [SEED]]   A cluster under faults at random, and clients that keep count of what is promised.
Ends with 1 when a promise was broken."""

import asyncio
import os
import pathlib
import random
import shutil
import sys
import tempfile

from faults import Storm
from play_chat import ChatPlay
from play_dispatch import DispatchPlay
from play_logs import LogsPlay
from play_relay import RelayPlay
from play_sync import SyncPlay
from play_tracker import TrackerPlay
from tally import Tally
from world import World, muster

PLAYS = [SyncPlay, ChatPlay, RelayPlay, TrackerPlay, DispatchPlay, LogsPlay]
STORM = 9.0  # seconds of faults between two times of calm


def plays_of(tally):
    """Those that the binary serves."""
    help_text = muster("node", "--help").stdout
    return [play(tally) for play in PLAYS if play.is_there(help_text)]


async def report_progress(tally, storm, seconds):
    while True:
        tally.progress(seconds, storm.done)
        await asyncio.sleep(0.5 if tally.on_terminal else 15)


async def settle(world, plays, tally):
    """Mends all and has each play judge; what it stumbles over is counted too."""
    await world.heal()
    for play, outcome in zip(plays, await asyncio.gather(*(play.settle(world) for play in plays),
                                                         return_exceptions=True)):
        if isinstance(outcome, Exception):
            tally.broken(f"{play.name}: could not be judged", repr(outcome))


async def perform(world, plays, tally, seconds, rng):
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    for play in plays:
        await play.start(world, rng)
    storm = Storm(world, rng)
    progress = asyncio.create_task(report_progress(tally, storm, seconds))
    await settle(world, plays, tally)
    while loop.time() < end:
        await storm.rage(min(STORM, max(1.0, end - loop.time())))
        await settle(world, plays, tally)
        tally.count("storms")
    progress.cancel()
    for play in plays:
        await play.stop()
    for play in plays:
        await play.end(world)
    tally.count("faults injected", storm.done)


def chaos(folder, seconds, seed, out=sys.stdout):
    """Runs it all; the tally says how it was."""
    tally = Tally(out)
    tally.line(f"chaos for {seconds:.0f} s, seed {seed} (CHAOS_SEED={seed} chooses the same faults again)")
    plays = plays_of(tally)
    world = World(folder, tally, plays=plays)
    try:
        tally.doing("starting Redis, PostgreSQL, nodes and sinks")
        world.start()
        asyncio.run(perform(world, plays, tally, seconds, random.Random(seed)))
    finally:
        world.stop()
    tally.report()
    return tally


def main():
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CHAOS_SECONDS", "300"))
    seed = int(sys.argv[2] if len(sys.argv) > 2 else os.environ.get("CHAOS_SEED") or random.randrange(10 ** 9))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-chaos-"))
    tally = chaos(folder, seconds, seed)
    if not tally.kept():
        print(f"promises were broken; what the nodes said is in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
