#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""usage: soak.py [SECONDS [PLOT.svg]]   Mixed traffic at a steady rate on four nodes, nothing broken: memory and
descriptors must stay flat after the warm-up, latency steady. Ends with 1 when they do not."""

import asyncio
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time

from play import at_work
from run import plays_of, settle
from tally import Tally
from world import World

from lib.sync import SyncClient, new_session

WARM_UP = 0.2  # of the time: not judged
CHURN = 0.1  # seconds between two clients that come and go
COLORS = ("#1b6ca8", "#c2571a", "#3d8b37", "#8e44ad")


class Samples:
    """What was measured, once an interval."""

    def __init__(self, nodes, plays):
        self.nodes = nodes
        self.times = []
        self.resident = {node.name: [] for node in nodes}  # bytes
        self.descriptors = {node.name: [] for node in nodes}
        self.p50 = {play.name: [] for play in plays if hasattr(play, "latency")}  # seconds
        self.p99 = {name: [] for name in self.p50}
        self.forget()

    def forget(self):
        self.latencies = {name: [] for name in self.p50}  # since the last sample

    def take(self, seconds):
        self.times.append(seconds)
        for name, latencies in self.latencies.items():
            latencies.sort()
            self.p50[name].append(latencies[len(latencies) // 2] if latencies else 0.0)
            self.p99[name].append(latencies[len(latencies) * 99 // 100] if latencies else 0.0)
        self.forget()
        for node in self.nodes:
            pages = int(pathlib.Path(f"/proc/{node.pid}/statm").read_text().split()[1])
            self.resident[node.name].append(pages * os.sysconf("SC_PAGE_SIZE"))
            self.descriptors[node.name].append(len(os.listdir(f"/proc/{node.pid}/fd")))


def thirds(values):
    """The medians of the first and the last third after the warm-up."""
    judged = values[int(len(values) * WARM_UP):]
    third = max(1, len(judged) // 3)
    return statistics.median(judged[:third]), statistics.median(judged[-third:])


def judge(samples, tally):
    """Prints what was measured and counts what is not flat."""
    tally.promise("soak: memory grew", "soak: descriptors grew", "soak: latency grew")
    for name in samples.resident:
        first, last = thirds(samples.resident[name])
        tally.line(f"  {name}: memory {first / 2 ** 20:.2f} MiB early, {last / 2 ** 20:.2f} MiB late, "
                   f"{max(samples.resident[name]) / 2 ** 20:.2f} MiB most")
        if last > first * 1.05 + 2 ** 20:
            tally.broken("soak: memory grew", f"{name}: {first} to {last}")
        first, last = thirds(samples.descriptors[name])
        tally.line(f"  {name}: descriptors {first:.0f} early, {last:.0f} late, {max(samples.descriptors[name])} most")
        if last > first + 10:
            tally.broken("soak: descriptors grew", f"{name}: {first} to {last}")
    for name, values in samples.p99.items():
        first, last = thirds(values)
        tally.line(f"  {name}: latency, clients' own time included: p99 {first * 1000:.1f} ms early, {last * 1000:.1f} ms late, "
                   f"{max(values) * 1000:.1f} ms most; median {statistics.median(samples.p50[name]) * 1000:.1f} ms")
        if last > first * 2 + 0.01:
            tally.broken("soak: latency grew", f"{name}: {first} to {last}")


# ------------------------------------------------------------------------------------ the plot

WIDTH, HEIGHT, LEFT, TOP = 900, 200, 80, 40


def panel(index, title, times, lines, unit):
    """One of the plots below each other; `lines` is name to values."""
    most = max(max(values) for values in lines.values()) * 1.1 or 1.0
    span = times[-1] or 1.0
    base = TOP + index * (HEIGHT + 50)
    out = [f'<text x="{LEFT}" y="{base - 8}" font-weight="bold">{title}</text>',
           f'<rect x="{LEFT}" y="{base}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#999"/>']
    for step in range(5):
        y = base + HEIGHT - HEIGHT * step / 4
        out.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{most * step / 4:.4g} {unit}</text>')
    for number, (name, values) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        points = " ".join(f"{LEFT + WIDTH * t / span:.1f},{base + HEIGHT - HEIGHT * v / most:.1f}"
                          for t, v in zip(times, values))
        out.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>'
                   f'<text x="{LEFT + WIDTH - 10 - 80 * number}" y="{base - 8}" text-anchor="end" fill="{color}">{name}</text>')
    out.append(f'<text x="{LEFT + WIDTH}" y="{base + HEIGHT + 16}" text-anchor="end">{span:.0f} s</text>'
               f'<text x="{LEFT}" y="{base + HEIGHT + 16}">0</text>')
    return "\n".join(out)


def plot(samples, path):
    panels = [
        panel(0, "Resident memory", samples.times,
              {name: [v / 2 ** 20 for v in values] for name, values in samples.resident.items()}, "MiB"),
        panel(1, "Descriptors", samples.times, samples.descriptors, ""),
        panel(2, "Latency of a message, p99", samples.times,
              {name: [v * 1000 for v in values] for name, values in samples.p99.items()}, "ms")]
    height = TOP + 3 * (HEIGHT + 50)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 20}" height="{height}" '
                    'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>\n' +
                    "\n".join(panels) + "\n</svg>\n")


# ------------------------------------------------------------------------------------ the load

async def come_and_go(world, tally):
    """New clients all the time: what they leave behind would add up."""
    while True:
        node = random.choice(world.nodes)
        client = await SyncClient.member(node, new_session())
        tally.count("clients that came and went")
        await client.close()
        await asyncio.sleep(CHURN)


async def soak(world, plays, tally, seconds, samples):
    for play in plays:
        play.latency = lambda latency, name=play.name: samples.latencies[name].append(latency)
    async with at_work(plays, world, random.Random(1)):
        await settle(world, plays, tally)
        churn = asyncio.create_task(come_and_go(world, tally))
        interval = min(30.0, max(1.0, seconds / 240))
        began = tally.began = time.monotonic()
        samples.forget()
        while (now := time.monotonic() - began) < seconds:
            await asyncio.sleep(interval)
            samples.take(time.monotonic() - began)
            if tally.on_terminal or int(now / 60) != int((now + interval) / 60):
                tally.progress(seconds, 0)
        churn.cancel()
        await settle(world, plays, tally)


def main():
    seconds = float(sys.argv[1] if len(sys.argv) > 1 else 3600)
    path = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "build/soak.svg")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-soak-"))
    tally = Tally()
    plays = plays_of(tally)
    world = World(folder, tally, plays=plays, faults=False, workers=(1, 1, 1, 1))
    samples = Samples(world.nodes, plays)
    tally.line(f"soak for {seconds:.0f} s: {', '.join(play.name for play in plays)}")
    try:
        tally.doing("starting Redis, PostgreSQL, nodes and sinks")
        world.start()
        asyncio.run(soak(world, plays, tally, seconds, samples))
    finally:
        world.stop()
    judge(samples, tally)
    plot(samples, path)
    tally.line(f"  plot: {path}")
    tally.report()
    if tally.kept():
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if tally.kept() else 1


if __name__ == "__main__":
    sys.exit(main())
