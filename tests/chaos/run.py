#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: run.py [SECONDS [SEED]]   A cluster under faults at random, and clients that keep count of what is promised.
Ends with 1 when a promise was broken."""

import asyncio
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from faults import Storm  # noqa: E402
from lib.process import muster  # noqa: E402
from pair import Pair  # noqa: E402
from play import at_work  # noqa: E402
from play_chat import ChatPlay  # noqa: E402
from play_datagrams import DatagramsPlay  # noqa: E402
from play_dispatch import DispatchPlay  # noqa: E402
from play_logs import LogsPlay  # noqa: E402
from play_minigame import MinigamePlay  # noqa: E402
from play_relay import RelayPlay  # noqa: E402
from play_sync import SyncPlay  # noqa: E402
from play_tracker import TrackerPlay  # noqa: E402
from slots import Slots  # noqa: E402
from tally import Tally  # noqa: E402
from world import World  # noqa: E402

PLAYS = [SyncPlay, ChatPlay, MinigamePlay, RelayPlay, TrackerPlay, DispatchPlay, DatagramsPlay, LogsPlay]
STORM = 9.0  # seconds of faults between two times of calm
FILLING = 2  # plays that fill buffers in a time of calm
TRIES = 4  # for a time of calm, on a slow machine
TOPOLOGIES = ("one", "two", "pair", "cluster")
PLACES = {"pair": Pair, "cluster": Slots}  # whose servers belong together
NOT_JUDGED = "plays that could not be judged"


def plays_of(tally):
    """Those that the binary serves."""
    help_text = muster("node", "--help").stdout
    return [play(tally) for play in PLAYS if play.is_there(help_text)]


async def report_progress(tally, storm, seconds):
    while True:
        tally.progress(seconds, storm.done)
        await asyncio.sleep(0.5 if tally.on_terminal else 15)


async def ask_all(plays, tally, act):
    """Has each play do that; what it stumbles over is counted too."""
    async def timed(play):
        began = time.monotonic()
        await act(play)
        tally.took(f"{play.name}: judged", time.monotonic() - began)
    for play, outcome in zip(plays, await asyncio.gather(*map(timed, plays), return_exceptions=True)):
        if isinstance(outcome, Exception):
            tally.broken(NOT_JUDGED, f"{play.name}: {outcome!r}")


async def in_calm(world, tally, act):
    """Done again when links fell meanwhile of nothing but the machine being slow: then not all was well."""
    for _ in range(TRIES):
        mark = await world.in_calm()
        world.patience.reset()
        tally.hold()
        await act()
        fell = await world.in_calm() != mark
        slow = world.patience.was_slow()
        if fell and not slow:
            tally.broken("links to Redis that fell while all is well", f"{mark} before")
        tally.judge(was_calm=not (fell and slow))
        if not (fell and slow):
            return
        tally.count("times of calm that a slow machine disturbed")
        tally.line(f"links fell on a slow machine ({world.patience.longest:.1f} s for a step): judged again")
    tally.count("times of calm that never came to be judged")


async def settle(world, plays, tally, rng=None):
    """Repairs all and has each play judge; with a die, some of them fill buffers then."""
    await world.heal()
    await in_calm(world, tally, lambda: ask_all(plays, tally, lambda play: play.settle(world)))
    if rng is not None:
        some = rng.sample([play for play in plays if play.fills], FILLING)
        await in_calm(world, tally, lambda: ask_all(some, tally, lambda play: play.fill(world)))


def say_what_waits(tally):
    """On SIGUSR1: where each task is, for a person that wonders why nothing goes on."""
    for task in asyncio.all_tasks():
        waits, chain = task.get_coro(), []
        while getattr(waits, "cr_frame", None) is not None:
            chain.append(f"{waits.__qualname__}:{waits.cr_frame.f_lineno}")
            waits = waits.cr_await
        tally.line("  waits: " + " > ".join(chain))


async def perform(world, plays, tally, seconds, rng):
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, say_what_waits, tally)
    async with at_work(plays, world, rng):
        storm = Storm(world, rng)
        progress = asyncio.create_task(report_progress(tally, storm, seconds))
        try:
            await settle(world, plays, tally)
            end = loop.time() + seconds
            while loop.time() < end:
                await storm.rage(min(STORM, max(1.0, end - loop.time())))
                await settle(world, plays, tally, rng)
                tally.count("storms")
        finally:
            progress.cancel()
    tally.count("faults injected", storm.done)


def chaos(folder, seconds, seed, out=sys.stdout):
    """Runs it all; the tally says how it was."""
    tally = Tally(out)
    topology = os.environ.get("CHAOS_REDIS") or TOPOLOGIES[seed % len(TOPOLOGIES)]
    tally.line(f"chaos for {seconds:.0f} s, Redis servers: {topology}, seed {seed} (CHAOS_SEED={seed} chooses the same "
               "faults again)")
    tally.promise_in_calm(NOT_JUDGED)
    plays = plays_of(tally)
    kind = PLACES.get(topology)
    place = (lambda where: kind(where, random.Random(seed))) if kind is not None else None
    world = World(folder, tally, plays=plays, servers=2 if topology == "two" else 1, place=place)
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
